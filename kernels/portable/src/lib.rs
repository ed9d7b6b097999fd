//! The portable component: what a native host gives a guest, on nothing but WASI.
//!
//! It exports `memory64`, `tensors` and `kernels` on the CPU device, with model files read through `wasi:filesystem`. Beneath a
//! guest the two are a component that any host can run. Memory ends at 4 GiB, so weights that do not fit are read whenever a plan
//! runs. Checks of shapes, quotas and the bookkeeping of positions are those of the kernels; what is here looks up and converts.

pub mod bindings;

mod files;
mod kernels;
mod memory64;
mod residency;
mod tensors;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use wasm_chord_kernels::Quota;
use wasm_chord_kernels::cpu::Cpu;

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
    /// The model to be loaded next.
    files: RefCell<Option<Rc<Files>>>,
}

thread_local! {
    static PORTABLE: Portable = {
        let quota = Quota::new(memory(std::env::var("WASM_CHORD_MEMORY").ok().as_deref()));
        let residency = RefCell::new(Residency::new(quota.clone()));
        Portable { device: Cpu::new(Some(NonZeroUsize::MIN)), quota, residency, files: RefCell::default() }
    };
}

/// Bytes, if `mebibytes` is what the user says.
fn memory(mebibytes: Option<&str>) -> u64 {
    let Some(mebibytes) = mebibytes else { return MEMORY };
    let number: u64 = mebibytes.parse().expect("WASM_CHORD_MEMORY is a number of MiB");
    number.saturating_mul(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_said_in_mebibytes() {
        assert_eq!(memory(Some("3")), 3 << 20);
        assert_eq!(memory(None), MEMORY);
    }
}
