//! The CPU device.

pub(crate) mod isa;
pub mod matmul;
