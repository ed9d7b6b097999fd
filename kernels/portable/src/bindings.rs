//! The contract as Rust, generated from `wit/`: what this component offers as traits.

#![cfg_attr(
    target_arch = "wasm32",
    expect(unsafe_code, reason = "generated glue exports functions under fixed names")
)]
#![expect(missing_docs, reason = "documented in wit/")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "portable",
});

#[cfg(target_arch = "wasm32")]
use crate::Component;

#[cfg(target_arch = "wasm32")]
export!(Component with_types_in self);
