//! Which x86-64 kernels take the place of the portable ones.
//!
//! Beside the slots: billions of multiply-adds per second with 512 tokens, and GB/s of weights with one token, of one core in one
//! run of `matmul_speed` as `PERFORMANCE.md` describes it, against those of the slot before.

mod avx2;
mod avx512;

use super::{Isa, Kernels};

/// Overwrite the slots that the tier of `kernels` improves.
pub(super) fn plug(kernels: &mut Kernels) {
    if kernels.isa >= Isa::Avx2 {
        kernels.quantise = avx2::quantise;
        kernels.f32 = avx2::multiply_floats::<avx2::F32>; // 2.4 -> 28, 5.7 -> 12.4
        kernels.f16 = avx2::multiply_floats::<avx2::F16>; // 2.1 -> 27, 0.9 -> 9.8
        kernels.bf16 = avx2::multiply_floats::<avx2::BF16>; // 2.3 -> 26, 2.1 -> 9.2
        kernels.q4_0 = avx2::multiply_quants::<avx2::Q4_0, false>; // 8.1 -> 91, 2.9 -> 12.3
        kernels.q8_0 = avx2::multiply_quants::<avx2::Q8_0, false>; // 8.1 -> 53, 3.7 -> 14.0
        kernels.q4_k = avx2::multiply_quants::<avx2::Q4_K, false>; // 7.7 -> 93, 3.0 -> 13.1
        kernels.q5_k = avx2::multiply_quants::<avx2::Q5_K, false>; // 7.7 -> 88, 3.0 -> 11.4
        kernels.q6_k = avx2::multiply_quants::<avx2::Q6_K, false>; // 4.0 -> 69, 2.6 -> 12.9
    }
    if kernels.isa == Isa::AvxVnni {
        kernels.q4_0 = avx2::multiply_quants::<avx2::Q4_0, true>; // 88 -> 121, 12.0 -> 11.4
        kernels.q8_0 = avx2::multiply_quants::<avx2::Q8_0, true>; // 52 -> 124, 12.7 -> 13.6
        kernels.q4_k = avx2::multiply_quants::<avx2::Q4_K, true>; // 90 -> 118, 12.3 -> 13.6
        kernels.q5_k = avx2::multiply_quants::<avx2::Q5_K, true>; // 86 -> 116, 11.1 -> 11.5
        kernels.q6_k = avx2::multiply_quants::<avx2::Q6_K, true>; // 67 -> 105, 12.2 -> 12.6
    }
    if kernels.isa >= Isa::Avx512 {
        kernels.quantise = avx512::quantise;
        kernels.f32 = avx512::multiply_floats::<avx512::F32>; // 28 -> 56, 12.4 -> 15.7
        kernels.f16 = avx512::multiply_floats::<avx512::F16>; // 27 -> 49, 9.8 -> 14.0
        kernels.bf16 = avx512::multiply_floats::<avx512::BF16>; // 26 -> 50, 9.2 -> 13.5
        kernels.q4_0 = avx512::multiply_quants::<avx512::Q4_0>; // 91 -> 229, 12.3 -> 11.6
        kernels.q8_0 = avx512::multiply_quants::<avx512::Q8_0>; // 53 -> 223, 14.0 -> 13.0
        kernels.q4_k = avx512::multiply_quants::<avx512::Q4_K>; // 93 -> 216, 13.1 -> 11.9
        kernels.q5_k = avx512::multiply_quants::<avx512::Q5_K>; // 88 -> 213, 11.4 -> 12.3
        kernels.q6_k = avx512::multiply_quants::<avx512::Q6_K>; // 69 -> 185, 12.9 -> 12.1
    }
}
