//! AVX-512 with VNNI.
//!
//! Quantised weights go through tiles of 16 rows: a chunk of 256 columns is unpacked and transposed into the L1 cache, with four
//! consecutive columns of one row in each 32-bit lane, and then multiplied with all tokens. Weights are unsigned there, as
//! `vpdpbusd` wants them, so the activations are its signed operand and are broadcast as they are loaded; the 128 that was
//! added to signed weights is paid back by where the integer sum starts. Decode is the same with one token.
#![expect(
    unsafe_code,
    reason = "rows of weights, activations and the output are read and written through pointers"
)]

mod floats;
mod unpack;

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::super::activations::{Activations, Chunk};
use super::super::{BLOCK, CHUNK, Product, portable};
use crate::step::Step;

pub(super) use floats::{BF16, F16, F32, multiply_floats};
pub(super) use unpack::{Q4_0, Q4_K, Q5_K, Q6_K, Q8_0};
use unpack::{Quants, Rows};

/// Rows of a tile: one in each lane.
const LANES: usize = 16;

/// Tiles that share a load of activations.
const TILES: usize = 2;

/// Tokens that share a load of weights: with two tiles, 12 integer and 12 float sums in 32 registers.
const TOKENS: usize = 6;

/// 256 columns of 16 rows: `weight = scale * (quant - 128) - minimum`, without the 128 where there are minima.
#[repr(C)]
pub(in super::super) struct Tile {
    /// (columns / 4, rows, 4)
    quants: [__m512i; CHUNK / 4],
    /// (columns / 16 or 32, rows)
    scales: [__m512; CHUNK / BLOCK * 2],
    /// (columns / 32, rows)
    minima: [__m512; CHUNK / BLOCK],
}

/// The sums of one token: (tiles, rows).
type Sums = [__m512; TILES];

/// # Safety
/// As [`Kernels::multiply`](super::super::Kernels::multiply), with the sizes checked, on a machine with AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(in super::super) unsafe fn multiply_quants<F: Quants>(product: &Product<'_>) {
    let tokens = product.tokens;
    // SAFETY: all bits are numbers.
    let mut tiles: [Tile; TILES] = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut sums = [const { MaybeUninit::<Sums>::uninit() }; Step::LIMIT];
    let mut rest = product.rows.clone();
    while !rest.is_empty() {
        let sums: &mut [Sums] = {
            let sums = &mut sums[..tokens];
            sums.fill(MaybeUninit::new([_mm512_setzero_ps(); TILES]));
            // SAFETY: just written.
            unsafe { sums.assume_init_mut() }
        };
        let rows: [Rows; TILES] = std::array::from_fn(|_| Rows::next(product, &mut rest));
        for index in 0..product.columns.div_ceil(CHUNK) {
            let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
            for (tile, rows) in tiles.iter_mut().zip(&rows) {
                // SAFETY: the rows have a chunk of so many blocks there.
                unsafe { F::unpack(rows, index * F::BYTES, blocks, tile) };
            }
            let chunks = product.activations.chunks(index, tokens);
            for (part, sums) in sums.chunks_mut(TOKENS).enumerate() {
                let x = chunks.wrapping_add(part * TOKENS);
                // SAFETY: from `x` on there are as many chunks as `sums`, and nobody writes them meanwhile.
                unsafe {
                    match sums.len() {
                        1 => accumulate::<F, 1>(&tiles, blocks, x, sums),
                        2 => accumulate::<F, 2>(&tiles, blocks, x, sums),
                        3 => accumulate::<F, 3>(&tiles, blocks, x, sums),
                        4 => accumulate::<F, 4>(&tiles, blocks, x, sums),
                        5 => accumulate::<F, 5>(&tiles, blocks, x, sums),
                        _ => accumulate::<F, TOKENS>(&tiles, blocks, x, sums),
                    }
                }
            }
        }
        for (token, sums) in sums.iter().enumerate() {
            for (rows, &sums) in rows.iter().zip(sums) {
                let out = product.out.wrapping_add(token * product.out_stride + rows.first);
                // SAFETY: the caller may write the elements of `product.rows`, and the mask leaves no others.
                unsafe { _mm512_mask_storeu_ps(out, rows.mask, sums) };
            }
        }
    }
}

/// The first `count` lanes.
fn lanes_below(count: usize) -> __mmask16 {
    ((1_u32 << count.min(LANES)) - 1) as __mmask16
}

/// Add the products of the tiles' `blocks` with chunk `x[t]` to `sums[t]`, for `T` tokens.
///
/// # Safety
/// There are `T` chunks from `x` on, and nobody writes them meanwhile.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn accumulate<F: Quants, const T: usize>(
    tiles: &[Tile; TILES],
    blocks: usize,
    x: *const Chunk,
    sums: &mut [Sums],
) {
    // SAFETY: as the caller says.
    let x: [&Chunk; T] = std::array::from_fn(|token| unsafe { &*x.add(token) });
    let sums: &mut [Sums; T] = (&mut sums[..T]).try_into().expect("as many sums as tokens");
    let mut sum = *sums;
    for block in 0..blocks {
        let products = if F::HALVES {
            let start = |token: usize, half| _mm512_set1_epi32(x[token].half_starts[2 * block + half]);
            let first = dot::<4, T>(tiles, block * 8, x, |token| start(token, 0));
            let mut products = [[_mm512_setzero_ps(); TILES]; T];
            for token in 0..T {
                for tile in 0..TILES {
                    products[token][tile] =
                        _mm512_mul_ps(_mm512_cvtepi32_ps(first[token][tile]), tiles[tile].scales[2 * block]);
                }
            }
            let second = dot::<4, T>(tiles, block * 8 + 4, x, |token| start(token, 1));
            for token in 0..T {
                for tile in 0..TILES {
                    products[token][tile] = _mm512_fmadd_ps(
                        _mm512_cvtepi32_ps(second[token][tile]),
                        tiles[tile].scales[2 * block + 1],
                        products[token][tile],
                    );
                }
            }
            products
        } else {
            let integers = dot::<8, T>(tiles, block * 8, x, |token| {
                if F::MINIMA { _mm512_setzero_si512() } else { _mm512_set1_epi32(x[token].starts[block]) }
            });
            let mut products = [[_mm512_setzero_ps(); TILES]; T];
            for token in 0..T {
                for tile in 0..TILES {
                    products[token][tile] =
                        _mm512_mul_ps(_mm512_cvtepi32_ps(integers[token][tile]), tiles[tile].scales[block]);
                }
            }
            products
        };
        for token in 0..T {
            let scale = _mm512_set1_ps(x[token].scales[block]);
            for tile in 0..TILES {
                sum[token][tile] = _mm512_fmadd_ps(products[token][tile], scale, sum[token][tile]);
            }
            if F::MINIMA {
                let total = _mm512_set1_ps(x[token].sums[block]);
                for tile in 0..TILES {
                    sum[token][tile] = _mm512_fnmadd_ps(tiles[tile].minima[block], total, sum[token][tile]);
                }
            }
        }
    }
    *sums = sum;
}

/// Integer sums of `4 * STEPS` products from column `4 * first` on, for each token and tile.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn dot<const STEPS: usize, const T: usize>(
    tiles: &[Tile; TILES],
    first: usize,
    x: [&Chunk; T],
    start: impl Fn(usize) -> __m512i,
) -> [[__m512i; TILES]; T] {
    let mut sums: [[__m512i; TILES]; T] = std::array::from_fn(|token| [start(token); TILES]);
    for step in first..first + STEPS {
        let weights: [__m512i; TILES] = std::array::from_fn(|tile| tiles[tile].quants[step]);
        for token in 0..T {
            let quants = &x[token].quants[4 * step..4 * step + 4];
            let quants =
                i32::from_le_bytes([quants[0] as u8, quants[1] as u8, quants[2] as u8, quants[3] as u8]);
            let quants = _mm512_set1_epi32(quants);
            for tile in 0..TILES {
                sums[token][tile] = _mm512_dpbusd_epi32(sums[token][tile], weights[tile], quants);
            }
        }
    }
    sums
}

/// As the portable one, compiled for these instructions.
///
/// # Safety
/// As [`Kernels::prepare`](super::super::Kernels::prepare), with the sizes checked, on a machine with AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(in super::super) unsafe fn quantise(activations: &Activations, row: usize, tokens: usize, x: &[f32]) {
    // SAFETY: the same contract.
    unsafe { portable::quantise(activations, row, tokens, x) }
}
