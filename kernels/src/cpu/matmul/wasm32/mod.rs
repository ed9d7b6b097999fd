//! The kernels of WebAssembly with simd128, chosen as the program is compiled.
#![expect(unsafe_code, reason = "vector instructions and their loads and stores")]

#[cfg(target_feature = "relaxed-simd")]
mod packed;
mod products;

use std::arch::wasm32::*;
use std::array;
use std::hint::black_box;
use std::mem::MaybeUninit;

use super::super::isa::Isa;
use super::super::lanes::{from_halves, multiply_add};
use super::Kernels;
use super::activations::Chunk;
use super::tiles::columns::{Columns, Line, ROWS};
use super::tiles::entries::{compiled, compiled_one, entries};
use super::tiles::rows::Rows;
use super::tiles::vector::{Floats, Vector};
use super::{BLOCK, CHUNK};

/// Overwrite the slots that the tier of `kernels` improves. How much each does stands in `PERFORMANCE.md`.
pub(super) fn plug(kernels: &mut Kernels) {
    if kernels.isa == Isa::Simd128 {
        simd128::plug(kernels);
        #[cfg(target_feature = "relaxed-simd")]
        {
            use crate::block::Format;
            kernels.packed =
                |format| (format == Format::Q6_K).then_some(simd128::multiply_quants::<packed::Packed>);
        }
    }
}

mod simd128 {
    //! The vectors below.
    use super::{Simd128, compiled, compiled_one, entries};

    compiled!(Simd128, Simd128, "simd128");
    compiled_one!(Simd128, "simd128");
    entries!(Simd128, "simd128");
}

/// Registers of a vector. With two, activations are spread for eight rows at once.
const REGISTERS: usize = 2;

/// Four lanes in every register.
#[derive(Clone, Copy)]
struct Simd128([v128; REGISTERS]);

/// As many f32.
#[derive(Clone, Copy)]
struct F32x([v128; REGISTERS]);

// SAFETY of all below: rows have the bytes that are loaded, as the trait asks. The instructions are enabled in the whole program.
impl Vector for Simd128 {
    type Floats = F32x;
    type Loaded = [[Self; 4]; 1];
    /// Two in every lane, in 16 bits each: of the first and the third of four blocks, and of the others.
    type Minima = [Self; 4];
    type Broadcast = v128;

    const LANES: usize = 4 * REGISTERS;
    const PARTS: usize = 1;
    /// One load, whose lanes are spread: cheaper than four loads, which engines make by way of another register.
    const STEPS: usize = 4;
    const TOKENS: usize = 4;
    const TOKENS_OF_HALVES: usize = 3;
    const FLOAT_STREAMS: usize = 2;
    /// With the tokens, 12 sums of 16 registers, if the machine has so many; weights are converted for three tokens at once.
    const FLOAT_ROWS: usize = 2;
    const FLOAT_TOKENS: usize = 3;

    const WHOLE_BYTES: bool = false;
    /// Bytes of 8 bits are no weights for the relaxed dot product, but the magnitudes of activations are.
    const COMPLEMENTS: bool = products::COMPLEMENTS;
    const LARGEST_PAIR: i32 = products::LARGEST_PAIR;
    const BY_TILE: Option<usize> = Some(2);

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        Self([i32x4_splat(value); REGISTERS])
    }
    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        let mut out = self;
        for part in 0..REGISTERS {
            out.0[part] = v128_or(self.0[part], other.0[part]);
        }
        out
    }
    #[inline(always)]
    unsafe fn and(self, mask: u8) -> Self {
        Self(self.0.map(|lanes| v128_and(lanes, u8x16_splat(mask))))
    }
    #[inline(always)]
    unsafe fn flip(self, mask: u8) -> Self {
        Self(self.0.map(|lanes| v128_xor(lanes, u8x16_splat(mask))))
    }
    #[inline(always)]
    unsafe fn shift(self, bits: i32) -> Self {
        let count = bits.unsigned_abs();
        Self(self.0.map(|lanes| if bits < 0 { u32x4_shr(lanes, count) } else { i32x4_shl(lanes, count) }))
    }
    #[inline(always)]
    unsafe fn to_floats(self) -> F32x {
        F32x(self.0.map(|lanes| f32x4_convert_i32x4(lanes)))
    }
    #[inline(always)]
    unsafe fn halves(self) -> F32x {
        F32x(self.0.map(|lanes| from_halves(i32x4_shr(i32x4_shl(lanes, 16), 16))))
    }
    #[inline(always)]
    unsafe fn minima(bytes: [Self; 2]) -> [Self; 4] {
        let mut minima = [Self([i32x4_splat(0); REGISTERS]); 4];
        for part in 0..REGISTERS {
            for four in 0..2 {
                let [even, odd] = products::bytes(bytes[four].0[part]);
                (minima[2 * four].0[part], minima[2 * four + 1].0[part]) = (even, odd);
            }
        }
        minima
    }
    #[inline(always)]
    unsafe fn dot_minima(minima: &[Self; 4], x: &Chunk) -> Self {
        let mut sum = Self([i32x4_splat(0); REGISTERS]);
        for four in 0..2 {
            let x = products::in_turns(&x.sums, four);
            for i in 0..2 {
                for part in 0..REGISTERS {
                    let products = i32x4_dot_i16x8(minima[2 * four + i].0[part], x[i]);
                    sum.0[part] = i32x4_add(sum.0[part], products);
                }
            }
        }
        Self(sum.0.map(settle))
    }
    #[inline(always)]
    unsafe fn scale_byte(self, index: usize, signed: bool) -> Self {
        Self(self.0.map(|lanes| {
            let top = i32x4_shl(lanes, 24 - 8 * index as u32);
            products::twice(if signed { i32x4_shr(top, 24) } else { u32x4_shr(top, 24) })
        }))
    }

    #[inline(always)]
    unsafe fn load_16(rows: &Rows, offset: usize) -> [Self; 4] {
        let four = |part: usize| {
            // SAFETY: see above the impl.
            transposed(array::from_fn(|row| unsafe { v128_load(rows.row(4 * part + row, offset).cast()) }))
        };
        let four: [[v128; 4]; REGISTERS] = array::from_fn(four);
        array::from_fn(|vector| Self(array::from_fn(|part| four[part][vector])))
    }
    #[inline(always)]
    unsafe fn load(rows: &Rows, offset: usize) -> Self::Loaded {
        // SAFETY: see above the impl.
        [unsafe { Self::load_16(rows, offset) }]
    }
    #[inline(always)]
    unsafe fn load_halves(rows: &Rows, offset: usize) -> F32x {
        F32x(array::from_fn(|part| {
            let half = |lane: usize| rows.row(4 * part + lane, offset).cast::<u16>();
            // SAFETY: see above the impl.
            let halves = unsafe {
                let halves = v128_load16_lane::<0>(i16x8_splat(0), half(0));
                let halves = v128_load16_lane::<1>(halves, half(1));
                let halves = v128_load16_lane::<2>(halves, half(2));
                v128_load16_lane::<3>(halves, half(3))
            };
            from_halves(i32x4_extend_low_i16x8(halves))
        }))
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}

    #[inline(always)]
    unsafe fn broadcast(quants: *const i8) -> v128 {
        // SAFETY: see above the impl.
        unsafe { v128_load(quants.cast()) }
    }
    #[inline(always)]
    unsafe fn multiply<const SIGNED: bool, const STEP: usize>(partial: Self, weights: Self, x: v128) -> Self {
        let (mut out, x) = (partial, spread::<STEP>(x));
        for part in 0..REGISTERS {
            out.0[part] = if SIGNED {
                products::Signed::new(x).dot_add(weights.0[part], partial.0[part])
            } else {
                products::add(partial.0[part], products::dot(x, weights.0[part]))
            };
        }
        out
    }
    /// Register by register, with weights loaded anew: what is loaded before anything is computed then fits into registers.
    #[inline(always)]
    unsafe fn multiply_four<const T: usize>(sums: &mut [Self; T], weights: *const Self, x: [*const i8; T]) {
        for part in 0..REGISTERS {
            // SAFETY: see above the impl.
            unsafe {
                let mut four = [i32x4_splat(0); 4];
                for step in 0..4 {
                    four[step] = weights.add(step).cast::<v128>().add(part).read_volatile();
                }
                for token in 0..T {
                    let x = v128_load(x[token].cast());
                    let sum = &mut sums[token].0[part];
                    *sum = settle(products::dot_four(x, four, *sum));
                }
            }
        }
    }
    #[inline(always)]
    fn opaque<T>(address: *const T) -> *const T {
        black_box(address)
    }
    #[inline(always)]
    unsafe fn end<const SIGNED: bool>(sum: Self, partial: Self) -> Self {
        let widened = Self(partial.0.map(|sums| if SIGNED { sums } else { products::widen(sums) }));
        // SAFETY: see above the impl.
        unsafe { sum.add(widened) }
    }
    #[inline(always)]
    unsafe fn add_scaled(sum: Self, partial: Self, scale: Self, multiplier: [i16; 2]) -> Self {
        let (mut out, multiplier) = (sum, products::multiplier(multiplier));
        for part in 0..REGISTERS {
            let factor = products::times(scale.0[part], multiplier);
            out.0[part] = i32x4_add(sum.0[part], products::scaled(partial.0[part], factor));
        }
        out
    }
}

// SAFETY of all below: rows have the bytes that are loaded, as the trait asks. The instructions are enabled in the whole program.
impl Columns for Simd128 {
    type Line = Line128;
    const PREFETCH_PLAIN: bool = false;
    const FOUR_BY_FOUR: bool = true;

    #[inline(always)]
    unsafe fn dot_nibbles(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let x = Line128::load(x.as_ptr().cast()).0;
            let mut sums = [Line128::zero(); ROWS];
            for row in 0..ROWS {
                let packed = v128_load(rows.row(row, offset).cast());
                let nibbles = [v128_and(packed, u8x16_splat(15)), u8x16_shr(packed, 4)];
                sums[row] = settle(products::widen(products::dot_two(x, nibbles)));
            }
            Self::collect(sums)
        }
    }
    #[inline(always)]
    unsafe fn dot_bytes(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let [first, second] = Line128::load(x.as_ptr().cast()).0.map(products::Signed::new);
            let mut sums = [Line128::zero(); ROWS];
            for row in 0..ROWS {
                let [low, high] = Line128::load(rows.row(row, offset)).0;
                sums[row] = settle(i32x4_add(first.dot(low), second.dot(high)));
            }
            Self::collect(sums)
        }
    }

    #[inline(always)]
    unsafe fn collect([a, b, c, d, e, f, g, h]: [v128; ROWS]) -> Self {
        Self([products::add_lanes([a, b, c, d]), products::add_lanes([e, f, g, h])])
    }
    #[inline(always)]
    unsafe fn factors(scales: Self, x: &Chunk, four: usize) -> [Self; 4] {
        let [low, high] = scales.0.map(|scales| products::factors(scales, &x.all_multipliers[0], four));
        array::from_fn(|block| Self([low[block], high[block]]))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        let mut out = self;
        for part in 0..REGISTERS {
            out.0[part] = i32x4_add(self.0[part], other.0[part]);
        }
        out
    }
}

/// 32 bytes of a row.
#[derive(Clone, Copy)]
struct Line128([v128; 2]);

// SAFETY of all below: bytes and factors may be read, as the trait asks. The instructions are enabled in the whole program.
impl Line for Line128 {
    type Sums = v128;
    type Factors = v128;
    /// In 16 bits each: those of all first halves, and of the second ones.
    type HalfFactors = [v128; 2];

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { [v128_load(from.cast()), v128_load(from.add(16).cast())] })
    }
    /// Loaded anew: LLVM would keep those of a whole chunk for the next rows, in more registers than there are.
    #[inline(always)]
    unsafe fn quants(x: &Chunk, block: usize) -> Self {
        let from: *const v128 = x.quants.as_chunks::<BLOCK>().0[block].as_ptr().cast();
        // SAFETY: there are 32 bytes, and they are aligned, as chunks are.
        Self(unsafe { [from.read_volatile(), from.add(1).read_volatile()] })
    }
    #[inline(always)]
    unsafe fn field(self, shift: i32, mask: u8) -> Self {
        let count = shift.unsigned_abs();
        Self(self.0.map(|bytes| {
            let shifted = if shift < 0 { u16x8_shr(bytes, count) } else { u16x8_shl(bytes, count) };
            v128_and(shifted, u8x16_splat(mask))
        }))
    }
    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        Self([v128_or(self.0[0], other.0[0]), v128_or(self.0[1], other.0[1])])
    }

    #[inline(always)]
    unsafe fn zero() -> v128 {
        i32x4_splat(0)
    }
    #[inline(always)]
    unsafe fn load_factors(factors: *const [i32; 4]) -> v128 {
        // SAFETY: see above the impl.
        unsafe { v128_load(factors.cast()) }
    }
    #[inline(always)]
    unsafe fn add_scaled<const ROW: usize>(self, x: Self, factors: v128, sums: v128) -> v128 {
        let dot = products::dot_two(x.0, self.0);
        i32x4_add(sums, products::scaled(dot, spread::<ROW>(factors)))
    }
    #[inline(always)]
    unsafe fn settle(sums: v128) -> v128 {
        settle(sums)
    }

    #[inline(always)]
    unsafe fn half_factors(scales: *const u8, multipliers: &[[i16; CHUNK / BLOCK]; 2]) -> [v128; 2] {
        // SAFETY: see above the impl.
        unsafe {
            let scales = v128_load(scales.cast());
            let even = i16x8_shr(i16x8_shl(scales, 8), 8);
            [
                i16x8_mul(even, v128_load(multipliers[0].as_ptr().cast())),
                i16x8_mul(i16x8_shr(scales, 8), v128_load(multipliers[1].as_ptr().cast())),
            ]
        }
    }
    #[inline(always)]
    unsafe fn dot_factors(factors: [v128; 2], x: &[[i16; CHUNK / BLOCK]; 2]) -> v128 {
        // SAFETY: see above the impl.
        let dot = |half: usize| unsafe { i32x4_dot_i16x8(factors[half], v128_load(x[half].as_ptr().cast())) };
        i32x4_add(dot(0), dot(1))
    }
    #[inline(always)]
    unsafe fn shift_sums(sums: v128, bits: u32) -> v128 {
        i32x4_shl(sums, bits)
    }
    #[inline(always)]
    unsafe fn add_halves_scaled<const B: usize>(self, x: Self, factors: [v128; 2], mut sums: v128) -> v128 {
        for half in 0..2 {
            let dot = products::dot(x.0[half], self.0[half]);
            sums = i32x4_add(sums, products::scaled(dot, products::half_factor::<B>(factors[half])));
        }
        settle(sums)
    }
    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    unsafe fn add_packed<const QUARTER: usize>(
        quants: *const u8,
        x: &Chunk,
        factors: [v128; 2],
        mut sums: v128,
    ) -> v128 {
        let x = x.ordered.as_chunks::<BLOCK>().0;
        for line in 2 * QUARTER..2 * QUARTER + 2 {
            // SAFETY: see above the impl; activations are aligned, as chunks are.
            unsafe {
                let x = x[line].as_ptr().cast::<v128>();
                let x = [x.read_volatile(), x.add(1).read_volatile()];
                let dot = products::dot_two(x, Self::load(quants.add(BLOCK * line)).0);
                sums = i32x4_add(sums, products::scaled(dot, factors[QUARTER / 2]));
            }
        }
        settle(sums)
    }
}

/// Store `sums`, so that they are computed before anything behind this is loaded: Cranelift loads in the order of the program but
/// computes as late as it can, and would load more than there are registers.
#[inline(always)]
fn settle(sums: v128) -> v128 {
    let mut stored = MaybeUninit::<v128>::uninit();
    // SAFETY: it is ours.
    unsafe { stored.as_mut_ptr().write_volatile(sums) };
    sums
}

/// Lane `LANE` of `x` in all lanes.
#[inline(always)]
fn spread<const LANE: usize>(x: v128) -> v128 {
    match LANE {
        0 => i32x4_shuffle::<0, 0, 0, 0>(x, x),
        1 => i32x4_shuffle::<1, 1, 1, 1>(x, x),
        2 => i32x4_shuffle::<2, 2, 2, 2>(x, x),
        _ => i32x4_shuffle::<3, 3, 3, 3>(x, x),
    }
}

/// `c - a * b`
#[inline(always)]
fn multiply_sub(a: v128, b: v128, c: v128) -> v128 {
    multiply_add(f32x4_neg(a), b, c)
}

/// Lane `r` of vector `i` is lane `i` of row `r`.
#[inline(always)]
fn transposed([a, b, c, d]: [v128; 4]) -> [v128; 4] {
    let (ab, cd) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<0, 4, 1, 5>(c, d));
    let (ab_high, cd_high) = (i32x4_shuffle::<2, 6, 3, 7>(a, b), i32x4_shuffle::<2, 6, 3, 7>(c, d));
    [
        i64x2_shuffle::<0, 2>(ab, cd),
        i64x2_shuffle::<1, 3>(ab, cd),
        i64x2_shuffle::<0, 2>(ab_high, cd_high),
        i64x2_shuffle::<1, 3>(ab_high, cd_high),
    ]
}

impl F32x {
    #[inline(always)]
    fn zip(self, other: Self, operation: impl Fn(v128, v128) -> v128) -> Self {
        let mut out = self;
        for part in 0..REGISTERS {
            out.0[part] = operation(self.0[part], other.0[part]);
        }
        out
    }
}

// SAFETY of all below: pointers have room for all lanes, as the trait asks.
impl Floats for F32x {
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above the impl.
        Self(array::from_fn(|part| unsafe { v128_load(from.add(4 * part).cast()) }))
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        // SAFETY: see above the impl.
        let halves = |part| unsafe { i32x4_load_extend_i16x4(from.cast::<i16>().add(4 * part)) };
        Self(array::from_fn(|part| from_halves(halves(part))))
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: see above the impl.
        let halves = |part| unsafe { u32x4_load_extend_u16x4(from.add(4 * part)) };
        Self(array::from_fn(|part| i32x4_shl(halves(part), 16)))
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([f32x4_splat(value); REGISTERS])
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| f32x4_add(a, b))
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| f32x4_mul(a, b))
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        let mut out = addend;
        for part in 0..REGISTERS {
            out.0[part] = multiply_add(self.0[part], factor.0[part], addend.0[part]);
        }
        out
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, minuend: Self) -> Self {
        let mut out = minuend;
        for part in 0..REGISTERS {
            out.0[part] = multiply_sub(self.0[part], factor.0[part], minuend.0[part]);
        }
        out
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let [low, high] = self.0;
        let four = f32x4_add(low, high);
        let two = f32x4_add(four, i64x2_shuffle::<1, 1>(four, four));
        f32x4_extract_lane::<0>(two) + f32x4_extract_lane::<1>(two)
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        for part in 0..REGISTERS {
            // SAFETY: see above the impl.
            unsafe { v128_store(to.add(4 * part).cast(), self.0[part]) }
        }
    }
}
