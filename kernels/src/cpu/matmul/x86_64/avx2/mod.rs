//! AVX2 with FMA and F16C, and AVX-VNNI where there is that too.
//!
//! Quantised weights go through tiles of 8 rows: a chunk of 256 columns is unpacked and transposed into the L1 cache, with four
//! consecutive columns of one row in each 32-bit lane, and then multiplied with all tokens. Decode is the same with one token,
//! without the tile between.
//!
//! `vpmaddubsw` multiplies unsigned bytes with signed ones and adds pairs in 16 bits, saturating. So weights are unsigned and no
//! more than their bits say, and what was added to them is paid back by where the integer sum starts; then 8 (4 bits), 4
//! (5 bits) or 2 (6 bits) such products fit into 16 bits before they must be widened. Eight bits do not fit with an addend of 128
//! (`2 * 255 * 127`), but do without a sign (`2 * 128 * 127`): there the sign moves to the activations, which are never -128.
//! `vpdpbusd` sums in 32 bits, and needs none of this. Both give the same integers, so the same results.
#![expect(
    unsafe_code,
    reason = "rows of weights, activations and the output are read and written through pointers"
)]

mod floats;
mod unpack;

use std::arch::asm;
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
const LANES: usize = 8;

/// Tiles that share a load of activations.
const TILES: usize = 2;

/// Tokens that share a load of weights.
const TOKENS: usize = 4;

/// The sums of one token: (tiles, rows).
type Sums = [__m256; TILES];

/// 256 columns of 8 rows, unpacked.
struct Tile {
    /// (columns / 4, rows, 4)
    quants: [__m256i; CHUNK / 4],
    scales: Scales,
}

/// With `vpdpbusd` if `VNNI`.
///
/// # Safety
/// As [`Kernels::multiply`](super::super::Kernels::multiply), with the sizes checked, on a machine with AVX2, FMA and F16C, and
/// with AVX-VNNI if `VNNI`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in super::super) unsafe fn multiply_quants<F: Quants, const VNNI: bool>(product: &Product<'_>) {
    // SAFETY: the same contract.
    unsafe {
        if product.tokens == 1 { multiply_one::<F, VNNI>(product) } else { multiply_many::<F, VNNI>(product) }
    }
}

/// # Safety
/// As [`multiply_quants`], with one token.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_one<F: Quants, const VNNI: bool>(product: &Product<'_>) {
    let mut rest = product.rows.clone();
    while !rest.is_empty() {
        let rows: [Rows; TILES] = array::from_fn(|_| Rows::next(product, &mut rest));
        let mut sums = [_mm256_setzero_ps(); TILES];
        for index in 0..product.columns.div_ceil(CHUNK) {
            let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
            // SAFETY: nobody writes the activations meanwhile.
            let x = unsafe { &*product.activations.chunks(index, 1) };
            // SAFETY: the rows have a chunk of so many blocks there.
            unsafe { accumulate_one::<F, VNNI>(&rows, index * F::BYTES, blocks, x, &mut sums) };
        }
        // SAFETY: the caller may write the elements of `product.rows`.
        unsafe { store(product, 0, &rows, &sums) };
    }
}

/// # Safety
/// As [`multiply_quants`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_many<F: Quants, const VNNI: bool>(product: &Product<'_>) {
    // SAFETY: all bits are numbers.
    let mut tiles: [Tile; TILES] = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut sums = [const { MaybeUninit::<Sums>::uninit() }; Step::LIMIT];
    let chunks = product.columns.div_ceil(CHUNK);
    // As many tokens as stay in the L2 cache while all rows pass by.
    let most = (NEAR / (chunks * size_of::<Chunk>())).max(1).next_multiple_of(TOKENS);
    for token in (0..product.tokens).step_by(most) {
        let sums = &mut sums[..most.min(product.tokens - token)];
        let mut rest = product.rows.clone();
        while !rest.is_empty() {
            sums.fill(MaybeUninit::new([_mm256_setzero_ps(); TILES]));
            // SAFETY: just written.
            let sums = unsafe { sums.assume_init_mut() };
            let rows: [Rows; TILES] = array::from_fn(|_| Rows::next(product, &mut rest));
            for index in 0..chunks {
                let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
                for (Tile { quants, scales }, rows) in tiles.iter_mut().zip(&rows) {
                    let mut store = Store::<F, VNNI> { quants, format: PhantomData };
                    // SAFETY: the rows have a chunk of so many blocks there.
                    unsafe { F::unpack(rows, index * F::BYTES, blocks, scales, &mut store) };
                }
                let x = product.activations.chunks(index, product.tokens).wrapping_add(token);
                // Products of halves take registers too.
                let group = if F::HALVES { 3 } else { TOKENS };
                for (part, sums) in sums.chunks_mut(group).enumerate() {
                    let x = x.wrapping_add(part * group);
                    // SAFETY: from `x` on there are as many chunks as `sums`, and nobody writes them meanwhile.
                    unsafe {
                        match sums.len() {
                            1 => accumulate::<F, VNNI, 1>(&tiles, blocks, x, sums),
                            2 => accumulate::<F, VNNI, 2>(&tiles, blocks, x, sums),
                            3 => accumulate::<F, VNNI, 3>(&tiles, blocks, x, sums),
                            _ => accumulate::<F, VNNI, TOKENS>(&tiles, blocks, x, sums),
                        }
                    }
                }
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
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn store(product: &Product<'_>, token: usize, rows: &[Rows; TILES], sums: &Sums) {
    for (rows, &sums) in rows.iter().zip(sums) {
        let mut lanes = [0.0; LANES];
        // SAFETY: as long as a vector.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sums) };
        let wanted = &lanes[rows.wanted.clone()];
        let out = product.out.wrapping_add(token * product.out_stride + rows.first + rows.wanted.start);
        // SAFETY: the wanted rows only.
        unsafe { out.copy_from_nonoverlapping(wanted.as_ptr(), wanted.len()) };
    }
}

/// Add the products of the tiles' `blocks` with chunk `x[t]` to `sums[t]`, for `T` tokens.
///
/// # Safety
/// There are `T` chunks from `x` on, and nobody writes them meanwhile. The machine has AVX-VNNI if `VNNI`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn accumulate<F: Quants, const VNNI: bool, const T: usize>(
    tiles: &[Tile; TILES],
    blocks: usize,
    x: *const Chunk,
    sums: &mut [Sums],
) {
    // SAFETY: as the caller says.
    let x: [&Chunk; T] = array::from_fn(|token| unsafe { &*x.add(token) });
    let sums: &mut [Sums; T] = (&mut sums[..T]).try_into().expect("as many sums as tokens");
    for block in 0..blocks.min(CHUNK / BLOCK) {
        let mut products = [[_mm256_setzero_ps(); TILES]; T];
        for part in 0..parts::<F>() {
            // SAFETY: as the caller says.
            let integers = unsafe { dot::<F, VNNI, T>(tiles, block * parts::<F>() + part, x) };
            for token in 0..T {
                for tile in 0..TILES {
                    let (scales, product) = (&tiles[tile].scales, &mut products[token][tile]);
                    *product = scale::<F>(scales, block, part, integers[token][tile], *product);
                }
            }
        }
        for token in 0..T {
            for tile in 0..TILES {
                let sum = &mut sums[token][tile];
                *sum = add::<F>(&tiles[tile].scales, block, x[token], products[token][tile], *sum);
            }
        }
    }
}

/// The same for one token, without a tile between unpacking and multiplying.
///
/// # Safety
/// The rows have a chunk of so many blocks at `offset`. The machine has AVX-VNNI if `VNNI`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn accumulate_one<F: Quants, const VNNI: bool>(
    rows: &[Rows; TILES],
    offset: usize,
    blocks: usize,
    x: &Chunk,
    sums: &mut Sums,
) {
    for (rows, sum) in rows.iter().zip(sums) {
        let mut scales = Scales { scales: [_mm256_setzero_ps(); _], minima: [_mm256_setzero_ps(); _] };
        let sums = array::from_fn(|part| start::<F, VNNI>(x, part));
        let mut dot = Dot::<F, VNNI> { x, sums, format: PhantomData };
        // SAFETY: as the caller says.
        unsafe { F::unpack(rows, offset, blocks, &mut scales, &mut dot) };
        for block in 0..blocks.min(CHUNK / BLOCK) {
            let mut product = _mm256_setzero_ps();
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

/// Products of four columns that 16 bits can add up.
const fn run<F: Quants>() -> usize {
    // A power of two, so that runs fit into parts.
    let most = i16::MAX as i32 / (2 * 127 * F::LARGEST);
    if most < 8 { 1 << most.ilog2() } else { 8 }
}

/// Where the integer sum of part `part` starts.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn start<F: Quants, const VNNI: bool>(x: &Chunk, part: usize) -> __m256i {
    let offset = if F::SIGNED && VNNI { 128 } else { F::OFFSET };
    if offset == 0 {
        return _mm256_setzero_si256();
    }
    let start = if F::HALVES { x.half_starts[part] } else { x.starts[part % x.starts.len()] };
    _mm256_srav_epi32(_mm256_set1_epi32(start), _mm256_set1_epi32(7 - offset.ilog2() as i32))
}

/// The products of a block so far, with part `part` of it.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scale<F: Quants>(
    scales: &Scales,
    block: usize,
    part: usize,
    integers: __m256i,
    products: __m256,
) -> __m256 {
    let (floats, scale) = (_mm256_cvtepi32_ps(integers), scales.scales[block * parts::<F>() + part]);
    if part == 0 { _mm256_mul_ps(floats, scale) } else { _mm256_fmadd_ps(floats, scale, products) }
}

/// The sum of all blocks so far, with the products of `block`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add<F: Quants>(scales: &Scales, block: usize, x: &Chunk, products: __m256, sum: __m256) -> __m256 {
    let sum = _mm256_fmadd_ps(products, _mm256_set1_ps(x.scales[block]), sum);
    if F::MINIMA { _mm256_fnmadd_ps(scales.minima[block], _mm256_set1_ps(x.sums[block]), sum) } else { sum }
}

/// Four quants of the activations, in every lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn four(x: &Chunk, step: usize) -> __m256i {
    let quants = x.quants.as_chunks::<4>().0[step];
    _mm256_set1_epi32(i32::from_le_bytes(quants.map(|quant| quant as u8)))
}

/// Products of four columns in each lane, added up in pairs of 16 bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pairs<F: Quants>(weights: __m256i, x: __m256i) -> __m256i {
    if F::SIGNED {
        _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights))
    } else {
        _mm256_maddubs_epi16(weights, x)
    }
}

/// `sum` and both pairs of each lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen(sum: __m256i, pairs: __m256i) -> __m256i {
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// `sum` and the products of four columns in each lane. An instruction that functions compiled for AVX2 cannot name otherwise.
///
/// # Safety
/// The machine has AVX-VNNI.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dpbusd(mut sum: __m256i, weights: __m256i, x: __m256i) -> __m256i {
    // SAFETY: registers only, and the machine has it.
    unsafe {
        asm!(
            "{{vex}} vpdpbusd {sum}, {weights}, {x}",
            sum = inout(ymm_reg) sum,
            weights = in(ymm_reg) weights,
            x = in(ymm_reg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Integer sums of part `part` of a chunk, for each token and tile.
///
/// # Safety
/// The machine has AVX-VNNI if `VNNI`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dot<F: Quants, const VNNI: bool, const T: usize>(
    tiles: &[Tile; TILES],
    part: usize,
    x: [&Chunk; T],
) -> [[__m256i; TILES]; T] {
    let steps = BLOCK / 4 / parts::<F>();
    let mut sums: [[__m256i; TILES]; T] = array::from_fn(|token| [start::<F, VNNI>(x[token], part); TILES]);
    for first in (part * steps..(part + 1) * steps).step_by(run::<F>()) {
        let mut sixteen = [[_mm256_setzero_si256(); TILES]; T];
        for step in first..first + run::<F>() {
            let weights: [__m256i; TILES] = array::from_fn(|tile| tiles[tile].quants[step]);
            for token in 0..T {
                let quants = four(x[token], step);
                for tile in 0..TILES {
                    if VNNI {
                        // SAFETY: as the caller says.
                        sums[token][tile] = unsafe { dpbusd(sums[token][tile], weights[tile], quants) };
                    } else {
                        let sixteen = &mut sixteen[token][tile];
                        *sixteen = _mm256_add_epi16(*sixteen, pairs::<F>(weights[tile], quants));
                    }
                }
            }
        }
        if !VNNI {
            for token in 0..T {
                for tile in 0..TILES {
                    sums[token][tile] = widen(sums[token][tile], sixteen[token][tile]);
                }
            }
        }
    }
    sums
}

/// What `vpdpbusd` multiplies with.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unsigned<F: Quants>(quants: __m256i) -> __m256i {
    if F::SIGNED { _mm256_xor_si256(quants, _mm256_set1_epi8(-128)) } else { quants }
}

/// Keeps quants in a tile.
struct Store<'a, F, const VNNI: bool> {
    quants: &'a mut [__m256i; CHUNK / 4],
    format: PhantomData<F>,
}

impl<F: Quants, const VNNI: bool> Take for Store<'_, F, VNNI> {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn take(&mut self, unit: usize, quants: [__m256i; 4]) {
        let quants = if VNNI { quants.map(|quants| unsigned::<F>(quants)) } else { quants };
        self.quants[4 * unit..4 * unit + 4].copy_from_slice(&quants);
    }
}

/// Multiplies quants at once, for one token.
struct Dot<'a, F, const VNNI: bool> {
    x: &'a Chunk,
    /// Of every part of the chunk.
    sums: [__m256i; CHUNK / BLOCK * 2],
    format: PhantomData<F>,
}

impl<F: Quants, const VNNI: bool> Take for Dot<'_, F, VNNI> {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn take(&mut self, unit: usize, quants: [__m256i; 4]) {
        let sum = &mut self.sums[unit * parts::<F>() / 2];
        let x: [__m256i; 4] = array::from_fn(|i| four(self.x, 4 * unit + i));
        if VNNI {
            for i in 0..4 {
                // SAFETY: with `VNNI` the machine has AVX-VNNI.
                *sum = unsafe { dpbusd(*sum, unsigned::<F>(quants[i]), x[i]) };
            }
            return;
        }
        let run = run::<F>().min(4);
        for first in (0..4).step_by(run) {
            let mut sixteen = _mm256_setzero_si256();
            for i in first..first + run {
                sixteen = _mm256_add_epi16(sixteen, pairs::<F>(quants[i], x[i]));
            }
            *sum = widen(*sum, sixteen);
        }
    }
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
