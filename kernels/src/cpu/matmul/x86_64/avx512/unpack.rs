//! Unpacking a chunk of 16 weight rows into a tile, format by format.
#![expect(unsafe_code, reason = "rows of weights are read in place")]

use std::arch::x86_64::*;
use std::array;
use std::ops::Range;

use super::super::super::{BLOCK, CHUNK, Product};
use super::{LANES, lanes_below};

/// A quantised format.
pub(in super::super::super) trait Quants {
    /// Bytes of 256 columns.
    const BYTES: usize;
    /// Whether the scales are of 16 columns, not 32.
    const HALVES: bool;
    /// Whether there are minima. If not, quants are stored as `quant + 128`.
    const MINIMA: bool;

    /// Unpack the first `blocks` blocks of 32 columns of the chunk at byte `offset` of the rows; all 8 where a block of the
    /// format is longer. Quants go to `take`, the rest to `scales`.
    ///
    /// # Safety
    /// The machine has AVX-512, and the rows have these blocks.
    unsafe fn unpack(rows: &Rows, offset: usize, blocks: usize, scales: &mut Scales, take: &mut impl Take);
}

/// Scales of 16 rows: `weight = scale * (quant - 128) - minimum`, without the 128 where there are minima.
pub(in super::super::super) struct Scales {
    /// (columns / 16 or 32, rows)
    pub(super) scales: [__m512; CHUNK / BLOCK * 2],
    /// (columns / 32, rows)
    pub(super) minima: [__m512; CHUNK / BLOCK],
}

/// What becomes of unpacked quants.
pub(in super::super::super) trait Take {
    /// Columns `4 * step..4 * step + 4` of 16 rows, a row in every lane. Steps come in any order, but each once.
    ///
    /// # Safety
    /// The machine has AVX-512.
    unsafe fn take(&mut self, step: usize, quants: __m512i);
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

    /// Where a row starts. Rows are addressed from every fourth one, which x86 does without further registers.
    #[inline]
    fn row(&self, lane: usize, offset: usize) -> *const u8 {
        let four = self.start.wrapping_add(lane / 4 * 4 * self.stride);
        four.wrapping_add(offset).wrapping_add(lane % 4 * self.stride)
    }

    /// Bring the next rows near, by as many bytes as are read of these. Four rows lie behind each other, so this walks through four
    /// parts of memory in their order, although the loads do not, and the hardware runs ahead of it.
    #[inline]
    fn prefetch(&self, offset: usize, bytes: usize) {
        for four in (0..LANES).step_by(4) {
            let ahead = self.row(four, 4 * offset).wrapping_add(self.ahead);
            for line in (0..4 * bytes).step_by(64) {
                // SAFETY: advice, which does not read.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line).cast()) };
            }
        }
    }

    /// 16 bytes at `offset` of every row, transposed: lane `r` of vector `i` holds bytes `4 * i..4 * i + 4` of row `r`.
    ///
    /// # Safety
    /// The rows have these bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn load_16(&self, offset: usize) -> [__m512i; 4] {
        self.prefetch(offset, 16);
        // SAFETY: as the caller says.
        let row = |lane: usize| unsafe { _mm_loadu_si128(self.row(lane, offset).cast()) };
        let every_fourth = |lane: usize| {
            let rows = _mm512_castsi128_si512(row(lane));
            let rows = _mm512_inserti32x4::<1>(rows, row(lane + 4));
            let rows = _mm512_inserti32x4::<2>(rows, row(lane + 8));
            _mm512_inserti32x4::<3>(rows, row(lane + 12))
        };
        transpose(array::from_fn(every_fourth))
    }

    /// 32 bytes at `offset` of every row, transposed: lane `r` of vector `i` holds bytes `4 * i..4 * i + 4` of row `r`.
    ///
    /// # Safety
    /// The rows have these bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn load_32(&self, offset: usize) -> [__m512i; 8] {
        self.prefetch(offset, 32);
        // SAFETY: as the caller says.
        let row = |lane: usize| unsafe { _mm256_loadu_si256(self.row(lane, offset).cast()) };
        let pair = |lane: usize| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(row(lane)), row(lane + 4));
        let low = transpose(array::from_fn(pair));
        let high = transpose(array::from_fn(|i| pair(i + 8)));
        array::from_fn(|i| match i / 4 {
            0 => _mm512_shuffle_i32x4::<0b10_00_10_00>(low[i], high[i]),
            _ => _mm512_shuffle_i32x4::<0b11_01_11_01>(low[i - 4], high[i - 4]),
        })
    }

    /// The four bytes at `offset` of every row. Faster than a gather.
    ///
    /// # Safety
    /// The rows have these bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn load_4(&self, offset: usize) -> __m512i {
        // SAFETY: as the caller says.
        let row = |lane: usize| unsafe { self.row(lane, offset).cast::<i32>().read_unaligned() };
        let four = |lane: usize| {
            let rows = _mm_cvtsi32_si128(row(lane));
            let rows = _mm_insert_epi32::<1>(rows, row(lane + 1));
            let rows = _mm_insert_epi32::<2>(rows, row(lane + 2));
            _mm_insert_epi32::<3>(rows, row(lane + 3))
        };
        let rows = _mm512_castsi128_si512(four(0));
        let rows = _mm512_inserti32x4::<1>(rows, four(4));
        let rows = _mm512_inserti32x4::<2>(rows, four(8));
        _mm512_inserti32x4::<3>(rows, four(12))
    }
}

/// Within every 128 bits: lane `r` of vector `i` is lane `i` of vector `r`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn transpose([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab, cd),
        _mm512_unpackhi_epi64(ab, cd),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
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
fn scaled_byte(lanes: __m512i, index: usize, scale: __m512) -> __m512 {
    // Of every four bytes, the first is that byte and the others are none.
    let bytes = _mm512_add_epi32(
        _mm512_set4_epi32(12, 8, 4, 0),
        _mm512_set1_epi32(0x8080_8000_u32 as i32 + index as i32),
    );
    _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_shuffle_epi8(lanes, bytes)), scale)
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

/// Scales and minima of the eight groups of `Q4_K` and `Q5_K`, from the 16 bytes in front of a block. Quants of odd groups
/// are taken as `odd` times as large.
///
/// # Safety
/// The rows have these bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn unpack_scales(rows: &Rows, offset: usize, odd: f32, to: &mut Scales) {
    // SAFETY: as the caller says.
    let [floats, low_scales, low_minima, high] = unsafe { rows.load_16(offset) };
    let (scale, minimum) = (halves(floats), halves(_mm512_srli_epi32::<16>(floats)));
    let scale = [scale, _mm512_mul_ps(scale, _mm512_set1_ps(1.0 / odd))];
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
        to.scales[group] = scaled_byte(scales[group / 4], group % 4, scale[group % 2]);
        to.minima[group] = scaled_byte(minima[group / 4], group % 4, minimum);
    }
}

pub(in super::super::super) struct Q4_0;

impl Quants for Q4_0 {
    const BYTES: usize = 8 * 18;
    const HALVES: bool = false;
    const MINIMA: bool = false;

    /// Quants are taken 16 times as large, which spares moving the upper ones.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn unpack(rows: &Rows, offset: usize, blocks: usize, scales: &mut Scales, take: &mut impl Take) {
        for block in 0..blocks {
            let offset = offset + block * 18;
            // SAFETY: as the caller says.
            let (scale, packed) = unsafe { (rows.load_4(offset), rows.load_16(offset + 2)) };
            scales.scales[block] = _mm512_mul_ps(halves(scale), _mm512_set1_ps(1.0 / 16.0));
            for (i, packed) in packed.into_iter().enumerate() {
                // SAFETY: as the caller says.
                unsafe {
                    take.take(block * 8 + i, _mm512_and_si512(_mm512_slli_epi32::<4>(packed), bytes(0xf0)));
                    take.take(block * 8 + i + 4, _mm512_and_si512(packed, bytes(0xf0)));
                }
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
    unsafe fn unpack(rows: &Rows, offset: usize, blocks: usize, scales: &mut Scales, take: &mut impl Take) {
        for block in 0..blocks {
            let offset = offset + block * 34;
            // SAFETY: as the caller says.
            let (scale, signed) = unsafe { (rows.load_4(offset), rows.load_32(offset + 2)) };
            scales.scales[block] = halves(scale);
            for (i, signed) in signed.into_iter().enumerate() {
                // SAFETY: as the caller says.
                unsafe { take.take(block * 8 + i, _mm512_xor_si512(signed, bytes(0x80))) };
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
    unsafe fn unpack(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales, take: &mut impl Take) {
        // SAFETY: as the caller says.
        unsafe { unpack_scales(rows, offset, 16.0, scales) };
        for pair in 0..4 {
            // SAFETY: as the caller says.
            let packed = unsafe { rows.load_32(offset + 16 + pair * 32) };
            for (i, packed) in packed.into_iter().enumerate() {
                // SAFETY: as the caller says.
                unsafe {
                    take.take(pair * 16 + i, _mm512_and_si512(packed, bytes(15)));
                    take.take(pair * 16 + 8 + i, _mm512_and_si512(packed, bytes(0xf0)));
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
    unsafe fn unpack(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales, take: &mut impl Take) {
        // SAFETY: as the caller says.
        let high = unsafe {
            unpack_scales(rows, offset, 1.0, scales);
            rows.load_32(offset + 16)
        };
        for pair in 0..4 {
            // SAFETY: as the caller says.
            let packed = unsafe { rows.load_32(offset + 48 + pair * 32) };
            for (i, packed) in packed.into_iter().enumerate() {
                for (group, nibbles) in [packed, _mm512_srli_epi32::<4>(packed)].into_iter().enumerate() {
                    let fifth = rotate(high[i], 4 - (2 * pair + group) as i32);
                    let quants = merge(_mm512_and_si512(nibbles, bytes(15)), fifth, bytes(0x10));
                    // SAFETY: as the caller says.
                    unsafe { take.take((2 * pair + group) * 8 + i, quants) };
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

    /// Quants are taken four times as large, so that the 32 to be subtracted becomes 128.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn unpack(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales, take: &mut impl Take) {
        // SAFETY: as the caller says; the scale is the last two bytes of the block, read with two before it.
        let (scale, packed) = unsafe { (rows.load_4(offset + 206), rows.load_16(offset + 192)) };
        let scale = _mm512_mul_ps(halves(_mm512_srli_epi32::<16>(scale)), _mm512_set1_ps(0.25));
        for group in 0..16 {
            let left = _mm512_sllv_epi32(packed[group / 4], _mm512_set1_epi32(24 - 8 * (group as i32 % 4)));
            scales.scales[group] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(left)), scale);
        }
        for part in 0..2 {
            // SAFETY: as the caller says.
            let (low, high) = unsafe {
                let low = offset + part * 64;
                ([rows.load_32(low), rows.load_32(low + 32)], rows.load_32(offset + 128 + part * 32))
            };
            for i in 0..8 {
                for group in 0..4 {
                    let low = rotate(low[group % 2][i], if group < 2 { 2 } else { -2 });
                    let high = rotate(high[i], 6 - 2 * group as i32);
                    let quants = merge(_mm512_and_si512(low, bytes(0x3c)), high, bytes(0xc0));
                    // SAFETY: as the caller says.
                    unsafe { take.take((part * 4 + group) * 8 + i, quants) };
                }
            }
        }
    }
}
