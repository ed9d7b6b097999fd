//! Packed weights, whose lines are vectors of AVX-512.
#![expect(unsafe_code, reason = "functions that need an instruction set")]

use super::super::tiles::many::{Registers, multiply_many};
use super::super::tiles::packed::{Pack, Packed, multiply_one};
use super::super::tiles::unpack::{Q4_0, Q4_K, Q5_K, Q6_K, Q8_0};
use super::super::{Multiply, Product};
use super::avx512::Avx512;
use crate::block::Format;

/// The function for packed weights of `format`, on AVX-512 with VNNI.
pub(super) fn kernel(format: Format) -> Option<Multiply> {
    match format {
        Format::F32 | Format::F16 | Format::BF16 => None,
        Format::Q4_0 => Some(multiply::<Q4_0>),
        Format::Q8_0 => Some(multiply::<Q8_0>),
        Format::Q4_K => Some(multiply::<Q4_K>),
        Format::Q5_K => Some(multiply::<Q5_K>),
        Format::Q6_K => Some(multiply::<Q6_K>),
    }
}

/// # Safety
/// As [`Kernels::multiply`](super::Kernels::multiply) with a packed matrix, with the sizes checked, on a machine with these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn multiply<F: Pack>(product: &Product<'_>) {
    // SAFETY: the same contract.
    unsafe {
        if product.tokens == 1 {
            multiply_one::<Avx512, F>(product)
        } else {
            multiply_many::<Avx512, Packed<F>, Registers>(product)
        }
    }
}
