//! Sixteen f32 at a time, on every instruction set.
//!
//! Kernels of this folder that are not matrix products are written once over [`Lanes`] and compiled per [`Isa`] by `instantiate!`.
//! Sixteen lanes and [`Lanes::sum`]'s tree are the same everywhere, so only fused multiply-adds tell the instruction sets apart.
#![expect(unsafe_code, reason = "vector instructions and their loads and stores")]

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm32;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::array;

#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::Neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(super) use wasm32::{Simd128, from_halves, multiply_add};
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{Avx2, Avx512};

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
        fold(unsafe { self.to_array() }, |a, b| a + b)
    }

    /// Largest lane.
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: the instruction set is enabled where this is inlined.
        fold(unsafe { self.to_array() }, |a, b| if a > b { a } else { b })
    }
}

/// Halves with halves. Written out, as the compiler makes branches of a loop over the halves where AVX-512 is enabled.
#[inline(always)]
fn fold(lanes: [f32; LANES], operation: impl Fn(f32, f32) -> f32) -> f32 {
    let eight: [f32; 8] = array::from_fn(|lane| operation(lanes[lane], lanes[lane + 8]));
    let four: [f32; 4] = array::from_fn(|lane| operation(eight[lane], eight[lane + 4]));
    operation(operation(four[0], four[2]), operation(four[1], four[3]))
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
