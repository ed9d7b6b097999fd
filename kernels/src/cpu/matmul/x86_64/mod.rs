//! Which x86-64 kernels take the place of the portable ones.

mod amx;
mod avx2;
mod avx512;
mod packed;

use super::{Isa, Kernels};

/// Overwrite the slots that the tier of `kernels` improves. How much each does stands in `PERFORMANCE.md`.
pub(super) fn plug(kernels: &mut Kernels) {
    match kernels.isa {
        Isa::Avx2 => avx2::plug(kernels),
        Isa::AvxVnni => avx2::vnni::plug(kernels),
        Isa::Avx512 => {
            avx512::plug(kernels);
            kernels.packed = packed::avx512::kernel;
        }
        Isa::Amx => amx::plug(kernels),
        _ => {}
    }
}
