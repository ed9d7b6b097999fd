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

mod error;
mod generation;
mod guest;
pub mod imports;
mod mapping;
mod meter;
mod model;
mod session;
mod space;
mod watch;

pub use error::{Error, Result};
pub use generation::{Conversation, Event, Finish, Information, Message, Sampling, Stop, Template};
pub use guest::built_in_guest;
pub use meter::Meter;
pub use model::{Builder, Canceller, Limits, Model};
pub use session::{Answer, Chat, Pieces, Session, Statistics};
pub use space::{AddressSpace, Region, Role};
pub use wasm_chord_kernels as kernels;
