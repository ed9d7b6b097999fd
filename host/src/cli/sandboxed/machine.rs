//! What a sandbox gives to a model: one thread, and the guest that was composed with the program.

use clap::Args;
use wasm_chord::Builder;

use super::failure::Result;

/// How the program ends, and its variables that are no options.
pub(crate) const AFTER_HELP: &str = "Exit codes: 0 success, 1 failure; WASI 0.2 has no others.

WASM_CHORD_MEMORY is how many MiB weights, activations, keys and values may take together.";

/// What to do about a model file that is not there.
pub(crate) const NOT_FOUND: &str = "check the path, and that its folder was opened for the sandbox (--dir); without -m the built-in model runs";

/// What to do when the work itself failed.
pub(crate) const FAILED: &str = "if the sandbox has less memory than 4 GiB, let WASM_CHORD_MEMORY say so";

/// There is nothing to choose.
#[derive(Args)]
pub(crate) struct MachineOptions {}

impl MachineOptions {
    pub(crate) fn apply(&self, builder: Builder) -> Result<Builder> {
        Ok(builder)
    }
}

/// Nothing here logs.
pub(crate) fn log() {}
