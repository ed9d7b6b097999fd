//! Which x86-64 kernels take the place of the portable ones.
//!
//! Beside the slots: billions of multiply-adds per second with 512 tokens, and GB/s of weights with one token, of one core in one
//! run of `matmul_speed` as `PERFORMANCE.md` describes it, against those of the slot before (for AVX-512, of the one for AVX2).

mod avx2;
mod avx512;

use super::{Isa, Kernels};

/// Overwrite the slots that the tier of `kernels` improves.
pub(super) fn plug(kernels: &mut Kernels) {
    if kernels.isa >= Isa::Avx2 {
        kernels.quantise = avx2::quantise;
        kernels.f32 = avx2::multiply_floats::<avx2::F32>; // 2.4 -> 31, 5.7 -> 16.9
        kernels.f16 = avx2::multiply_floats::<avx2::F16>; // 2.1 -> 28, 0.9 -> 14.4
        kernels.bf16 = avx2::multiply_floats::<avx2::BF16>; // 2.3 -> 28, 2.1 -> 13.9
        kernels.q4_0 = avx2::multiply_quants::<avx2::Q4_0, false>; // 8.1 -> 88, 2.9 -> 12.6
        kernels.q8_0 = avx2::multiply_quants::<avx2::Q8_0, false>; // 8.1 -> 53, 3.7 -> 14.3
        kernels.q4_k = avx2::multiply_quants::<avx2::Q4_K, false>; // 7.7 -> 90, 3.0 -> 13.3
        kernels.q5_k = avx2::multiply_quants::<avx2::Q5_K, false>; // 7.7 -> 87, 3.0 -> 11.3
        kernels.q6_k = avx2::multiply_quants::<avx2::Q6_K, false>; // 4.0 -> 75, 2.6 -> 13.1
    }
    if kernels.isa == Isa::AvxVnni {
        kernels.q4_0 = avx2::multiply_quants::<avx2::Q4_0, true>; // 88 -> 126, 12.6 -> 12.6
        kernels.q8_0 = avx2::multiply_quants::<avx2::Q8_0, true>; // 53 -> 127, 14.3 -> 14.6
        kernels.q4_k = avx2::multiply_quants::<avx2::Q4_K, true>; // 90 -> 114, 13.3 -> 13.9
        kernels.q5_k = avx2::multiply_quants::<avx2::Q5_K, true>; // 87 -> 119, 11.3 -> 11.9
        kernels.q6_k = avx2::multiply_quants::<avx2::Q6_K, true>; // 75 -> 105, 13.1 -> 13.7
    }
    if kernels.isa >= Isa::Avx512 {
        kernels.quantise = avx512::quantise;
        kernels.f32 = avx512::multiply_floats::<avx512::F32>; // 31 -> 56, 16.9 -> 15.7
        kernels.f16 = avx512::multiply_floats::<avx512::F16>; // 28 -> 49, 14.4 -> 14.0
        kernels.bf16 = avx512::multiply_floats::<avx512::BF16>; // 28 -> 50, 13.9 -> 13.5
        kernels.q4_0 = avx512::multiply_quants::<avx512::Q4_0>; // 88 -> 229, 12.6 -> 11.6
        kernels.q8_0 = avx512::multiply_quants::<avx512::Q8_0>; // 53 -> 223, 14.3 -> 13.0
        kernels.q4_k = avx512::multiply_quants::<avx512::Q4_K>; // 90 -> 216, 13.3 -> 11.9
        kernels.q5_k = avx512::multiply_quants::<avx512::Q5_K>; // 87 -> 213, 11.3 -> 12.3
        kernels.q6_k = avx512::multiply_quants::<avx512::Q6_K>; // 75 -> 185, 13.1 -> 12.1
    }
}
