//! Matmul of float weights, converted in registers as they are read in place.
#![expect(
    unsafe_code,
    reason = "rows of weights, activations and the output are read and written through pointers"
)]

use std::array;

use super::super::Product;
pub(in super::super) use super::super::activations::LANES;
use super::entries::Compiled;
use super::vector::{Floats, Vector};

/// Bytes of weights that are used for token after token: what may stay in the L2 cache meanwhile.
const NEAR: usize = 192 << 10;

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
        // SAFETY: of every tile, at least the first row is in `rows`; the rest is the same contract.
        unsafe { V::float_tile::<F, PARTS, STREAMS, 1>(product, row, apart, 0) }
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
    let near = (NEAR / product.row_bytes).next_multiple_of(ROWS).max(ROWS);
    for first in product.rows.clone().step_by(near) {
        let rows = first..product.rows.end.min(first + near);
        for token in (0..product.tokens).step_by(TOKENS) {
            for row in rows.clone().step_by(ROWS) {
                // SAFETY: of every tile, the first row is in `rows`, and there are as many tokens as said; the rest is the same contract.
                unsafe {
                    match product.tokens - token {
                        1 => V::float_tile::<F, 1, ROWS, 1>(product, row, 1, token),
                        2 if TOKENS > 2 => V::float_tile::<F, 1, ROWS, 2>(product, row, 1, token),
                        3 if TOKENS > 3 => V::float_tile::<F, 1, ROWS, 3>(product, row, 1, token),
                        4 if TOKENS > 4 => V::float_tile::<F, 1, ROWS, 4>(product, row, 1, token),
                        5 if TOKENS > 5 => V::float_tile::<F, 1, ROWS, 5>(product, row, 1, token),
                        _ => V::float_tile::<F, 1, ROWS, TOKENS>(product, row, 1, token),
                    }
                }
            }
        }
    }
}

/// `R` rows, `apart` from each other, from `first` on (the last one again instead of those after the end) times `T` tokens.
///
/// # Safety
/// `first` is one of the rows, there are `T` tokens from `token` on, and the instructions of `V` are enabled.
#[inline(always)]
pub(in super::super) unsafe fn tile<
    V: Vector,
    F: Format,
    const PARTS: usize,
    const R: usize,
    const T: usize,
>(
    product: &Product<'_>,
    first: usize,
    apart: usize,
    token: usize,
) {
    let rows: [&[u8]; R] = array::from_fn(|row| {
        let row = (first + row * apart).min(product.rows.end - 1);
        &product.weight[row * product.row_bytes..(row + 1) * product.row_bytes]
    });
    let x: [*const f32; T] =
        array::from_fn(|t| product.activations.floats(token + t, product.columns).cast_const());
    let whole = product.columns / LANES * LANES;
    // SAFETY: where columns are multiplied there are so many, rows of activations up to whole lanes, and nobody writes them meanwhile;
    // the caller may write the elements of `rows`; the instructions are enabled.
    unsafe {
        let mut sums = [[[V::Floats::splat(0.0); R]; T]; PARTS];
        for column in (0..whole).step_by(LANES) {
            let weights = rows.map(|row| row.as_ptr().wrapping_add(column * F::BYTES));
            if T == 1 {
                for weights in weights {
                    V::prefetch(weights.wrapping_add(1024));
                }
            }
            multiply_lanes::<V, F, PARTS, R, T>(weights, x.map(|x| x.wrapping_add(column)), &mut sums);
        }
        if whole < product.columns {
            let padded = rows.map(|row| {
                let mut padded = [0; LANES * 4];
                let rest = &row[whole * F::BYTES..];
                padded[..rest.len()].copy_from_slice(rest);
                padded
            });
            let weights = padded.each_ref().map(|row| row.as_ptr());
            multiply_lanes::<V, F, PARTS, R, T>(weights, x.map(|x| x.wrapping_add(whole)), &mut sums);
        }
        // Out of the registers all at once: where an index is no constant, they would not be registers.
        let mut lanes = [[[0.0; LANES]; R]; T];
        for t in 0..T {
            for row in 0..R {
                for part in 0..PARTS {
                    sums[part][t][row].store(lanes[t][row].as_mut_ptr().add(part * V::LANES));
                }
            }
        }
        for t in 0..T {
            for row in 0..R.min((product.rows.end - first).div_ceil(apart)) {
                let out = product.out.wrapping_add((token + t) * product.out_stride + first + row * apart);
                *out = sum(lanes[t][row]);
            }
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
            let mut lanes = [V::Floats::splat(0.0); T];
            for t in 0..T {
                lanes[t] = V::Floats::load(x[t].add(column));
            }
            for row in 0..R {
                let weights = F::load::<V>(weights[row].add(column * F::BYTES));
                for t in 0..T {
                    // Before the next row's weights are loaded, which would want one register more than there are.
                    sums[t][row] = weights.mul_add(lanes[t], sums[t][row]).now();
                }
            }
        }
    }
}

/// Sum of all lanes: halves are added to halves.
#[inline(always)]
fn sum(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
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
