//! What a guest may ask of its host: the imports of the contract, one file per interface.
//!
//! Methods look up handles, call the kernels, convert errors. A circumstance becomes the contract's error case; a bug of the guest
//! becomes a trap that ends its instance.

mod kernels;
mod memory64;
mod tensors;

use std::sync::Arc;
use std::time::Duration;

use wasm_chord_kernels::{Device, Quota, Weight};
use wasmtime::component::{HasData, Linker, ResourceTable};

use crate::space::AddressSpace;
use crate::watch::Watch;

pub(crate) mod generated {
    //! The contract as Rust, generated from `wit/`.

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "model",
        imports: { default: trappable },
        with: {
            "wasm-chord:inference/tensors.weight": wasm_chord_kernels::Weight,
            "wasm-chord:inference/tensors.tensor": wasm_chord_kernels::Tensor,
            "wasm-chord:inference/tensors.cache": wasm_chord_kernels::Cache,
            "wasm-chord:inference/tensors.sequence": crate::imports::tensors::LockedSequence,
            "wasm-chord:inference/kernels.recorder": wasm_chord_kernels::Recorder,
            "wasm-chord:inference/kernels.plan": crate::imports::kernels::OwnedPlan,
            "wasm-chord:inference/kernels.step": wasm_chord_kernels::Step,
        },
        require_store_data_send: true,
    });
}

use generated::wasm_chord::inference as contract;

/// What the imports of one guest instance work on.
pub struct Context {
    space: Arc<AddressSpace>,
    device: Arc<dyn Device>,
    quota: Quota,
    watch: Arc<Watch>,
    /// Whether to bring weights near that the guest will need soon.
    pub(crate) prefetch: bool,
    /// The matrices that plans multiply with, where somebody wants to know.
    pub(crate) multiplied: Option<Vec<Weight>>,
    /// Time spent in the methods that do a guest's work.
    pub(crate) work: Duration,
}

impl Context {
    /// The guest sees `space` and computes on `device`, of whose memory it may take `device_memory` bytes.
    pub fn new(space: Arc<AddressSpace>, device: Arc<dyn Device>, device_memory: u64) -> Self {
        Self::with_watch(space, device, device_memory, Arc::default())
    }

    pub(crate) fn with_watch(
        space: Arc<AddressSpace>,
        device: Arc<dyn Device>,
        device_memory: u64,
        watch: Arc<Watch>,
    ) -> Self {
        let quota = Quota::new(device_memory);
        Self { space, device, quota, watch, prefetch: true, multiplied: None, work: Duration::ZERO }
    }
}

/// A borrowed context with the table of the store's handles.
pub struct View<'a> {
    /// What the imports work on.
    pub context: &'a mut Context,
    /// The handles that the guest holds.
    pub table: &'a mut ResourceTable,
}

struct HasView;

impl HasData for HasView {
    type Data<'a> = View<'a>;
}

/// Let components of `linker` import `memory64`, `tensors` and `kernels`; `view` finds their context in the store's data.
///
/// # Errors
/// If the linker has something under these names already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    contract::memory64::add_to_linker::<T, HasView>(linker, view)?;
    contract::tensors::add_to_linker::<T, HasView>(linker, view)?;
    contract::kernels::add_to_linker::<T, HasView>(linker, view)
}
