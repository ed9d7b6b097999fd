//! Matmul in tiles, written once over a [`Vector`] and compiled for every instruction set that has one.
//!
//! Quantised weights go through tiles with a row in every lane: a chunk of 256 columns is unpacked and transposed into the L1 cache,
//! with four consecutive columns of a row in its 32-bit lane, and then multiplied with all tokens, whose activations are broadcast as
//! they are loaded. Decode is the same with one token, without the tile between.
//!
//! Instruction sets multiply bytes in different ways ([`Vector::WHOLE_BYTES`], [`Vector::LARGEST_PAIR`]). What was added to weights
//! for that is paid back by where the integer sum starts. All of them arrive at the same integers.
#![expect(
    unsafe_code,
    reason = "rows of weights, activations and the output are read and written through pointers"
)]

pub(super) mod entries;
pub(super) mod floats;
pub(super) mod many;
pub(super) mod one;
pub(super) mod rows;
pub(super) mod unpack;
pub(super) mod vector;

use super::activations::Chunk;
use super::{BLOCK, CHUNK, Product};
use entries::Compiled;
use rows::Rows;
use unpack::{Quants, lower};
use vector::{Floats, Vector};

/// Tiles that share a load of activations.
pub(super) const TILES: usize = 2;

/// Bytes of activations that are used for row after row: what may stay in the L2 cache meanwhile.
const NEAR: usize = 768 << 10;

/// A one in both halves of a lane: the factor that leaves integer sums as they are.
const ONES: i32 = 0x0001_0001;

/// Most lanes of a vector.
const MOST_LANES: usize = 16;

/// The sums of one token: (tiles, rows).
pub(super) type Sums<V> = [<V as Vector>::Floats; TILES];

/// Scales of 256 columns of as many rows as there are lanes.
#[derive(Clone, Copy)]
pub(super) struct Scales<V: Vector> {
    /// (columns / 16 or 32, rows)
    parts: [V::Floats; CHUNK / BLOCK * 2],
    /// (columns / 32, rows)
    minima: [V::Floats; CHUNK / BLOCK],
    /// (rows)
    whole: V::Floats,
    /// (rows)
    whole_minimum: V::Floats,
}

impl<V: Vector> Scales<V> {
    /// # Safety
    /// The instructions of `V` are enabled.
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as the caller says.
        let zero = unsafe { V::Floats::splat(0.0) };
        Self { parts: [zero; _], minima: [zero; _], whole: zero, whole_minimum: zero }
    }

    /// The scale of a part, the unsigned byte `byte` of the lanes, for quants that are lifted by `lift` bits.
    ///
    /// # Safety
    /// The instructions of `V` are enabled.
    #[inline(always)]
    unsafe fn integer(&mut self, part: usize, lanes: V, byte: usize, lift: i32) {
        // SAFETY: as the caller says.
        unsafe {
            let scale = lanes.unsigned_byte(byte);
            self.parts[part] = if lift == 0 { scale } else { scale.mul(V::Floats::splat(lower(lift))) };
        }
    }
}

// Everything below is inlined into what `entries!` makes, where the instruction set is enabled: hence no closures around vectors.

/// # Safety
/// As [`Kernels::multiply`](super::Kernels::multiply), with the sizes checked, inlined where the instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn multiply_quants<V: Compiled, F: Quants>(product: &Product<'_>) {
    // SAFETY: the same contract.
    unsafe {
        if product.tokens == 1 {
            one::multiply_one::<V::One, F>(product)
        } else {
            many::multiply_many::<V, F>(product)
        }
    }
}

/// Write the sums of one token where the wanted ones of `rows` belong.
///
/// # Safety
/// These elements may be written, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn store<V: Vector>(product: &Product<'_>, token: usize, rows: &[Rows], sums: &[V::Floats]) {
    for tile in 0..rows.len() {
        let Rows { first, apart, wanted, .. } = &rows[tile];
        let out = product.out.wrapping_add(token * product.out_stride + first);
        // SAFETY: as the caller says; of the lanes, as many as a vector has, only the wanted ones are copied.
        unsafe {
            if *apart == 1 && wanted.len() == V::LANES {
                sums[tile].store(out);
            } else {
                let mut lanes = [0.0; MOST_LANES];
                sums[tile].store(lanes.as_mut_ptr());
                for lane in wanted.clone() {
                    *out.wrapping_add(lane * apart) = lanes[lane];
                }
            }
        }
    }
}

/// Integer sums in every block of 32 columns, each with a scale of its own.
const fn parts<F: Quants>() -> usize {
    if F::HALVES { 2 } else { 1 }
}

/// Steps of four columns that partial sums hold, at most `most`: a power of two, so that they fit into parts.
const fn run<V: Vector, F: Quants>(most: usize) -> usize {
    let run = 1 << (V::LARGEST_PAIR / (2 * 127 * F::LARGEST)).ilog2();
    if run < most { run } else { most }
}

/// Where the integer sum of part `part` starts: at what was added to the weights, taken off again, or at what complements lack.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn start<V: Vector, F: Quants>(x: &Chunk, part: usize) -> V {
    let start = if F::HALVES { x.half_starts[part] } else { x.starts[part % x.starts.len()] };
    // SAFETY: as the caller says.
    unsafe {
        match unpack::offset::<V, F>() {
            0 if F::SIGNED && V::COMPLEMENTS => V::splat(x.negatives[part % x.negatives.len()]),
            0 => V::splat(0),
            offset => V::splat(start).shift_signed(7 - offset.ilog2()),
        }
    }
}

/// The products of a block so far, with part `part` of the chunk. Where scales are nested all of this is below 2^24 and so exact, and
/// the same as if the integers had been multiplied.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn scale<V: Vector, F: Quants>(
    part: usize,
    integers: V,
    scale: V::Floats,
    products: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe {
        let floats = integers.to_floats();
        if part.is_multiple_of(parts::<F>()) { floats.mul(scale) } else { floats.mul_add(scale, products) }
    }
}

/// What minima of the blocks so far take off, with those of `block`.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn add_minimum<V: Vector>(
    scales: &Scales<V>,
    x: &Chunk,
    block: usize,
    minimum: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe { scales.minima[block].mul_add(V::Floats::splat(x.sums[block]), minimum) }
}

/// The sum of all chunks so far, with one whose scales are nested.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn add_whole<V: Vector, F: Quants>(
    scales: &Scales<V>,
    total: V::Floats,
    minimum: V::Floats,
    sum: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe {
        let sum = total.mul_add(scales.whole, sum);
        if F::MINIMA { minimum.mul_sub_from(scales.whole_minimum, sum) } else { sum }
    }
}

/// The quants of [`Vector::STEPS`] steps, from `step` on.
///
/// # Safety
/// A chunk has these steps, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn broadcast<V: Vector>(x: &Chunk, step: usize) -> V::Broadcast {
    // SAFETY: as the caller says.
    unsafe { V::broadcast(x.quants.as_ptr().add(4 * step)) }
}

/// `partial` and the products of step `STEP` of `x`.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn multiply<V: Vector, F: Quants, const STEP: usize>(partial: V, weights: V, x: V::Broadcast) -> V {
    // SAFETY: as the caller says.
    unsafe {
        if F::SIGNED {
            V::multiply::<true, STEP>(partial, weights, x)
        } else {
            V::multiply::<false, STEP>(partial, weights, x)
        }
    }
}
