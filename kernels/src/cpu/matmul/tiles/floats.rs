//! Matmul of float weights, converted in registers as they are read in place.
//!
//! Columns lie in lanes, which are added up when a row is done. With one token, rows are streams through the matrix. With many, as many
//! rows as stay in the L2 cache pass by a few tokens at a time, slab by slab of columns, so that the tokens stay in the L1 cache.
#![expect(
    unsafe_code,
    reason = "rows of weights, activations and the output are read and written through pointers"
)]

use std::array;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::Product;
pub(in super::super) use super::super::activations::LANES;
use super::super::activations::SLAB;
use super::entries::Compiled;
use super::vector::{Floats, Vector};

/// Most tiles whose sums wait while slabs of columns are multiplied one after the other.
const MOST_TILES: usize = 16;

/// A format of floats.
pub(in super::super) trait Format {
    /// Bytes of a float.
    const BYTES: usize;

    /// A vector of floats.
    ///
    /// # Safety
    /// There are as many floats at `bytes` as lanes, and the instructions of `V` are enabled.
    unsafe fn load<V: Vector>(bytes: *const u8) -> V::Floats;
}

/// With one token, and `STREAMS` rows at once, each with `PARTS` vectors of sums: as many lanes as the one vector that is used with
/// many tokens.
///
/// # Safety
/// As [`Kernels::multiply`](super::super::Kernels::multiply), with the sizes checked, inlined where the instructions of `V` are enabled.
#[inline(always)]
pub(in super::super) unsafe fn multiply_one<
    V: Compiled,
    F: Format,
    const PARTS: usize,
    const STREAMS: usize,
>(
    product: &Product<'_>,
) {
    let rows = product.rows.clone();
    let apart = rows.len().div_ceil(STREAMS);
    for row in rows.start..rows.start + apart {
        // SAFETY: at least the first of these rows is in `rows`; the rest is the same contract.
        unsafe { V::float_streams::<F, PARTS, STREAMS>(product, row, apart) }
    }
}

/// With `ROWS` rows and `TOKENS` tokens at once.
///
/// # Safety
/// As [`multiply_one`].
#[inline(always)]
pub(in super::super) unsafe fn multiply_many<
    V: Compiled,
    F: Format,
    const ROWS: usize,
    const TOKENS: usize,
>(
    product: &Product<'_>,
) {
    let near = (V::FLOATS_NEAR / product.row_bytes).next_multiple_of(ROWS).clamp(ROWS, MOST_TILES * ROWS);
    for first in product.rows.clone().step_by(near) {
        let rows = first..product.rows.end.min(first + near);
        for token in (0..product.tokens).step_by(TOKENS) {
            // SAFETY: the rows are some of `rows`, in no more tiles than said, and there are as many tokens as said; the rest is the same
            // contract.
            unsafe {
                match product.tokens - token {
                    1 => V::float_tiles::<F, ROWS, 1>(product, &rows, token),
                    2 if TOKENS > 2 => V::float_tiles::<F, ROWS, 2>(product, &rows, token),
                    3 if TOKENS > 3 => V::float_tiles::<F, ROWS, 3>(product, &rows, token),
                    4 if TOKENS > 4 => V::float_tiles::<F, ROWS, 4>(product, &rows, token),
                    5 if TOKENS > 5 => V::float_tiles::<F, ROWS, 5>(product, &rows, token),
                    _ => V::float_tiles::<F, ROWS, TOKENS>(product, &rows, token),
                }
            }
        }
    }
}

/// `R` rows, `apart` from each other, from `first` on (the last one again instead of those after the end) times the only token.
///
/// # Safety
/// `first` is one of the rows, and the instructions of `V` are enabled.
#[inline(always)]
pub(in super::super) unsafe fn streams<V: Vector, F: Format, const PARTS: usize, const R: usize>(
    product: &Product<'_>,
    first: usize,
    apart: usize,
) {
    let rows = rows::<R>(product, first, apart);
    // SAFETY: the row has all columns, the token has them up to whole lanes, and the caller may write the elements of the rows.
    unsafe {
        let mut parts = [[[V::Floats::splat(0.0); R]; 1]; PARTS];
        add_columns::<V, F, PARTS, R, 1>(rows, 0..product.columns, [product.floats(0, 0)], &mut parts);
        // Out of the registers all at once: where an index is no constant, they would not be registers.
        let mut sums = [0.0; R];
        for row in 0..R {
            let mut sum = parts[0][0][row];
            for part in 1..PARTS {
                sum = sum.add(parts[part][0][row]);
            }
            sums[row] = sum.sum();
        }
        for row in 0..R.min((product.rows.end - first).div_ceil(apart)) {
            *product.out.wrapping_add(first + row * apart) = sums[row];
        }
    }
}

/// Rows `range`, of which `R` are multiplied at once, times `T` tokens.
///
/// # Safety
/// They are some of the rows, no more than [`MOST_TILES`] times `R`, there are `T` tokens from `token` on, and the instructions of `V` are
/// enabled.
#[inline(always)]
pub(in super::super) unsafe fn tiles<V: Vector, F: Format, const R: usize, const T: usize>(
    product: &Product<'_>,
    range: &Range<usize>,
    token: usize,
) {
    let mut sums = [const { MaybeUninit::<[[[V::Floats; R]; T]; 1]>::uninit() }; MOST_TILES];
    let sums = &mut sums[..range.len().div_ceil(R)];
    // SAFETY: of all below, the instructions are enabled.
    unsafe {
        sums.fill(MaybeUninit::new([[[V::Floats::splat(0.0); R]; T]; 1]));
        // SAFETY: just written.
        let sums = sums.assume_init_mut();
        for start in (0..product.columns).step_by(SLAB) {
            let columns = start..product.columns.min(start + SLAB);
            let x: [*const f32; T] = array::from_fn(|t| product.floats(token + t, start));
            for (first, sums) in range.clone().step_by(R).zip(&mut *sums) {
                // In registers meanwhile.
                let mut parts = *sums;
                // SAFETY: rows have these columns, and tokens have them up to whole lanes.
                add_columns::<V, F, 1, R, T>(rows(product, first, 1), columns.clone(), x, &mut parts);
                *sums = parts;
            }
        }
        for (first, [sums]) in range.clone().step_by(R).zip(sums) {
            for t in 0..T {
                for row in 0..R.min(range.end - first) {
                    // SAFETY: the caller may write the elements of these rows.
                    *product.out.wrapping_add((token + t) * product.out_stride + first + row) =
                        sums[t][row].sum();
                }
            }
        }
    }
}

/// `R` rows, `apart` from each other, from `first` on; the last one again instead of those after the end.
#[inline(always)]
fn rows<'a, const R: usize>(product: &Product<'a>, first: usize, apart: usize) -> [&'a [u8]; R] {
    array::from_fn(|row| {
        let row = (first + row * apart).min(product.rows.end - 1);
        &product.weight[row * product.row_bytes..(row + 1) * product.row_bytes]
    })
}

/// Add to `sums` the products of `columns`, which begin at `x` with each token.
///
/// # Safety
/// Rows have these columns, tokens have them up to whole [`LANES`], and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn add_columns<V: Vector, F: Format, const PARTS: usize, const R: usize, const T: usize>(
    rows: [&[u8]; R],
    columns: Range<usize>,
    x: [*const f32; T],
    sums: &mut [[[V::Floats; R]; T]; PARTS],
) {
    let whole = columns.len() / LANES * LANES;
    // SAFETY: where columns are multiplied there are so many; the instructions are enabled.
    unsafe {
        for column in (0..whole).step_by(LANES) {
            let weights = rows.map(|row| row.as_ptr().wrapping_add((columns.start + column) * F::BYTES));
            if T == 1 {
                for weights in weights {
                    V::prefetch(weights.wrapping_add(1024));
                }
            }
            multiply_lanes::<V, F, PARTS, R, T>(weights, x.map(|x| x.wrapping_add(column)), sums);
        }
        if whole < columns.len() {
            let padded = rows.map(|row| {
                let mut padded = [0; LANES * 4];
                let rest = &row[(columns.start + whole) * F::BYTES..];
                padded[..rest.len()].copy_from_slice(rest);
                padded
            });
            let weights = padded.each_ref().map(|row| row.as_ptr());
            multiply_lanes::<V, F, PARTS, R, T>(weights, x.map(|x| x.wrapping_add(whole)), sums);
        }
    }
}

/// Add to `sums` the products of [`LANES`] columns.
///
/// # Safety
/// There are so many of all rows, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn multiply_lanes<V: Vector, F: Format, const PARTS: usize, const R: usize, const T: usize>(
    weights: [*const u8; R],
    x: [*const f32; T],
    sums: &mut [[[V::Floats; R]; T]; PARTS],
) {
    for vector in 0..LANES / V::LANES {
        let column = vector * V::LANES;
        let sums = &mut sums[vector % PARTS];
        // SAFETY: as the caller says.
        unsafe {
            let mut lanes = [V::Floats::splat(0.0); R];
            for row in 0..R {
                lanes[row] = F::load::<V>(weights[row].add(column * F::BYTES));
            }
            for t in 0..T {
                let x = V::Floats::load(x[t].add(column));
                for row in 0..R {
                    // Before the next token's columns are loaded, which would want one register more than there are.
                    sums[t][row] = lanes[row].mul_add(x, sums[t][row]).now();
                }
            }
        }
    }
}

pub(in super::super) struct F32;

impl Format for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    unsafe fn load<V: Vector>(bytes: *const u8) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { V::Floats::load(bytes.cast()) }
    }
}

pub(in super::super) struct F16;

impl Format for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<V: Vector>(bytes: *const u8) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { V::Floats::load_f16(bytes.cast()) }
    }
}

pub(in super::super) struct BF16;

impl Format for BF16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<V: Vector>(bytes: *const u8) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { V::Floats::load_bf16(bytes.cast()) }
    }
}
