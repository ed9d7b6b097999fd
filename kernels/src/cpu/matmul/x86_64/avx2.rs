//! Vectors of 256 bits: AVX2 with FMA and F16C, and the dot products of AVX-VNNI or AVX-512 where there are those too.
#![expect(unsafe_code, reason = "vector instructions and their loads and stores")]

use std::arch::asm;
use std::arch::x86_64::*;

use super::super::activations::Chunk;
use super::super::tiles::columns::{Columns, Line, ROWS};
use super::super::tiles::entries::{compiled, compiled_one, entries};
use super::super::tiles::rows::Rows;
use super::super::tiles::vector::{Floats, Vector};
use super::super::{BLOCK, CHUNK};

compiled!(Avx2<NONE>, Avx2<NONE>, "avx2,fma,f16c");
compiled_one!(Avx2<NONE>, "avx2,fma,f16c");
entries!(Avx2<NONE>, "avx2,fma,f16c");

pub(super) mod vnni {
    //! The same with AVX-VNNI.
    use super::{AVX_VNNI, Avx2, compiled, compiled_one, entries};

    compiled!(Avx2<AVX_VNNI>, Avx2<AVX_VNNI>, "avx2,fma,f16c,avxvnni");
    compiled_one!(Avx2<AVX_VNNI>, "avx2,fma,f16c,avxvnni");
    entries!(Avx2<AVX_VNNI>, "avx2,fma,f16c,avxvnni");
}

compiled!(Avx2<AVX512_VNNI>, Avx2<AVX512_VNNI>, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");
compiled_one!(Avx2<AVX512_VNNI>, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");

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
pub(super) struct Eight(pub(super) __m256);

// SAFETY of all below: the instructions are enabled where these are inlined, and rows have the bytes that are loaded, as the trait asks.
impl<const VNNI: u8> Vector for Avx2<VNNI> {
    type Floats = Eight;
    type Loaded = [[Self; 4]; 1];
    /// Two in every lane, in 16 bits each.
    type Minima = [Self; 4];
    type Broadcast = Self;

    const LANES: usize = 8;
    const PARTS: usize = 1;
    const STEPS: usize = 1;
    const TOKENS: usize = 4;
    const TOKENS_OF_HALVES: usize = 3;
    const FLOAT_STREAMS: usize = 4;
    /// With the tokens, 12 sums in 16 registers.
    const FLOAT_ROWS: usize = 3;
    const FLOAT_TOKENS: usize = 4;

    const WHOLE_BYTES: bool = VNNI != NONE;
    /// `vpmaddubsw` adds pairs of products in 16 bits, saturating. Bytes with 128 added do not fit (`2 * 255 * 127`), signed ones do
    /// (`2 * 128 * 127`): their sign moves to the activations, which are never -128.
    const LARGEST_PAIR: i32 = if VNNI != NONE { i32::MAX } else { i16::MAX as i32 };

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
    unsafe fn minima(bytes: [Self; 2]) -> [Self; 4] {
        let [low, high] = bytes.map(|bytes| bytes.0);
        // SAFETY: see above the impl. The second bytes of halves are none.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 0x4_0004, 0x8_0008, 0xc_000c, 0, 0x4_0004, 0x8_0008, 0xc_000c);
            let first = _mm256_add_epi32(lanes, _mm256_set1_epi32(0x8001_8000_u32 as i32));
            let second = _mm256_add_epi32(lanes, _mm256_set1_epi32(0x8003_8002_u32 as i32));
            [
                Self(shuffle_bytes(low, first)),
                Self(shuffle_bytes(low, second)),
                Self(shuffle_bytes(high, first)),
                Self(shuffle_bytes(high, second)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn dot_minima(minima: &[Self; 4], x: &Chunk) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let mut sum = Self::splat(0);
            for (minima, x) in minima.iter().zip(x.sums.as_chunks().0) {
                sum = sum.add(Self(_mm256_madd_epi16(minima.0, Self::splat_pair(*x).0)));
            }
            sum
        }
    }
    /// In both halves of the lane, or with `vpdpbusd` in the low half only.
    #[inline(always)]
    unsafe fn scale_byte(self, index: usize, signed: bool) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let byte = _mm256_add_epi32(
                _mm256_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12),
                _mm256_set1_epi32(0x8000 + index as i32),
            );
            let bytes = if VNNI != NONE {
                _mm256_or_si256(byte, _mm256_set1_epi32(0x8080_0000_u32 as i32))
            } else {
                _mm256_or_si256(byte, _mm256_slli_epi32::<16>(byte))
            };
            if signed {
                // First in the upper byte of a half, whose lower byte was none.
                let swapped = _mm256_or_si256(_mm256_slli_epi16::<8>(bytes), _mm256_srli_epi16::<8>(bytes));
                _mm256_srai_epi16::<8>(shuffle_bytes(self.0, swapped))
            } else {
                _mm256_shuffle_epi8(self.0, bytes)
            }
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
    fn opaque<T>(mut address: *const T) -> *const T {
        // SAFETY: it is a comment.
        unsafe { asm!("/* {} */", inout(reg) address, options(pure, readonly, nostack, preserves_flags)) };
        address
    }
    #[inline(always)]
    unsafe fn end<const SIGNED: bool>(sum: Self, partial: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let partial =
                if VNNI != NONE { partial.0 } else { _mm256_madd_epi16(partial.0, _mm256_set1_epi16(1)) };
            _mm256_add_epi32(sum.0, partial)
        })
    }
    #[inline(always)]
    unsafe fn add_scaled(sum: Self, partial: Self, scale: Self, multiplier: [i16; 2]) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let product = if VNNI != NONE {
                let factor = _mm256_madd_epi16(scale.0, Self::splat_pair(multiplier).0);
                _mm256_mullo_epi32(partial.0, factor)
            } else {
                _mm256_madd_epi16(partial.0, factor(scale, multiplier).0)
            };
            _mm256_add_epi32(sum.0, product)
        })
    }
}

// SAFETY of all below: the instructions are enabled where these are inlined, as the trait asks.
impl<const VNNI: u8> Columns for Avx2<VNNI> {
    type Line = Line256<VNNI>;
    const PREFETCH_PLAIN: bool = VNNI != NONE;
    const FOUR_BY_FOUR: bool = false;

    /// Rows `r` and `r + 4` share a register.
    #[inline(always)]
    unsafe fn dot_nibbles(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let [low, high] = halves_twice(x);
            let mut sums = [Self::splat(0); 4];
            for lane in 0..4 {
                let packed = Self(pair(rows, lane, offset));
                let partial = Self::multiply::<false, 0>(Self::splat(0), packed.and(15), low);
                let partial = Self::multiply::<false, 0>(partial, packed.field(-4, 15), high);
                sums[lane] = partial;
            }
            // If of 16 bits, no more than `16 * 15 * 127`, which fits.
            Self::end::<false>(Self::splat(0), add_lanes(sums))
        }
    }
    #[inline(always)]
    unsafe fn dot_bytes(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let x = Self(_mm256_loadu_si256(x.as_ptr().cast()));
            let mut sums = [_mm256_setzero_si256(); ROWS];
            for row in 0..ROWS {
                let mut weights = Self(_mm256_loadu_si256(rows.row(row, offset).cast()));
                if VNNI != NONE {
                    weights = weights.flip(0x80);
                }
                let partial = Self::multiply::<true, 0>(Self::splat(0), weights, x);
                sums[row] = Self::end::<false>(Self::splat(0), partial).0;
            }
            Self::collect(sums)
        }
    }
    #[inline(always)]
    unsafe fn collect(sums: [__m256i; ROWS]) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let [a, b, c, d, e, f, g, h] = sums;
            let low = add_quarters(false, add_pairs(false, a, b), add_pairs(false, c, d));
            let high = add_quarters(false, add_pairs(false, e, f), add_pairs(false, g, h));
            let halves =
                [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)];
            _mm256_add_epi32(halves[0], halves[1])
        })
    }
    #[inline(always)]
    unsafe fn factors(scales: Self, x: &Chunk, four: usize) -> [Self; 4] {
        let mut factors = [scales; 4];
        for block in 0..4 {
            // SAFETY: see above the impl.
            factors[block] =
                unsafe { factor(scales.scale_byte(block, false), x.multipliers[4 * four + block]) };
        }
        factors
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }
}

/// 32 bytes of a row.
#[derive(Clone, Copy)]
pub(super) struct Line256<const VNNI: u8>(__m256i);

// SAFETY of all below: the instructions are enabled where these are inlined, and bytes and factors may be read, as the trait asks.
impl<const VNNI: u8> Line for Line256<VNNI> {
    type Sums = __m256i;
    type Factors = *const [i32; 4];
    type HalfFactors = __m256i;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }
    #[inline(always)]
    unsafe fn field(self, shift: i32, mask: u8) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(Avx2::<VNNI>(self.0).field(shift, mask).0) }
    }
    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_or_si256(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        // SAFETY: see above the impl.
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn load_factors(factors: *const [i32; 4]) -> *const [i32; 4] {
        factors
    }
    #[inline(always)]
    unsafe fn add_scaled<const ROW: usize>(
        self,
        x: Self,
        factors: *const [i32; 4],
        sums: __m256i,
    ) -> __m256i {
        // SAFETY: see above the impl.
        unsafe { in_order(add_products::<VNNI>(self.0, x.0, _mm256_set1_epi32((*factors)[ROW]), sums)) }
    }

    #[inline(always)]
    unsafe fn half_factors(scales: *const u8, multipliers: &[[i16; CHUNK / BLOCK]; 2]) -> __m256i {
        // SAFETY: see above the impl.
        unsafe {
            let order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
            let scales = _mm_shuffle_epi8(_mm_loadu_si128(scales.cast()), order);
            let multipliers = _mm256_loadu_si256(multipliers.as_ptr().cast());
            _mm256_mullo_epi16(_mm256_cvtepi8_epi16(scales), multipliers)
        }
    }
    #[inline(always)]
    unsafe fn dot_factors(factors: __m256i, x: &[[i16; CHUNK / BLOCK]; 2]) -> __m256i {
        // SAFETY: see above the impl.
        unsafe { _mm256_madd_epi16(factors, _mm256_loadu_si256(x.as_ptr().cast())) }
    }
    #[inline(always)]
    unsafe fn shift_sums(sums: __m256i, bits: u32) -> __m256i {
        // SAFETY: see above the impl.
        unsafe { _mm256_sll_epi32(sums, _mm_cvtsi32_si128(bits as i32)) }
    }
    #[inline(always)]
    unsafe fn add_halves_scaled<const B: usize>(self, x: Self, factors: __m256i, sums: __m256i) -> __m256i {
        // SAFETY: see above the impl.
        unsafe { at_once(add_products::<VNNI>(self.0, x.0, spread::<B>(factors), sums)) }
    }
}

/// `scale` times `multiplier`, which comes twice, in both halves of the lanes.
///
/// # Safety
/// AVX2 is enabled.
#[inline(always)]
unsafe fn factor<const VNNI: u8>(scale: Avx2<VNNI>, multiplier: [i16; 2]) -> Avx2<VNNI> {
    // SAFETY: as the caller says.
    Avx2(unsafe {
        let factors = _mm256_mullo_epi16(scale.0, Avx2::<VNNI>::splat_pair(multiplier).0);
        if VNNI == NONE {
            return Avx2(factors);
        }
        _mm256_or_si256(factors, _mm256_slli_epi32::<16>(factors))
    })
}

/// The first 16 activations in both halves of a vector, and the others.
///
/// # Safety
/// AVX2 is enabled.
#[inline(always)]
unsafe fn halves_twice<const VNNI: u8>(x: &[i8; BLOCK]) -> [Avx2<VNNI>; 2] {
    let twice = |half: usize| {
        let bytes = x[half * 16..half * 16 + 16].as_ptr();
        // SAFETY: as the caller says; there are 16.
        Avx2(unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.cast())) })
    };
    [twice(0), twice(1)]
}

/// The sums of the lanes of both halves of vector `r`, in lanes `r` and `r + 4`: partial sums, as those of the lanes.
///
/// # Safety
/// AVX2 is enabled.
#[inline(always)]
unsafe fn add_lanes<const VNNI: u8>([a, b, c, d]: [Avx2<VNNI>; 4]) -> Avx2<VNNI> {
    let narrow = VNNI == NONE;
    // SAFETY: as the caller says.
    Avx2(unsafe { add_quarters(narrow, add_pairs(narrow, a.0, b.0), add_pairs(narrow, c.0, d.0)) })
}

/// Sums of lanes, as two integers of 16 bits each if `narrow`.
///
/// # Safety
/// AVX2 is enabled.
#[inline(always)]
unsafe fn add(narrow: bool, a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: as the caller says.
    unsafe { if narrow { _mm256_add_epi16(a, b) } else { _mm256_add_epi32(a, b) } }
}

/// Sums of pairs of lanes, of `a` and `b` in turns.
///
/// # Safety
/// AVX2 is enabled.
#[inline(always)]
unsafe fn add_pairs(narrow: bool, a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: as the caller says.
    unsafe { add(narrow, _mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)) }
}

/// What remains to add in both halves of the vectors when the lanes of `ab` and `cd` belong to two each, in turns.
///
/// # Safety
/// AVX2 is enabled.
#[inline(always)]
unsafe fn add_quarters(narrow: bool, ab: __m256i, cd: __m256i) -> __m256i {
    // SAFETY: as the caller says.
    unsafe { add(narrow, _mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd)) }
}

/// The bytes of each half of `a` that `bytes` number, or none where the number is negative.
///
/// # Safety
/// AVX2 is enabled.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn shuffle_bytes(a: __m256i, bytes: __m256i) -> __m256i {
    let shuffled;
    // Of the intrinsic and a shift the compiler makes four instructions.
    // SAFETY: as the caller says.
    unsafe {
        asm!(
            "vpshufb {shuffled}, {a}, {bytes}",
            shuffled = lateout(ymm_reg) shuffled,
            a = in(ymm_reg) a,
            bytes = in(ymm_reg) bytes,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    shuffled
}

/// `sums`, added up by now. Integers may be added in any order, and the compiler would add up the products of a row at the end; those of
/// eight rows are more than there are registers. What comes first in the program is added up first.
///
/// # Safety
/// AVX2 is enabled.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn in_order(mut sums: __m256i) -> __m256i {
    // SAFETY: there are no instructions.
    unsafe { asm!("/* {0} */", inout(ymm_reg) sums, options(nomem, nostack, preserves_flags)) };
    sums
}

/// The same, for products of one row after the other: here the compiler orders them better than the program does.
///
/// # Safety
/// AVX2 is enabled.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn at_once(mut sums: __m256i) -> __m256i {
    // SAFETY: there are no instructions.
    unsafe { asm!("/* {0} */", inout(ymm_reg) sums, options(pure, nomem, nostack, preserves_flags)) };
    sums
}

/// Where [`spread`] takes the bytes of a half from: for each of its 16 bits, two bytes.
static SPREAD: [[[u8; 2]; BLOCK / 2]; CHUNK / BLOCK] = {
    let mut spread = [[[0; 2]; BLOCK / 2]; CHUNK / BLOCK];
    let mut number = 0;
    while number < CHUNK / BLOCK {
        spread[number] = [[2 * number as u8, 2 * number as u8 + 1]; BLOCK / 2];
        number += 1;
    }
    spread
};

/// The 16 bits `B` of each half of `a` in all of that half.
///
/// # Safety
/// AVX2 is enabled.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn spread<const B: usize>(a: __m256i) -> __m256i {
    let spread;
    // The compiler would load what is the same everywhere by an instruction of its own.
    // SAFETY: as the caller says; the line of the table is there.
    unsafe {
        asm!(
            "vpshufb {spread}, {a}, [{table} + {line}]",
            spread = lateout(ymm_reg) spread,
            a = in(ymm_reg) a,
            table = in(reg) &raw const SPREAD,
            line = const B * size_of::<[[u8; 2]; BLOCK / 2]>(),
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    spread
}

/// `sums` and the products of `weights` and `x` times the factors, which are in both halves of the lanes.
///
/// # Safety
/// The instructions of `Avx2<VNNI>` are enabled.
#[inline(always)]
unsafe fn add_products<const VNNI: u8>(
    weights: __m256i,
    x: __m256i,
    factors: __m256i,
    sums: __m256i,
) -> __m256i {
    // SAFETY: as the caller says.
    unsafe {
        let pairs = _mm256_maddubs_epi16(weights, x);
        match VNNI {
            AVX_VNNI => _mm256_dpwssd_avx_epi32(sums, pairs, factors),
            AVX512_VNNI => _mm256_dpwssd_epi32(sums, pairs, factors),
            _ => _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, factors)),
        }
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
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
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
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn now(mut self) -> Self {
        // SAFETY: there are no instructions; as they might write memory, later loads stay behind them.
        unsafe { asm!("/* {0} */", inout(ymm_reg) self.0, options(nostack, preserves_flags)) };
        self
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, minuend: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_fnmadd_ps(self.0, factor.0, minuend.0) })
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above the impl.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above the impl.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
}
