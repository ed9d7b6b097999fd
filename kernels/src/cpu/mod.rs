//! The CPU device.

pub(crate) mod isa;
pub(crate) mod matmul;
