//! Matmul of float weights, converted in registers as they are read in place.
#![expect(
    unsafe_code,
    reason = "rows of weights, activations and the output are read and written through pointers"
)]

use std::arch::x86_64::*;
use std::array;

use super::super::super::{NEAR, Product, activations};

/// Rows at once with one token: so many streams from memory.
const STREAMS: usize = 4;

/// Rows and tokens at once with many tokens: 12 sums in 16 registers.
const ROWS: usize = 3;
const TOKENS: usize = 2;

/// A format of floats.
pub(in super::super::super) trait Floats {
    /// Bytes of a float.
    const BYTES: usize;

    /// Eight floats.
    ///
    /// # Safety
    /// The machine has AVX2, FMA and F16C, and there are eight floats at `bytes`.
    unsafe fn load(bytes: *const u8) -> __m256;
}

/// # Safety
/// As [`Kernels::multiply`](super::super::super::Kernels::multiply), with the sizes checked, on a machine with AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in super::super::super) unsafe fn multiply_floats<F: Floats>(product: &Product<'_>) {
    let rows = product.rows.clone();
    // SAFETY: of every tile, at least the first row is in `rows`, and there are as many tokens as said.
    unsafe {
        if product.tokens == 1 {
            for row in rows.step_by(STREAMS) {
                tile::<F, STREAMS, 1>(product, row, 0);
            }
            return;
        }
        // As many tokens as stay in the L2 cache while all rows pass by.
        let most = (NEAR / (4 * product.columns)).max(1).next_multiple_of(TOKENS);
        for start in (0..product.tokens).step_by(most) {
            let end = product.tokens.min(start + most);
            for row in rows.clone().step_by(ROWS) {
                for token in (start..end).step_by(TOKENS) {
                    match end - token {
                        1 => tile::<F, ROWS, 1>(product, row, token),
                        _ => tile::<F, ROWS, TOKENS>(product, row, token),
                    }
                }
            }
        }
    }
}

/// `R` rows from `first` on (the last one again instead of those after the end) times `T` tokens.
///
/// # Safety
/// `first` is one of the rows, and there are `T` tokens from `token` on.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<F: Floats, const R: usize, const T: usize>(product: &Product<'_>, first: usize, token: usize) {
    let rows: [&[u8]; R] = array::from_fn(|row| {
        let row = (first + row).min(product.rows.end - 1);
        &product.weight[row * product.row_bytes..(row + 1) * product.row_bytes]
    });
    let x: [*mut f32; T] = array::from_fn(|t| product.activations.floats(token + t, product.columns));
    let mut sums = [[[_mm256_setzero_ps(); 2]; R]; T];
    // 16 columns of `x` from `column` on times weights of the rows.
    let mut step = |column: usize, weights: [*const u8; R]| {
        for weights in weights {
            // Advice, which does not read.
            _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(1024).cast());
        }
        for half in 0..2 {
            // SAFETY: there are 16 floats.
            let weights = weights.map(|weights| unsafe { F::load(weights.add(8 * half * F::BYTES)) });
            for t in 0..T {
                // SAFETY: rows of activations are whole lanes long, and nobody writes them meanwhile.
                let x = unsafe { _mm256_loadu_ps(x[t].add(column + 8 * half)) };
                for row in 0..R {
                    sums[t][row][half] = _mm256_fmadd_ps(weights[row], x, sums[t][row][half]);
                }
            }
        }
    };
    let whole = product.columns / activations::LANES * activations::LANES;
    for column in (0..whole).step_by(activations::LANES) {
        step(column, rows.map(|row| row.as_ptr().wrapping_add(column * F::BYTES)));
    }
    if whole < product.columns {
        let padded = rows.map(|row| {
            let mut padded = [0; activations::LANES * 4];
            let rest = &row[whole * F::BYTES..];
            padded[..rest.len()].copy_from_slice(rest);
            padded
        });
        step(whole, padded.each_ref().map(|row| row.as_ptr()));
    }
    for t in 0..T {
        for row in 0..R.min(product.rows.end - first) {
            let [low, high] = sums[t][row];
            let eight = _mm256_add_ps(low, high);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            let sum = _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
            let out = product.out.wrapping_add((token + t) * product.out_stride + first + row);
            // SAFETY: the caller may write the elements of `rows`.
            unsafe { *out = sum };
        }
    }
}

pub(in super::super::super) struct F32;

impl Floats for F32 {
    const BYTES: usize = 4;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(bytes: *const u8) -> __m256 {
        // SAFETY: as the caller says.
        unsafe { _mm256_loadu_ps(bytes.cast()) }
    }
}

pub(in super::super::super) struct F16;

impl Floats for F16 {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(bytes: *const u8) -> __m256 {
        // SAFETY: as the caller says.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bytes.cast()) })
    }
}

pub(in super::super::super) struct BF16;

impl Floats for BF16 {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(bytes: *const u8) -> __m256 {
        // SAFETY: as the caller says.
        let halves = unsafe { _mm_loadu_si128(bytes.cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
    }
}
