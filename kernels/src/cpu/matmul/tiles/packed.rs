//! [Packed](crate::packed) weights: a row in every lane without transposing.
//!
//! With one token, lines of several groups of rows are multiplied in turn as they are loaded, each group a stream from memory. With many
//! tokens they are unpacked into the same tiles as weights in place are. Sums are those of weights in place, to the bit.
#![expect(unsafe_code, reason = "lines of weights, activations and the output behind pointers")]

use std::array;
use std::marker::PhantomData;

use super::super::activations::Chunk;
use super::super::{BLOCK, CHUNK, Product};
use super::many::{add_nested, add_partial, begin, broadcast, multiply, parts};
use super::rows::Rows;
use super::unpack::{PackedScales, Q4_0, Q4_K, Q5_K, Q6_K, Q8_0, Quants};
use super::vector::{Floats, Vector};
use super::{Scales, add_block};
use crate::block::Format;
use crate::packed::{ROWS, words};

/// Groups of rows that are multiplied at once: as many streams from memory.
const STREAMS: usize = 4;

/// Bytes that each of them is brought near ahead.
const AHEAD: usize = 1024;

/// Most vectors that a step makes.
const MOST_VECTORS: usize = 4;

/// The lines of 256 columns of a group of rows.
pub(in super::super) struct Lines<V>(*const V);

/// A format that can be packed: what lies where in a chunk of it.
pub(in super::super) trait Pack: Quants {
    /// Which one it is.
    const FORMAT: Format;
    /// Lines in front of those that steps take in turn.
    const FRONT: usize;
    /// Groups of steps, whose products are scaled together.
    const GROUPS: usize;
    /// Lines that a step takes.
    const A_STEP: usize;
    /// Vectors of quants that it makes of them, each of columns that have a scale of their own in the group.
    const VECTORS: usize;

    /// Lines of a chunk.
    const LINES: usize = words(Self::FORMAT).expect("a format that can be packed");
    /// Steps of a group.
    const STEPS: usize = (Self::LINES - Self::FRONT) / Self::A_STEP / Self::GROUPS;

    /// The scales of the chunk.
    ///
    /// # Safety
    /// Of this and below: there are these lines, and the instructions of `V` are enabled.
    unsafe fn unpack_scales<V: Vector>(lines: &Lines<V>, scales: &mut Scales<V>);
    /// Four quants of every row, as [`Vector::multiply`] wants them.
    unsafe fn vector<V: Vector>(lines: &Lines<V>, group: usize, step: usize, vector: usize) -> V;
    /// The column of the first of them.
    fn column(group: usize, step: usize, vector: usize) -> usize;
}

impl<V: Vector> Lines<V> {
    /// # Safety
    /// There is such a line, and the instructions of `V` are enabled.
    #[inline(always)]
    unsafe fn line(&self, index: usize) -> V {
        const { assert!(V::LANES == ROWS && size_of::<V>() == 4 * ROWS, "a line has a word for every lane") }
        // SAFETY: as the caller says.
        unsafe { self.0.add(index).read_unaligned() }
    }

    /// The scales of eight blocks, two in a line.
    ///
    /// # Safety
    /// They are the first four lines, and the instructions of `V` are enabled.
    #[inline(always)]
    unsafe fn scales(&self, to: &mut [V::Floats; CHUNK / BLOCK]) {
        for pair in 0..4 {
            // SAFETY: as the caller says.
            unsafe {
                let halves = self.line(pair);
                to[2 * pair] = halves.halves();
                to[2 * pair + 1] = halves.shift(-16).halves();
            }
        }
    }
}

/// # Safety
/// As [`Kernels::multiply`](super::super::Kernels::multiply) with a packed matrix, with the sizes checked, inlined where the instructions
/// of `V` are enabled.
#[inline(always)]
pub(in super::super) unsafe fn multiply_one<V: Vector, F: Pack>(product: &Product<'_>) {
    let groups = product.rows.len() / ROWS;
    let apart = groups / STREAMS;
    for group in 0..apart {
        // SAFETY: the same contract.
        unsafe { multiply_groups::<V, F, STREAMS>(product, group, apart) }
    }
    for group in STREAMS * apart..groups {
        // SAFETY: the same contract.
        unsafe { multiply_groups::<V, F, 1>(product, group, 0) }
    }
}

/// The same of `S` groups, the first of which is number `group` of the wanted ones.
///
/// # Safety
/// As [`multiply_one`].
#[inline(always)]
unsafe fn multiply_groups<V: Vector, F: Pack, const S: usize>(
    product: &Product<'_>,
    group: usize,
    apart: usize,
) {
    let rows: [usize; S] = array::from_fn(|stream| product.rows.start + ROWS * (group + stream * apart));
    // SAFETY: of all below, the instructions are enabled, and the matrix has these rows.
    unsafe {
        let mut sums = [V::Floats::splat(0.0); S];
        let mut scales = [Scales::<V>::zero(); S];
        for index in 0..product.columns / CHUNK {
            let lines = rows.map(|row| {
                let start = product.weight.as_ptr().add(row * product.row_bytes);
                Lines(start.cast::<V>().add(index * F::LINES))
            });
            // SAFETY: nobody writes the activations meanwhile.
            let x = &*product.chunks(index);
            for stream in 0..S {
                prefetch(&lines[stream], 0, F::FRONT);
                F::unpack_scales(&lines[stream], &mut scales[stream]);
            }
            let mut integers = [V::splat(0); S];
            for group in 0..F::GROUPS {
                add_group::<V, F, S>(&lines, &scales, group, x, &mut integers);
                if !F::NESTED {
                    for stream in 0..S {
                        let (scale, sum) = (scales[stream].blocks[group], &mut sums[stream]);
                        *sum = add_block(integers[stream], scale, x, group, *sum);
                    }
                    integers = [V::splat(0); S];
                }
            }
            if F::NESTED {
                for stream in 0..S {
                    let (scales, sum) = (&scales[stream], &mut sums[stream]);
                    *sum = add_nested::<V, F>(scales, x, integers[stream], *sum);
                }
            }
        }
        for stream in 0..S {
            // SAFETY: the caller may write the elements of `product.rows`.
            sums[stream].store(product.out.add(rows[stream]));
        }
    }
}

/// Add the products of a group of steps, with their scales where these are nested, to `integers`.
///
/// # Safety
/// There are these lines, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn add_group<V: Vector, F: Pack, const S: usize>(
    lines: &[Lines<V>; S],
    scales: &[Scales<V>; S],
    group: usize,
    x: &Chunk,
    integers: &mut [V; S],
) {
    let part = |vector| F::column(group, 0, vector) / (BLOCK / parts::<F>());
    // SAFETY: as the caller says.
    unsafe {
        let mut partial = [[V::splat(0); S]; MOST_VECTORS];
        for vector in 0..F::VECTORS {
            if vector == 0 || part(vector) != part(vector - 1) {
                partial[vector] = [begin::<V, F>(x, part(vector)); S];
            }
        }
        for step in 0..F::STEPS {
            let first = F::FRONT + (group * F::STEPS + step) * F::A_STEP;
            for stream in 0..S {
                prefetch(&lines[stream], first, F::A_STEP);
            }
            for vector in 0..F::VECTORS {
                let x = broadcast::<V>(x, F::column(group, step, vector) / 4);
                for stream in 0..S {
                    let quants = F::vector(&lines[stream], group, step, vector);
                    let partial = &mut partial[vector][stream];
                    *partial = multiply::<V, F, 0>(*partial, quants, x);
                }
            }
        }
        for vector in 0..F::VECTORS {
            for stream in 0..S {
                let (sum, partial) = (&mut integers[stream], partial[vector][stream]);
                *sum = add_partial::<V, F>(*sum, partial, &scales[stream], x, part(vector));
            }
        }
    }
}

/// Bring near what follows [`AHEAD`] of `count` lines.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
unsafe fn prefetch<V: Vector>(lines: &Lines<V>, first: usize, count: usize) {
    for line in first..first + count {
        // SAFETY: as the caller says.
        unsafe { V::prefetch(lines.0.wrapping_add(line).cast::<u8>().wrapping_add(AHEAD)) };
    }
}

/// The packed weights of a format, to be unpacked into tiles.
pub(in super::super) struct Packed<F>(PhantomData<F>);

impl<F: Pack> Quants for Packed<F> {
    const BYTES: usize = F::LINES * 4;
    const HALVES: bool = F::HALVES;
    const NESTED: bool = F::NESTED;
    const MINIMA: bool = F::MINIMA;
    const OFFSET: i32 = F::OFFSET;
    const LARGEST: i32 = F::LARGEST;

    #[inline(always)]
    unsafe fn scales<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { F::unpack_scales(&Lines(rows.packed(offset).cast()), scales) }
    }
    #[inline(always)]
    unsafe fn quants<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, quants: &mut [V; CHUNK / 4]) {
        let lines = Lines(rows.packed(offset).cast());
        for group in 0..F::GROUPS {
            for step in 0..F::STEPS {
                for vector in 0..F::VECTORS {
                    // SAFETY: as the caller says.
                    quants[F::column(group, step, vector) / 4] =
                        unsafe { F::vector(&lines, group, step, vector) };
                }
            }
        }
    }
}

impl Pack for Q4_0 {
    const FORMAT: Format = Format::Q4_0;
    const FRONT: usize = 4;
    const GROUPS: usize = 8;
    const A_STEP: usize = 1;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn unpack_scales<V: Vector>(lines: &Lines<V>, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { lines.scales(&mut scales.blocks) }
    }
    #[inline(always)]
    unsafe fn vector<V: Vector>(lines: &Lines<V>, group: usize, step: usize, vector: usize) -> V {
        // SAFETY: as the caller says.
        unsafe { lines.line(Self::FRONT + group * Self::STEPS + step).field(-4 * vector as i32, 15) }
    }
    #[inline(always)]
    fn column(group: usize, step: usize, vector: usize) -> usize {
        BLOCK * group + BLOCK / 2 * vector + 4 * step
    }
}

impl Pack for Q8_0 {
    const FORMAT: Format = Format::Q8_0;
    const FRONT: usize = 4;
    const GROUPS: usize = 8;
    const A_STEP: usize = 1;
    const VECTORS: usize = 1;

    #[inline(always)]
    unsafe fn unpack_scales<V: Vector>(lines: &Lines<V>, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { lines.scales(&mut scales.blocks) }
    }
    #[inline(always)]
    unsafe fn vector<V: Vector>(lines: &Lines<V>, group: usize, step: usize, _vector: usize) -> V {
        // SAFETY: as the caller says.
        unsafe { lines.line(Self::FRONT + group * Self::STEPS + step).whole_bytes() }
    }
    #[inline(always)]
    fn column(group: usize, step: usize, _vector: usize) -> usize {
        BLOCK * group + 4 * step
    }
}

impl Pack for Q4_K {
    const FORMAT: Format = Format::Q4_K;
    const FRONT: usize = 4;
    const GROUPS: usize = 4;
    const A_STEP: usize = 1;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn unpack_scales<V: Vector>(lines: &Lines<V>, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { packed_scales(lines).unpack(scales) }
    }
    #[inline(always)]
    unsafe fn vector<V: Vector>(lines: &Lines<V>, group: usize, step: usize, vector: usize) -> V {
        // SAFETY: as the caller says.
        unsafe { lines.line(Self::FRONT + group * Self::STEPS + step).field(-4 * vector as i32, 15) }
    }
    #[inline(always)]
    fn column(group: usize, step: usize, vector: usize) -> usize {
        BLOCK * (2 * group + vector) + 4 * step
    }
}

/// # Safety
/// There are four lines, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn packed_scales<V: Vector>(lines: &Lines<V>) -> PackedScales<V> {
    // SAFETY: as the caller says.
    unsafe { PackedScales::new([lines.line(0), lines.line(1), lines.line(2), lines.line(3)]) }
}

impl Pack for Q5_K {
    const FORMAT: Format = Format::Q5_K;
    /// The fifth bits of all columns lie there, too.
    const FRONT: usize = 12;
    const GROUPS: usize = 4;
    const A_STEP: usize = 1;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn unpack_scales<V: Vector>(lines: &Lines<V>, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { packed_scales(lines).unpack(scales) }
    }
    #[inline(always)]
    unsafe fn vector<V: Vector>(lines: &Lines<V>, group: usize, step: usize, vector: usize) -> V {
        let block = 2 * group + vector;
        // SAFETY: as the caller says.
        unsafe {
            let low = lines.line(Self::FRONT + group * Self::STEPS + step).field(-4 * vector as i32, 15);
            low.or(lines.line(4 + step).field(4 - block as i32, 0x10))
        }
    }
    #[inline(always)]
    fn column(group: usize, step: usize, vector: usize) -> usize {
        BLOCK * (2 * group + vector) + 4 * step
    }
}

impl Pack for Q6_K {
    const FORMAT: Format = Format::Q6_K;
    const FRONT: usize = 5;
    /// Of each half of the columns, the first 16 of every 32, then the others.
    const GROUPS: usize = 4;
    const A_STEP: usize = 3;
    const VECTORS: usize = 4;

    #[inline(always)]
    unsafe fn unpack_scales<V: Vector>(lines: &Lines<V>, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe {
            scales.whole = lines.line(0).halves();
            for part in 0..CHUNK / BLOCK * 2 {
                scales.parts[part] = lines.line(1 + part / 4).scale_byte(part % 4, true);
            }
        }
    }
    #[inline(always)]
    unsafe fn vector<V: Vector>(lines: &Lines<V>, group: usize, step: usize, vector: usize) -> V {
        let first = Self::FRONT + (group * Self::STEPS + step) * Self::A_STEP;
        let shift = if vector < 2 { 0 } else { -4 };
        // SAFETY: as the caller says.
        unsafe {
            let low = lines.line(first + vector % 2).field(shift, 15);
            low.or(lines.line(first + 2).field(4 - 2 * vector as i32, 0x30))
        }
    }
    #[inline(always)]
    fn column(group: usize, step: usize, vector: usize) -> usize {
        CHUNK / 2 * (group / 2) + BLOCK * vector + BLOCK / 2 * (group % 2) + 4 * step
    }
}
