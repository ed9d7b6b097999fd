//! Sixteen f32 on WebAssembly with simd128, chosen as the program is compiled: its instructions need no promise but those of the
//! trait about pointers. Multiply-adds are rounded once or twice, as the engine likes, with relaxed-simd, and twice without. With it
//! LLVM makes `max` and `min` relaxed too: then some engines lose what is not a number in them.

use std::arch::wasm32::*;

use super::{LANES, Lanes};

/// Four vectors of four.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Simd128([v128; 4]);

impl Simd128 {
    #[inline(always)]
    fn map(self, operation: impl Fn(v128) -> v128) -> Self {
        let [a, b, c, d] = self.0;
        Self([operation(a), operation(b), operation(c), operation(d)])
    }

    #[inline(always)]
    fn zip(self, other: Self, operation: impl Fn(v128, v128) -> v128) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([operation(a, e), operation(b, f), operation(c, g), operation(d, h)])
    }
}

/// `a * b + addend`
#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
pub(in crate::cpu) fn multiply_add(a: v128, b: v128, addend: v128) -> v128 {
    f32x4_relaxed_madd(a, b, addend)
}

/// `a * b + addend`
#[cfg(not(target_feature = "relaxed-simd"))]
#[inline(always)]
pub(in crate::cpu) fn multiply_add(a: v128, b: v128, addend: v128) -> v128 {
    f32x4_add(f32x4_mul(a, b), addend)
}

/// The f32 of half-precision floats, whose bits are sign-extended in 32-bit lanes.
#[inline(always)]
pub(in crate::cpu) fn from_halves(bits: v128) -> v128 {
    // As f32, the bits without copies of the sign are 2^112 times too small, which a multiplication puts right for subnormals too.
    let small = v128_and(i32x4_shl(bits, 13), i32x4_splat(0x8fff_e000_u32 as i32));
    let finite = f32x4_mul(small, f32x4_splat(f32::from_bits((112 + 127) << 23)));
    // What had the largest exponent, as what was infinite or not a number, gets it back.
    let largest = i32x4_splat(0x7c00 << 13);
    let special = i32x4_eq(v128_and(small, largest), largest);
    v128_or(finite, v128_and(special, i32x4_splat(0x7f80_0000)))
}

// SAFETY of all below: pointers have room for sixteen elements, as the trait asks.
impl Lanes for Simd128 {
    const REGISTERS: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([f32x4_splat(value); 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        let from: *const v128 = from.cast();
        // SAFETY: see above the impl.
        unsafe {
            Self([v128_load(from), v128_load(from.add(1)), v128_load(from.add(2)), v128_load(from.add(3))])
        }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        let from: *const i16 = from.cast();
        // SAFETY: see above the impl.
        let bits = unsafe {
            Self([
                i32x4_load_extend_i16x4(from),
                i32x4_load_extend_i16x4(from.add(4)),
                i32x4_load_extend_i16x4(from.add(8)),
                i32x4_load_extend_i16x4(from.add(12)),
            ])
        };
        bits.map(from_halves)
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        // SAFETY: see above the impl.
        let halves = unsafe { [i16x8_load_extend_i8x8(from), i16x8_load_extend_i8x8(from.add(8))] };
        let [low, high] = halves;
        let integers = Self([
            i32x4_extend_low_i16x8(low),
            i32x4_extend_high_i16x8(low),
            i32x4_extend_low_i16x8(high),
            i32x4_extend_high_i16x8(high),
        ]);
        integers.map(|lanes| f32x4_convert_i32x4(lanes))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        for (part, vector) in self.0.into_iter().enumerate() {
            // SAFETY: see above the impl.
            unsafe { v128_store(to.add(4 * part).cast(), vector) }
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| f32x4_add(a, b))
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| f32x4_sub(a, b))
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| f32x4_mul(a, b))
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| f32x4_div(a, b))
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        let mut out = addend;
        for part in 0..4 {
            out.0[part] = multiply_add(self.0[part], factor.0[part], addend.0[part]);
        }
        out
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| f32x4_pmax(b, a))
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| f32x4_pmin(b, a))
    }
    #[inline(always)]
    unsafe fn select_below(self, limit: Self, below: Self, other: Self) -> Self {
        let mut out = other;
        for part in 0..4 {
            let mask = f32x4_lt(self.0[part], limit.0[part]);
            out.0[part] = v128_bitselect(below.0[part], other.0[part], mask);
        }
        out
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        self.map(|lanes| f32x4_nearest(lanes))
    }
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        // A sum with 1.5 * 2^23 has an integer in its lowest bits, which is cheaper than a conversion.
        let biased = f32x4_splat(12_582_912.0 + 127.0);
        self.map(|exponent| i32x4_shl(f32x4_add(exponent, biased), 23))
    }
    #[inline(always)]
    unsafe fn to_array(self) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        // SAFETY: see above the impl.
        unsafe { self.store(out.as_mut_ptr()) };
        out
    }
}
