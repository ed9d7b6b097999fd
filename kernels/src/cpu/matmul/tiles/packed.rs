//! [Packed](crate::packed) weights: a row in every lane without transposing.
//!
//! With one token, lines of several groups of rows are multiplied in turn as they are loaded, each group a stream from memory. With many
//! tokens they are unpacked into the same tiles as weights in place are. Sums are those of weights in place, to the bit.
#![expect(unsafe_code, reason = "lines of weights, activations and the output behind pointers")]

use std::array;
use std::marker::PhantomData;

use super::super::activations::Chunk;
use super::super::{BLOCK, CHUNK, Product};
use super::many::{add_nested, add_partial, begin, broadcast, multiply, parts, run};
use super::rows::Rows;
use super::unpack::{PackedScales, Q4_0, Q4_K, Q5_K, Q6_K, Q8_0, Quants};
use super::vector::{Floats, Vector};
use super::{Scales, add_block};
use crate::block::Format;
use crate::packed::words::{ROWS, words};

/// Bytes that a stream from memory is brought near ahead.
const AHEAD: usize = 1024;

/// Most fields of a step.
const MOST_FIELDS: usize = 4;

/// The lines of 256 columns of a group of rows, from that part on that is in a vector.
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
    /// Fields of their bits that are quants, those of one field of a group with one scale.
    const FIELDS: usize;

    /// Lines of a chunk.
    const LINES: usize = words(Self::FORMAT).expect("a format that can be packed");
    /// Steps of a group.
    const STEPS: usize = (Self::LINES - Self::FRONT) / Self::A_STEP / Self::GROUPS;

    /// The first line of a step.
    #[inline(always)]
    fn line(group: usize, step: usize) -> usize {
        Self::FRONT + (group * Self::STEPS + step) * Self::A_STEP
    }
    /// The scales of the chunk, where they are in the first four lines.
    ///
    /// # Safety
    /// Of this and below: there are these lines, and the instructions of `V` are enabled.
    #[inline(always)]
    unsafe fn unpack_scales<V: Vector>(lines: &Lines<V>, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe {
            if Self::NESTED {
                PackedScales::new([lines.line(0), lines.line(1), lines.line(2), lines.line(3)]).unpack(scales)
            } else {
                lines.scales(&mut scales.blocks)
            }
        }
    }
    /// The four quants of every row that a field has, as [`Vector::multiply`] wants them.
    unsafe fn field<V: Vector>(lines: &Lines<V>, group: usize, step: usize, field: usize) -> V;
    /// The column of the first of them.
    fn column(group: usize, step: usize, field: usize) -> usize;
}

/// Vectors of a line.
const fn a_line<V: Vector>() -> usize {
    ROWS / V::LANES
}

impl<V: Vector> Lines<V> {
    /// # Safety
    /// There is such a line, and the instructions of `V` are enabled.
    #[inline(always)]
    unsafe fn line(&self, index: usize) -> V {
        const { assert!(size_of::<V>() == 4 * V::LANES, "a word in every lane") }
        // SAFETY: as the caller says.
        unsafe { self.0.add(index * a_line::<V>()).read_unaligned() }
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
    let streams = vectors::<V, F>() / a_line::<V>();
    let apart = groups / streams;
    for group in 0..apart {
        // SAFETY: the same contract.
        unsafe { multiply_vectors::<V, F>(product, vectors::<V, F>(), group, apart) }
    }
    for group in streams * apart..groups {
        // SAFETY: the same contract.
        unsafe { multiply_vectors::<V, F>(product, a_line::<V>(), group, 0) }
    }
}

/// Vectors that are multiplied at once. They are of as many groups of rows, each a stream from memory, or of half as many where a line
/// takes two vectors; sums of all fields should stay in registers then.
const fn vectors<V: Vector, F: Pack>() -> usize {
    if a_line::<V>() > 1 && F::FIELDS > 2 { 2 } else { 4 }
}

/// See [`multiply_groups`].
///
/// # Safety
/// As [`multiply_one`].
#[inline(always)]
unsafe fn multiply_vectors<V: Vector, F: Pack>(
    product: &Product<'_>,
    vectors: usize,
    group: usize,
    apart: usize,
) {
    // SAFETY: the same contract.
    unsafe {
        match vectors {
            1 => multiply_groups::<V, F, 1>(product, group, apart),
            2 => multiply_groups::<V, F, 2>(product, group, apart),
            4 => multiply_groups::<V, F, 4>(product, group, apart),
            _ => unreachable!("{vectors} vectors at once"),
        }
    }
}

/// The same of `N` vectors of rows, the first of which are those of wanted group number `group`.
///
/// # Safety
/// As [`multiply_one`].
#[inline(always)]
unsafe fn multiply_groups<V: Vector, F: Pack, const N: usize>(
    product: &Product<'_>,
    group: usize,
    apart: usize,
) {
    let first = |vector: usize| product.rows.start + ROWS * (group + vector / a_line::<V>() * apart);
    let rows: [usize; N] = array::from_fn(first);
    // SAFETY: of all below, the instructions are enabled, and the matrix has these rows.
    unsafe {
        let mut sums = [V::Floats::splat(0.0); N];
        let mut scales = [Scales::<V>::zero(); N];
        for index in 0..product.columns / CHUNK {
            let lines: [Lines<V>; N] = array::from_fn(|vector| {
                let start = product.weight.as_ptr().add(rows[vector] * product.row_bytes).cast::<V>();
                Lines(start.add(index * F::LINES * a_line::<V>() + vector % a_line::<V>()))
            });
            // SAFETY: nobody writes the activations meanwhile.
            let x = &*product.chunks(index);
            for vector in 0..N {
                prefetch(&lines, vector, 0, F::FRONT);
                F::unpack_scales(&lines[vector], &mut scales[vector]);
            }
            let mut integers = [V::splat(0); N];
            for group in 0..F::GROUPS {
                add_group::<V, F, N>(&lines, &scales, group, x, &mut integers);
                if !F::NESTED {
                    for vector in 0..N {
                        let (scale, sum) = (scales[vector].blocks[group], &mut sums[vector]);
                        *sum = add_block(integers[vector], scale, x, group, *sum);
                    }
                    integers = [V::splat(0); N];
                }
            }
            if F::NESTED {
                for vector in 0..N {
                    let (scales, sum) = (&scales[vector], &mut sums[vector]);
                    *sum = add_nested::<V, F>(scales, x, integers[vector], *sum);
                }
            }
        }
        for vector in 0..N {
            // SAFETY: the caller may write the elements of `product.rows`.
            sums[vector].store(product.out.add(rows[vector] + vector % a_line::<V>() * V::LANES));
        }
    }
}

/// Add the products of a group of steps, with their scales where these are nested, to `integers`.
///
/// # Safety
/// There are these lines, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn add_group<V: Vector, F: Pack, const N: usize>(
    lines: &[Lines<V>; N],
    scales: &[Scales<V>; N],
    group: usize,
    x: &Chunk,
    integers: &mut [V; N],
) {
    let part = |field| F::column(group, 0, field) / (BLOCK / parts::<F>());
    let run = run::<V, F>(F::STEPS);
    // SAFETY: as the caller says.
    unsafe {
        for first in (0..F::STEPS).step_by(run) {
            let mut partial = [[V::splat(0); N]; MOST_FIELDS];
            for field in 0..F::FIELDS {
                if first == 0 && (field == 0 || part(field) != part(field - 1)) {
                    partial[field] = [begin::<V, F>(x, part(field)); N];
                }
            }
            for step in (first..first + run).step_by(V::STEPS) {
                let mut quants = [broadcast::<V>(x, F::column(group, step, 0) / 4); MOST_FIELDS];
                for field in 1..F::FIELDS {
                    quants[field] = broadcast::<V>(x, F::column(group, step, field) / 4);
                }
                add_step::<V, F, N, 0>(lines, group, step, &quants, &mut partial);
                if V::STEPS == 4 {
                    add_step::<V, F, N, 1>(lines, group, step, &quants, &mut partial);
                    add_step::<V, F, N, 2>(lines, group, step, &quants, &mut partial);
                    add_step::<V, F, N, 3>(lines, group, step, &quants, &mut partial);
                }
            }
            for field in 0..F::FIELDS {
                for vector in 0..N {
                    let (sum, partial) = (&mut integers[vector], partial[field][vector]);
                    *sum = add_partial::<V, F>(*sum, partial, &scales[vector], x, part(field));
                }
            }
        }
    }
}

/// Add the products of step `STEP` of `x`, whose first one is `step` of the group, to `partial` of each field and vector.
///
/// # Safety
/// As [`add_group`].
#[inline(always)]
unsafe fn add_step<V: Vector, F: Pack, const N: usize, const STEP: usize>(
    lines: &[Lines<V>; N],
    group: usize,
    step: usize,
    x: &[V::Broadcast; MOST_FIELDS],
    partial: &mut [[V; N]; MOST_FIELDS],
) {
    let step = step + STEP;
    let line = F::line(group, step);
    // SAFETY: as the caller says.
    unsafe {
        for vector in 0..N {
            prefetch(lines, vector, line, F::A_STEP);
        }
        for field in 0..F::FIELDS {
            for vector in 0..N {
                let quants = F::field(&lines[vector], group, step, field);
                let partial = &mut partial[field][vector];
                *partial = multiply::<V, F, STEP>(*partial, quants, x[field]);
            }
        }
    }
}

/// Bring near what follows [`AHEAD`] of `count` lines, unless it is the rest of lines of the vector before.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
unsafe fn prefetch<V: Vector, const N: usize>(
    lines: &[Lines<V>; N],
    vector: usize,
    first: usize,
    count: usize,
) {
    if vector.is_multiple_of(a_line::<V>()) {
        for line in first..first + count {
            let line = lines[vector].0.wrapping_add(line * a_line::<V>());
            // SAFETY: as the caller says.
            unsafe { V::prefetch(line.cast::<u8>().wrapping_add(AHEAD)) };
        }
    }
}

/// A module with `kernel`, the function for packed weights of a format, compiled with `$features` for vectors `$vector`.
macro_rules! packed {
    ($module:ident, $vector:ty, $features:literal) => {
        pub(in super::super) mod $module {
            use super::*;
            use $crate::block::Format;
            use $crate::cpu::matmul::tiles::many::{Registers, multiply_many};
            use $crate::cpu::matmul::tiles::packed::{Pack, Packed, multiply_one};
            use $crate::cpu::matmul::tiles::unpack::{Q4_0, Q4_K, Q5_K, Q6_K, Q8_0};
            use $crate::cpu::matmul::{Multiply, Product};

            pub(in $crate::cpu::matmul) fn kernel(format: Format) -> Option<Multiply> {
                match format {
                    Format::F32 | Format::F16 | Format::BF16 => None,
                    Format::Q4_0 => Some(multiply::<Q4_0>),
                    Format::Q8_0 => Some(multiply::<Q8_0>),
                    Format::Q4_K => Some(multiply::<Q4_K>),
                    Format::Q5_K => Some(multiply::<Q5_K>),
                    Format::Q6_K => Some(multiply::<Q6_K>),
                }
            }

            /// # Safety
            /// As [`Kernels::multiply`](crate::cpu::matmul::Kernels::multiply) with a packed matrix, with the sizes checked, on a machine
            /// with these features.
            #[target_feature(enable = $features)]
            pub(in $crate::cpu::matmul) unsafe fn multiply<F: Pack>(product: &Product<'_>) {
                // SAFETY: the same contract.
                unsafe {
                    if product.tokens == 1 {
                        multiply_one::<$vector, F>(product)
                    } else {
                        multiply_many::<$vector, Packed<F>, Registers>(product)
                    }
                }
            }
        }
    };
}
pub(in super::super) use packed;

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
        unsafe { F::unpack_scales(&Lines(rows.packed(offset)), scales) }
    }
    #[inline(always)]
    unsafe fn quants<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, quants: &mut [V; CHUNK / 4]) {
        let lines = Lines(rows.packed(offset));
        for group in 0..F::GROUPS {
            for step in 0..F::STEPS {
                for field in 0..F::FIELDS {
                    // SAFETY: as the caller says.
                    quants[F::column(group, step, field) / 4] =
                        unsafe { F::field(&lines, group, step, field) };
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
    const FIELDS: usize = 2;

    #[inline(always)]
    unsafe fn field<V: Vector>(lines: &Lines<V>, group: usize, step: usize, field: usize) -> V {
        // SAFETY: as the caller says.
        unsafe { lines.line(Self::line(group, step)).field(-4 * field as i32, 15) }
    }
    #[inline(always)]
    fn column(group: usize, step: usize, field: usize) -> usize {
        BLOCK * group + BLOCK / 2 * field + 4 * step
    }
}

impl Pack for Q8_0 {
    const FORMAT: Format = Format::Q8_0;
    const FRONT: usize = 4;
    const GROUPS: usize = 8;
    const A_STEP: usize = 1;
    const FIELDS: usize = 1;

    #[inline(always)]
    unsafe fn field<V: Vector>(lines: &Lines<V>, group: usize, step: usize, _field: usize) -> V {
        // SAFETY: as the caller says.
        unsafe { lines.line(Self::line(group, step)).whole_bytes() }
    }
    #[inline(always)]
    fn column(group: usize, step: usize, _field: usize) -> usize {
        BLOCK * group + 4 * step
    }
}

impl Pack for Q4_K {
    const FORMAT: Format = Format::Q4_K;
    const FRONT: usize = 4;
    const GROUPS: usize = 4;
    const A_STEP: usize = 1;
    const FIELDS: usize = 2;

    #[inline(always)]
    unsafe fn field<V: Vector>(lines: &Lines<V>, group: usize, step: usize, field: usize) -> V {
        // SAFETY: as the caller says.
        unsafe { lines.line(Self::line(group, step)).field(-4 * field as i32, 15) }
    }
    #[inline(always)]
    fn column(group: usize, step: usize, field: usize) -> usize {
        BLOCK * (2 * group + field) + 4 * step
    }
}

impl Pack for Q5_K {
    const FORMAT: Format = Format::Q5_K;
    /// The fifth bits of all columns lie there, too.
    const FRONT: usize = 12;
    const GROUPS: usize = 4;
    const A_STEP: usize = 1;
    const FIELDS: usize = 2;

    #[inline(always)]
    unsafe fn field<V: Vector>(lines: &Lines<V>, group: usize, step: usize, field: usize) -> V {
        let block = 2 * group + field;
        // SAFETY: as the caller says.
        unsafe {
            let low = lines.line(Self::line(group, step)).field(-4 * field as i32, 15);
            low.or(lines.line(4 + step).field(4 - block as i32, 0x10))
        }
    }
    #[inline(always)]
    fn column(group: usize, step: usize, field: usize) -> usize {
        BLOCK * (2 * group + field) + 4 * step
    }
}

impl Pack for Q6_K {
    const FORMAT: Format = Format::Q6_K;
    const FRONT: usize = 5;
    /// Of each half of the columns, the first 16 of every 32, then the others.
    const GROUPS: usize = 4;
    const A_STEP: usize = 3;
    const FIELDS: usize = 4;

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
    unsafe fn field<V: Vector>(lines: &Lines<V>, group: usize, step: usize, field: usize) -> V {
        let first = Self::line(group, step);
        let shift = if field < 2 { 0 } else { -4 };
        // SAFETY: as the caller says.
        unsafe {
            let low = lines.line(first + field % 2).field(shift, 15);
            low.or(lines.line(first + 2).field(4 - 2 * field as i32, 0x30))
        }
    }
    #[inline(always)]
    fn column(group: usize, step: usize, field: usize) -> usize {
        CHUNK / 2 * (group / 2) + BLOCK * field + BLOCK / 2 * (group % 2) + 4 * step
    }
}
