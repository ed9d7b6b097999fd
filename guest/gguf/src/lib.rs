//! GGUF model files, versions 2 and 3, little endian: reading and writing.
//!
//! A file is a table of metadata, a table of tensors and the tensors' data. [`Header::read`] decodes the two tables
//! from any [`Source`] in bounded chunks and checks every length, type, shape and data range against the size of the
//! file before it is believed; [`Shards`] does the same for a model split over several files; [`Writer`] makes files.
//! The tables are all it decodes: tensor data is never read, and what the keys mean is the caller's business.
//!
//! Nothing here is random or depends on the platform, so that a Wasm guest which links it gains no import.
#![forbid(unsafe_code)]

mod error;
mod header;
mod kind;
mod metadata;
mod reader;
mod shards;
mod value;
mod writer;

pub use error::{Error, Result};
pub use header::{Header, TensorInfo};
pub use kind::Kind;
pub use metadata::Metadata;
pub use reader::Source;
pub use shards::{Shards, split_paths};
pub use value::{Array, Strings, Value};
pub use writer::{DataWriter, Writer};

/// The limits on what a file may declare. They are far above every published model and keep a hostile file from
/// asking for more memory or time than its own size justifies.
pub mod limits {
    /// Metadata entries in a file.
    pub const KEYS: u64 = 1 << 16;
    /// Bytes of a metadata key.
    pub const KEY_BYTES: u64 = (1 << 16) - 1;
    /// Tensors in a file, and in all shards of a model together.
    pub const TENSORS: u64 = 1 << 18;
    /// Bytes of a tensor name.
    pub const TENSOR_NAME_BYTES: u64 = 64;
    /// Dimensions of a tensor.
    pub const DIMENSIONS: u32 = 4;
    /// Arrays inside one another: an array of numbers has depth 1.
    pub const ARRAY_DEPTH: usize = 4;
    /// Bytes of memory that the decoded metadata of one file may take.
    pub const METADATA_BYTES: u64 = 256 << 20;
    /// Bytes between two possible beginnings of tensor data, the value of `general.alignment`.
    pub const ALIGNMENT: u64 = 1 << 20;
}
