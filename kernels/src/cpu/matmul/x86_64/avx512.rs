//! AVX-512 with VNNI.
#![expect(unsafe_code, reason = "vector instructions and their loads and stores")]

use std::arch::asm;
use std::arch::x86_64::*;

use super::super::activations::Chunk;
use super::super::tiles::entries::{compiled, entries};
use super::super::tiles::rows::Rows;
use super::super::tiles::vector::{Floats, Vector};
use super::avx2::{AVX512_VNNI, Avx2, Eight};

compiled!(Avx512, Avx2<AVX512_VNNI>, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");
entries!(Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");

/// Sixteen lanes.
#[derive(Clone, Copy)]
pub(super) struct Avx512(pub(super) __m512i);

/// Sixteen f32.
#[derive(Clone, Copy)]
pub(super) struct Sixteen(__m512);

// SAFETY of all below: the instructions are enabled where these are inlined, and rows have the bytes that are loaded, as the trait asks.
impl Vector for Avx512 {
    type Floats = Sixteen;
    type Loaded = [[Self; 4]; 2];
    /// Two in every lane, in 16 bits each.
    type Minima = [Self; 4];
    type Broadcast = Self;

    const LANES: usize = 16;
    const PARTS: usize = 2;
    const STEPS: usize = 1;
    /// With two tiles, 12 sums and 12 partial ones in 32 registers.
    const TOKENS: usize = 6;
    const TOKENS_OF_HALVES: usize = 4;
    const FLOAT_STREAMS: usize = 8;
    /// With the tokens, 24 sums in 32 registers.
    const FLOAT_ROWS: usize = 4;
    const FLOAT_TOKENS: usize = 6;
    /// Servers with these instructions have L2 caches of at least 1 MiB.
    const FLOATS_NEAR: usize = 768 << 10;

    const WHOLE_BYTES: bool = true;
    const LARGEST_PAIR: i32 = i32::MAX;

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_set1_epi32(value) })
    }
    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_or_si512(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn and(self, mask: u8) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_and_si512(self.0, _mm512_set1_epi8(mask as i8)) })
    }
    #[inline(always)]
    unsafe fn flip(self, mask: u8) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_xor_si512(self.0, _mm512_set1_epi8(mask as i8)) })
    }
    #[inline(always)]
    unsafe fn shift(self, bits: i32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            if bits < 0 {
                _mm512_srlv_epi32(self.0, _mm512_set1_epi32(-bits))
            } else {
                _mm512_sllv_epi32(self.0, _mm512_set1_epi32(bits))
            }
        })
    }
    /// A rotation, whose direction may be known late.
    #[inline(always)]
    unsafe fn field(self, shift: i32, mask: u8) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(_mm512_rolv_epi32(self.0, _mm512_set1_epi32(shift))).and(mask) }
    }
    #[inline(always)]
    unsafe fn to_floats(self) -> Sixteen {
        // SAFETY: see above the impl.
        Sixteen(unsafe { _mm512_cvtepi32_ps(self.0) })
    }
    #[inline(always)]
    unsafe fn halves(self) -> Sixteen {
        // SAFETY: see above the impl.
        Sixteen(unsafe { _mm512_cvtph_ps(_mm512_cvtepi32_epi16(self.0)) })
    }
    #[inline(always)]
    unsafe fn minima(bytes: [Self; 2]) -> [Self; 4] {
        let [low, high] = bytes.map(|bytes| bytes.0);
        // SAFETY: see above the impl. The second bytes of halves are none.
        unsafe {
            let lanes = _mm512_set4_epi32(0xc_000c, 0x8_0008, 0x4_0004, 0);
            let first = _mm512_add_epi32(lanes, _mm512_set1_epi32(0x8001_8000_u32 as i32));
            let second = _mm512_add_epi32(lanes, _mm512_set1_epi32(0x8003_8002_u32 as i32));
            [
                Self(_mm512_shuffle_epi8(low, first)),
                Self(_mm512_shuffle_epi8(low, second)),
                Self(_mm512_shuffle_epi8(high, first)),
                Self(_mm512_shuffle_epi8(high, second)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn dot_minima(minima: &[Self; 4], x: &Chunk) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let mut sum = Self::splat(0);
            for (minima, x) in minima.iter().zip(x.sums.as_chunks().0) {
                sum = Self(_mm512_dpwssd_epi32(sum.0, minima.0, Self::splat_pair(*x).0));
            }
            sum
        }
    }

    /// In the low half of the lane.
    #[inline(always)]
    unsafe fn scale_byte(self, index: usize, signed: bool) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let top = _mm512_sllv_epi32(self.0, _mm512_set1_epi32(24 - 8 * index as i32));
            let lanes = if signed { _mm512_srai_epi32::<24>(top) } else { _mm512_srli_epi32::<24>(top) };
            _mm512_and_si512(lanes, _mm512_set1_epi32(0xffff))
        })
    }

    #[inline(always)]
    unsafe fn load_16(rows: &Rows, offset: usize) -> [Self; 4] {
        // SAFETY: see above the impl.
        unsafe {
            let mut fours = [_mm512_setzero_si512(); 4];
            for lane in 0..4 {
                let row = |four: usize| rows.row(lane + four, offset).cast::<__m128i>();
                let four = _mm512_castsi128_si512(_mm_loadu_si128(row(0)));
                let four = _mm512_inserti32x4::<1>(four, _mm_loadu_si128(row(4)));
                let four = _mm512_inserti32x4::<2>(four, _mm_loadu_si128(row(8)));
                fours[lane] = _mm512_inserti32x4::<3>(four, _mm_loadu_si128(row(12)));
            }
            let [a, b, c, d] = transpose(fours);
            [Self(a), Self(b), Self(c), Self(d)]
        }
    }
    /// 32 bytes of a row at a time take four instructions for a vector, 16 take five.
    #[inline(always)]
    unsafe fn load(rows: &Rows, offset: usize) -> Self::Loaded {
        // SAFETY: see above the impl.
        unsafe {
            let mut pairs = [[_mm512_setzero_si512(); 4]; 2];
            for lane in 0..4 {
                for eight in 0..2 {
                    let row = |four: usize| rows.row(8 * eight + lane + four, offset).cast::<__m256i>();
                    let pair = _mm512_castsi256_si512(_mm256_loadu_si256(row(0)));
                    pairs[eight][lane] = _mm512_inserti64x4::<1>(pair, _mm256_loadu_si256(row(4)));
                }
            }
            let [low, high] = [transpose(pairs[0]), transpose(pairs[1])];
            let mut parts = [[Self(low[0]); 4]; 2];
            for i in 0..4 {
                parts[0][i] = Self(_mm512_shuffle_i32x4::<0b10_00_10_00>(low[i], high[i]));
                parts[1][i] = Self(_mm512_shuffle_i32x4::<0b11_01_11_01>(low[i], high[i]));
            }
            parts
        }
    }
    /// Faster than a gather.
    #[inline(always)]
    unsafe fn load_halves(rows: &Rows, offset: usize) -> Sixteen {
        // SAFETY: see above the impl.
        unsafe {
            let half = |lane: usize| i32::from(rows.row(lane, offset).cast::<i16>().read_unaligned());
            let mut eights = [_mm_setzero_si128(); 2];
            for eight in 0..2 {
                let half = |lane: usize| half(8 * eight + lane);
                let halves = _mm_insert_epi16::<0>(eights[eight], half(0));
                let halves = _mm_insert_epi16::<1>(halves, half(1));
                let halves = _mm_insert_epi16::<2>(halves, half(2));
                let halves = _mm_insert_epi16::<3>(halves, half(3));
                let halves = _mm_insert_epi16::<4>(halves, half(4));
                let halves = _mm_insert_epi16::<5>(halves, half(5));
                let halves = _mm_insert_epi16::<6>(halves, half(6));
                eights[eight] = _mm_insert_epi16::<7>(halves, half(7));
            }
            Sixteen(_mm512_cvtph_ps(_mm256_set_m128i(eights[1], eights[0])))
        }
    }
    #[inline(always)]
    unsafe fn prefetch(line: *const u8) {
        // SAFETY: advice, which does not read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }

    #[inline(always)]
    unsafe fn broadcast(quants: *const i8) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self::splat(quants.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn multiply<const SIGNED: bool, const STEP: usize>(partial: Self, weights: Self, x: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_dpbusd_epi32(partial.0, weights.0, x.0) })
    }
    #[inline(always)]
    unsafe fn end<const SIGNED: bool>(sum: Self, partial: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_add_epi32(sum.0, partial.0) })
    }
    #[inline(always)]
    unsafe fn add_scaled(sum: Self, partial: Self, scale: Self, multiplier: [i16; 2]) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let factor = _mm512_madd_epi16(scale.0, Self::splat_pair(multiplier).0);
            _mm512_add_epi32(sum.0, _mm512_mullo_epi32(partial.0, factor))
        })
    }
}

/// Within every 128 bits: lane `r` of vector `i` is lane `i` of vector `r`.
///
/// # Safety
/// AVX-512F is enabled.
#[inline(always)]
unsafe fn transpose([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: as the caller says.
    unsafe {
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

// SAFETY of all below: the instructions are enabled where these are inlined, and pointers have room for sixteen, as the trait asks.
impl Floats for Sixteen {
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_f16(from: *const u16) -> Self {
        let mut floats: __m512;
        // SAFETY: see above the impl. The compiler would load first, and then convert with an instruction more.
        unsafe {
            asm!(
                "vcvtph2ps {}, ymmword ptr [{}]", out(zmm_reg) floats, in(reg) from,
                options(pure, readonly, nostack, preserves_flags)
            )
        };
        Self(floats)
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        })
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn now(mut self) -> Self {
        // SAFETY: there are no instructions; as they might write memory, later loads stay behind them.
        unsafe { asm!("/* {0} */", inout(zmm_reg) self.0, options(nostack, preserves_flags)) };
        self
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, minuend: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_fnmadd_ps(self.0, factor.0, minuend.0) })
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above the impl.
        unsafe { Eight(_mm512_castps512_ps256(self.0)).add(Eight(_mm512_extractf32x8_ps::<1>(self.0))).sum() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above the impl.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
}
