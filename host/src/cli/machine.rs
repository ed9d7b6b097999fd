//! What the machine gives to a model: threads, and a place to look for what happens.

use std::fs;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use tracing_subscriber::EnvFilter;
use wasm_chord::Builder;

use super::failure::{Failure, Result};
use super::output;

/// How the program ends, and its variables that are no options.
pub(crate) const AFTER_HELP: &str =
    "Exit codes: 0 success, 1 the work failed, 2 wrong usage, 3 damaged model file, 4 it does not fit \
into memory, 5 unsupported model, 130 stopped with Ctrl-C.

WASM_CHORD_LOG=debug shows what happens inside; WASM_CHORD_CACHE is the folder of compiled guests.";

/// What to do about a model file that is not there.
pub(crate) const NOT_FOUND: &str = "check the path; without -m the built-in model runs";

/// What to do when the work itself failed.
pub(crate) const FAILED: &str = "WASM_CHORD_LOG=debug shows what happened before";

/// On what a model runs.
#[derive(Args)]
pub(crate) struct MachineOptions {
    /// Threads that compute; one for every core if absent.
    #[arg(short, long, value_name = "N", env = "WASM_CHORD_THREADS")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Multiply with a packed copy of the weights, a file beside the model and as large, which is written the first time. Faster where
    /// arithmetic is slower than memory; needs AVX-512 with VNNI, or NEON with dot products.
    #[arg(long, env = "WASM_CHORD_PACK")]
    pack: bool,
    /// Guest component to run instead of the built-in one.
    #[arg(long, value_name = "FILE.wasm", env = "WASM_CHORD_GUEST")]
    guest: Option<PathBuf>,
}

impl MachineOptions {
    /// Settings to open a model with, beside others.
    pub(crate) fn apply(&self, mut builder: Builder) -> Result<Builder> {
        if let Some(threads) = self.threads {
            builder = builder.threads(threads);
        }
        builder = builder.pack(self.pack);
        if let Some(path) = &self.guest {
            let component = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
            builder = builder.guest(component);
        }
        Ok(builder)
    }
}

/// Show warnings of the library, or what `WASM_CHORD_LOG` asks for.
pub(crate) fn log() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::WARN.into())
        .with_env_var("WASM_CHORD_LOG")
        .from_env_lossy();
    let colours = std::io::stderr().is_terminal() && output::colours_allowed();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
}
