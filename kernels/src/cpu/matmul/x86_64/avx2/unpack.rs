//! Unpacking a chunk of 8 weight rows into 32-bit lanes, format by format.
#![expect(unsafe_code, reason = "rows of weights are read in place")]

use std::arch::x86_64::*;
use std::array;
use std::ops::Range;

use super::super::super::{BLOCK, CHUNK, Product};
use super::{LANES, TILES};

/// A quantised format.
pub(in super::super::super) trait Quants {
    /// Bytes of 256 columns.
    const BYTES: usize;
    /// Whether the scales are of 16 columns, not 32.
    const HALVES: bool;
    /// Whether there are minima.
    const MINIMA: bool;
    /// What was added to the quants to make them unsigned: a power of two, or 0 if they are unsigned without that or keep their sign.
    const OFFSET: i32;
    /// No quant is larger, nor its negative.
    const LARGEST: i32;
    /// Whether quants keep their sign.
    const SIGNED: bool = !Self::MINIMA && Self::OFFSET == 0;

    /// Unpack the first `blocks` blocks of 32 columns of the chunk at byte `offset` of the rows; all 8 where a block of the
    /// format is longer. Quants go to `take`, the rest to `scales`.
    ///
    /// # Safety
    /// The machine has AVX2, FMA and F16C, and the rows have these blocks.
    unsafe fn unpack(rows: &Rows, offset: usize, blocks: usize, scales: &mut Scales, take: &mut impl Take);
}

/// Scales of 8 rows: `weight = scale * (quant - OFFSET) - minimum`.
pub(in super::super::super) struct Scales {
    /// (columns / 16 or 32, rows)
    pub(super) scales: [__m256; CHUNK / BLOCK * 2],
    /// (columns / 32, rows)
    pub(super) minima: [__m256; CHUNK / BLOCK],
}

/// What becomes of unpacked quants.
pub(in super::super::super) trait Take {
    /// Columns `16 * unit..16 * unit + 16` of 8 rows, a row in every lane: four columns in each vector. Units come in any
    /// order, but each once.
    ///
    /// # Safety
    /// The machine has AVX2.
    unsafe fn take(&mut self, unit: usize, quants: [__m256i; 4]);
}

/// 8 rows of a weight, one after the other, some of which are computed for nothing.
pub(in super::super::super) struct Rows {
    /// Number of the first row, and where it starts.
    pub(super) first: usize,
    start: *const u8,
    /// Bytes from row to row; 0 if all are the first one.
    stride: usize,
    /// Those that are wanted.
    pub(super) wanted: Range<usize>,
    /// From a row to the one that loads of this one bring near.
    ahead: usize,
}

impl Rows {
    /// Take up to 8 rows off the front of `rest`. Near the end of the matrix the 8 begin earlier, and a matrix of less than 8 rows is
    /// taken row by row.
    pub(super) fn next(product: &Product<'_>, rest: &mut Range<usize>) -> Self {
        let total = product.weight.len() / product.row_bytes;
        let (first, stride, most) = match total.checked_sub(LANES) {
            Some(last) => (rest.start.min(last), product.row_bytes, LANES),
            None => (rest.start.min(total - 1), 0, 1),
        };
        let skipped = rest.start - first;
        let count = rest.len().min(most);
        rest.start += count;
        let start = product.weight.as_ptr().wrapping_add(first * product.row_bytes);
        let ahead = TILES * LANES * product.row_bytes;
        Self { first, start, stride, wanted: skipped..skipped + count, ahead }
    }

    /// Where a row starts. Rows are addressed from every fourth one, which x86 does without further registers.
    #[inline]
    fn row(&self, lane: usize, offset: usize) -> *const u8 {
        let four = self.start.wrapping_add(lane / 4 * 4 * self.stride);
        four.wrapping_add(offset).wrapping_add(lane % 4 * self.stride)
    }

    /// 16 bytes at `offset` of rows `lane` and `lane + 4`.
    ///
    /// # Safety
    /// The rows have these bytes.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn pair(&self, lane: usize, offset: usize) -> __m256i {
        // SAFETY: as the caller says.
        let row = |lane: usize| unsafe { _mm_loadu_si128(self.row(lane, offset).cast()) };
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(lane)), row(lane + 4))
    }

    /// 16 bytes at `offset` of every row, transposed: lane `r` of vector `i` holds bytes `4 * i..4 * i + 4` of row `r`. As many
    /// bytes of the next rows are brought near: four rows lie behind each other, so this walks through two parts of memory in
    /// their order, although the loads do not.
    ///
    /// # Safety
    /// The rows have these bytes.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load_16(&self, offset: usize) -> [__m256i; 4] {
        for four in (0..LANES).step_by(4) {
            let ahead = self.row(four, 4 * offset).wrapping_add(self.ahead);
            // Advice, which does not read.
            _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
        }
        // SAFETY: as the caller says.
        let [a, b, c, d] = array::from_fn(|lane| unsafe { self.pair(lane, offset) });
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab, cd),
            _mm256_unpackhi_epi64(ab, cd),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ]
    }

    /// The half-precision float at `offset` of every row, with 14 more bytes behind it that are not used.
    ///
    /// # Safety
    /// The rows have these 16 bytes.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load_half(&self, offset: usize) -> __m256 {
        // SAFETY: as the caller says.
        let [a, b, c, d] = array::from_fn(|lane| unsafe { self.pair(lane, offset) });
        let (ab, cd) = (_mm256_unpacklo_epi16(a, b), _mm256_unpacklo_epi16(c, d));
        let four = _mm256_unpacklo_epi32(ab, cd);
        let (low, high) = (_mm256_castsi256_si128(four), _mm256_extracti128_si256::<1>(four));
        _mm256_cvtph_ps(_mm_unpacklo_epi64(low, high))
    }

    /// The last four of 16 bytes at `offset` of every row.
    ///
    /// # Safety
    /// The rows have these bytes.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load_last(&self, offset: usize) -> __m256i {
        // SAFETY: as the caller says.
        let [a, b, c, d] = array::from_fn(|lane| unsafe { self.pair(lane, offset) });
        _mm256_unpackhi_epi64(_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d))
    }
}

/// The half-precision floats in the low halves of the lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halves(lanes: __m256i) -> __m256 {
    let low = _mm256_and_si256(lanes, _mm256_set1_epi32(0xffff));
    _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low)))
}

/// The unsigned byte `index` of each lane, times `scale`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scaled_byte(lanes: __m256i, index: usize, scale: __m256) -> __m256 {
    let byte = _mm256_and_si256(shift(lanes, -8 * index as i32), _mm256_set1_epi32(0xff));
    _mm256_mul_ps(_mm256_cvtepi32_ps(byte), scale)
}

/// Shift each lane left, or right if `bits` are negative.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn shift(lanes: __m256i, bits: i32) -> __m256i {
    if bits < 0 {
        _mm256_srlv_epi32(lanes, _mm256_set1_epi32(-bits))
    } else {
        _mm256_sllv_epi32(lanes, _mm256_set1_epi32(bits))
    }
}

/// The bits of `mask`, in every byte of each lane after shifting the lane left, or right if `bits` are negative.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn field(lanes: __m256i, bits: i32, mask: u8) -> __m256i {
    _mm256_and_si256(shift(lanes, bits), _mm256_set1_epi8(mask as i8))
}

/// Scales and minima of the eight groups of `Q4_K` and `Q5_K`, from the 16 bytes in front of a block.
///
/// # Safety
/// The rows have these bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn unpack_scales(rows: &Rows, offset: usize, to: &mut Scales) {
    // SAFETY: as the caller says.
    let [floats, low_scales, low_minima, high] = unsafe { rows.load_16(offset) };
    let (scale, minimum) = (halves(floats), halves(_mm256_srli_epi32::<16>(floats)));
    let scales = [field(low_scales, 0, 63), _mm256_or_si256(field(high, 0, 15), field(low_scales, -2, 0x30))];
    let minima =
        [field(low_minima, 0, 63), _mm256_or_si256(field(high, -4, 15), field(low_minima, -2, 0x30))];
    for group in 0..8 {
        to.scales[group] = scaled_byte(scales[group / 4], group % 4, scale);
        to.minima[group] = scaled_byte(minima[group / 4], group % 4, minimum);
    }
}

pub(in super::super::super) struct Q4_0;

impl Quants for Q4_0 {
    const BYTES: usize = 8 * 18;
    const HALVES: bool = false;
    const MINIMA: bool = false;
    const OFFSET: i32 = 8;
    const LARGEST: i32 = 15;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(rows: &Rows, offset: usize, blocks: usize, scales: &mut Scales, take: &mut impl Take) {
        for block in 0..blocks {
            let offset = offset + block * 18;
            // SAFETY: as the caller says.
            unsafe {
                scales.scales[block] = rows.load_half(offset);
                let packed = rows.load_16(offset + 2);
                take.take(2 * block, packed.map(|packed| field(packed, 0, 15)));
                take.take(2 * block + 1, packed.map(|packed| field(packed, -4, 15)));
            }
        }
    }
}

pub(in super::super::super) struct Q8_0;

impl Quants for Q8_0 {
    const BYTES: usize = 8 * 34;
    const HALVES: bool = false;
    const MINIMA: bool = false;
    const OFFSET: i32 = 0;
    const LARGEST: i32 = 128;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(rows: &Rows, offset: usize, blocks: usize, scales: &mut Scales, take: &mut impl Take) {
        for block in 0..blocks {
            let offset = offset + block * 34;
            // SAFETY: as the caller says.
            unsafe {
                scales.scales[block] = rows.load_half(offset);
                take.take(2 * block, rows.load_16(offset + 2));
                take.take(2 * block + 1, rows.load_16(offset + 18));
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
    const OFFSET: i32 = 0;
    const LARGEST: i32 = 15;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales, take: &mut impl Take) {
        // SAFETY: as the caller says.
        unsafe { unpack_scales(rows, offset, scales) };
        for (index, unit) in [0, 1, 4, 5, 8, 9, 12, 13].into_iter().enumerate() {
            // SAFETY: as the caller says.
            unsafe {
                let packed = rows.load_16(offset + 16 + 16 * index);
                take.take(unit, packed.map(|packed| field(packed, 0, 15)));
                take.take(unit + 2, packed.map(|packed| field(packed, -4, 15)));
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
    const OFFSET: i32 = 0;
    const LARGEST: i32 = 31;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales, take: &mut impl Take) {
        // SAFETY: as the caller says.
        unsafe { unpack_scales(rows, offset, scales) };
        for half in 0..2 {
            // SAFETY: as the caller says.
            let high = unsafe { rows.load_16(offset + 16 + 16 * half) };
            for group in (0..8).step_by(2) {
                // SAFETY: as the caller says.
                let low = unsafe { rows.load_16(offset + 48 + 16 * group + 16 * half) };
                let quants = |odd: usize| {
                    let fifth = 4 - (group + odd) as i32;
                    array::from_fn(|i| {
                        _mm256_or_si256(field(low[i], -4 * odd as i32, 15), field(high[i], fifth, 0x10))
                    })
                };
                // SAFETY: as the caller says.
                unsafe {
                    take.take(2 * group + half, quants(0));
                    take.take(2 * group + 2 + half, quants(1));
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
    const OFFSET: i32 = 32;
    const LARGEST: i32 = 63;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales, take: &mut impl Take) {
        // SAFETY: as the caller says; the scale of the block is its last two bytes, read with 14 before it.
        let (last, packed) = unsafe { (rows.load_last(offset + 194), rows.load_16(offset + 192)) };
        let scale = halves(_mm256_srli_epi32::<16>(last));
        for unit in 0..16 {
            let byte = _mm256_srai_epi32::<24>(shift(packed[unit / 4], 24 - 8 * (unit as i32 % 4)));
            scales.scales[unit] = _mm256_mul_ps(_mm256_cvtepi32_ps(byte), scale);
        }
        for part in 0..4 {
            // Of two parts of 128 columns, 16 of every 32.
            let (part, half) = (part / 2, part % 2);
            // SAFETY: as the caller says.
            let (low, high) = unsafe {
                let low = offset + 64 * part + 16 * half;
                let high = rows.load_16(offset + 128 + 32 * part + 16 * half);
                ([rows.load_16(low), rows.load_16(low + 32)], high)
            };
            for group in 0..4 {
                let down = if group < 2 { 0 } else { -4 };
                let quants = array::from_fn(|i| {
                    let high = field(high[i], 4 - 2 * group as i32, 0x30);
                    _mm256_or_si256(field(low[group % 2][i], down, 15), high)
                });
                // SAFETY: as the caller says.
                unsafe { take.take(8 * part + 2 * group + half, quants) };
            }
        }
    }
}
