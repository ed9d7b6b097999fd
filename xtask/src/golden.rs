//! `cargo xtask golden`: makes the golden logits in tests/data/golden.
//!
//! The arithmetic is done by xtask/golden/golden.py, which says what each file holds; this task only gives it
//! a Python environment with the pinned packages of xtask/golden/requirements.txt.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let scripts = root.join("xtask/golden");
    let python = match &arguments.python {
        Some(python) => python.clone(),
        None => environment(root, &scripts.join("requirements.txt"))?,
    };
    let out = arguments.out.clone().unwrap_or_else(|| root.join("tests/data/golden"));
    let mut command = Command::new(&python);
    command.arg(scripts.join("golden.py")).arg("--out").arg(out);
    if let Some(only) = &arguments.only {
        command.arg("--only").arg(only);
    }
    finish(&mut command)
}

/// The Python of an environment under the target folder that holds exactly `requirements`; made when absent,
/// made anew when the requirements changed.
fn environment(root: &Path, requirements: &Path) -> Result<PathBuf> {
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("golden-python");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    finish(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder)).context(
        "python3 with its venv module is needed to make golden files; install it, or name a Python with --python",
    )?;
    finish(
        Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements),
    )
    .context("cannot install the packages of xtask/golden/requirements.txt")?;
    std::fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(python)
}

/// Runs a command to its end; anything but success is an error that names the command.
fn finish(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}
