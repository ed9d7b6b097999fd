//! Matmul in tiles, written once over a [`Vector`] and compiled for every instruction set that has one.
//!
//! With many tokens, quantised weights go through tiles with a row in every lane: a chunk of 256 columns is unpacked and transposed into
//! the L1 cache, with four consecutive columns of a row in its 32-bit lane, and then multiplied with all tokens, whose activations are
//! broadcast as they are loaded ([`many`]). With one token nothing is transposed: columns lie in lanes, which are added up once for all
//! columns that share a scale ([`one`]).
//!
//! Instruction sets multiply bytes in different ways ([`Vector::WHOLE_BYTES`], [`Vector::LARGEST_PAIR`]). What was added to weights
//! for that is paid back by where the integer sum starts. All of them arrive at the same integers.
#![expect(
    unsafe_code,
    reason = "rows of weights, activations and the output are read and written through pointers"
)]

pub(super) mod columns;
pub(super) mod entries;
pub(super) mod floats;
pub(super) mod many;
pub(super) mod one;
#[cfg(not(target_family = "wasm"))]
pub(super) mod packed;
pub(super) mod rows;
pub(super) mod unpack;
pub(super) mod vector;

use super::activations::Chunk;
use super::{BLOCK, CHUNK, Product};
use entries::Compiled;
use rows::Rows;
use unpack::{InPlace, Quants};
use vector::{Floats, Vector};

/// Tiles that share a load of activations.
pub(super) const TILES: usize = 2;

/// Most lanes of a vector.
const MOST_LANES: usize = 16;

/// The sums of one token: (tiles, rows).
pub(super) type Sums<V> = [<V as Vector>::Floats; TILES];

/// Scales of 256 columns of as many rows as there are lanes.
#[derive(Clone, Copy)]
pub(super) struct Scales<V: Vector> {
    /// (columns / 32, rows), where they are not nested.
    pub(super) blocks: [V::Floats; CHUNK / BLOCK],
    /// (columns / 16 or 32, rows), where they are nested: integers as [`Vector::add_scaled`] wants them.
    parts: [V; CHUNK / BLOCK * 2],
    /// Where there are some.
    minima: V::Minima,
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
        unsafe {
            let (zero, integer) = (V::Floats::splat(0.0), V::splat(0));
            let minima = V::minima([integer; 2]);
            Self { blocks: [zero; _], parts: [integer; _], minima, whole: zero, whole_minimum: zero }
        }
    }
}

// Everything below is inlined into what `entries!` makes, where the instruction set is enabled: hence no closures around vectors.

/// # Safety
/// As [`Kernels::multiply`](super::Kernels::multiply), with the sizes checked, inlined where the instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn multiply_quants<V: Compiled, F: InPlace>(product: &Product<'_>) {
    // SAFETY: the same contract.
    unsafe {
        if product.tokens == 1 {
            one::multiply_one::<V::One, F>(product)
        } else {
            many::multiply_many::<V, F, many::Registers>(product)
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

/// The sum of all chunks so far, with one whose scales are nested: `total` integers, times the scale of its scales.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn add_total<V: Vector>(total: V, scale: V::Floats, x: &Chunk, sum: V::Floats) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe { total.to_floats().mul_add(scale.mul(V::Floats::splat(x.unit)), sum) }
}

/// That sum with the minima of the chunk taken off: the products of minima with [`Chunk::sums`], times the scale of the minima.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn take_off_minima<V: Vector>(minima: V, scale: V::Floats, x: &Chunk, sum: V::Floats) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe { minima.to_floats().mul_sub_from(scale.mul(V::Floats::splat(2.0 * x.unit)), sum) }
}

/// What the integer sum of a block of 32 columns lacks: what was added to the weights, or to complements.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn block_start<V: Vector, F: Quants>(x: &Chunk, block: usize) -> V {
    // SAFETY: as the caller says.
    unsafe {
        match unpack::offset::<V, F>() {
            0 if F::SIGNED && V::COMPLEMENTS => V::splat(x.negatives[block]),
            0 => V::splat(0),
            8 => V::splat(x.eight_starts[block]),
            128 => V::splat(x.byte_starts[block]),
            offset => unreachable!("{offset} is added to no weights with a scale for 32 columns"),
        }
    }
}

/// The sum of all blocks so far, with one of these integers and of this scale.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn add_block<V: Vector>(
    integers: V,
    scale: V::Floats,
    x: &Chunk,
    block: usize,
    sum: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe { integers.to_floats().mul(scale).mul_add(V::Floats::splat(x.scales[block]), sum) }
}
