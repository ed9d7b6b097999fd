//! What can go wrong that is nobody's bug, in words for the user; the cases are those of `generation.error` in the contract.

/// A circumstance. Bugs panic instead, which traps and ends this instance only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a file this guest can read; says what and where.
    #[error("{0}")]
    Malformed(String),
    /// The file is sound, but asks for something this guest or its host lacks.
    #[error("{0}")]
    Unsupported(String),
    /// The host's quota or the device is exhausted.
    #[error("{0}")]
    OutOfMemory(String),
    /// The caller asked for something that makes no sense, such as a NaN temperature.
    #[error("{0}")]
    InvalidRequest(String),
    /// The work itself failed: storage, device, or numbers that are not finite.
    #[error("{0}")]
    Failed(String),
    /// The host stopped the work.
    #[error("the work was cancelled")]
    Cancelled,
}

/// Result of everything in this crate that can meet a circumstance.
pub type Result<T> = std::result::Result<T, Error>;

impl From<wasm_chord_gguf::Error> for Error {
    fn from(error: wasm_chord_gguf::Error) -> Self {
        use wasm_chord_gguf::Error as Gguf;
        let message = error.to_string();
        match error {
            Gguf::Read { .. } => Self::Failed(message),
            Gguf::BigEndian { .. } | Gguf::Version { .. } => Self::Unsupported(message),
            _ => Self::Malformed(message),
        }
    }
}
