//! The portable component: what a native host gives a guest, on nothing but WASI.
//!
//! It exports `memory64`, `tensors` and `kernels` on the CPU device, with model files read through `wasi:filesystem`. Beneath a
//! guest the two are a component that any host can run. Memory ends at 4 GiB, so weights that do not fit are read whenever a plan
//! runs: from the file, or from a second memory with 64-bit addresses. Checks of shapes, quotas and the bookkeeping of positions are
//! those of the kernels; what is here looks up and converts.

pub mod bindings;

mod far;
mod files;
mod kernels;
mod memory64;
mod residency;
mod tensors;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use wasm_chord_kernels::Quota;
use wasm_chord_kernels::cpu::Cpu;

use far::Far;
use files::Files;
use residency::Residency;

/// Bytes for weights, activations, keys and values, unless `WASM_CHORD_MEMORY` says how many MiB: what a 32-bit memory has, less
/// what programs of the kernels and their scratch memory may take.
const MEMORY: u64 = (4096 - 256) << 20;

/// What the component offers.
pub struct Component;

/// What all of its interfaces work on.
struct Portable {
    device: Cpu,
    quota: Quota,
    residency: RefCell<Residency>,
    /// A second memory, of as many MiB as `WASM_CHORD_FAR_MEMORY` says; or why the sandbox has none.
    far: Result<Option<Arc<Far>>, String>,
    /// The model to be loaded next.
    files: RefCell<Option<Rc<Files>>>,
}

thread_local! {
    static PORTABLE: Portable = {
        let quota = Quota::new(variable("WASM_CHORD_MEMORY").unwrap_or(MEMORY));
        let residency = RefCell::new(Residency::new(quota.clone()));
        let far = variable("WASM_CHORD_FAR_MEMORY").map(|bytes| Far::new(bytes).map(Arc::new)).transpose();
        let device = Cpu::new(Some(NonZeroUsize::MIN));
        Portable { device, quota, residency, far, files: RefCell::default() }
    };
}

/// The bytes that a variable names, if it is there.
fn variable(name: &str) -> Option<u64> {
    let mebibytes = std::env::var(name).ok()?;
    Some(bytes(&mebibytes).unwrap_or_else(|| panic!("{name} is a number of MiB")))
}

/// None if that is no number, or too many.
fn bytes(mebibytes: &str) -> Option<u64> {
    mebibytes.parse::<u64>().ok()?.checked_mul(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_said_in_mebibytes() {
        assert_eq!(bytes("3"), Some(3 << 20));
        for wrong in ["", "3M", "-1", "20000000000000"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
