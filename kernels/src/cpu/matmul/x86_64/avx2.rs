//! AVX2 with FMA and F16C.
//!
//! Quantised weights go through tiles of 8 rows, unpacked by the portable code as compiled for these instructions, with four
//! consecutive columns of one row in each 32-bit lane. Multiplying bytes wants one operand unsigned and sums in 16 bits without
//! overflow, so signs move from the weights to the activations, which are never -128.
#![expect(unsafe_code, reason = "weights, activations and the output are read and written through pointers")]

use std::arch::x86_64::*;
use std::array;

use super::super::activations::{self, Activations, Chunk};
use super::super::portable::{self, Quants, Unpacked};
use super::super::{BLOCK, CHUNK, NEAR, Product};
use crate::step::Step;

/// Rows of a tile: one in each lane.
const LANES: usize = 8;

/// Tokens that share a load of weights.
const TOKENS: usize = 4;

/// 256 columns of 8 rows: `weight = scale * quant - minimum`.
struct Tile {
    /// (columns / 4, rows, 4)
    quants: [__m256i; CHUNK / 4],
    /// (columns / 16 or 32, rows)
    scales: [__m256; CHUNK / BLOCK * 2],
    /// (columns / 32, rows)
    minima: [__m256; CHUNK / BLOCK],
}

/// # Safety
/// As [`Kernels::multiply`](super::super::Kernels::multiply), with the sizes checked, on a machine with AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in super::super) unsafe fn multiply_quants<F: Quants>(product: &Product<'_>) {
    let tokens = product.tokens;
    let mut unpacked = [const { Unpacked::ZERO }; LANES];
    let mut tile = Tile {
        quants: [_mm256_setzero_si256(); _],
        scales: [_mm256_setzero_ps(); _],
        minima: [_mm256_setzero_ps(); _],
    };
    let mut sums = [_mm256_setzero_ps(); Step::LIMIT];
    for first in product.rows.clone().step_by(LANES) {
        let rows = LANES.min(product.rows.end - first);
        let sums = &mut sums[..tokens];
        sums.fill(_mm256_setzero_ps());
        for index in 0..product.columns.div_ceil(CHUNK) {
            let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
            for (row, unpacked) in unpacked[..rows].iter_mut().enumerate() {
                let bytes = &product.weight[(first + row) * product.row_bytes..][..product.row_bytes];
                let bytes = &bytes[index * F::BYTES..bytes.len().min((index + 1) * F::BYTES)];
                F::unpack(bytes, unpacked);
            }
            interleave::<F>(&unpacked, &mut tile);
            let chunks = product.activations.chunks(index, tokens).cast_const();
            for (part, sums) in sums.chunks_mut(TOKENS).enumerate() {
                let x = chunks.wrapping_add(part * TOKENS);
                // SAFETY: from `x` on there are as many chunks as `sums`, and nobody writes them meanwhile.
                unsafe {
                    match sums.len() {
                        1 => accumulate::<F, 1>(&tile, blocks, x, sums),
                        2 => accumulate::<F, 2>(&tile, blocks, x, sums),
                        3 => accumulate::<F, 3>(&tile, blocks, x, sums),
                        _ => accumulate::<F, TOKENS>(&tile, blocks, x, sums),
                    }
                }
            }
        }
        for (token, &sums) in sums.iter().enumerate() {
            let mut lanes = [0.0; LANES];
            // SAFETY: as long as a vector.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sums) };
            let out = product.out.wrapping_add(token * product.out_stride + first);
            // SAFETY: the caller may write the elements of `product.rows`.
            unsafe { out.copy_from_nonoverlapping(lanes.as_ptr(), rows) };
        }
    }
}

/// Put the numbers of 8 rows side by side.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn interleave<F: Quants>(rows: &[Unpacked; LANES], to: &mut Tile) {
    for (column, to) in to.quants.chunks_exact_mut(8).enumerate() {
        let quants = |row: usize| {
            let quants = &rows[row].quants[32 * column..32 * column + 32];
            // SAFETY: 32 bytes.
            unsafe { _mm256_castsi256_ps(_mm256_loadu_si256(quants.as_ptr().cast())) }
        };
        let lanes = transpose(array::from_fn(quants));
        to.copy_from_slice(&lanes.map(|lanes| _mm256_castps_si256(lanes)));
    }
    let scales = |row: usize, first: usize| {
        let scales = &rows[row].scales[first..first + 8];
        // SAFETY: 8 floats.
        unsafe { _mm256_loadu_ps(scales.as_ptr()) }
    };
    to.scales[..8].copy_from_slice(&transpose(array::from_fn(|row| scales(row, 0))));
    if F::HALVES {
        to.scales[8..].copy_from_slice(&transpose(array::from_fn(|row| scales(row, 8))));
    }
    if F::MINIMA {
        // SAFETY: 8 floats.
        let minima = |row: usize| unsafe { _mm256_loadu_ps(rows[row].minima.as_ptr()) };
        to.minima = transpose(array::from_fn(minima));
    }
}

/// Lane `r` of vector `i` is lane `i` of vector `r`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn transpose(rows: [__m256; 8]) -> [__m256; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    let pairs = |a, b| [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)];
    let fours = |ab: [__m256; 2], cd: [__m256; 2]| {
        [
            _mm256_shuffle_ps::<0b01_00_01_00>(ab[0], cd[0]),
            _mm256_shuffle_ps::<0b11_10_11_10>(ab[0], cd[0]),
            _mm256_shuffle_ps::<0b01_00_01_00>(ab[1], cd[1]),
            _mm256_shuffle_ps::<0b11_10_11_10>(ab[1], cd[1]),
        ]
    };
    let (low, high) = (fours(pairs(a, b), pairs(c, d)), fours(pairs(e, f), pairs(g, h)));
    array::from_fn(|i| match i / 4 {
        0 => _mm256_permute2f128_ps::<0x20>(low[i], high[i]),
        _ => _mm256_permute2f128_ps::<0x31>(low[i - 4], high[i - 4]),
    })
}

/// Add the products of the tile's `blocks` with chunk `x[t]` to `sums[t]`, for `T` tokens.
///
/// # Safety
/// There are `T` chunks from `x` on, and nobody writes them meanwhile.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn accumulate<F: Quants, const T: usize>(
    tile: &Tile,
    blocks: usize,
    x: *const Chunk,
    sums: &mut [__m256],
) {
    // SAFETY: as the caller says.
    let x: [&Chunk; T] = array::from_fn(|token| unsafe { &*x.add(token) });
    let sums: &mut [__m256; T] = (&mut sums[..T]).try_into().expect("as many sums as tokens");
    let parts = if F::HALVES { 2 } else { 1 };
    let mut sum = *sums;
    for block in 0..blocks {
        let mut products = [_mm256_setzero_ps(); T];
        for part in 0..parts {
            let integers = dot::<F, T>(tile, block * 8 + part * 4, 8 / parts, x);
            let scale = tile.scales[block * parts + part];
            for token in 0..T {
                let floats = _mm256_cvtepi32_ps(integers[token]);
                products[token] = if part == 0 {
                    _mm256_mul_ps(floats, scale)
                } else {
                    _mm256_fmadd_ps(floats, scale, products[token])
                };
            }
        }
        for token in 0..T {
            sum[token] = _mm256_fmadd_ps(products[token], _mm256_set1_ps(x[token].scales[block]), sum[token]);
            if F::MINIMA {
                let total = _mm256_set1_ps(x[token].sums[block]);
                sum[token] = _mm256_fnmadd_ps(tile.minima[block], total, sum[token]);
            }
        }
    }
    *sums = sum;
}

/// Integer sums of `4 * steps` products from column `4 * first` on, for each token.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot<F: Quants, const T: usize>(tile: &Tile, first: usize, steps: usize, x: [&Chunk; T]) -> [__m256i; T] {
    let mut sums = [_mm256_setzero_si256(); T];
    for step in first..first + steps {
        let weights = tile.quants[step];
        for token in 0..T {
            let quants = &x[token].quants[4 * step..4 * step + 4];
            let quants = [quants[0] as u8, quants[1] as u8, quants[2] as u8, quants[3] as u8];
            let quants = _mm256_set1_epi32(i32::from_le_bytes(quants));
            // Where there are minima, weights are not negative.
            let pairs = if F::MINIMA {
                _mm256_maddubs_epi16(weights, quants)
            } else {
                _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(quants, weights))
            };
            let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
            sums[token] = _mm256_add_epi32(sums[token], fours);
        }
    }
    sums
}

/// As the portable one, compiled for these instructions.
///
/// # Safety
/// As [`Kernels::prepare`](super::super::Kernels::prepare), with the sizes checked, on a machine with AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in super::super) unsafe fn quantise(activations: &Activations, row: usize, tokens: usize, x: &[f32]) {
    // SAFETY: the same contract.
    unsafe { portable::quantise(activations, row, tokens, x) }
}

/// A format of floats.
pub(in super::super) trait Floats {
    /// Bytes of a float.
    const BYTES: usize;

    /// Eight floats.
    ///
    /// # Safety
    /// The machine has AVX2, FMA and F16C, and there are eight floats at `bytes`.
    unsafe fn load(bytes: *const u8) -> __m256;
}

/// # Safety
/// As [`Kernels::multiply`](super::super::Kernels::multiply), with the sizes checked, on a machine with AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in super::super) unsafe fn multiply_floats<F: Floats>(product: &Product<'_>) {
    // As many tokens as stay in the L2 cache while all rows pass by.
    let most = (NEAR / (4 * product.columns)).max(1).next_multiple_of(2);
    for start in (0..product.tokens).step_by(most) {
        let end = product.tokens.min(start + most);
        for row in product.rows.clone().step_by(2) {
            for token in (start..end).step_by(2) {
                // SAFETY: `row` is one of the rows, and there are as many tokens as said.
                unsafe {
                    match end - token {
                        1 => floats::<F, 1>(product, row, token),
                        _ => floats::<F, 2>(product, row, token),
                    }
                }
            }
        }
    }
}

/// Two rows from `first` on (the last one again instead of one after the end) times `T` tokens.
///
/// # Safety
/// `first` is one of the rows, and there are `T` tokens from `token` on.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn floats<F: Floats, const T: usize>(product: &Product<'_>, first: usize, token: usize) {
    let rows: [&[u8]; 2] = array::from_fn(|row| {
        let row = (first + row).min(product.rows.end - 1);
        &product.weight[row * product.row_bytes..(row + 1) * product.row_bytes]
    });
    let x: [*mut f32; T] = array::from_fn(|t| product.activations.floats(token + t, product.columns));
    let mut sums = [[[_mm256_setzero_ps(); 2]; 2]; T];
    // 16 columns of `x` from `column` on times weights of two rows.
    let mut step = |column: usize, weights: [*const u8; 2]| {
        // SAFETY: there are 16 floats.
        let weights =
            weights.map(|weights| unsafe { [F::load(weights), F::load(weights.add(8 * F::BYTES))] });
        for t in 0..T {
            for half in 0..2 {
                // SAFETY: rows of activations are whole lanes long, and nobody writes them meanwhile.
                let x = unsafe { _mm256_loadu_ps(x[t].add(column + 8 * half)) };
                for row in 0..2 {
                    sums[t][row][half] = _mm256_fmadd_ps(weights[row][half], x, sums[t][row][half]);
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
        step(whole, [padded[0].as_ptr(), padded[1].as_ptr()]);
    }
    for t in 0..T {
        for row in 0..2.min(product.rows.end - first) {
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

pub(in super::super) struct F32;

impl Floats for F32 {
    const BYTES: usize = 4;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(bytes: *const u8) -> __m256 {
        // SAFETY: as the caller says.
        unsafe { _mm256_loadu_ps(bytes.cast()) }
    }
}

pub(in super::super) struct F16;

impl Floats for F16 {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(bytes: *const u8) -> __m256 {
        // SAFETY: as the caller says.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bytes.cast()) })
    }
}

pub(in super::super) struct BF16;

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
