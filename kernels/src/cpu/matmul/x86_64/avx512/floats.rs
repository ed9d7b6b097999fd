//! Matmul of float weights, converted in registers as they are read in place.
#![expect(
    unsafe_code,
    reason = "rows of weights, activations and the output are read and written through pointers"
)]

use std::arch::x86_64::*;

use super::super::super::{NEAR, Product};
use super::{LANES, lanes_below};

/// Rows at once with one token: so many streams from memory.
const STREAMS: usize = 8;

/// Rows and tokens at once with many tokens: 24 sums in 32 registers.
const ROWS: usize = 4;
const TOKENS: usize = 6;

/// A format of floats.
pub(in super::super::super) trait Floats {
    /// Bytes of a float.
    const BYTES: usize;

    /// The floats at `bytes` in the lanes of `mask`, zero elsewhere.
    ///
    /// # Safety
    /// The machine has AVX-512, and there are floats at these lanes.
    unsafe fn load(bytes: *const u8, mask: __mmask16) -> __m512;
}

/// # Safety
/// As [`Kernels::multiply`](super::super::super::Kernels::multiply), with the sizes checked, on a machine with AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(in super::super::super) unsafe fn multiply_floats<F: Floats>(product: &Product<'_>) {
    let rows = product.rows.clone();
    // SAFETY: of every tile, at least the first row is in `rows` and the first token in `tokens`.
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
                        2 => tile::<F, ROWS, 2>(product, row, token),
                        3 => tile::<F, ROWS, 3>(product, row, token),
                        4 => tile::<F, ROWS, 4>(product, row, token),
                        5 => tile::<F, ROWS, 5>(product, row, token),
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
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn tile<F: Floats, const R: usize, const T: usize>(product: &Product<'_>, first: usize, token: usize) {
    let columns = product.columns;
    let rows: [*const u8; R] = std::array::from_fn(|row| {
        let row = (first + row).min(product.rows.end - 1);
        product.weight.as_ptr().wrapping_add(row * product.row_bytes)
    });
    let x: [*const f32; T] =
        std::array::from_fn(|t| product.activations.floats(token + t, columns).cast_const());
    let mut sums = [[_mm512_setzero_ps(); R]; T];
    for column in (0..columns).step_by(LANES) {
        let mask = lanes_below(columns - column);
        let mut weights = [_mm512_setzero_ps(); R];
        for row in 0..R {
            let bytes = rows[row].wrapping_add(column * F::BYTES);
            _mm_prefetch::<_MM_HINT_T0>(bytes.wrapping_add(1024).cast());
            // SAFETY: the row has the columns that the mask leaves.
            weights[row] = unsafe { F::load(bytes, mask) };
        }
        for t in 0..T {
            // SAFETY: rows of activations are whole lanes long, and nobody writes them meanwhile.
            let x = unsafe { _mm512_loadu_ps(x[t].add(column)) };
            for row in 0..R {
                sums[t][row] = _mm512_fmadd_ps(weights[row], x, sums[t][row]);
            }
        }
    }
    for t in 0..T {
        for row in 0..R.min(product.rows.end - first) {
            let out = product.out.wrapping_add((token + t) * product.out_stride + first + row);
            // SAFETY: the caller may write the elements of `rows`.
            unsafe { *out = sum_of_lanes(sums[t][row]) };
        }
    }
}

/// All lanes, added in one order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn sum_of_lanes(lanes: __m512) -> f32 {
    let eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps::<1>(lanes));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

pub(in super::super::super) struct F32;

impl Floats for F32 {
    const BYTES: usize = 4;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn load(bytes: *const u8, mask: __mmask16) -> __m512 {
        // SAFETY: as the caller says.
        unsafe { _mm512_maskz_loadu_ps(mask, bytes.cast()) }
    }
}

pub(in super::super::super) struct F16;

impl Floats for F16 {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn load(bytes: *const u8, mask: __mmask16) -> __m512 {
        // SAFETY: as the caller says.
        _mm512_cvtph_ps(unsafe { _mm256_maskz_loadu_epi16(mask, bytes.cast()) })
    }
}

pub(in super::super::super) struct BF16;

impl Floats for BF16 {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn load(bytes: *const u8, mask: __mmask16) -> __m512 {
        // SAFETY: as the caller says.
        let halves = unsafe { _mm256_maskz_loadu_epi16(mask, bytes.cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
    }
}
