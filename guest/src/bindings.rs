//! The contract as Rust, generated from `wit/`: what the host offers as functions, what this guest offers as traits.

#![cfg_attr(
    target_arch = "wasm32",
    expect(unsafe_code, reason = "generated glue exports functions under fixed names")
)]
#![expect(missing_docs, reason = "documented in wit/")]

wit_bindgen::generate!({
    path: "../wit",
    world: "model",
});

#[cfg(target_arch = "wasm32")]
use crate::generation::Component;

#[cfg(target_arch = "wasm32")]
export!(Component with_types_in self);
