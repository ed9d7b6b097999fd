//! `cargo xtask golden`: makes the golden logits in tests/data/golden.
//!
//! The arithmetic is done by xtask/golden/golden.py, which says what each file holds; this task only gives it
//! a Python environment with the pinned packages of xtask/golden/requirements.txt.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::python;

/// Arguments of `cargo xtask golden`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A Python that already has the packages of xtask/golden/requirements.txt (default: an environment made
    /// under target/, which builds llama.cpp and needs a C++ compiler)
    #[arg(long)]
    python: Option<PathBuf>,
    /// Folder to write to
    #[arg(long)]
    out: Option<PathBuf>,
    /// Only the models whose name contains this
    #[arg(long)]
    only: Option<String>,
}

/// Runs the task.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = python::root()?;
    let scripts = root.join("xtask/golden");
    let interpreter = match &arguments.python {
        Some(python) => python.clone(),
        None => python::environment("golden-python", &scripts.join("requirements.txt"))?,
    };
    let out = arguments.out.clone().unwrap_or_else(|| root.join("tests/data/golden"));
    let mut command = Command::new(&interpreter);
    command.arg(scripts.join("golden.py")).arg("--out").arg(out);
    if let Some(only) = &arguments.only {
        command.arg("--only").arg(only);
    }
    python::finish(&mut command)
}
