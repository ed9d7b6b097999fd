//! The kernels of aarch64, and which of them take the place of the portable ones.
#![expect(unsafe_code, reason = "vector instructions and their loads and stores")]

use std::arch::aarch64::*;
use std::arch::asm;
use std::array;

use super::activations::Chunk;
use super::tiles::columns::{Columns, Line, ROWS};
use super::tiles::entries::{compiled, compiled_one, entries};
use super::tiles::rows::Rows;
use super::tiles::vector::{Floats, Vector};
use super::{BLOCK, CHUNK};
use super::{Isa, Kernels};

/// Overwrite the slots that the tier of `kernels` improves. How much each does stands in `PERFORMANCE.md`.
pub(super) fn plug(kernels: &mut Kernels) {
    match kernels.isa {
        Isa::Neon => neon::plug(kernels),
        Isa::DotProd => {
            dotprod::plug(kernels);
            kernels.packed = packed::dotprod::kernel;
        }
        _ => {}
    }
}

mod neon {
    //! NEON alone, which all of aarch64 has.
    use super::{Neon, compiled, compiled_one, entries};

    compiled!(Neon<false>, Neon<false>, "neon");
    compiled_one!(Neon<false>, "neon");
    entries!(Neon<false>, "neon");
}

mod dotprod {
    //! The same with the dot products of bytes.
    use super::{Neon, compiled, compiled_one, entries};

    compiled!(Neon<true>, Neon<true>, "neon,dotprod");
    compiled_one!(Neon<true>, "neon,dotprod");
    entries!(Neon<true>, "neon,dotprod");
}

mod packed {
    //! Packed weights, two vectors a line.
    use super::super::tiles::packed::packed;
    use super::Neon;

    packed!(dotprod, Neon<true>, "neon,dotprod");
}

/// Eight lanes in two registers, multiplied by `sdot` if `DOT`.
#[derive(Clone, Copy)]
struct Neon<const DOT: bool>([uint32x4_t; 2]);

/// Eight f32.
#[derive(Clone, Copy)]
struct Eight([float32x4_t; 2]);

// SAFETY of all below: the instructions are enabled where these are inlined, and rows have the bytes that are loaded, as the trait asks.
impl<const DOT: bool> Vector for Neon<DOT> {
    type Floats = Eight;
    type Loaded = [[Self; 4]; 1];
    type Minima = [Self; CHUNK / BLOCK];
    type Broadcast = uint32x4_t;

    const LANES: usize = 8;
    const PARTS: usize = 1;
    /// `sdot` takes one of four lanes.
    const STEPS: usize = if DOT { 4 } else { 1 };
    /// 20 sums in 32 registers; of 24, some spill.
    const TOKENS: usize = 5;
    const TOKENS_OF_HALVES: usize = 3;
    const FLOAT_STREAMS: usize = 4;
    /// With the tokens, 18 registers of sums; of 24, some spill.
    const FLOAT_ROWS: usize = 3;
    const FLOAT_TOKENS: usize = 3;

    const WHOLE_BYTES: bool = false;
    /// Without `sdot`, pairs of products are added in 16 bits.
    const LARGEST_PAIR: i32 = if DOT { i32::MAX } else { i16::MAX as i32 };

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        // SAFETY: see above the impl.
        Self([unsafe { vdupq_n_u32(value as u32) }; 2])
    }
    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { [vorrq_u32(self.0[0], other.0[0]), vorrq_u32(self.0[1], other.0[1])] })
    }
    #[inline(always)]
    unsafe fn and(self, mask: u8) -> Self {
        // SAFETY: see above the impl.
        self.map(|lanes| unsafe { vandq_u32(lanes, vreinterpretq_u32_u8(vdupq_n_u8(mask))) })
    }
    #[inline(always)]
    unsafe fn flip(self, mask: u8) -> Self {
        // SAFETY: see above the impl.
        self.map(|lanes| unsafe { veorq_u32(lanes, vreinterpretq_u32_u8(vdupq_n_u8(mask))) })
    }
    #[inline(always)]
    unsafe fn shift(self, bits: i32) -> Self {
        // SAFETY: see above the impl.
        self.map(|lanes| unsafe { vshlq_u32(lanes, vdupq_n_s32(bits)) })
    }
    #[inline(always)]
    unsafe fn to_floats(self) -> Eight {
        // SAFETY: see above the impl.
        Eight(self.0.map(|lanes| unsafe { vcvtq_f32_s32(vreinterpretq_s32_u32(lanes)) }))
    }
    #[inline(always)]
    unsafe fn halves(self) -> Eight {
        // SAFETY: see above the impl.
        Eight(self.0.map(|lanes| unsafe { vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(lanes))) }))
    }
    #[inline(always)]
    unsafe fn field(self, shift: i32, mask: u8) -> Self {
        // SAFETY: see above the impl.
        self.map(|lanes| unsafe {
            // Of bytes that are shifted one by one, often no bit is left but those of the mask.
            let bytes = vshlq_u8(vreinterpretq_u8_u32(lanes), vdupq_n_s8(shift as i8));
            vreinterpretq_u32_u8(vandq_u8(bytes, vdupq_n_u8(mask)))
        })
    }
    #[inline(always)]
    unsafe fn minima(bytes: [Self; 2]) -> [Self; CHUNK / BLOCK] {
        // SAFETY: see above the impl.
        array::from_fn(|block| unsafe { bytes[block / 4].scale_byte(block % 4, false) })
    }
    #[inline(always)]
    unsafe fn dot_minima(minima: &[Self; CHUNK / BLOCK], x: &Chunk) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let mut sum = Self::splat(0);
            let x = vld1q_s16(x.sums.as_ptr());
            let x = [vmovl_s16(vget_low_s16(x)), vmovl_high_s16(x)].map(|x| vreinterpretq_u32_s32(x));
            macro_rules! add {
                ($($block:literal),*) => {
                    $(for half in 0..2 {
                        let minima = minima[$block].0[half];
                        sum.0[half] = vmlaq_laneq_u32::<{ $block % 4 }>(sum.0[half], minima, x[$block / 4]);
                    })*
                };
            }
            // Written out, so that lanes are constants.
            add!(0, 1, 2, 3, 4, 5, 6, 7);
            sum
        }
    }
    #[inline(always)]
    unsafe fn scale_byte(self, index: usize, signed: bool) -> Self {
        // SAFETY: see above the impl.
        self.map(|lanes| unsafe {
            let top = vshlq_u32(lanes, vdupq_n_s32(24 - 8 * index as i32));
            if signed {
                vreinterpretq_u32_s32(vshrq_n_s32::<24>(vreinterpretq_s32_u32(top)))
            } else {
                vshrq_n_u32::<24>(top)
            }
        })
    }

    #[inline(always)]
    unsafe fn load_16(rows: &Rows, offset: usize) -> [Self; 4] {
        // SAFETY: see above the impl.
        unsafe {
            let (low, high) = (transposed(rows, 0, offset), transposed(rows, 4, offset));
            [
                Self([low[0], high[0]]),
                Self([low[1], high[1]]),
                Self([low[2], high[2]]),
                Self([low[3], high[3]]),
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
            let half = |lane: usize| rows.row(lane, offset).cast::<u16>();
            let low = vld1_dup_u16(half(0));
            let low = vld1_lane_u16::<1>(half(1), low);
            let low = vld1_lane_u16::<2>(half(2), low);
            let low = vld1_lane_u16::<3>(half(3), low);
            let high = vld1_dup_u16(half(4));
            let high = vld1_lane_u16::<1>(half(5), high);
            let high = vld1_lane_u16::<2>(half(6), high);
            let high = vld1_lane_u16::<3>(half(7), high);
            Eight([vcvt_f32_f16(vreinterpret_f16_u16(low)), vcvt_f32_f16(vreinterpret_f16_u16(high))])
        }
    }
    #[inline(always)]
    unsafe fn prefetch(line: *const u8) {
        // SAFETY: advice, which does not read.
        unsafe { asm!("prfm pldl1keep, [{}]", in(reg) line, options(nostack, readonly, preserves_flags)) }
    }

    #[inline(always)]
    unsafe fn broadcast(quants: *const i8) -> uint32x4_t {
        let quants: *const u32 = quants.cast();
        // SAFETY: see above the impl.
        unsafe { if DOT { vld1q_u32(quants) } else { vld1q_dup_u32(quants) } }
    }
    #[inline(always)]
    unsafe fn multiply<const SIGNED: bool, const STEP: usize>(
        partial: Self,
        weights: Self,
        x: uint32x4_t,
    ) -> Self {
        let mut out = partial;
        for part in 0..2 {
            // SAFETY: see above the impl.
            out.0[part] = unsafe {
                if DOT {
                    dot::<STEP>(partial.0[part], weights.0[part], x)
                } else {
                    add_pairs(partial.0[part], weights.0[part], x)
                }
            };
        }
        out
    }
    #[inline(always)]
    unsafe fn end<const SIGNED: bool>(sum: Self, partial: Self) -> Self {
        // SAFETY: see above the impl.
        unsafe { sum.add(partial.whole()) }
    }
    #[inline(always)]
    unsafe fn add_scaled(sum: Self, partial: Self, scale: Self, multiplier: [i16; 2]) -> Self {
        let mut out = sum;
        // SAFETY: see above the impl.
        unsafe {
            let (whole, factor) = (partial.whole(), factor(scale, multiplier));
            for part in 0..2 {
                out.0[part] = vmlaq_u32(sum.0[part], whole.0[part], factor.0[part]);
            }
        }
        out
    }
}

// SAFETY of all below: the instructions are enabled where these are inlined, and rows have the bytes that are loaded, as the trait asks.
impl<const DOT: bool> Columns for Neon<DOT> {
    type Line = Line128<DOT>;
    const PREFETCH_PLAIN: bool = true;
    const FOUR_BY_FOUR: bool = false;

    #[inline(always)]
    unsafe fn dot_nibbles(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let x = Line128::load(x.as_ptr().cast());
            let mut sums = [Line128::<DOT>::zero(); ROWS];
            for row in 0..ROWS {
                let packed = vld1q_u8(rows.row(row, offset));
                let nibbles = [vandq_u8(packed, vdupq_n_u8(15)), vshrq_n_u8::<4>(packed)];
                sums[row] = Line128::<DOT>(nibbles.map(|nibbles| vreinterpretq_s8_u8(nibbles))).dot(x);
            }
            Self::collect(sums)
        }
    }
    #[inline(always)]
    unsafe fn dot_bytes(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let x = Line128::load(x.as_ptr().cast());
            let mut sums = [Line128::<DOT>::zero(); ROWS];
            for row in 0..ROWS {
                sums[row] = Line128::<DOT>::load(rows.row(row, offset)).dot(x);
            }
            Self::collect(sums)
        }
    }

    #[inline(always)]
    unsafe fn collect([a, b, c, d, e, f, g, h]: [int32x4_t; ROWS]) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let low = vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
            let high = vpaddq_s32(vpaddq_s32(e, f), vpaddq_s32(g, h));
            [vreinterpretq_u32_s32(low), vreinterpretq_u32_s32(high)]
        })
    }
    #[inline(always)]
    unsafe fn factors(scales: Self, x: &Chunk, four: usize) -> [Self; 4] {
        // SAFETY: see above the impl.
        array::from_fn(|block| unsafe {
            factor(scales.scale_byte(block, false), x.multipliers[4 * four + block])
        })
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { [vaddq_u32(self.0[0], other.0[0]), vaddq_u32(self.0[1], other.0[1])] })
    }
}

/// 32 bytes of a row in two registers, multiplied by `sdot` if `DOT`.
#[derive(Clone, Copy)]
struct Line128<const DOT: bool>([int8x16_t; 2]);

impl<const DOT: bool> Line128<DOT> {
    /// The products with signed bytes.
    ///
    /// # Safety
    /// The machine has the instructions.
    #[inline(always)]
    unsafe fn dot(self, x: Self) -> int32x4_t {
        // SAFETY: as the caller says.
        unsafe {
            if DOT {
                dot_lanes(dot_lanes(vdupq_n_s32(0), self.0[0], x.0[0]), self.0[1], x.0[1])
            } else {
                vpadalq_s16(vpaddlq_s16(multiply_bytes(self.0[0], x.0[0])), multiply_bytes(self.0[1], x.0[1]))
            }
        }
    }
}

// SAFETY of all below: the instructions are enabled where these are inlined, and bytes and factors may be read, as the trait asks.
impl<const DOT: bool> Line for Line128<DOT> {
    type Sums = int32x4_t;
    type Factors = *const [i32; 4];
    /// Those of all first halves, and of the second ones.
    type HalfFactors = [[i32; CHUNK / BLOCK]; 2];

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { [vld1q_s8(from.cast()), vld1q_s8(from.add(16).cast())] })
    }
    #[inline(always)]
    unsafe fn field(self, shift: i32, mask: u8) -> Self {
        Self(self.0.map(|bytes| {
            // SAFETY: see above the impl.
            unsafe {
                let shifted = vshlq_u8(vreinterpretq_u8_s8(bytes), vdupq_n_s8(shift as i8));
                vreinterpretq_s8_u8(vandq_u8(shifted, vdupq_n_u8(mask)))
            }
        }))
    }
    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { [vorrq_s8(self.0[0], other.0[0]), vorrq_s8(self.0[1], other.0[1])] })
    }

    #[inline(always)]
    unsafe fn zero() -> int32x4_t {
        // SAFETY: see above the impl.
        unsafe { vdupq_n_s32(0) }
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
        sums: int32x4_t,
    ) -> int32x4_t {
        // SAFETY: see above the impl.
        unsafe { vmlaq_n_s32(sums, self.dot(x), (*factors)[ROW]) }
    }

    #[inline(always)]
    unsafe fn half_factors(
        scales: *const u8,
        multipliers: &[[i16; CHUNK / BLOCK]; 2],
    ) -> [[i32; CHUNK / BLOCK]; 2] {
        // SAFETY: see above the impl.
        unsafe {
            // Those at even places, and the others.
            let scales = vld2_s8(scales.cast());
            let mut factors = [[0; CHUNK / BLOCK]; 2];
            for (half, scales) in [scales.0, scales.1].into_iter().enumerate() {
                let product = vmulq_s16(vmovl_s8(scales), vld1q_s16(multipliers[half].as_ptr()));
                vst1q_s32(factors[half].as_mut_ptr(), vmovl_s16(vget_low_s16(product)));
                vst1q_s32(factors[half][4..].as_mut_ptr(), vmovl_high_s16(product));
            }
            factors
        }
    }
    #[inline(always)]
    unsafe fn dot_factors(factors: [[i32; CHUNK / BLOCK]; 2], x: &[[i16; CHUNK / BLOCK]; 2]) -> int32x4_t {
        // SAFETY: see above the impl.
        unsafe {
            let mut sums = vdupq_n_s32(0);
            for half in 0..2 {
                let x = vld1q_s16(x[half].as_ptr());
                sums = vmlaq_s32(sums, vld1q_s32(factors[half].as_ptr()), vmovl_s16(vget_low_s16(x)));
                sums = vmlaq_s32(sums, vld1q_s32(factors[half][4..].as_ptr()), vmovl_high_s16(x));
            }
            sums
        }
    }
    #[inline(always)]
    unsafe fn shift_sums(sums: int32x4_t, bits: u32) -> int32x4_t {
        // SAFETY: see above the impl.
        unsafe { vshlq_s32(sums, vdupq_n_s32(bits as i32)) }
    }
    #[inline(always)]
    unsafe fn add_halves_scaled<const B: usize>(
        self,
        x: Self,
        factors: [[i32; CHUNK / BLOCK]; 2],
        mut sums: int32x4_t,
    ) -> int32x4_t {
        for half in 0..2 {
            let (weights, x) = (self.0[half], x.0[half]);
            // SAFETY: see above the impl.
            sums = unsafe {
                let dot = if DOT {
                    dot_lanes(vdupq_n_s32(0), weights, x)
                } else {
                    vpaddlq_s16(multiply_bytes(weights, x))
                };
                vmlaq_n_s32(sums, dot, factors[half][B])
            };
        }
        sums
    }
}

/// `scale` times `multiplier`, which comes twice.
///
/// # Safety
/// The machine has the instructions.
#[inline(always)]
unsafe fn factor<const DOT: bool>(scale: Neon<DOT>, [multiplier, _]: [i16; 2]) -> Neon<DOT> {
    // SAFETY: as the caller says.
    scale.map(|lanes| unsafe { vmulq_n_u32(lanes, multiplier as u32) })
}

/// Sums of two products, of bytes whose products leave room for two.
///
/// # Safety
/// All of aarch64 has NEON.
#[inline(always)]
unsafe fn multiply_bytes(weights: int8x16_t, x: int8x16_t) -> int16x8_t {
    // SAFETY: as the caller says.
    unsafe { vmlal_high_s8(vmull_s8(vget_low_s8(weights), vget_low_s8(x)), weights, x) }
}

impl<const DOT: bool> Neon<DOT> {
    #[inline(always)]
    fn map(self, operation: impl Fn(uint32x4_t) -> uint32x4_t) -> Self {
        Self([operation(self.0[0]), operation(self.0[1])])
    }

    /// Partial sums as one integer a lane.
    ///
    /// # Safety
    /// The machine has the instructions.
    #[inline(always)]
    unsafe fn whole(self) -> Self {
        // SAFETY: as the caller says.
        self.map(|lanes| unsafe {
            if DOT { lanes } else { vreinterpretq_u32_s32(vpaddlq_s16(vreinterpretq_s16_u32(lanes))) }
        })
    }
}

/// 16 bytes at `offset` of rows `first..first + 4`: lane `r` of vector `i` holds bytes `4 * i..4 * i + 4` of row `first + r`.
///
/// # Safety
/// The rows have these bytes.
#[inline(always)]
unsafe fn transposed(rows: &Rows, first: usize, offset: usize) -> [uint32x4_t; 4] {
    // SAFETY: as the caller says.
    unsafe {
        let row = |lane: usize| vreinterpretq_u32_u8(vld1q_u8(rows.row(first + lane, offset)));
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        let (ab, ab_odd, cd, cd_odd) =
            (vtrn1q_u32(a, b), vtrn2q_u32(a, b), vtrn1q_u32(c, d), vtrn2q_u32(c, d));
        let wide = vreinterpretq_u64_u32;
        [
            vreinterpretq_u32_u64(vtrn1q_u64(wide(ab), wide(cd))),
            vreinterpretq_u32_u64(vtrn1q_u64(wide(ab_odd), wide(cd_odd))),
            vreinterpretq_u32_u64(vtrn2q_u64(wide(ab), wide(cd))),
            vreinterpretq_u32_u64(vtrn2q_u64(wide(ab_odd), wide(cd_odd))),
        ]
    }
}

/// `sum` and, in each lane, its four products of signed bytes with those in lane `STEP` of `x`.
///
/// # Safety
/// The machine has `dotprod`.
#[inline(always)]
unsafe fn dot<const STEP: usize>(mut sum: uint32x4_t, weights: uint32x4_t, x: uint32x4_t) -> uint32x4_t {
    // The intrinsic is not stable.
    // SAFETY: as the caller says.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {x:v}.4b[{step}]",
            sum = inout(vreg) sum,
            weights = in(vreg) weights,
            x = in(vreg) x,
            step = const STEP,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// `sum` and, in each lane, four products of signed bytes.
///
/// # Safety
/// The machine has `dotprod`.
#[inline(always)]
unsafe fn dot_lanes(mut sum: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    // The intrinsic is not stable.
    // SAFETY: as the caller says.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {x:v}.16b",
            sum = inout(vreg) sum,
            weights = in(vreg) weights,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// `pairs` and, in each half of a lane, two products of signed bytes.
///
/// # Safety
/// All of aarch64 has NEON.
#[inline(always)]
unsafe fn add_pairs(pairs: uint32x4_t, weights: uint32x4_t, x: uint32x4_t) -> uint32x4_t {
    // SAFETY: as the caller says.
    unsafe {
        let (weights, x) = (vreinterpretq_s8_u32(weights), vreinterpretq_s8_u32(x));
        let (low, high) = (vmull_s8(vget_low_s8(weights), vget_low_s8(x)), vmull_high_s8(weights, x));
        vreinterpretq_u32_s16(vaddq_s16(vreinterpretq_s16_u32(pairs), vpaddq_s16(low, high)))
    }
}

// SAFETY of all below: all of aarch64 has NEON, and pointers have room for eight, as the trait asks.
impl Floats for Eight {
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] })
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let halves = vreinterpretq_f16_u16(vld1q_u16(from));
            [vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)]
        })
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let halves = vld1q_u16(from);
            let (low, high) = (vshll_n_u16::<16>(vget_low_u16(halves)), vshll_high_n_u16::<16>(halves));
            [vreinterpretq_f32_u32(low), vreinterpretq_f32_u32(high)]
        })
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see above the impl.
        Self([unsafe { vdupq_n_f32(value) }; 2])
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { [vaddq_f32(self.0[0], other.0[0]), vaddq_f32(self.0[1], other.0[1])] })
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { [vmulq_f32(self.0[0], other.0[0]), vmulq_f32(self.0[1], other.0[1])] })
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            [vfmaq_f32(addend.0[0], self.0[0], factor.0[0]), vfmaq_f32(addend.0[1], self.0[1], factor.0[1])]
        })
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, minuend: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            [vfmsq_f32(minuend.0[0], self.0[0], factor.0[0]), vfmsq_f32(minuend.0[1], self.0[1], factor.0[1])]
        })
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above the impl.
        unsafe {
            let four = vaddq_f32(self.0[0], self.0[1]);
            vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)))
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above the impl.
        unsafe {
            vst1q_f32(to, self.0[0]);
            vst1q_f32(to.add(4), self.0[1]);
        }
    }
}
