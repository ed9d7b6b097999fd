//! The contract as Rust, generated from `wit/`.

#![cfg_attr(
    target_arch = "wasm32",
    expect(unsafe_code, reason = "generated glue exports functions under fixed names")
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "model",
});

#[cfg(target_arch = "wasm32")]
use crate::Component;

#[cfg(target_arch = "wasm32")]
export!(Component with_types_in self);
