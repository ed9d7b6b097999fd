//! The library inside a composition of components, where a guest exports `generation` and a portable component `files`.
//!
//! Limits, threads and devices are the business of whoever runs the composition.

pub(crate) mod bindings;
pub(crate) mod handle;
pub(crate) mod model;
