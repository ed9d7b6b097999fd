//! The mind of wasm-chord: everything that makes a model *that* model.
//!
//! Modules stand in the order of the data: the model's file, text and tokens, the architecture, the choice of the next token, the
//! conversation. Those that call the host (`file`, `host`, `layer`, `model`, `session`, `generation`) run as a component only; the
//! others are pure and are tested natively.

pub mod bindings;
pub mod error;

pub mod file;
pub mod host;
pub mod tokenizer;

pub mod chat;

pub mod config;
pub mod layer;
pub mod model;

pub mod output;
pub mod sampler;
pub mod session;

pub mod generation;
