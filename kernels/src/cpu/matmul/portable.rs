//! Matmul in plain Rust, one weight row at a time: what every instruction set can do, and where other kernels start from.
//!
//! A chunk of a row is unpacked once and used for all tokens. Sums are `a * b + c` without fma, which many targets lack.
#![expect(unsafe_code, reason = "the activations and the output are behind pointers shared by threads")]

use half::{bf16, f16};

use super::activations::{Activations, Chunk, LANES};
use super::{BLOCK, CHUNK, Preparation, Product};
use crate::step::Step;

/// 256 columns of a weight row (or fewer at its end): `weight = scale * quant - minimum`.
pub(super) struct Unpacked {
    pub(super) quants: [i8; CHUNK],
    /// Of every 16 columns; of every 32, in the first half, where [`Quants::HALVES`] is false.
    pub(super) scales: [f32; CHUNK / BLOCK * 2],
    /// Of every 32 columns; only where [`Quants::MINIMA`].
    pub(super) minima: [f32; CHUNK / BLOCK],
}

impl Unpacked {
    pub(super) const ZERO: Self =
        Self { quants: [0; CHUNK], scales: [0.0; CHUNK / BLOCK * 2], minima: [0.0; CHUNK / BLOCK] };
}

/// A quantised format.
pub(super) trait Quants {
    /// Bytes of 256 columns.
    const BYTES: usize;
    /// Whether the scales are of 16 columns, not 32.
    const HALVES: bool;
    /// Whether there are minima.
    const MINIMA: bool;

    /// Unpack 256 columns or, if blocks are shorter than that, the whole blocks in `bytes`.
    fn unpack(bytes: &[u8], to: &mut Unpacked);
}

/// # Safety
/// As [`Kernels::multiply`](super::Kernels::multiply), with the sizes checked.
pub(super) unsafe fn multiply_quants<F: Quants>(product: &Product<'_>) {
    let tokens = product.tokens;
    let mut weight = Unpacked::ZERO;
    for row in product.rows.clone() {
        let bytes = &product.weight[row * product.row_bytes..(row + 1) * product.row_bytes];
        let mut sums = [0.0; Step::LIMIT];
        for (index, bytes) in bytes.chunks(F::BYTES).enumerate() {
            F::unpack(bytes, &mut weight);
            let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
            let chunks = product.chunks(index);
            for (token, sum) in sums[..tokens].iter_mut().enumerate() {
                // SAFETY: there are `tokens` chunks, and nobody writes them meanwhile.
                let x = unsafe { &*chunks.add(token) };
                for block in 0..blocks {
                    let (mut first, mut second) = (0, 0);
                    for k in block * BLOCK..block * BLOCK + BLOCK / 2 {
                        first += i32::from(weight.quants[k]) * i32::from(x.quants[k]);
                        let k = k + BLOCK / 2;
                        second += i32::from(weight.quants[k]) * i32::from(x.quants[k]);
                    }
                    let product = if F::HALVES {
                        first as f32 * weight.scales[2 * block] + second as f32 * weight.scales[2 * block + 1]
                    } else {
                        (first + second) as f32 * weight.scales[block]
                    };
                    *sum += product * x.scales[block];
                    if F::MINIMA {
                        *sum -= weight.minima[block] * f32::from(x.sums[block]) * (2.0 * x.unit);
                    }
                }
            }
        }
        for (token, sum) in sums[..tokens].iter().enumerate() {
            // SAFETY: the caller may write this element.
            unsafe { *product.out.add(token * product.out_stride + row) = *sum };
        }
    }
}

/// A format of floats.
pub(super) trait Floats {
    /// Bytes of a float.
    const BYTES: usize;

    /// The first float in `bytes`.
    fn first(bytes: &[u8]) -> f32;
}

/// # Safety
/// As [`Kernels::multiply`](super::Kernels::multiply), with the sizes checked.
pub(super) unsafe fn multiply_floats<F: Floats>(product: &Product<'_>) {
    const TOKENS: usize = 32;
    let mut weights = [0.0; CHUNK];
    for start in (0..product.tokens).step_by(TOKENS) {
        let end = product.tokens.min(start + TOKENS);
        for row in product.rows.clone() {
            let bytes = &product.weight[row * product.row_bytes..(row + 1) * product.row_bytes];
            let mut sums = [[0.0; LANES]; TOKENS];
            for (index, bytes) in bytes.chunks(CHUNK * F::BYTES).enumerate() {
                let columns = bytes.len() / F::BYTES;
                for (weight, bytes) in weights.iter_mut().zip(bytes.chunks_exact(F::BYTES)) {
                    *weight = F::first(bytes);
                }
                weights[columns..].fill(0.0);
                for token in start..end {
                    let x = product.floats(token, index * CHUNK);
                    // SAFETY: the row has so many columns from here, rounded up to whole lanes, and nobody writes it meanwhile.
                    let x = unsafe { std::slice::from_raw_parts(x, columns.next_multiple_of(LANES)) };
                    let sums = &mut sums[token - start];
                    for (weight, x) in weights.chunks_exact(LANES).zip(x.chunks_exact(LANES)) {
                        for lane in 0..LANES {
                            sums[lane] += weight[lane] * x[lane];
                        }
                    }
                }
            }
            for token in start..end {
                let sum = sums[token - start].iter().sum();
                // SAFETY: the caller may write this element.
                unsafe { *product.out.add(token * product.out_stride + row) = sum };
            }
        }
    }
}

/// # Safety
/// As [`Kernels::prepare`](super::Kernels::prepare), with the sizes checked.
#[inline(always)]
pub(super) unsafe fn quantise(
    activations: &Activations,
    preparation: Preparation,
    row: usize,
    tokens: usize,
    x: &[f32],
) {
    for (index, x) in x.chunks(CHUNK).enumerate() {
        // SAFETY: there are `tokens` chunks; nobody else uses this one.
        let chunk = unsafe { &mut *activations.chunks(preparation, index, tokens).add(row) };
        quantise_chunk(x, preparation == Preparation::NestedQuants, chunk);
    }
}

/// Quantise up to 256 columns. A block with a number that is not finite gets a scale that is not finite either, so that
/// what is computed from it is not finite.
///
/// If scales are nested, each is the next multiple of a sixteenth of the largest one: quants are 3 to 6 % coarser than with the smallest
/// scale that would do, and sums of all blocks are sums of integers.
///
/// Written so that compilers make vector code of it: arrays of fixed sizes, and no conversion from float to integer, which must mind
/// what does not fit.
#[inline(always)]
fn quantise_chunk(x: &[f32], nested: bool, to: &mut Chunk) {
    let mut padded;
    let x = match <&[f32; CHUNK]>::try_from(x) {
        Ok(x) => x,
        Err(_) => {
            padded = [0.0; CHUNK];
            padded[..x.len()].copy_from_slice(x);
            &padded
        }
    };
    let blocks = x.as_chunks::<BLOCK>().0;
    let mut magnitudes = [0; CHUNK / BLOCK];
    for (magnitude, x) in magnitudes.iter_mut().zip(blocks) {
        // Magnitudes order as their bits do, and NaN is above all.
        let mut largest = [0; 8];
        for x in x.as_chunks::<8>().0 {
            for lane in 0..8 {
                largest[lane] = largest[lane].max(x[lane].to_bits() & 0x7fff_ffff);
            }
        }
        *magnitude = largest.into_iter().fold(0, u32::max);
    }
    let largest = f32::from_bits(magnitudes.into_iter().fold(0, u32::max));
    to.unit = largest / (127 * Chunk::MOST) as f32;
    let mut multipliers = [1.0; CHUNK / BLOCK];
    for block in 0..CHUNK / BLOCK {
        let magnitude = f32::from_bits(magnitudes[block]);
        to.scales[block] = if nested {
            // The least that reaches the magnitude; 1 if it is not a number, which `max` would not say on WebAssembly with relaxed SIMD.
            let needed = (magnitude / largest * Chunk::MOST as f32).ceil();
            multipliers[block] = if needed > 1.0 { needed.min(Chunk::MOST as f32) } else { 1.0 };
            to.unit * multipliers[block]
        } else {
            magnitude / 127.0
        };
    }
    // Of every 16 quants, those of columns k and k + 8.
    let mut folded = [[0; 8]; CHUNK / BLOCK * 2];
    for (block, x) in blocks.iter().enumerate() {
        let scale = to.scales[block];
        // Of what is too small for that, no quants are made.
        let inverse = if scale < f32::MIN_POSITIVE { 0.0 } else { 1.0 / scale };
        let mut negatives = [0; 8];
        let eights = x.as_chunks::<8>().0;
        let quants = to.quants.as_chunks_mut::<BLOCK>().0[block].as_chunks_mut::<8>().0;
        for (index, (x, quants)) in eights.iter().zip(quants).enumerate() {
            let mut integers = [0; 8];
            for lane in 0..8 {
                integers[lane] = nearest(x[lane] * inverse).clamp(-127, 127);
            }
            for lane in 0..8 {
                quants[lane] = integers[lane] as i8;
            }
            let folded = &mut folded[2 * block + index / 2];
            for lane in 0..8 {
                folded[lane] += integers[lane];
                negatives[lane] -= integers[lane].min(0);
            }
        }
        to.negatives[block] = negatives.into_iter().sum();
    }
    #[cfg(target_feature = "relaxed-simd")]
    if nested {
        crate::packed::bytes::order(&to.quants, &mut to.ordered);
    }
    // Sums of every 16 quants, negated, in two parts: the first two of every four, and the other two.
    let pairs = folded.map(|[a, b, c, d, e, f, g, h]| [-(a + b + e + f), -(c + d + g + h)]);
    for (half, &[low, high]) in pairs.iter().enumerate() {
        to.half_starts[half] = 32 * (low + high);
        to.half_pair_starts[half] = [(32 * low) as i16, (32 * high) as i16];
    }
    for block in 0..CHUNK / BLOCK {
        let [first, second] = [pairs[2 * block], pairs[2 * block + 1]];
        let [low, high] = [first[0] + second[0], first[1] + second[1]];
        to.eight_starts[block] = 8 * (low + high);
        to.eight_pair_starts[block] = [(8 * low) as i16, (8 * high) as i16];
        to.byte_starts[block] = 128 * (low + high);
        if nested {
            let multiplier = nearest(multipliers[block]);
            to.multipliers[block] = [multiplier as i16; 2];
            for (half, pair) in [first, second].into_iter().enumerate() {
                to.all_multipliers[half][block] = multiplier as i16;
                to.halves[half][block] = (pair[0] + pair[1]) as i16;
            }
            let sum = -(low + high) * multiplier / 2;
            to.sums[block] = sum as i16;
        }
    }
}

/// The nearest integer to a number below 2^22, ties to even.
#[inline(always)]
fn nearest(x: f32) -> i32 {
    /// Added to such a number, it leaves the integer in the lowest bits.
    const ROUND: f32 = 1.5 * (1 << 23) as f32;
    (x + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32
}

/// The half-precision float at the start of `bytes`.
fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

pub(super) struct F32;

impl Floats for F32 {
    const BYTES: usize = 4;

    fn first(bytes: &[u8]) -> f32 {
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

pub(super) struct F16;

impl Floats for F16 {
    const BYTES: usize = 2;

    fn first(bytes: &[u8]) -> f32 {
        half(bytes)
    }
}

pub(super) struct BF16;

impl Floats for BF16 {
    const BYTES: usize = 2;

    fn first(bytes: &[u8]) -> f32 {
        bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }
}

pub(super) struct Q4_0;

impl Quants for Q4_0 {
    const BYTES: usize = 8 * 18;
    const HALVES: bool = false;
    const MINIMA: bool = false;

    #[inline(always)]
    fn unpack(bytes: &[u8], to: &mut Unpacked) {
        for (block, bytes) in bytes.chunks_exact(18).enumerate() {
            to.scales[block] = half(bytes);
            let quants = &mut to.quants[block * BLOCK..][..BLOCK];
            for (k, byte) in bytes[2..].iter().enumerate() {
                quants[k] = (byte & 15) as i8 - 8;
                quants[k + 16] = (byte >> 4) as i8 - 8;
            }
        }
    }
}

pub(super) struct Q8_0;

impl Quants for Q8_0 {
    const BYTES: usize = 8 * 34;
    const HALVES: bool = false;
    const MINIMA: bool = false;

    #[inline(always)]
    fn unpack(bytes: &[u8], to: &mut Unpacked) {
        for (block, bytes) in bytes.chunks_exact(34).enumerate() {
            to.scales[block] = half(bytes);
            for (quant, &byte) in to.quants[block * BLOCK..].iter_mut().zip(&bytes[2..]) {
                *quant = byte as i8;
            }
        }
    }
}

/// Scales and minima of the eight groups of `Q4_K` and `Q5_K`, from the 16 bytes in front: two halves, then 6-bit numbers.
#[inline(always)]
fn unpack_scales(bytes: &[u8], to: &mut Unpacked) {
    let (scale, minimum) = (half(bytes), half(&bytes[2..]));
    let packed = &bytes[4..16];
    for group in 0..8 {
        let (scale_bits, minimum_bits) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let (low, high) = (packed[group + 4], (packed[group - 4] >> 6, packed[group] >> 6));
            (low & 15 | high.0 << 4, low >> 4 | high.1 << 4)
        };
        to.scales[group] = scale * f32::from(scale_bits);
        to.minima[group] = minimum * f32::from(minimum_bits);
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(super) struct Q4_K;

impl Quants for Q4_K {
    const BYTES: usize = 144;
    const HALVES: bool = false;
    const MINIMA: bool = true;

    #[inline(always)]
    fn unpack(bytes: &[u8], to: &mut Unpacked) {
        unpack_scales(bytes, to);
        for (bytes, quants) in bytes[16..].chunks_exact(32).zip(to.quants.chunks_exact_mut(64)) {
            for (k, byte) in bytes.iter().enumerate() {
                quants[k] = (byte & 15) as i8;
                quants[k + 32] = (byte >> 4) as i8;
            }
        }
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(super) struct Q5_K;

impl Quants for Q5_K {
    const BYTES: usize = 176;
    const HALVES: bool = false;
    const MINIMA: bool = true;

    #[inline(always)]
    fn unpack(bytes: &[u8], to: &mut Unpacked) {
        unpack_scales(bytes, to);
        // The upper bits of a pair of groups are the lowest two here, moved down from pair to pair.
        let mut high = [0; 32];
        high.copy_from_slice(&bytes[16..48]);
        for (bytes, quants) in bytes[48..].chunks_exact(32).zip(to.quants.chunks_exact_mut(64)) {
            let (even, odd) = quants.split_at_mut(32);
            for k in 0..32 {
                even[k] = (bytes[k] & 15 | (high[k] & 1) << 4) as i8;
                odd[k] = (bytes[k] >> 4 | (high[k] & 2) << 3) as i8;
                high[k] >>= 2;
            }
        }
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(super) struct Q6_K;

impl Quants for Q6_K {
    const BYTES: usize = 210;
    const HALVES: bool = true;
    const MINIMA: bool = false;

    #[inline(always)]
    fn unpack(bytes: &[u8], to: &mut Unpacked) {
        let scale = half(&bytes[208..]);
        for (to, &byte) in to.scales.iter_mut().zip(&bytes[192..208]) {
            *to = scale * f32::from(byte as i8);
        }
        for (part, quants) in to.quants.chunks_exact_mut(128).enumerate() {
            let (low, high) = (&bytes[part * 64..][..64], &bytes[128 + part * 32..][..32]);
            for k in 0..32 {
                quants[k] = (low[k] & 15 | (high[k] & 3) << 4) as i8 - 32;
                quants[k + 32] = (low[k + 32] & 15 | (high[k] >> 2 & 3) << 4) as i8 - 32;
                quants[k + 64] = (low[k] >> 4 | (high[k] >> 4 & 3) << 4) as i8 - 32;
                quants[k + 96] = (low[k + 32] >> 4 | (high[k] >> 6) << 4) as i8 - 32;
            }
        }
    }
}
