//! Which x86-64 kernels take the place of the portable ones.
//!
//! Beside the slots: billions of multiply-adds per second with 512 tokens, and GB/s of weights with one token, of one core in one
//! run of `matmul_speed` as `PERFORMANCE.md` describes it, against those of the slot before.

mod avx2;
mod avx512;

use super::{Isa, Kernels, portable};

/// Overwrite the slots that the tier of `kernels` improves.
pub(super) fn plug(kernels: &mut Kernels) {
    if kernels.isa >= Isa::Avx2 {
        kernels.quantise = avx2::quantise;
        kernels.f32 = avx2::multiply_floats::<avx2::F32>; // 2.4 -> 28, 5.7 -> 12.4
        kernels.f16 = avx2::multiply_floats::<avx2::F16>; // 2.1 -> 27, 0.9 -> 9.8
        kernels.bf16 = avx2::multiply_floats::<avx2::BF16>; // 2.3 -> 26, 2.1 -> 9.2
        kernels.q4_0 = avx2::multiply_quants::<portable::Q4_0>; // 8.1 -> 47, 2.9 -> 3.4
        kernels.q8_0 = avx2::multiply_quants::<portable::Q8_0>; // 8.1 -> 47, 3.7 -> 3.8
        kernels.q4_k = avx2::multiply_quants::<portable::Q4_K>; // 7.7 -> 68, 3.0 -> 3.8
        kernels.q5_k = avx2::multiply_quants::<portable::Q5_K>; // 7.7 -> 67, 3.0 -> 3.4
        kernels.q6_k = avx2::multiply_quants::<portable::Q6_K>; // 4.0 -> 47, 2.6 -> 3.3
    }
    if kernels.isa >= Isa::Avx512 {
        kernels.quantise = avx512::quantise;
        kernels.f32 = avx512::multiply_floats::<avx512::F32>; // 28 -> 56, 12.4 -> 15.7
        kernels.f16 = avx512::multiply_floats::<avx512::F16>; // 27 -> 49, 9.8 -> 14.0
        kernels.bf16 = avx512::multiply_floats::<avx512::BF16>; // 26 -> 50, 9.2 -> 13.5
        kernels.q4_0 = avx512::multiply_quants::<avx512::Q4_0>; // 47 -> 229, 3.4 -> 11.6
        kernels.q8_0 = avx512::multiply_quants::<avx512::Q8_0>; // 47 -> 223, 3.8 -> 13.0
        kernels.q4_k = avx512::multiply_quants::<avx512::Q4_K>; // 68 -> 216, 3.8 -> 11.9
        kernels.q5_k = avx512::multiply_quants::<avx512::Q5_K>; // 67 -> 213, 3.4 -> 12.3
        kernels.q6_k = avx512::multiply_quants::<avx512::Q6_K>; // 47 -> 185, 3.3 -> 12.1
    }
}
