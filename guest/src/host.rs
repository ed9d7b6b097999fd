//! What the host answers, in this guest's words.

use crate::bindings::wasm_chord::inference::kernels::Failure;
use crate::bindings::wasm_chord::inference::tensors::Tensor;
use crate::bindings::wasm_chord::inference::{memory64, tensors};
use crate::error::{Error, Result};

/// Room for activations of `columns`.
///
/// # Errors
/// If the host has none.
pub fn tensor(columns: u32) -> Result<Tensor> {
    Tensor::create(columns).map_err(|error| not_made("activations", error))
}

/// Why `what` could not be made.
pub fn not_made(what: &str, error: tensors::Error) -> Error {
    match error {
        tensors::Error::UnsupportedFormat(_) => {
            Error::Unsupported(format!("the format of {what} is not supported"))
        }
        tensors::Error::BadShape(message) => Error::Malformed(format!("{what}: {message}")),
        tensors::Error::Memory(error) => Error::Malformed(format!("{what}: {}", not_read(&error))),
        tensors::Error::OutOfMemory(bytes) => {
            Error::OutOfMemory(format!("no room for {bytes} bytes of {what}"))
        }
    }
}

/// Why bytes of the model's file could not be had.
pub fn not_read(error: &memory64::Error) -> String {
    match error {
        memory64::Error::OutOfRange(address) => format!("address {address} lies outside the file"),
        memory64::Error::TooLong => "more was asked for than the host reads at once".into(),
        memory64::Error::Unreadable(message) => message.clone(),
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::CacheFull => Self::OutOfMemory("the context is full".into()),
            Failure::Storage(message) | Failure::Device(message) => Self::Failed(message),
            Failure::Cancelled => Self::Cancelled,
        }
    }
}
