//! One token: columns in lanes, so that weights are multiplied as they are loaded.
#![expect(unsafe_code, reason = "vector instructions, and activations behind a pointer")]

use std::hint::black_box;
use std::mem::MaybeUninit;

use super::super::activations::Chunk;
use super::super::{BLOCK, CHUNK, Product};
use super::columns::{Columns, Line, ROWS};
use super::entries::CompiledOne;
use super::rows::{Rows, distance};
use super::unpack::{Quants, offset};
use super::vector::{Floats, Vector};
use super::{Scales, add_block, add_nested, parts, start, store};

/// Sums of every row.
type Sums<V> = [<<V as Columns>::Line as Line>::Sums; ROWS];

/// The factors of a chunk: (columns / 16 or 32, rows). Only those that its format has are ever written, or read.
type Factors = [MaybeUninit<[i32; ROWS]>; CHUNK / BLOCK * 2];

/// # Safety
/// As [`multiply_quants`](super::multiply_quants), with one token.
#[inline(always)]
pub(super) unsafe fn multiply_one<V: CompiledOne, F: Quants>(product: &Product<'_>) {
    let mut rest = product.rows.clone();
    let apart = distance(product, ROWS);
    for first in rest.start..rest.start + apart {
        // SAFETY: the same contract.
        unsafe { multiply_rows::<V, F>(product, Rows::apart(product, ROWS, first, apart)) }
    }
    rest.start += ROWS * apart;
    while !rest.is_empty() {
        // SAFETY: the same contract.
        unsafe { multiply_rows::<V, F>(product, Rows::next(product, ROWS, &mut rest)) }
    }
}

/// The same of these rows.
///
/// # Safety
/// As [`multiply_quants`](super::multiply_quants), with one token.
#[inline(always)]
unsafe fn multiply_rows<V: CompiledOne, F: Quants>(product: &Product<'_>, rows: Rows) {
    const { assert!(V::LANES == ROWS) }
    // SAFETY: of all below, the instructions are enabled.
    unsafe {
        let mut sum = V::Floats::splat(0.0);
        for index in 0..product.columns.div_ceil(CHUNK) {
            let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
            // SAFETY: nobody writes the activations meanwhile.
            let x = &*product.chunks(index);
            // SAFETY: the rows have a chunk of so many blocks there.
            V::accumulate_one::<F>(&rows, index * F::BYTES, blocks, x, &mut sum);
        }
        // SAFETY: the caller may write the elements of `product.rows`.
        store::<V>(product, 0, &[rows], &[sum]);
    }
}

/// A format whose blocks have scales of their own.
pub(super) trait Plain: Quants {
    /// The products of a block, which starts at `offset`, with activations.
    ///
    /// # Safety
    /// The rows have this block, and the instructions of `V` are enabled.
    unsafe fn dot<V: Columns>(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> V;
}

/// A format whose scales are nested.
pub(super) trait Nested: Quants {
    /// The quants of a block of the chunk that starts at `chunk` of one row.
    ///
    /// # Safety
    /// The row has this block, and the instructions of `L` are enabled.
    unsafe fn line<L: Line>(chunk: *const u8, block: usize) -> L;

    /// The blocks of pair `pair` of four, of which [`Self::line`] loads the same bytes.
    #[inline(always)]
    fn pair(pair: usize) -> [usize; 2] {
        [2 * pair, 2 * pair + 1]
    }
}

/// Add to `sum` the products of the rows' `blocks` with chunk `x`.
///
/// # Safety
/// The rows have a chunk of so many blocks at `offset`, and the instructions of `V` are enabled.
#[inline(always)]
pub(in super::super) unsafe fn accumulate<V: Columns, F: Quants>(
    rows: &Rows,
    offset: usize,
    blocks: usize,
    x: &Chunk,
    sum: &mut V::Floats,
) {
    // SAFETY: as the caller says.
    unsafe {
        rows.prefetch_lanes::<V>(offset, F::BYTES);
        *sum = F::accumulate::<V>(rows, offset, blocks, x, *sum);
    }
}

/// `sum` and the products of blocks that have scales of their own.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)]
pub(super) unsafe fn accumulate_plain<V: Columns, F: Plain>(
    rows: &Rows,
    offset: usize,
    blocks: usize,
    x: &Chunk,
    mut sum: V::Floats,
) -> V::Floats {
    for block in 0..blocks.min(CHUNK / BLOCK) {
        let offset = offset + block * (F::BYTES * BLOCK / CHUNK);
        // SAFETY: as the caller says.
        unsafe {
            let integers = F::dot::<V>(rows, offset, &x.quants.as_chunks().0[block]);
            let integers = integers.add(plain_start::<V, F>(x, block));
            sum = add_block(integers, V::load_halves(rows, offset), x, block, sum);
        }
    }
    sum
}

/// What the integer sum of a block lacks: what was added to the weights, or to complements.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn plain_start<V: Vector, F: Quants>(x: &Chunk, block: usize) -> V {
    // SAFETY: as the caller says.
    unsafe {
        match offset::<V, F>() {
            0 if F::SIGNED && V::COMPLEMENTS => V::splat(x.negatives[block]),
            0 => V::splat(0),
            offset => V::splat(x.starts[block]).shift(offset.ilog2() as i32),
        }
    }
}

/// `sum` and the products of a chunk whose scales are nested.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)]
pub(super) unsafe fn accumulate_nested<V: Columns, F: Nested>(
    rows: &Rows,
    offset: usize,
    x: &Chunk,
    sum: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe {
        let mut scales = Scales::<V>::zero();
        F::scales(rows, offset, CHUNK / BLOCK, &mut scales);
        let mut factors: Factors = [MaybeUninit::uninit(); CHUNK / BLOCK * 2];
        let mut starts = V::splat(0);
        // Written out, so that scales stay in registers.
        add_starts::<V, F>(&scales, x, 0, &mut factors, &mut starts);
        add_starts::<V, F>(&scales, x, 1, &mut factors, &mut starts);
        add_starts::<V, F>(&scales, x, 2, &mut factors, &mut starts);
        add_starts::<V, F>(&scales, x, 3, &mut factors, &mut starts);
        // Read from memory, not out of registers lane by lane.
        let factors = black_box(&factors);
        let mut sums = [V::Line::zero(); ROWS];
        add_pair::<V, F>(rows, offset, x, F::pair(0), factors, &mut sums);
        add_pair::<V, F>(rows, offset, x, F::pair(1), factors, &mut sums);
        add_pair::<V, F>(rows, offset, x, F::pair(2), factors, &mut sums);
        add_pair::<V, F>(rows, offset, x, F::pair(3), factors, &mut sums);
        let mut total = V::collect(sums);
        if F::OFFSET != 0 {
            total = total.add(starts.shift(F::OFFSET.ilog2() as i32));
        }
        add_nested::<V, F>(&scales, x, total, sum)
    }
}

/// Write the factors of two blocks, and add to `starts` what their sums lack if one was added to their quants.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn add_starts<V: Columns, F: Nested>(
    scales: &Scales<V>,
    x: &Chunk,
    pair: usize,
    factors: &mut Factors,
    starts: &mut V,
) {
    for block in [2 * pair, 2 * pair + 1] {
        for part in 0..parts::<F>() {
            let part = block * parts::<F>() + part;
            let (scale, multiplier) = (scales.parts[part], x.multipliers[block]);
            // SAFETY: as the caller says; a vector has a factor for every row.
            unsafe {
                let vector = V::factors(scale, multiplier);
                factors[part].as_mut_ptr().cast::<V>().write_unaligned(vector);
                if F::OFFSET != 0 {
                    *starts = V::add_scaled(*starts, start::<V, F>(x, part), scale, multiplier);
                }
            }
        }
    }
}

/// Add the products of two blocks that share bytes.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)]
unsafe fn add_pair<V: Columns, F: Nested>(
    rows: &Rows,
    offset: usize,
    x: &Chunk,
    pair: [usize; 2],
    factors: &Factors,
    sums: &mut Sums<V>,
) {
    // SAFETY: as the caller says.
    unsafe {
        // Written out, so that sums stay in registers.
        sums[0] = add_row::<V, F>(rows, 0, offset, x, pair, factors, sums[0]);
        sums[1] = add_row::<V, F>(rows, 1, offset, x, pair, factors, sums[1]);
        sums[2] = add_row::<V, F>(rows, 2, offset, x, pair, factors, sums[2]);
        sums[3] = add_row::<V, F>(rows, 3, offset, x, pair, factors, sums[3]);
        sums[4] = add_row::<V, F>(rows, 4, offset, x, pair, factors, sums[4]);
        sums[5] = add_row::<V, F>(rows, 5, offset, x, pair, factors, sums[5]);
        sums[6] = add_row::<V, F>(rows, 6, offset, x, pair, factors, sums[6]);
        sums[7] = add_row::<V, F>(rows, 7, offset, x, pair, factors, sums[7]);
    }
}

/// The same of one row.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)]
unsafe fn add_row<V: Columns, F: Nested>(
    rows: &Rows,
    row: usize,
    offset: usize,
    x: &Chunk,
    pair: [usize; 2],
    factors: &Factors,
    mut sums: <V::Line as Line>::Sums,
) -> <V::Line as Line>::Sums {
    for block in pair {
        // SAFETY: as the caller says.
        unsafe {
            let (line, quants) = (F::line::<V::Line>(rows.row(row, offset), block), quants::<V>(x, block));
            sums = if F::HALVES {
                let [first, second] = [&factors[2 * block], &factors[2 * block + 1]];
                let factors = [first.assume_init_ref(), second.assume_init_ref()];
                line.add_halves_scaled(quants, factors, row, sums)
            } else {
                line.add_scaled(quants, factors[block].assume_init_ref(), row, sums)
            };
        }
    }
    sums
}

/// The quants of a block of activations.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn quants<V: Columns>(x: &Chunk, block: usize) -> V::Line {
    let quants = &x.quants[BLOCK * block..BLOCK * block + BLOCK];
    // SAFETY: there are 32 bytes.
    unsafe { V::Line::load(quants.as_ptr().cast()) }
}
