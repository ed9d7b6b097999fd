//! The mind of wasm-chord: everything that makes a model *that* model.
//!
//! Modules stand in the order of the data: file, text, architecture, choice of the next token, conversation. All but `bindings`
//! are pure Rust and are tested natively.

pub mod error;
pub mod tokenizer;

pub mod chat;
pub mod sampler;
