//! One token: columns in lanes, so that weights are multiplied as they are loaded.
#![expect(unsafe_code, reason = "vector instructions, and activations behind a pointer")]

use std::hint::black_box;
use std::mem::MaybeUninit;

use super::super::activations::Chunk;
use super::super::{BLOCK, CHUNK, Product};
use super::columns::{Columns, Line, ROWS};
use super::entries::CompiledOne;
use super::rows::{Rows, distance, prefetch_next};
use super::unpack::{InPlace, PackedScales, Quants};
use super::vector::Floats;
use super::{add_block, add_total, block_start, store, take_off_minima};

/// The factors of a chunk: (columns / 32, rows / 4, 4).
type Factors = [[MaybeUninit<[i32; 4]>; 2]; CHUNK / BLOCK];

/// # Safety
/// As [`multiply_quants`](super::multiply_quants), with one token.
#[inline(always)]
pub(super) unsafe fn multiply_one<V: CompiledOne, F: InPlace>(product: &Product<'_>) {
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
unsafe fn multiply_rows<V: CompiledOne, F: InPlace>(product: &Product<'_>, rows: Rows) {
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

/// A format whose scales are nested. Those of 32 columns lie in front of the quants, packed as [`PackedScales`] reads them.
pub(super) trait Nested: Quants {
    /// The quants of a block of the chunk that starts at `chunk` of one row.
    ///
    /// # Safety
    /// The row has this block, and the instructions of `L` are enabled.
    unsafe fn line<L: Line>(chunk: *const u8, block: usize) -> L;
}

/// A format whose scales are nested and of 16 columns, in a signed byte each.
pub(in super::super) trait NestedHalves: Quants {
    /// Where a chunk has them.
    const SCALES: usize;
    /// Where it has the scale of the scales.
    const WHOLE: usize;

    /// `sums` and the products of the chunk of one row, times the factors of the halves of its blocks.
    ///
    /// # Safety
    /// The row has this chunk, and the instructions of `L` are enabled.
    unsafe fn add_products<L: Line>(
        chunk: *const u8,
        x: &Chunk,
        factors: L::HalfFactors,
        sums: L::Sums,
    ) -> L::Sums;
}

/// `sum` and the products of blocks that have scales of their own.
///
/// # Safety
/// As [`InPlace::accumulate`].
#[inline(always)]
pub(super) unsafe fn accumulate_plain<V: Columns, F: Plain>(
    rows: &Rows,
    offset: usize,
    blocks: usize,
    x: &Chunk,
    mut sum: V::Floats,
) -> V::Floats {
    if V::PREFETCH_PLAIN {
        // SAFETY: as the caller says.
        unsafe { rows.prefetch_lanes::<V>(offset, F::BYTES) };
    }
    for block in 0..blocks.min(CHUNK / BLOCK) {
        let rows = rows.starting_at::<V>(offset + block * (F::BYTES * BLOCK / CHUNK));
        // SAFETY: as the caller says.
        unsafe {
            let integers = F::dot::<V>(&rows, 0, &x.quants.as_chunks().0[block]);
            let integers = integers.add(block_start::<V, F>(x, block));
            sum = add_block(integers, V::load_halves(&rows, 0), x, block, sum);
        }
    }
    sum
}

/// `sum` and the products of a chunk whose scales are nested.
///
/// # Safety
/// As [`InPlace::accumulate`].
#[inline(always)]
pub(super) unsafe fn accumulate_nested<V: Columns, F: Nested>(
    rows: &Rows,
    offset: usize,
    x: &Chunk,
    sum: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says; a vector has a factor for every row.
    unsafe {
        rows.prefetch_lanes::<V>(offset, F::BYTES);
        let packed = PackedScales::<V>::load(rows, offset);
        let minima = V::dot_minima(&V::minima(packed.minima), x);
        let mut factors: Factors = [[MaybeUninit::uninit(); 2]; CHUNK / BLOCK];
        for four in 0..2 {
            let vectors = V::factors(packed.scales[four], x, four);
            for block in 0..4 {
                factors[4 * four + block].as_mut_ptr().cast::<V>().write_unaligned(vectors[block]);
            }
        }
        // Read from memory, not out of registers lane by lane.
        let factors = black_box(&factors);
        let mut sums = [[V::Line::zero(); 4]; 2];
        // Written out, so that sums stay in registers.
        macro_rules! add {
            ($($pair:literal of $four:literal),*) => {
                $(add_pair::<V, F, $four>(rows, offset, x, $pair, factors, &mut sums[$four]);)*
            };
        }
        if V::FOUR_BY_FOUR {
            add!(0 of 0, 1 of 0, 2 of 0, 3 of 0, 0 of 1, 1 of 1, 2 of 1, 3 of 1);
        } else {
            add!(0 of 0, 0 of 1, 1 of 0, 1 of 1, 2 of 0, 2 of 1, 3 of 0, 3 of 1);
        }
        let [[a, b, c, d], [e, f, g, h]] = sums;
        let sum = add_total(V::collect([a, b, c, d, e, f, g, h]), packed.whole, x, sum);
        take_off_minima::<V>(minima, packed.whole_minimum, x, sum)
    }
}

/// Add the products of two blocks that share bytes, of rows `4 * FOUR` to `4 * FOUR + 3`.
///
/// # Safety
/// As [`InPlace::accumulate`].
#[inline(always)]
unsafe fn add_pair<V: Columns, F: Nested, const FOUR: usize>(
    rows: &Rows,
    offset: usize,
    x: &Chunk,
    pair: usize,
    factors: &Factors,
    sums: &mut [<V::Line as Line>::Sums; 4],
) {
    // SAFETY: as the caller says.
    unsafe {
        let pair = [2 * pair, 2 * pair + 1];
        let factors = [factors[pair[0]][FOUR].as_ptr(), factors[pair[1]][FOUR].as_ptr()];
        let factors = [V::Line::load_factors(factors[0]), V::Line::load_factors(factors[1])];
        let x = [V::Line::quants(x, pair[0]), V::Line::quants(x, pair[1])];
        // Written out, so that sums stay in registers.
        sums[0] = add_row::<V::Line, F, 0>(rows.row(4 * FOUR, offset), pair, x, factors, sums[0]);
        sums[1] = add_row::<V::Line, F, 1>(rows.row(4 * FOUR + 1, offset), pair, x, factors, sums[1]);
        sums[2] = add_row::<V::Line, F, 2>(rows.row(4 * FOUR + 2, offset), pair, x, factors, sums[2]);
        sums[3] = add_row::<V::Line, F, 3>(rows.row(4 * FOUR + 3, offset), pair, x, factors, sums[3]);
    }
}

/// The same of row `ROW` of the four, whose chunk this is.
///
/// # Safety
/// As [`InPlace::accumulate`].
#[inline(always)]
unsafe fn add_row<L: Line, F: Nested, const ROW: usize>(
    chunk: *const u8,
    pair: [usize; 2],
    x: [L; 2],
    factors: [L::Factors; 2],
    mut sums: L::Sums,
) -> L::Sums {
    // SAFETY: as the caller says.
    unsafe {
        for block in 0..2 {
            let line = F::line::<L>(chunk, pair[block]);
            sums = line.add_scaled::<ROW>(x[block], factors[block], sums);
        }
        L::settle(sums)
    }
}

/// `sum` and the products of a chunk whose scales are nested and of 16 columns: row by row, since the 16 scales of a row are in a
/// register as soon as they are loaded.
///
/// # Safety
/// As [`InPlace::accumulate`].
#[inline(always)]
pub(in super::super) unsafe fn accumulate_halves<V: Columns, F: NestedHalves>(
    rows: &Rows,
    offset: usize,
    x: &Chunk,
    sum: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe {
        // Not zeros, which engines of WebAssembly would be called for.
        let mut sums = [MaybeUninit::uninit(); ROWS];
        for row in 0..ROWS {
            let chunk = rows.row_in_turn::<V>(row, offset);
            prefetch_next::<V>(chunk, F::BYTES);
            sums[row].write(dot_row::<V::Line, F>(chunk, x));
        }
        let sums = (&raw const sums).cast::<[<V::Line as Line>::Sums; ROWS]>().read();
        add_total(V::collect(sums), V::load_halves(rows, offset + F::WHOLE), x, sum)
    }
}

/// The sums of one row.
///
/// # Safety
/// The row has this chunk, and the instructions of `L` are enabled.
#[inline(always)]
unsafe fn dot_row<L: Line, F: NestedHalves>(chunk: *const u8, x: &Chunk) -> L::Sums {
    // SAFETY: as the caller says.
    unsafe {
        let factors = L::half_factors(chunk.add(F::SCALES), &x.all_multipliers);
        let start = L::shift_sums(L::dot_factors(factors, &x.halves), F::OFFSET.ilog2());
        F::add_products::<L>(chunk, x, factors, start)
    }
}

/// [`NestedHalves::add_products`] block by block.
///
/// # Safety
/// As that.
#[inline(always)]
pub(super) unsafe fn add_blocks<L: Line, F: Nested>(
    chunk: *const u8,
    x: &Chunk,
    factors: L::HalfFactors,
    mut sums: L::Sums,
) -> L::Sums {
    // SAFETY: as the caller says.
    unsafe {
        sums = F::line::<L>(chunk, 0).add_halves_scaled::<0>(L::quants(x, 0), factors, sums);
        sums = F::line::<L>(chunk, 1).add_halves_scaled::<1>(L::quants(x, 1), factors, sums);
        sums = F::line::<L>(chunk, 2).add_halves_scaled::<2>(L::quants(x, 2), factors, sums);
        sums = F::line::<L>(chunk, 3).add_halves_scaled::<3>(L::quants(x, 3), factors, sums);
        sums = F::line::<L>(chunk, 4).add_halves_scaled::<4>(L::quants(x, 4), factors, sums);
        sums = F::line::<L>(chunk, 5).add_halves_scaled::<5>(L::quants(x, 5), factors, sums);
        sums = F::line::<L>(chunk, 6).add_halves_scaled::<6>(L::quants(x, 6), factors, sums);
        F::line::<L>(chunk, 7).add_halves_scaled::<7>(L::quants(x, 7), factors, sums)
    }
}
