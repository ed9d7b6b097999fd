//! Which x86-64 kernels take the place of the portable ones.
//!
//! Beside the slots: billions of multiply-adds per second of one core with 512 tokens, portable -> here, and the GB/s of weights
//! with one token, from one run of `matmul_speed` as `PERFORMANCE.md` describes it.

mod avx2;
mod avx512;

use super::{Isa, Kernels, portable};

/// Overwrite the slots that the tier of `kernels` improves.
pub(super) fn plug(kernels: &mut Kernels) {
    if kernels.isa >= Isa::Avx2 {
        kernels.quantise = avx2::quantise;
        kernels.f32 = avx2::multiply_floats::<avx2::F32>;
        kernels.f16 = avx2::multiply_floats::<avx2::F16>;
        kernels.bf16 = avx2::multiply_floats::<avx2::BF16>;
        kernels.q4_0 = avx2::multiply_quants::<portable::Q4_0>;
        kernels.q8_0 = avx2::multiply_quants::<portable::Q8_0>;
        kernels.q4_k = avx2::multiply_quants::<portable::Q4_K>;
        kernels.q5_k = avx2::multiply_quants::<portable::Q5_K>;
        kernels.q6_k = avx2::multiply_quants::<portable::Q6_K>;
    }
    if kernels.isa >= Isa::Avx512 {
        kernels.quantise = avx512::quantise;
        kernels.f32 = avx512::multiply_floats::<avx512::F32>;
        kernels.f16 = avx512::multiply_floats::<avx512::F16>;
        kernels.bf16 = avx512::multiply_floats::<avx512::BF16>;
        kernels.q4_0 = avx512::multiply_quants::<avx512::Q4_0>;
        kernels.q8_0 = avx512::multiply_quants::<avx512::Q8_0>;
        kernels.q4_k = avx512::multiply_quants::<avx512::Q4_K>;
        kernels.q5_k = avx512::multiply_quants::<avx512::Q5_K>;
        kernels.q6_k = avx512::multiply_quants::<avx512::Q6_K>;
    }
}
