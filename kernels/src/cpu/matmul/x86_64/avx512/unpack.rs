//! Unpacking a chunk of 16 weight rows into a tile, format by format.
#![expect(unsafe_code, reason = "rows of weights are read in place")]

use std::arch::x86_64::*;
use std::array;
use std::ops::Range;

use super::super::super::{CHUNK, Product};
use super::{LANES, Tile, lanes_below};

/// A quantised format.
pub(in super::super::super) trait Quants {
    /// Bytes of 256 columns.
    const BYTES: usize;
    /// Whether the scales are of 16 columns, not 32.
    const HALVES: bool;
    /// Whether there are minima. If not, quants are stored as `quant + 128`.
    const MINIMA: bool;

    /// Unpack the first `blocks` blocks of 32 columns of the chunk at byte `offset` of the rows; all 8 where a block of the
    /// format is longer.
    ///
    /// # Safety
    /// The machine has AVX-512, and the rows have these blocks.
    unsafe fn unpack(rows: &Rows, offset: usize, blocks: usize, to: &mut Tile);
}

/// 16 rows of a weight, one after the other, some of which are computed for nothing.
pub(in super::super::super) struct Rows {
    /// Number of the first row, and where it starts.
    pub(super) first: usize,
    start: *const u8,
    /// Bytes from row to row; 0 if all are the first one.
    stride: usize,
    /// Those that are wanted.
    pub(super) mask: __mmask16,
    /// From a row to the one that loads of this one bring near.
    ahead: usize,
}

impl Rows {
    /// Take up to 16 rows off the front of `rest`. Near the end of the matrix the 16 begin earlier, and a matrix of less than 16
    /// rows is taken row by row.
    pub(super) fn next(product: &Product<'_>, rest: &mut Range<usize>) -> Self {
        let total = product.weight.len() / product.row_bytes;
        let (first, stride, most) = match total.checked_sub(LANES) {
            Some(last) => (rest.start.min(last), product.row_bytes, LANES),
            None => (rest.start.min(total - 1), 0, 1),
        };
        let wanted = rest.len().min(most);
        let mask = lanes_below(wanted) << (rest.start - first).min(LANES - 1);
        rest.start += wanted;
        let start = product.weight.as_ptr().wrapping_add(first * product.row_bytes);
        Self { first, start, stride, mask, ahead: super::TILES * LANES * product.row_bytes }
    }

    /// 16 bytes at `offset` of every row, transposed: lane `r` of vector `i` holds bytes `4 * i..4 * i + 4` of row `r`.
    ///
    /// # Safety
    /// The rows have these bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn load(&self, offset: usize) -> [__m512i; 4] {
        let ahead = self.start.wrapping_add(self.ahead + offset * LANES);
        for line in 0..4 {
            _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(64 * line).cast());
        }
        let row = |lane: usize| {
            let four = self.start.wrapping_add(lane / 4 * 4 * self.stride);
            let bytes = four.wrapping_add(offset).wrapping_add(lane % 4 * self.stride);
            // SAFETY: as the caller says.
            unsafe { _mm_loadu_si128(bytes.cast()) }
        };
        let every_fourth = |lane: usize| {
            let rows = _mm512_castsi128_si512(row(lane));
            let rows = _mm512_inserti32x4::<1>(rows, row(lane + 4));
            let rows = _mm512_inserti32x4::<2>(rows, row(lane + 8));
            _mm512_inserti32x4::<3>(rows, row(lane + 12))
        };
        let [a, b, c, d] = array::from_fn(every_fourth);
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ]
    }

    /// The four bytes at `offset` of every row.
    ///
    /// # Safety
    /// The rows have these bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn gather(&self, offset: usize) -> __m512i {
        let start = self.start.wrapping_add(offset).cast();
        let stride = _mm512_set1_epi64(self.stride as i64);
        let low = _mm512_mullox_epi64(_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), stride);
        let high = _mm512_add_epi64(low, _mm512_slli_epi64::<3>(stride));
        // SAFETY: as the caller says.
        unsafe {
            let low = _mm512_i64gather_epi32::<1>(low, start);
            let high = _mm512_i64gather_epi32::<1>(high, start);
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
        }
    }
}

/// The half-precision floats in the low halves of the lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn halves(lanes: __m512i) -> __m512 {
    _mm512_cvtph_ps(_mm512_cvtepi32_epi16(lanes))
}

/// The unsigned byte `index` of each lane, times `scale`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn scaled_byte(lanes: __m512i, index: u32, scale: __m512) -> __m512 {
    let byte = _mm512_and_si512(
        _mm512_srlv_epi32(lanes, _mm512_set1_epi32(8 * index as i32)),
        _mm512_set1_epi32(255),
    );
    _mm512_mul_ps(_mm512_cvtepi32_ps(byte), scale)
}

/// `bits | (more & mask)`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn merge(bits: __m512i, more: __m512i, mask: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xf8>(bits, more, mask)
}

/// Rotate each lane left.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn rotate(lanes: __m512i, bits: i32) -> __m512i {
    _mm512_rolv_epi32(lanes, _mm512_set1_epi32(bits & 31))
}

/// The same byte everywhere.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn bytes(byte: u8) -> __m512i {
    _mm512_set1_epi8(byte as i8)
}

/// Scales and minima of the eight groups of `Q4_K` and `Q5_K`, from the 16 bytes in front of a block.
///
/// # Safety
/// The rows have these bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn unpack_scales(rows: &Rows, offset: usize, to: &mut Tile) {
    // SAFETY: as the caller says.
    let [floats, low_scales, low_minima, high] = unsafe { rows.load(offset) };
    let (scale, minimum) = (halves(floats), halves(_mm512_srli_epi32::<16>(floats)));
    let nibbles =
        [_mm512_and_si512(high, bytes(15)), _mm512_and_si512(_mm512_srli_epi32::<4>(high), bytes(15))];
    let upper = bytes(0x30);
    let scales = [
        _mm512_and_si512(low_scales, bytes(63)),
        merge(nibbles[0], _mm512_srli_epi32::<2>(low_scales), upper),
    ];
    let minima = [
        _mm512_and_si512(low_minima, bytes(63)),
        merge(nibbles[1], _mm512_srli_epi32::<2>(low_minima), upper),
    ];
    for group in 0..8 {
        to.scales[group] = scaled_byte(scales[group / 4], group as u32 % 4, scale);
        to.minima[group] = scaled_byte(minima[group / 4], group as u32 % 4, minimum);
    }
}

pub(in super::super::super) struct Q4_0;

impl Quants for Q4_0 {
    const BYTES: usize = 8 * 18;
    const HALVES: bool = false;
    const MINIMA: bool = false;

    /// Quants are stored 16 times as large, which spares moving the upper ones.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn unpack(rows: &Rows, offset: usize, blocks: usize, to: &mut Tile) {
        for block in 0..blocks {
            let offset = offset + block * 18;
            // SAFETY: as the caller says.
            let (scale, packed) = unsafe { (rows.gather(offset), rows.load(offset + 2)) };
            to.scales[block] = _mm512_mul_ps(halves(scale), _mm512_set1_ps(1.0 / 16.0));
            let quants = &mut to.quants[block * 8..][..8];
            for (i, packed) in packed.into_iter().enumerate() {
                quants[i] = _mm512_and_si512(_mm512_slli_epi32::<4>(packed), bytes(0xf0));
                quants[i + 4] = _mm512_and_si512(packed, bytes(0xf0));
            }
        }
    }
}

pub(in super::super::super) struct Q8_0;

impl Quants for Q8_0 {
    const BYTES: usize = 8 * 34;
    const HALVES: bool = false;
    const MINIMA: bool = false;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn unpack(rows: &Rows, offset: usize, blocks: usize, to: &mut Tile) {
        for block in 0..blocks {
            let offset = offset + block * 34;
            // SAFETY: as the caller says.
            to.scales[block] = halves(unsafe { rows.gather(offset) });
            let quants = &mut to.quants[block * 8..][..8];
            for half in 0..2 {
                // SAFETY: as the caller says.
                let signed = unsafe { rows.load(offset + 2 + half * 16) };
                for (i, signed) in signed.into_iter().enumerate() {
                    quants[half * 4 + i] = _mm512_xor_si512(signed, bytes(0x80));
                }
            }
        }
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(in super::super::super) struct Q4_K;

impl Quants for Q4_K {
    const BYTES: usize = 144;
    const HALVES: bool = false;
    const MINIMA: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn unpack(rows: &Rows, offset: usize, _blocks: usize, to: &mut Tile) {
        // SAFETY: as the caller says.
        unsafe { unpack_scales(rows, offset, to) };
        for (pair, quants) in to.quants.chunks_exact_mut(16).enumerate() {
            for half in 0..2 {
                // SAFETY: as the caller says.
                let packed = unsafe { rows.load(offset + 16 + pair * 32 + half * 16) };
                for (i, packed) in packed.into_iter().enumerate() {
                    quants[half * 4 + i] = _mm512_and_si512(packed, bytes(15));
                    quants[half * 4 + i + 8] = _mm512_and_si512(_mm512_srli_epi32::<4>(packed), bytes(15));
                }
            }
        }
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(in super::super::super) struct Q5_K;

impl Quants for Q5_K {
    const BYTES: usize = 176;
    const HALVES: bool = false;
    const MINIMA: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn unpack(rows: &Rows, offset: usize, _blocks: usize, to: &mut Tile) {
        // SAFETY: as the caller says.
        let high = unsafe {
            unpack_scales(rows, offset, to);
            [rows.load(offset + 16), rows.load(offset + 32)]
        };
        for (pair, quants) in to.quants.chunks_exact_mut(16).enumerate() {
            let fifth = |half: usize, i: usize, group: usize| rotate(high[half][i], 4 - group as i32);
            for half in 0..2 {
                // SAFETY: as the caller says.
                let packed = unsafe { rows.load(offset + 48 + pair * 32 + half * 16) };
                for (i, packed) in packed.into_iter().enumerate() {
                    let nibbles = [
                        _mm512_and_si512(packed, bytes(15)),
                        _mm512_and_si512(_mm512_srli_epi32::<4>(packed), bytes(15)),
                    ];
                    for (group, nibbles) in nibbles.into_iter().enumerate() {
                        let high = fifth(half, i, 2 * pair + group);
                        quants[group * 8 + half * 4 + i] = merge(nibbles, high, bytes(0x10));
                    }
                }
            }
        }
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(in super::super::super) struct Q6_K;

impl Quants for Q6_K {
    const BYTES: usize = 210;
    const HALVES: bool = true;
    const MINIMA: bool = false;

    /// Quants are stored four times as large, so that the 32 to be subtracted becomes 128.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn unpack(rows: &Rows, offset: usize, _blocks: usize, to: &mut Tile) {
        // SAFETY: as the caller says; the scale is the last two bytes of the block, read with two before it.
        let (scale, scales) = unsafe { (rows.gather(offset + 206), rows.load(offset + 192)) };
        let scale = _mm512_mul_ps(halves(_mm512_srli_epi32::<16>(scale)), _mm512_set1_ps(0.25));
        for (group, to) in to.scales.iter_mut().enumerate() {
            let left = _mm512_sllv_epi32(scales[group / 4], _mm512_set1_epi32(24 - 8 * (group as i32 % 4)));
            *to = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(left)), scale);
        }
        for (part, quants) in to.quants.chunks_exact_mut(CHUNK / 8).enumerate() {
            for half in 0..2 {
                // SAFETY: as the caller says.
                let (low, high) = unsafe {
                    let low = offset + part * 64 + half * 16;
                    let high = offset + 128 + part * 32 + half * 16;
                    ([rows.load(low), rows.load(low + 32)], rows.load(high))
                };
                for i in 0..4 {
                    for group in 0..4 {
                        let low = rotate(low[group % 2][i], if group < 2 { 2 } else { -2 });
                        let high = rotate(high[i], 6 - 2 * group as i32);
                        quants[group * 8 + half * 4 + i] =
                            merge(_mm512_and_si512(low, bytes(0x3c)), high, bytes(0xc0));
                    }
                }
            }
        }
    }
}
