//! What a component says of itself, in the sections that package registries read. Part of `build.rs` here and of `xtask/dist`.

use wasm_encoder::{ComponentSection, CustomSection};

/// What the guest is.
pub(crate) const GUEST: &str = "The logic of a language model, on wasm-chord:inference";

/// Append it.
pub(crate) fn describe(component: &mut Vec<u8>, description: &str, version: &str) {
    for (name, data) in [
        ("description", description),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("source", env!("CARGO_PKG_REPOSITORY")),
        ("version", version),
    ] {
        CustomSection { name: name.into(), data: data.as_bytes().into() }.append_to_component(component);
    }
}
