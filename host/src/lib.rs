//! Runs large language models whose *logic* is a sandboxed WebAssembly component and whose *muscle* is this library.
//!
//! The guest component parses the model file, holds tokenizer, chat template, control flow and sampler, and is not trusted. The
//! host owns the mapped file, activations, keys and values, and the kernels that the guest calls through its imports. Between the
//! two pass only handles, numbers and text.
//!
//! # Example
//!
//! A small model is part of this crate:
//!
//! ```
//! use wasm_chord::{Chat, Model, Sampling, Stop};
//!
//! let model = Model::open_default()?;
//! let session = model.session(&Sampling::greedy(), &Stop { after: Some(32), ..Stop::default() })?;
//! let mut chat = Chat::new(session);
//! let mut answer = String::new();
//! for piece in chat.say("What is the capital of France?")? {
//!     answer += &piece?;
//! }
//! assert!(answer.contains("Paris"), "{answer}");
//! # Ok::<(), wasm_chord::Error>(())
//! ```
//!
//! [`Model::open`] takes a GGUF file instead, [`Model::builder`] threads, context, limits, another guest or device. A Wasmtime host of
//! its own links the imports with [`imports::add_to_linker`].
//!
//! Compiled for `wasm32-wasip2`, the same library calls a guest that it is composed with: see `xtask/dist`. A program that keeps to
//! models, sessions and chats runs in both places.

mod error;
mod generation;
mod session;

// On a machine: Wasmtime runs the guest, and files are mapped.
#[cfg(not(target_family = "wasm"))]
mod guest;
#[cfg(not(target_family = "wasm"))]
mod handle;
#[cfg(not(target_family = "wasm"))]
pub mod imports;
#[cfg(not(target_family = "wasm"))]
mod mapping;
#[cfg(not(target_family = "wasm"))]
mod meter;
#[cfg(not(target_family = "wasm"))]
mod model;
#[cfg(not(target_family = "wasm"))]
mod packed;
#[cfg(not(target_family = "wasm"))]
mod space;
#[cfg(not(target_family = "wasm"))]
mod watch;

// In a component: the guest is its neighbour, and so is what the guest runs on.
#[cfg(target_family = "wasm")]
mod component;

pub use error::{Error, Result};
pub use generation::{Conversation, Event, Finish, Information, Message, Sampling, Stop, Template};
pub use session::{Answer, Chat, Pieces, Session, Statistics};
pub use wasm_chord_kernels as kernels;

#[cfg(not(target_family = "wasm"))]
pub use {
    guest::built_in_guest,
    meter::Meter,
    model::{Builder, Canceller, Limits, Model},
    space::AddressSpace,
};

#[cfg(not(target_family = "wasm"))]
use imports::generated::exports::wasm_chord::inference::generation as contract;

#[cfg(target_family = "wasm")]
pub use component::model::{Builder, Model};
#[cfg(target_family = "wasm")]
use component::{bindings::wasm_chord::inference::generation as contract, handle, model};

/// The model that this crate brings with it.
static DEFAULT_MODEL: &[u8] = include_bytes!("../model/default.gguf");
