//! wasm-chord.
