//! Vectors of 256 bits: AVX2 with FMA and F16C, and the dot products of AVX-VNNI or AVX-512 where there are those too.
#![expect(unsafe_code, reason = "vector instructions and their loads and stores")]

use std::arch::x86_64::*;

use super::super::tiles::entries::{compiled, entries};
use super::super::tiles::rows::Rows;
use super::super::tiles::vector::{Floats, Vector};

compiled!(Avx2<NONE>, Avx2<NONE>, "avx2,fma,f16c");
entries!(Avx2<NONE>, "avx2,fma,f16c");

pub(super) mod vnni {
    //! The same with AVX-VNNI.
    use super::{AVX_VNNI, Avx2, compiled, entries};

    compiled!(Avx2<AVX_VNNI>, Avx2<AVX_VNNI>, "avx2,fma,f16c,avxvnni");
    entries!(Avx2<AVX_VNNI>, "avx2,fma,f16c,avxvnni");
}

compiled!(Avx2<AVX512_VNNI>, Avx2<AVX512_VNNI>, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");

/// Which `vpdpbusd` multiplies: none, that of AVX-VNNI, or that of AVX-512.
const NONE: u8 = 0;
/// See [`NONE`].
const AVX_VNNI: u8 = 1;
/// See [`NONE`].
pub(super) const AVX512_VNNI: u8 = 2;

/// Eight lanes.
#[derive(Clone, Copy)]
pub(super) struct Avx2<const VNNI: u8>(__m256i);

/// Eight f32.
#[derive(Clone, Copy)]
pub(super) struct Eight(__m256);

// SAFETY of all below: the instructions are enabled where these are inlined, and rows have the bytes that are loaded, as the trait asks.
impl<const VNNI: u8> Vector for Avx2<VNNI> {
    type Floats = Eight;
    type Loaded = [[Self; 4]; 1];
    type Broadcast = Self;

    const LANES: usize = 8;
    const PARTS: usize = 1;
    const STEPS: usize = 1;
    const TOKENS: usize = 4;
    const TOKENS_OF_HALVES: usize = 3;
    const APART: bool = true;
    const FLOAT_STREAMS: usize = 4;
    /// With the tokens, 12 sums in 16 registers.
    const FLOAT_ROWS: usize = 3;
    const FLOAT_TOKENS: usize = 2;

    const WHOLE_BYTES: bool = VNNI != NONE;
    /// `vpmaddubsw` adds pairs of products in 16 bits, saturating. Bytes with 128 added do not fit (`2 * 255 * 127`), signed ones do
    /// (`2 * 128 * 127`): their sign moves to the activations, which are never -128.
    const LARGEST_PAIR: i32 = if VNNI != NONE { i32::MAX } else { i16::MAX as i32 };
    const FACTORS: bool = VNNI == NONE;

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_set1_epi32(value) })
    }
    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_or_si256(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn and(self, mask: u8) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_and_si256(self.0, _mm256_set1_epi8(mask as i8)) })
    }
    #[inline(always)]
    unsafe fn flip(self, mask: u8) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_xor_si256(self.0, _mm256_set1_epi8(mask as i8)) })
    }
    #[inline(always)]
    unsafe fn shift(self, bits: i32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            if bits < 0 {
                _mm256_srlv_epi32(self.0, _mm256_set1_epi32(-bits))
            } else {
                _mm256_sllv_epi32(self.0, _mm256_set1_epi32(bits))
            }
        })
    }
    #[inline(always)]
    unsafe fn shift_signed(self, bits: u32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_srav_epi32(self.0, _mm256_set1_epi32(bits as i32)) })
    }
    #[inline(always)]
    unsafe fn to_floats(self) -> Eight {
        // SAFETY: see above the impl.
        Eight(unsafe { _mm256_cvtepi32_ps(self.0) })
    }
    #[inline(always)]
    unsafe fn halves(self) -> Eight {
        // SAFETY: see above the impl.
        Eight(unsafe {
            let low = _mm256_and_si256(self.0, _mm256_set1_epi32(0xffff));
            _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low)))
        })
    }
    #[inline(always)]
    unsafe fn unsigned_byte(self, index: usize) -> Eight {
        // SAFETY: see above the impl.
        unsafe {
            // Of every four bytes, the first is that byte and the others are none.
            let first = _mm256_set1_epi32(0x8080_8000_u32 as i32 + index as i32);
            let bytes = _mm256_add_epi32(_mm256_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12), first);
            Self(_mm256_shuffle_epi8(self.0, bytes)).to_floats()
        }
    }

    #[inline(always)]
    unsafe fn factor(self, index: usize) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            // In both halves of a lane, the first byte is that byte and the other is none.
            let first = _mm256_set1_epi32(0x8000_8000_u32 as i32 + 0x0001_0001 * index as i32);
            let lanes = _mm256_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12);
            let bytes = _mm256_add_epi32(first, _mm256_mullo_epi32(lanes, _mm256_set1_epi32(0x0001_0001)));
            _mm256_shuffle_epi8(self.0, bytes)
        })
    }

    #[inline(always)]
    unsafe fn load_16(rows: &Rows, offset: usize) -> [Self; 4] {
        // SAFETY: see above the impl.
        unsafe {
            let [a, b, c, d] =
                [pair(rows, 0, offset), pair(rows, 1, offset), pair(rows, 2, offset), pair(rows, 3, offset)];
            let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
            let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
            [
                Self(_mm256_unpacklo_epi64(ab, cd)),
                Self(_mm256_unpackhi_epi64(ab, cd)),
                Self(_mm256_unpacklo_epi64(ab_high, cd_high)),
                Self(_mm256_unpackhi_epi64(ab_high, cd_high)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn load(rows: &Rows, offset: usize) -> Self::Loaded {
        // SAFETY: see above the impl.
        [unsafe { Self::load_16(rows, offset) }]
    }
    #[inline(always)]
    unsafe fn load_halves(rows: &Rows, offset: usize) -> Eight {
        // SAFETY: see above the impl.
        unsafe {
            let half = |lane: usize| i32::from(rows.row(lane, offset).cast::<i16>().read_unaligned());
            let low = _mm_insert_epi16::<0>(_mm_setzero_si128(), half(0));
            let low = _mm_insert_epi16::<1>(low, half(1));
            let low = _mm_insert_epi16::<2>(low, half(2));
            let low = _mm_insert_epi16::<3>(low, half(3));
            let high = _mm_insert_epi16::<0>(_mm_setzero_si128(), half(4));
            let high = _mm_insert_epi16::<1>(high, half(5));
            let high = _mm_insert_epi16::<2>(high, half(6));
            let high = _mm_insert_epi16::<3>(high, half(7));
            Eight(_mm256_cvtph_ps(_mm_unpacklo_epi64(low, high)))
        }
    }
    #[inline(always)]
    unsafe fn prefetch(line: *const u8) {
        // SAFETY: advice, which does not read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }

    #[inline(always)]
    unsafe fn begin(sum: Self) -> Self {
        // SAFETY: see above the impl.
        if VNNI != NONE { sum } else { unsafe { Self::splat(0) } }
    }
    #[inline(always)]
    unsafe fn broadcast(quants: *const i8) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self::splat(quants.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn multiply<const SIGNED: bool, const STEP: usize>(partial: Self, weights: Self, x: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            match VNNI {
                AVX_VNNI => return Self(_mm256_dpbusd_avx_epi32(partial.0, weights.0, x.0)),
                AVX512_VNNI => return Self(_mm256_dpbusd_epi32(partial.0, weights.0, x.0)),
                _ => {}
            }
            let pairs = if SIGNED {
                _mm256_maddubs_epi16(_mm256_abs_epi8(weights.0), _mm256_sign_epi8(x.0, weights.0))
            } else {
                _mm256_maddubs_epi16(weights.0, x.0)
            };
            _mm256_add_epi16(partial.0, pairs)
        })
    }
    #[inline(always)]
    unsafe fn end(sum: Self, partial: Self, factor: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            if VNNI != NONE {
                return partial;
            }
            _mm256_add_epi32(sum.0, _mm256_madd_epi16(partial.0, factor.0))
        })
    }
}

/// 16 bytes at `offset` of rows `lane` and `lane + 4`.
///
/// # Safety
/// The rows have these bytes, and AVX2 is enabled.
#[inline(always)]
unsafe fn pair(rows: &Rows, lane: usize, offset: usize) -> __m256i {
    // SAFETY: as the caller says.
    unsafe {
        let [low, high] =
            [rows.row(lane, offset), rows.row(lane + 4, offset)].map(|row| row.cast::<__m128i>());
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(_mm_loadu_si128(low)), _mm_loadu_si128(high))
    }
}

// SAFETY of all below: the instructions are enabled where these are inlined, and pointers have room for eight, as the trait asks.
impl Floats for Eight {
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) })
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
        })
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, minuend: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_fnmadd_ps(self.0, factor.0, minuend.0) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above the impl.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
}
