//! Arithmetic on rows: pointwise functions, norms, rotation. Written once over [`Lanes`], compiled per instruction set.
//!
//! Every sum has a fixed order. `exp` is within 2 units in the last place; below -86 it is zero.
#![expect(
    unsafe_code,
    reason = "bodies over raw rows, called through tables of functions with target features"
)]

use super::isa::Isa;
use super::lanes::{LANES, Lanes};
use crate::recording::{Activation, RopeLayout};

/// A struct of functions, one for each signature, and its instances for all instruction sets; the bodies are the functions of the
/// same names in `bodies`, generic over [`Lanes`].
macro_rules! instantiate {
    ($(#[$table_doc:meta])* $table:ident of $bodies:ident { $($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?);)* }) => {
        $(#[$table_doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $table { $($(#[$doc])* pub(super) $name: unsafe fn($($type),*),)* }

        impl $table {
            /// The functions for `isa`, which the machine must have.
            pub(super) fn new(isa: Isa) -> Self {
                assert!(isa.is_available(), "this machine has no {isa}");
                match isa {
                    Isa::Portable => Self { $($name: portable::$name),* },
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 | Isa::AvxVnni => Self { $($name: avx2::$name),* },
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 | Isa::Amx => Self { $($name: avx512::$name),* },
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon | Isa::DotProd => Self { $($name: neon::$name),* },
                    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                    Isa::Simd128 => Self { $($name: simd128::$name),* },
                    other => unreachable!("{other} is of another architecture"),
                }
            }
        }

        mod portable {
            use super::*;
            $(pub(super) unsafe fn $name($($argument: $type),*) {
                // SAFETY: the caller's promises are those of the body.
                unsafe { $bodies::$name::<$crate::cpu::lanes::Portable>($($argument),*) }
            })*
        }

        #[cfg(target_arch = "x86_64")]
        mod avx2 {
            use super::*;
            $(#[target_feature(enable = "avx2,fma,f16c")]
            pub(super) unsafe fn $name($($argument: $type),*) {
                // SAFETY: the caller's promises are those of the body, and the instruction set is enabled.
                unsafe { $bodies::$name::<$crate::cpu::lanes::Avx2>($($argument),*) }
            })*
        }

        #[cfg(target_arch = "x86_64")]
        mod avx512 {
            use super::*;
            $(#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            pub(super) unsafe fn $name($($argument: $type),*) {
                // SAFETY: the caller's promises are those of the body, and the instruction set is enabled.
                unsafe { $bodies::$name::<$crate::cpu::lanes::Avx512>($($argument),*) }
            })*
        }

        #[cfg(target_arch = "aarch64")]
        mod neon {
            use super::*;
            $(pub(super) unsafe fn $name($($argument: $type),*) {
                // SAFETY: the caller's promises are those of the body.
                unsafe { $bodies::$name::<$crate::cpu::lanes::Neon>($($argument),*) }
            })*
        }

        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        mod simd128 {
            use super::*;
            $(pub(super) unsafe fn $name($($argument: $type),*) {
                // SAFETY: the caller's promises are those of the body.
                unsafe { $bodies::$name::<$crate::cpu::lanes::Simd128>($($argument),*) }
            })*
        }
    };
}
pub(super) use instantiate;

instantiate! {
    /// Row functions of one instruction set.
    ///
    /// # Safety
    /// Pointers have `count` elements and no alignment; `out` may be an input, but not partly. The machine has the instruction set.
    Math of bodies {
        /// `out = x / sqrt(mean(x^2) + epsilon) * scale`
        fn rms_norm(out: *mut f32, x: *const f32, scale: *const f32, count: usize, epsilon: f32);
        /// `out = (x - mean(x)) / sqrt(variance(x) + epsilon) * scale + bias`; no bias if it is null.
        fn layer_norm(out: *mut f32, x: *const f32, scale: *const f32, bias: *const f32, count: usize, epsilon: f32);
        /// `out = activation(gate) * up`
        fn gate(out: *mut f32, gate: *const f32, up: *const f32, count: usize, activation: Activation);
        /// `out = activation(x)`
        fn activate(out: *mut f32, x: *const f32, count: usize, activation: Activation);
        /// `out = x + y`
        fn add(out: *mut f32, x: *const f32, y: *const f32, count: usize);
        /// `out = x * y`
        fn multiply(out: *mut f32, x: *const f32, y: *const f32, count: usize);
        /// `out = factor * x`, then `soft_cap * tanh(out / soft_cap)` unless it is infinite.
        fn scale(out: *mut f32, x: *const f32, count: usize, factor: f32, soft_cap: f32);
        /// Turn `count` pairs of one head by angles with these sines and cosines.
        fn rotate(head: *mut f32, cos: *const f32, sin: *const f32, count: usize, layout: RopeLayout);
    }
}

/// Run the block with the start and the length of every part of at most [`LANES`] of `$count` elements. Not a function with a
/// closure, which would be compiled without the instruction set unless it happens to be inlined.
macro_rules! each {
    ($count:expr, |$at:ident, $n:ident| $body:block) => {{
        let whole = $count / LANES * LANES;
        let mut $at = 0;
        while $at < whole {
            let $n = LANES;
            $body
            $at += LANES;
        }
        if whole < $count {
            let $n = $count - whole;
            $body
        }
    }};
}

/// SAFETY of all bodies: the promises of [`Math`].
mod bodies {
    use super::*;

    #[inline(always)]
    pub(super) unsafe fn rms_norm<L: Lanes>(
        out: *mut f32,
        x: *const f32,
        scale: *const f32,
        count: usize,
        epsilon: f32,
    ) {
        // SAFETY: see the module.
        unsafe {
            let squares = sum::<L, 2>(x, count, 0.0);
            let factor = L::splat(1.0 / (squares / count as f32 + epsilon).sqrt());
            each!(count, |at, n| {
                let lanes = L::load_first(x.add(at), n).mul(factor);
                lanes.mul(L::load_first(scale.add(at), n)).store_first(out.add(at), n);
            });
        }
    }

    #[inline(always)]
    pub(super) unsafe fn layer_norm<L: Lanes>(
        out: *mut f32,
        x: *const f32,
        scale: *const f32,
        bias: *const f32,
        count: usize,
        epsilon: f32,
    ) {
        // SAFETY: see the module.
        unsafe {
            let mean = sum::<L, 1>(x, count, 0.0) / count as f32;
            let squares = sum::<L, 2>(x, count, mean);
            let factor = L::splat(1.0 / (squares / count as f32 + epsilon).sqrt());
            each!(count, |at, n| {
                let lanes = L::load_first(x.add(at), n).sub(L::splat(mean)).mul(factor);
                let lanes = lanes.mul(L::load_first(scale.add(at), n));
                let lanes = if bias.is_null() { lanes } else { lanes.add(L::load_first(bias.add(at), n)) };
                lanes.store_first(out.add(at), n);
            });
        }
    }

    #[inline(always)]
    pub(super) unsafe fn gate<L: Lanes>(
        out: *mut f32,
        gate: *const f32,
        up: *const f32,
        count: usize,
        activation: Activation,
    ) {
        // SAFETY: see the module.
        unsafe {
            each!(count, |at, n| {
                let lanes = apply(activation, L::load_first(gate.add(at), n));
                lanes.mul(L::load_first(up.add(at), n)).store_first(out.add(at), n);
            });
        }
    }

    #[inline(always)]
    pub(super) unsafe fn activate<L: Lanes>(
        out: *mut f32,
        x: *const f32,
        count: usize,
        activation: Activation,
    ) {
        // SAFETY: see the module.
        unsafe {
            each!(count, |at, n| {
                apply(activation, L::load_first(x.add(at), n)).store_first(out.add(at), n);
            });
        }
    }

    #[inline(always)]
    pub(super) unsafe fn add<L: Lanes>(out: *mut f32, x: *const f32, y: *const f32, count: usize) {
        // SAFETY: see the module.
        unsafe {
            each!(count, |at, n| {
                L::load_first(x.add(at), n).add(L::load_first(y.add(at), n)).store_first(out.add(at), n);
            });
        }
    }

    #[inline(always)]
    pub(super) unsafe fn multiply<L: Lanes>(out: *mut f32, x: *const f32, y: *const f32, count: usize) {
        // SAFETY: see the module.
        unsafe {
            each!(count, |at, n| {
                L::load_first(x.add(at), n).mul(L::load_first(y.add(at), n)).store_first(out.add(at), n);
            });
        }
    }

    #[inline(always)]
    pub(super) unsafe fn scale<L: Lanes>(
        out: *mut f32,
        x: *const f32,
        count: usize,
        factor: f32,
        soft_cap: f32,
    ) {
        // SAFETY: see the module.
        unsafe {
            each!(count, |at, n| {
                let mut lanes = L::load_first(x.add(at), n).mul(L::splat(factor));
                if soft_cap.is_finite() {
                    lanes = cap(lanes, soft_cap);
                }
                lanes.store_first(out.add(at), n);
            });
        }
    }

    #[inline(always)]
    pub(super) unsafe fn rotate<L: Lanes>(
        head: *mut f32,
        cos: *const f32,
        sin: *const f32,
        count: usize,
        layout: RopeLayout,
    ) {
        // SAFETY: see the module.
        unsafe {
            match layout {
                RopeLayout::Halves => each!(count, |at, n| {
                    let (first, second) = (head.add(at), head.add(count + at));
                    let (a, b) = (L::load_first(first, n), L::load_first(second, n));
                    let (cos, sin) = (L::load_first(cos.add(at), n), L::load_first(sin.add(at), n));
                    a.mul(cos).sub(b.mul(sin)).store_first(first, n);
                    a.mul(sin).add(b.mul(cos)).store_first(second, n);
                }),
                RopeLayout::Adjacent => {
                    for pair in 0..count {
                        let (cos, sin) = (*cos.add(pair), *sin.add(pair));
                        let (first, second) = (head.add(2 * pair), head.add(2 * pair + 1));
                        let (a, b) = (*first, *second);
                        *first = a * cos - b * sin;
                        *second = a * sin + b * cos;
                    }
                }
            }
        }
    }

    /// Sum of all elements less `mean`, to the power of `POWER`, in four interleaved sums. A last part is filled up with `mean`.
    #[inline(always)]
    unsafe fn sum<L: Lanes, const POWER: usize>(x: *const f32, count: usize, mean: f32) -> f32 {
        // SAFETY: see the module.
        unsafe {
            let mut sums = [L::splat(0.0); 4];
            let round = 4 * LANES;
            let whole = count / round * round;
            let mut at = 0;
            while at < whole {
                for part in 0..4 {
                    let lanes = L::load(x.add(at + part * LANES)).sub(L::splat(mean));
                    sums[part] = sums[part].add(if POWER == 2 { lanes.mul(lanes) } else { lanes });
                }
                at += round;
            }
            let mut part = 0;
            while at < count {
                let mut rest = [mean; LANES];
                let n = LANES.min(count - at);
                std::ptr::copy_nonoverlapping(x.add(at), rest.as_mut_ptr(), n);
                let lanes = L::load(rest.as_ptr()).sub(L::splat(mean));
                sums[part] = sums[part].add(if POWER == 2 { lanes.mul(lanes) } else { lanes });
                part += 1;
                at += LANES;
            }
            sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum()
        }
    }

    #[inline(always)]
    unsafe fn apply<L: Lanes>(activation: Activation, x: L) -> L {
        // SAFETY: see the module.
        unsafe {
            let one = L::splat(1.0);
            match activation {
                Activation::Silu => x.div(exp(L::splat(0.0).sub(x)).add(one)),
                Activation::GeluTanh => {
                    let cubed = x.mul(x).mul(x).mul(L::splat(0.044_715));
                    let inner = x.add(cubed).mul(L::splat(0.797_884_6));
                    x.mul(L::splat(0.5)).mul(tanh(inner).add(one))
                }
                Activation::GeluQuick => x.div(exp(x.mul(L::splat(-1.702))).add(one)),
                Activation::Relu => L::splat(0.0).max(x),
                Activation::ReluSquared => {
                    let positive = L::splat(0.0).max(x);
                    positive.mul(positive)
                }
                Activation::Sigmoid => one.div(exp(L::splat(0.0).sub(x)).add(one)),
                Activation::Tanh => tanh(x),
            }
        }
    }
}

/// `limit * tanh(x / limit)`
///
/// # Safety
/// The instruction set is enabled where this is inlined.
#[inline(always)]
pub(super) unsafe fn cap<L: Lanes>(x: L, limit: f32) -> L {
    // SAFETY: the caller's promise.
    unsafe { tanh(x.div(L::splat(limit))).mul(L::splat(limit)) }
}

/// `e^x`: `2^n` times a polynomial of degree 6 in what is left, at most half of ln 2.
///
/// # Safety
/// The instruction set is enabled where this is inlined.
#[inline(always)]
pub(super) unsafe fn exp<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        // NaN is the second operand, so it stays.
        let inside = L::splat(-86.0).max(L::splat(88.73).min(x));
        let n = inside.mul(L::splat(std::f32::consts::LOG2_E)).round();
        // ln 2 in two parts, the first with trailing zeros: n times it is exact.
        let rest = n.mul_add(L::splat(-355.0 / 512.0), inside);
        let rest = n.mul_add(L::splat(2.121_944_4e-4), rest);
        let mut polynomial = L::splat(1.0 / 720.0);
        for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            polynomial = polynomial.mul_add(rest, L::splat(coefficient));
        }
        // In two factors, since 2^128 is too large for one.
        let power = polynomial.mul(n.sub(L::splat(1.0)).power_of_two()).mul(L::splat(2.0));
        x.select_below(L::splat(-86.0), L::splat(0.0), power)
    }
}

/// `tanh(x)`: a series near zero, where the formula with `exp` cancels.
///
/// # Safety
/// The instruction set is enabled where this is inlined.
#[inline(always)]
pub(super) unsafe fn tanh<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let square = x.mul(x);
        let mut series = L::splat(-929_569.0 / 638_512_875.0);
        for coefficient in
            [21844.0 / 6_081_075.0, -1382.0 / 155_925.0, 62.0 / 2835.0, -17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0]
        {
            series = series.mul_add(square, L::splat(coefficient));
        }
        let near = series.mul(square).mul_add(x, x);
        let twice = exp(x.add(x));
        let far = L::splat(1.0).sub(L::splat(2.0).div(twice.add(L::splat(1.0))));
        square.select_below(L::splat(0.36), near, far)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> impl Iterator<Item = Math> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Math::new)
    }

    fn activate(math: &Math, activation: Activation, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        // SAFETY: both have `x.len()` elements.
        unsafe { (math.activate)(out.as_mut_ptr(), x.as_ptr(), x.len(), activation) };
        out
    }

    #[test]
    fn sigmoid_and_tanh_are_accurate_everywhere() {
        let x: Vec<f32> = (-200_000..200_000).map(|i| i as f32 * 5e-4).collect();
        for math in tables() {
            for (activation, exact) in [
                (Activation::Sigmoid, (|x| 1.0 / (1.0 + (-x).exp())) as fn(f64) -> f64),
                (Activation::Tanh, f64::tanh),
            ] {
                for (&x, y) in x.iter().zip(activate(&math, activation, &x)) {
                    let exact = exact(f64::from(x));
                    let error = (f64::from(y) - exact).abs();
                    assert!(error <= 4e-7 * exact.abs() + 1e-37, "{activation:?}({x}) = {y}, not {exact}");
                }
            }
        }
    }

    #[test]
    fn extremes_stay_extreme() {
        let x = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 3e38, -3e38, 0.0, 100.0];
        for math in tables() {
            assert_eq!(activate(&math, Activation::Tanh, &x)[..2], [1.0, -1.0]);
            let silu = activate(&math, Activation::Silu, &x);
            assert_eq!((silu[0], silu[3], silu[4], silu[5], silu[6]), (f32::INFINITY, 3e38, 0.0, 0.0, 100.0));
            assert!(silu[2].is_nan());
            assert!(activate(&math, Activation::Tanh, &x)[2].is_nan());
        }
    }

    #[test]
    fn what_lies_behind_a_row_is_left_alone() {
        for math in tables() {
            for count in [1, 15, 16, 17, 70] {
                let (x, mut out) = (vec![1.0; count], vec![7.0; count + 1]);
                // SAFETY: all have `count` elements.
                unsafe { (math.rms_norm)(out.as_mut_ptr(), x.as_ptr(), x.as_ptr(), count, 0.0) };
                assert!(out[..count].iter().all(|&y| (y - 1.0).abs() < 1e-6));
                assert_eq!(out[count], 7.0);
            }
        }
    }
}
