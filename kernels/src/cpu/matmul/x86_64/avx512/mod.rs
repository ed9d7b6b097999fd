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
use std::array;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::super::activations::{Activations, Chunk};
use super::super::{BLOCK, CHUNK, NEAR, Product, portable};
use crate::step::Step;

pub(super) use floats::{BF16, F16, F32, multiply_floats};
pub(super) use unpack::{Q4_0, Q4_K, Q5_K, Q6_K, Q8_0};
use unpack::{Quants, Rows, Scales, Take};

/// Rows of a tile: one in each lane.
const LANES: usize = 16;

/// Tiles that share a load of activations.
const TILES: usize = 2;

/// Tokens that share a load of weights: with two tiles, 12 integer and 12 float sums in 32 registers.
const TOKENS: usize = 6;

/// The sums of one token: (tiles, rows).
type Sums = [__m512; TILES];

/// 256 columns of 16 rows, unpacked.
struct Tile {
    /// (columns / 4, rows, 4)
    quants: [__m512i; CHUNK / 4],
    scales: Scales,
}

/// # Safety
/// As [`Kernels::multiply`](super::super::Kernels::multiply), with the sizes checked, on a machine with AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(in super::super) unsafe fn multiply_quants<F: Quants>(product: &Product<'_>) {
    // SAFETY: the same contract.
    unsafe { if product.tokens == 1 { multiply_one::<F>(product) } else { multiply_many::<F>(product) } }
}

/// # Safety
/// As [`multiply_quants`], with one token.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply_one<F: Quants>(product: &Product<'_>) {
    let mut rest = product.rows.clone();
    while !rest.is_empty() {
        let rows: [Rows; TILES] = array::from_fn(|_| Rows::next(product, &mut rest));
        let mut sums = [_mm512_setzero_ps(); TILES];
        for index in 0..product.columns.div_ceil(CHUNK) {
            let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
            // SAFETY: nobody writes the activations meanwhile.
            let x = unsafe { &*product.activations.chunks(index, 1) };
            // SAFETY: the rows have a chunk of so many blocks there.
            unsafe { accumulate_one::<F>(&rows, index * F::BYTES, blocks, x, &mut sums) };
        }
        // SAFETY: the caller may write the elements of `product.rows`.
        unsafe { store(product, 0, &rows, &sums) };
    }
}

/// # Safety
/// As [`multiply_quants`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply_many<F: Quants>(product: &Product<'_>) {
    // SAFETY: all bits are numbers.
    let mut tiles: [Tile; TILES] = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut sums = [const { MaybeUninit::<Sums>::uninit() }; Step::LIMIT];
    let chunks = product.columns.div_ceil(CHUNK);
    let most = (NEAR / (chunks * size_of::<Chunk>())).max(1).next_multiple_of(TOKENS);
    for token in (0..product.tokens).step_by(most) {
        let sums = &mut sums[..most.min(product.tokens - token)];
        let mut rest = product.rows.clone();
        while !rest.is_empty() {
            sums.fill(MaybeUninit::new([_mm512_setzero_ps(); TILES]));
            // SAFETY: just written.
            let sums = unsafe { sums.assume_init_mut() };
            let rows: [Rows; TILES] = array::from_fn(|_| Rows::next(product, &mut rest));
            for index in 0..chunks {
                let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
                for (Tile { quants, scales }, rows) in tiles.iter_mut().zip(&rows) {
                    // SAFETY: the rows have a chunk of so many blocks there.
                    unsafe { F::unpack(rows, index * F::BYTES, blocks, scales, &mut Store(quants)) };
                }
                let x = product.activations.chunks(index, product.tokens).wrapping_add(token);
                // SAFETY: there is a chunk for each of these tokens, and nobody writes them meanwhile.
                unsafe { accumulate_many::<F>(&tiles, blocks, x, sums) };
            }
            for (index, sums) in sums.iter().enumerate() {
                // SAFETY: the caller may write the elements of `product.rows`.
                unsafe { store(product, token + index, &rows, sums) };
            }
        }
    }
}

/// Write the sums of one token where the wanted ones of `rows` belong.
///
/// # Safety
/// These elements may be written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn store(product: &Product<'_>, token: usize, rows: &[Rows; TILES], sums: &Sums) {
    for (rows, &sums) in rows.iter().zip(sums) {
        let out = product.out.wrapping_add(token * product.out_stride + rows.first);
        // SAFETY: the mask leaves the wanted rows only.
        unsafe { _mm512_mask_storeu_ps(out, rows.mask, sums) };
    }
}

/// Add the products of the tiles' `blocks` with all chunks from `x` on, as many as `sums`.
///
/// # Safety
/// There are as many chunks, and nobody writes them meanwhile.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn accumulate_many<F: Quants>(
    tiles: &[Tile; TILES],
    blocks: usize,
    x: *const Chunk,
    sums: &mut [Sums],
) {
    let most = if F::HALVES { 4 } else { TOKENS };
    for (part, sums) in sums.chunks_mut(most).enumerate() {
        let x = x.wrapping_add(part * most);
        // SAFETY: from `x` on there are as many chunks as `sums`.
        unsafe {
            match sums.len() {
                1 => accumulate::<F, 1>(tiles, blocks, x, sums),
                2 => accumulate::<F, 2>(tiles, blocks, x, sums),
                3 => accumulate::<F, 3>(tiles, blocks, x, sums),
                4 => accumulate::<F, 4>(tiles, blocks, x, sums),
                5 => accumulate::<F, 5>(tiles, blocks, x, sums),
                _ => accumulate::<F, TOKENS>(tiles, blocks, x, sums),
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
    let x: [&Chunk; T] = array::from_fn(|token| unsafe { &*x.add(token) });
    let sums: &mut [Sums; T] = (&mut sums[..T]).try_into().expect("as many sums as tokens");
    let mut sum = *sums;
    for block in 0..blocks {
        let mut products = [[_mm512_setzero_ps(); TILES]; T];
        for part in 0..parts::<F>() {
            let integers = dot::<F, T>(tiles, block * parts::<F>() + part, x);
            for token in 0..T {
                for tile in 0..TILES {
                    let (scales, product) = (&tiles[tile].scales, &mut products[token][tile]);
                    *product = scale::<F>(scales, block, part, integers[token][tile], *product);
                }
            }
        }
        for token in 0..T {
            for tile in 0..TILES {
                sum[token][tile] =
                    add::<F>(&tiles[tile].scales, block, x[token], products[token][tile], sum[token][tile]);
            }
        }
    }
    *sums = sum;
}

/// The same for one token, without a tile between unpacking and multiplying.
///
/// # Safety
/// The rows have a chunk of so many blocks at `offset`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn accumulate_one<F: Quants>(
    rows: &[Rows; TILES],
    offset: usize,
    blocks: usize,
    x: &Chunk,
    sums: &mut Sums,
) {
    for (rows, sum) in rows.iter().zip(sums) {
        let mut scales = Scales { scales: [_mm512_setzero_ps(); _], minima: [_mm512_setzero_ps(); _] };
        let mut dot = Dot::<F> { x, sums: array::from_fn(|part| start::<F>(x, part)), format: PhantomData };
        // SAFETY: as the caller says.
        unsafe { F::unpack(rows, offset, blocks, &mut scales, &mut dot) };
        for block in 0..blocks {
            let mut product = _mm512_setzero_ps();
            for part in 0..parts::<F>() {
                product = scale::<F>(&scales, block, part, dot.sums[block * parts::<F>() + part], product);
            }
            *sum = add::<F>(&scales, block, x, product, *sum);
        }
    }
}

/// Integer sums in every block of 32 columns, each with a scale of its own.
const fn parts<F: Quants>() -> usize {
    if F::HALVES { 2 } else { 1 }
}

/// Where the integer sum of all parts before and this one starts.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn start<F: Quants>(x: &Chunk, part: usize) -> __m512i {
    match (F::MINIMA, F::HALVES) {
        (true, _) => _mm512_setzero_si512(),
        (false, true) => _mm512_set1_epi32(x.half_starts[part]),
        (false, false) => _mm512_set1_epi32(x.starts[part % x.starts.len()]),
    }
}

/// The products of a block so far, with part `part` of it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn scale<F: Quants>(
    scales: &Scales,
    block: usize,
    part: usize,
    integers: __m512i,
    products: __m512,
) -> __m512 {
    let (floats, scale) = (_mm512_cvtepi32_ps(integers), scales.scales[block * parts::<F>() + part]);
    if part == 0 { _mm512_mul_ps(floats, scale) } else { _mm512_fmadd_ps(floats, scale, products) }
}

/// The sum of all blocks so far, with the products of `block`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn add<F: Quants>(scales: &Scales, block: usize, x: &Chunk, products: __m512, sum: __m512) -> __m512 {
    let sum = _mm512_fmadd_ps(products, _mm512_set1_ps(x.scales[block]), sum);
    if F::MINIMA { _mm512_fnmadd_ps(scales.minima[block], _mm512_set1_ps(x.sums[block]), sum) } else { sum }
}

/// Four quants of the activations, in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn four(x: &Chunk, step: usize) -> __m512i {
    let quants = &x.quants[4 * step..4 * step + 4];
    _mm512_set1_epi32(i32::from_le_bytes([
        quants[0] as u8,
        quants[1] as u8,
        quants[2] as u8,
        quants[3] as u8,
    ]))
}

/// Integer sums of part `part` of a chunk, for each token and tile.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn dot<F: Quants, const T: usize>(
    tiles: &[Tile; TILES],
    part: usize,
    x: [&Chunk; T],
) -> [[__m512i; TILES]; T] {
    let steps = BLOCK / 4 / parts::<F>();
    let mut sums: [[__m512i; TILES]; T] = array::from_fn(|token| [start::<F>(x[token], part); TILES]);
    for step in part * steps..(part + 1) * steps {
        let weights: [__m512i; TILES] = array::from_fn(|tile| tiles[tile].quants[step]);
        for token in 0..T {
            let quants = four(x[token], step);
            for tile in 0..TILES {
                sums[token][tile] = _mm512_dpbusd_epi32(sums[token][tile], weights[tile], quants);
            }
        }
    }
    sums
}

/// Keeps quants in a tile.
struct Store<'a>(&'a mut [__m512i; CHUNK / 4]);

impl Take for Store<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn take(&mut self, step: usize, quants: __m512i) {
        self.0[step] = quants;
    }
}

/// Multiplies quants at once, for one token.
struct Dot<'a, F> {
    x: &'a Chunk,
    /// Of every part of the chunk.
    sums: [__m512i; CHUNK / BLOCK * 2],
    format: PhantomData<F>,
}

impl<F: Quants> Take for Dot<'_, F> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn take(&mut self, step: usize, quants: __m512i) {
        let sum = &mut self.sums[step * parts::<F>() * 4 / BLOCK];
        *sum = _mm512_dpbusd_epi32(*sum, quants, four(self.x, step));
    }
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
