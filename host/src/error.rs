//! Everything that can go wrong, for a program to match on and a person to read.

use std::path::PathBuf;

/// Why a call failed. The message is a sentence without full stop; causes are part of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened or mapped.
    #[error("cannot open {}: {cause}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The model file is damaged or lies about itself.
    #[error("{0}")]
    Malformed(String),
    /// The model is sound, but asks for something that the guest or this host lacks.
    #[error("{0}")]
    Unsupported(String),
    /// The model, its context or the work does not fit into memory or quota.
    #[error("{0}")]
    OutOfMemory(String),
    /// The caller asked for something that makes no sense.
    #[error("{0}")]
    InvalidRequest(String),
    /// The work failed: storage, device, or numbers that are not finite.
    #[error("{0}")]
    Failed(String),
    /// Somebody asked for the work to stop.
    #[error("the work was cancelled")]
    Cancelled,
    /// The guest exceeded a limit or has a bug and was stopped. Its instance is lost: open the model again.
    #[error("the guest was stopped: {0}")]
    Guest(String),
    /// The guest component could not be compiled or linked.
    #[error("the guest component cannot be used: {0}")]
    Component(String),
}

/// Result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;
