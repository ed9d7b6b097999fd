//! Products of bytes, with relaxed-simd and without.
//!
//! The relaxed dot product is only given unsigned bytes of 7 bits. What comes of them does not depend on the engine, if it follows the
//! specification; Node 20 with `--experimental-wasm-relaxed-simd` does not.

use std::arch::wasm32::*;

pub(super) use variant::*;

use super::spread;

/// The bytes of every 16 bits, as such: the lower ones, and the upper ones.
#[inline(always)]
pub(super) fn bytes(bytes: v128) -> [v128; 2] {
    [v128_and(bytes, i16x8_splat(0xff)), u16x8_shr(bytes, 8)]
}

/// The sums of the lanes of four vectors, each in a lane of its own.
#[inline(always)]
pub(super) fn add_lanes([a, b, c, d]: [v128; 4]) -> v128 {
    let pairs = |a, b| i32x4_add(i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
    let (ab, cd) = (pairs(a, b), pairs(c, d));
    i32x4_add(i64x2_shuffle::<0, 2>(ab, cd), i64x2_shuffle::<1, 3>(ab, cd))
}

/// `sums` of [`dot`] and those of the products of weights with four bytes of `x` each, spread to all lanes.
#[inline(always)]
pub(super) fn dot_four(x: v128, weights: [v128; 4], sums: v128) -> v128 {
    let sums = add(sums, dot(spread::<0>(x), weights[0]));
    let sums = add(sums, dot(spread::<1>(x), weights[1]));
    let sums = add(sums, dot(spread::<2>(x), weights[2]));
    add(sums, dot(spread::<3>(x), weights[3]))
}

#[cfg(target_feature = "relaxed-simd")]
mod variant {
    use std::ptr::read_volatile;

    use super::*;

    /// Whether signed weights are complemented where activations are negative, see [`Signed::dot`].
    pub(in super::super) const COMPLEMENTS: bool = true;

    /// Sums of two products of signed bytes `x` with unsigned ones up to 127.
    #[inline(always)]
    pub(in super::super) fn dot(x: v128, weights: v128) -> v128 {
        i16x8_relaxed_dot_i8x16_i7x16(x, weights)
    }

    /// The largest sum of two products that partial sums hold.
    pub(in super::super) const LARGEST_PAIR: i32 = i16::MAX as i32;

    /// Both of what [`dot`] made.
    #[inline(always)]
    pub(in super::super) fn add(a: v128, b: v128) -> v128 {
        i16x8_add(a, b)
    }

    /// Scales of 16 bits in both halves of the lanes.
    #[inline(always)]
    pub(in super::super) fn twice(scales: v128) -> v128 {
        let low = v128_and(scales, i32x4_splat(0xffff));
        v128_or(low, i32x4_shl(scales, 16))
    }

    /// What these are multiplied with.
    #[inline(always)]
    pub(in super::super) fn multiplier([low, high]: [i16; 2]) -> v128 {
        i32x4_splat(i32::from(low) & 0xffff | i32::from(high) << 16)
    }

    /// Both, for [`scaled`].
    #[inline(always)]
    pub(in super::super) fn times(scale: v128, multiplier: v128) -> v128 {
        i16x8_mul(scale, multiplier)
    }

    /// The same of more bytes: sums of four products.
    #[inline(always)]
    pub(in super::super) fn dot_two(x: [v128; 2], weights: [v128; 2]) -> v128 {
        i16x8_add(dot(x[0], weights[0]), dot(x[1], weights[1]))
    }

    /// What [`dot`] or [`dot_two`] made, as integers of 32 bits.
    #[inline(always)]
    pub(in super::super) fn widen(sums: v128) -> v128 {
        i32x4_extadd_pairwise_i16x8(sums)
    }

    /// The bytes of every lane times `multipliers[4 * four..4 * four + 4]`, each in both halves of the lanes.
    #[inline(always)]
    pub(in super::super) fn factors(scales: v128, multipliers: &[i16; 8], four: usize) -> [v128; 4] {
        let (scales, multipliers) = (bytes(scales), in_turns(multipliers, four));
        let [even, odd] = [i16x8_mul(scales[0], multipliers[0]), i16x8_mul(scales[1], multipliers[1])];
        [pick(even, &LOWER), pick(odd, &LOWER), pick(even, &UPPER), pick(odd, &UPPER)]
    }

    /// A factor of 16 bits as one of [`factors`] in all lanes.
    #[inline(always)]
    pub(in super::super) fn half_factor<const INDEX: usize>(factors: v128) -> v128 {
        pick(factors, &EVERYWHERE[INDEX])
    }

    /// In every lane elements `4 * four` and `4 * four + 2`, and the others of these four.
    #[inline(always)]
    pub(in super::super) fn in_turns(x: &[i16; 8], four: usize) -> [v128; 2] {
        // SAFETY: there are 16 bytes.
        let x = unsafe { v128_load(x.as_ptr().cast()) };
        [pick(x, &IN_TURNS[four][0]), pick(x, &IN_TURNS[four][1])]
    }

    /// See [`factors`]: lower halves of all lanes.
    static LOWER: v128 = elements([0, 0, 2, 2, 4, 4, 6, 6]);
    /// Upper halves.
    static UPPER: v128 = elements([1, 1, 3, 3, 5, 5, 7, 7]);
    /// See [`half_factor`].
    static EVERYWHERE: [v128; 8] = [
        elements([0; 8]),
        elements([1; 8]),
        elements([2; 8]),
        elements([3; 8]),
        elements([4; 8]),
        elements([5; 8]),
        elements([6; 8]),
        elements([7; 8]),
    ];
    /// See [`in_turns`].
    static IN_TURNS: [[v128; 2]; 2] = [
        [elements([0, 2, 0, 2, 0, 2, 0, 2]), elements([1, 3, 1, 3, 1, 3, 1, 3])],
        [elements([4, 6, 4, 6, 4, 6, 4, 6]), elements([5, 7, 5, 7, 5, 7, 5, 7])],
    ];

    /// Where the bytes of these elements of 16 bits are.
    const fn elements([a, b, c, d, e, f, g, h]: [u16; 8]) -> v128 {
        /// Bytes `2 * index` and `2 * index + 1`.
        const fn bytes(index: u16) -> u16 {
            0x0202 * index + 0x0100
        }
        u16x8(bytes(a), bytes(b), bytes(c), bytes(d), bytes(e), bytes(f), bytes(g), bytes(h))
    }

    /// The bytes of `x` at `places`, which are read from memory: where they are constants, LLVM writes down a shuffle of two vectors, of
    /// which the second may be any, and Cranelift shuffles both.
    #[inline(always)]
    fn pick(x: v128, places: &'static v128) -> v128 {
        // SAFETY: a reference.
        i8x16_relaxed_swizzle(x, unsafe { read_volatile(places) })
    }

    /// What [`dot`] or [`dot_two`] made times one of [`factors`].
    #[inline(always)]
    pub(in super::super) fn scaled(dot: v128, factor: v128) -> v128 {
        i32x4_dot_i16x8(dot, factor)
    }

    /// Activations as the bytes of 7 bits, for weights that have 8.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Signed {
        magnitudes: v128,
        negative: v128,
    }

    impl Signed {
        #[inline(always)]
        pub(in super::super) fn new(x: v128) -> Self {
            // Or 0, which makes no difference. A comparison with 0 would become a shift of bytes, which x86 does not have.
            Self { magnitudes: i8x16_abs(x), negative: i8x16_lt(x, i8x16_splat(1)) }
        }

        /// `sum` and, in each lane, four products of the magnitudes with signed bytes, of which those that meet a negative activation
        /// are complemented. A complement is one less than the negative, so the sum lacks these magnitudes.
        #[inline(always)]
        pub(in super::super) fn dot_add(self, weights: v128, sum: v128) -> v128 {
            i32x4_relaxed_dot_i8x16_i7x16_add(v128_xor(weights, self.negative), self.magnitudes, sum)
        }

        /// The same without a sum to begin with.
        #[inline(always)]
        pub(in super::super) fn dot(self, weights: v128) -> v128 {
            let pairs = i16x8_relaxed_dot_i8x16_i7x16(v128_xor(weights, self.negative), self.magnitudes);
            i32x4_extadd_pairwise_i16x8(pairs)
        }
    }
}

#[cfg(not(target_feature = "relaxed-simd"))]
mod variant {
    use super::*;

    /// Signed weights are multiplied as they are.
    pub(in super::super) const COMPLEMENTS: bool = false;

    /// In each lane, four products of signed bytes `x` with unsigned ones.
    #[inline(always)]
    pub(in super::super) fn dot(x: v128, weights: v128) -> v128 {
        let even = i32x4_dot_i16x8(even(x), v128_and(weights, i16x8_splat(0xff)));
        i32x4_add(even, i32x4_dot_i16x8(odd(x), u16x8_shr(weights, 8)))
    }

    /// Partial sums have 32 bits.
    pub(in super::super) const LARGEST_PAIR: i32 = i32::MAX;

    /// Both of what [`dot`] made.
    #[inline(always)]
    pub(in super::super) fn add(a: v128, b: v128) -> v128 {
        i32x4_add(a, b)
    }

    /// Scales as they are.
    #[inline(always)]
    pub(in super::super) fn twice(scales: v128) -> v128 {
        scales
    }

    /// What these are multiplied with.
    #[inline(always)]
    pub(in super::super) fn multiplier([multiplier, _]: [i16; 2]) -> v128 {
        i32x4_splat(i32::from(multiplier))
    }

    /// Both, for [`scaled`].
    #[inline(always)]
    pub(in super::super) fn times(scale: v128, multiplier: v128) -> v128 {
        i32x4_mul(scale, multiplier)
    }

    /// The same of more bytes.
    #[inline(always)]
    pub(in super::super) fn dot_two(x: [v128; 2], weights: [v128; 2]) -> v128 {
        i32x4_add(dot(x[0], weights[0]), dot(x[1], weights[1]))
    }

    /// What [`dot`] or [`dot_two`] made.
    #[inline(always)]
    pub(in super::super) fn widen(sums: v128) -> v128 {
        sums
    }

    /// The bytes of every lane times `multipliers[4 * four..4 * four + 4]`.
    #[inline(always)]
    pub(in super::super) fn factors(scales: v128, multipliers: &[i16; 8], four: usize) -> [v128; 4] {
        std::array::from_fn(|byte| {
            let scale = v128_and(u32x4_shr(scales, 8 * byte as u32), i32x4_splat(0xff));
            i32x4_mul(scale, i32x4_splat(i32::from(multipliers[4 * four + byte])))
        })
    }

    /// A factor of 16 bits as one of [`factors`] in all lanes.
    #[inline(always)]
    pub(in super::super) fn half_factor<const INDEX: usize>(factors: v128) -> v128 {
        let twice = i16x8_shuffle::<INDEX, INDEX, INDEX, INDEX, INDEX, INDEX, INDEX, INDEX>(factors, factors);
        i32x4_shr(twice, 16)
    }

    /// In every lane elements `4 * four` and `4 * four + 2`, and the others of these four.
    #[inline(always)]
    pub(in super::super) fn in_turns(x: &[i16; 8], four: usize) -> [v128; 2] {
        let two = |first| i32x4_splat(i32::from(x[first]) & 0xffff | i32::from(x[first + 2]) << 16);
        [two(4 * four), two(4 * four + 1)]
    }

    /// What [`dot`] or [`dot_two`] made times one of [`factors`].
    #[inline(always)]
    pub(in super::super) fn scaled(dot: v128, factor: v128) -> v128 {
        i32x4_mul(dot, factor)
    }

    /// Activations for signed weights.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Signed {
        even: v128,
        odd: v128,
    }

    impl Signed {
        #[inline(always)]
        pub(in super::super) fn new(x: v128) -> Self {
            Self { even: even(x), odd: odd(x) }
        }

        /// `sum` and, in each lane, four products with signed bytes.
        #[inline(always)]
        pub(in super::super) fn dot_add(self, weights: v128, sum: v128) -> v128 {
            i32x4_add(sum, self.dot(weights))
        }

        /// The same without a sum to begin with.
        #[inline(always)]
        pub(in super::super) fn dot(self, weights: v128) -> v128 {
            i32x4_add(i32x4_dot_i16x8(self.even, even(weights)), i32x4_dot_i16x8(self.odd, odd(weights)))
        }
    }

    /// Every second signed byte, from the first one on, in 16 bits.
    #[inline(always)]
    fn even(bytes: v128) -> v128 {
        odd(i16x8_shl(bytes, 8))
    }

    /// The others.
    #[inline(always)]
    fn odd(bytes: v128) -> v128 {
        i16x8_shr(bytes, 8)
    }
}
