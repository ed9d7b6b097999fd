//! Sixteen f32 at a time, on every instruction set.
//!
//! Kernels of this folder that are not matrix products are written once over [`Lanes`] and compiled per [`Isa`] by `instantiate!`.
//! Sixteen lanes and [`Lanes::sum`]'s tree are the same everywhere, so only fused multiply-adds tell the instruction sets apart.
#![expect(unsafe_code, reason = "vector instructions and their loads and stores")]

/// Number of lanes.
pub(super) const LANES: usize = 16;

/// A vector of sixteen f32.
///
/// Methods are inlined into a function that has the instruction set enabled. They are safe to call only there, which `instantiate!`
/// and the table of kernels see to; pointers need room for sixteen elements unless a count is given.
pub(super) trait Lanes: Copy {
    /// Vectors that a loop can keep in registers beside its operands.
    const REGISTERS: usize;
    /// All lanes `value`.
    unsafe fn splat(value: f32) -> Self;
    /// Sixteen elements, unaligned.
    unsafe fn load(from: *const f32) -> Self;
    /// Sixteen half-precision elements, unaligned.
    unsafe fn load_f16(from: *const u16) -> Self;
    /// Sixteen signed bytes, unaligned.
    unsafe fn load_i8(from: *const i8) -> Self;
    /// Store sixteen elements, unaligned.
    unsafe fn store(self, to: *mut f32);
    /// `self + other`
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`
    unsafe fn sub(self, other: Self) -> Self;
    /// `self * other`
    unsafe fn mul(self, other: Self) -> Self;
    /// `self / other`
    unsafe fn div(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once where the instruction set can.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Per lane the larger; `other` if one is not a number.
    unsafe fn max(self, other: Self) -> Self;
    /// Per lane the smaller; `other` if one is not a number.
    unsafe fn min(self, other: Self) -> Self;
    /// `self < limit ? below : other` per lane.
    unsafe fn select_below(self, limit: Self, below: Self, other: Self) -> Self;
    /// To the nearest integer; `|self| < 2^22`.
    unsafe fn round(self) -> Self;
    /// `2^self` for integers from -126 to 127.
    unsafe fn power_of_two(self) -> Self;
    /// The lanes.
    unsafe fn to_array(self) -> [f32; LANES];

    /// The first `count` elements, zero behind them.
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: `count` elements are readable, and the buffer holds sixteen.
        unsafe {
            if count >= LANES {
                return Self::load(from);
            }
            let mut buffer = [0.0f32; LANES];
            std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), count);
            Self::load(buffer.as_ptr())
        }
    }

    /// Store the first `count` lanes.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: `count` elements are writable.
        unsafe {
            if count >= LANES {
                return self.store(to);
            }
            std::ptr::copy_nonoverlapping(self.to_array().as_ptr(), to, count);
        }
    }

    /// Sum of all lanes: halves are added to halves.
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: the instruction set is enabled where this is inlined.
        let mut lanes = unsafe { self.to_array() };
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
        }
        lanes[0]
    }

    /// Largest lane.
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: the instruction set is enabled where this is inlined.
        let mut lanes = unsafe { self.to_array() };
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                lanes[lane] = if lanes[lane] > lanes[lane + half] { lanes[lane] } else { lanes[lane + half] };
            }
        }
        lanes[0]
    }
}

/// No vector instructions beyond those of the target.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, operation: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self;
        for lane in 0..LANES {
            out.0[lane] = operation(self.0[lane], other.0[lane]);
        }
        out
    }
}

// SAFETY of all below: pointers have room for sixteen elements, as the trait asks.
impl Lanes for Portable {
    const REGISTERS: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        // SAFETY: see above the impl.
        let halves = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        Self(halves.map(|bits| half::f16::from_bits(bits).to_f32()))
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { from.cast::<[i8; LANES]>().read_unaligned() }.map(f32::from))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above the impl.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(addend, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn select_below(self, limit: Self, below: Self, other: Self) -> Self {
        let mut out = other;
        for lane in 0..LANES {
            if self.0[lane] < limit.0[lane] {
                out.0[lane] = below.0[lane];
            }
        }
        out
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        // Adding 1.5 * 2^23 leaves no bits for a fraction.
        let magic = Self([12_582_912.0; LANES]);
        self.zip(magic, |a, b| (a + b) - b)
    }
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        Self(self.0.map(|exponent| f32::from_bits(((exponent as i32 + 127) as u32) << 23)))
    }
    #[inline(always)]
    unsafe fn to_array(self) -> [f32; LANES] {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, Lanes};

    /// Two vectors of eight: AVX2, FMA and F16C.
    #[derive(Clone, Copy)]
    pub(in crate::cpu) struct Avx2(__m256, __m256);

    // SAFETY of all below: AVX2, FMA and F16C are enabled where these are inlined, and pointers have room for sixteen elements, as
    // the trait asks.
    impl Lanes for Avx2 {
        const REGISTERS: usize = 4;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: see above the impl.
            let lanes = unsafe { _mm256_set1_ps(value) };
            Self(lanes, lanes)
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: see above the impl.
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }
        #[inline(always)]
        unsafe fn load_f16(from: *const u16) -> Self {
            // SAFETY: see above the impl.
            unsafe {
                let (low, high) = (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(8).cast()));
                Self(_mm256_cvtph_ps(low), _mm256_cvtph_ps(high))
            }
        }
        #[inline(always)]
        unsafe fn load_i8(from: *const i8) -> Self {
            // SAFETY: see above the impl.
            unsafe {
                let bytes = _mm_loadu_si128(from.cast());
                let low = _mm256_cvtepi8_epi32(bytes);
                let high = _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes));
                Self(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
            }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: see above the impl.
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn div(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            unsafe { Self(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: see above the impl.
            unsafe {
                Self(_mm256_fmadd_ps(self.0, factor.0, addend.0), _mm256_fmadd_ps(self.1, factor.1, addend.1))
            }
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            unsafe { Self(_mm256_min_ps(self.0, other.0), _mm256_min_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn select_below(self, limit: Self, below: Self, other: Self) -> Self {
            // SAFETY: see above the impl.
            unsafe {
                let (low, high) = (
                    _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, limit.0),
                    _mm256_cmp_ps::<_CMP_LT_OQ>(self.1, limit.1),
                );
                Self(_mm256_blendv_ps(other.0, below.0, low), _mm256_blendv_ps(other.1, below.1, high))
            }
        }
        #[inline(always)]
        unsafe fn round(self) -> Self {
            // SAFETY: see above the impl.
            unsafe { Self(_mm256_round_ps::<8>(self.0), _mm256_round_ps::<8>(self.1)) }
        }
        #[inline(always)]
        unsafe fn power_of_two(self) -> Self {
            // SAFETY: see above the impl.
            unsafe {
                let bias = _mm256_set1_epi32(127);
                let low = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), bias);
                let high = _mm256_add_epi32(_mm256_cvtps_epi32(self.1), bias);
                Self(
                    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(low)),
                    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(high)),
                )
            }
        }
        #[inline(always)]
        unsafe fn to_array(self) -> [f32; LANES] {
            let mut out = [0.0; LANES];
            // SAFETY: see above the impl.
            unsafe { self.store(out.as_mut_ptr()) };
            out
        }
    }

    /// One vector of sixteen: AVX-512F.
    #[derive(Clone, Copy)]
    pub(in crate::cpu) struct Avx512(__m512);

    // SAFETY of all below: AVX-512F is enabled where these are inlined, and pointers have room for sixteen elements, as the trait
    // asks.
    impl Lanes for Avx512 {
        const REGISTERS: usize = 16;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_set1_ps(value) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn load_f16(from: *const u16) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) })
        }
        #[inline(always)]
        unsafe fn load_i8(from: *const i8) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: see above the impl.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn div(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_div_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_min_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn select_below(self, limit: Self, below: Self, other: Self) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe {
                let mask = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, limit.0);
                _mm512_mask_blend_ps(mask, other.0, below.0)
            })
        }
        #[inline(always)]
        unsafe fn round(self) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe { _mm512_roundscale_ps::<8>(self.0) })
        }
        #[inline(always)]
        unsafe fn power_of_two(self) -> Self {
            // SAFETY: see above the impl.
            Self(unsafe {
                let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
            })
        }
        #[inline(always)]
        unsafe fn to_array(self) -> [f32; LANES] {
            let mut out = [0.0; LANES];
            // SAFETY: see above the impl.
            unsafe { self.store(out.as_mut_ptr()) };
            out
        }
    }
}
