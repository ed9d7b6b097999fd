//! The muscles of wasm-chord: transformer arithmetic, recorded once and run many times.
//!
//! A caller names [`Weight`]s in mapped bytes, makes [`Tensor`]s and a [`Cache`] on a [`Device`], records verbs with a
//! [`Recorder`], and runs the compiled [`Plan`] for every [`Step`] of tokens. Modules stand in that order. All shape checks are
//! in the recorder, all bookkeeping of positions is in the cache; a device only computes.
//!
//! Nothing here knows Wasmtime, a file format, or what a layer is.

pub mod block;
pub mod cache;
pub mod device;
pub mod packed;
pub mod quota;
pub mod recording;
pub mod step;
pub mod tensor;

pub mod cpu;
pub mod reference;

#[cfg(feature = "suite")]
pub mod suite;

pub use block::Format;
pub use cache::{Cache, CacheFormat, CacheShape, Sequence};
pub use device::{Device, Error, Failure, Plan};
pub use quota::Quota;
pub use recording::{Activation, AttentionShape, Recorder, Recording, RopeLayout, Rotary, ShapeError, Verb};
pub use step::{Continuation, Step};
pub use tensor::{Bytes, Source, Tensor, Weight};
