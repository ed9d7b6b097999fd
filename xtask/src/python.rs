//! Python environments for the tasks whose oracle or opponent is a Python package.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The root of the workspace.
pub(crate) fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")
}

/// The folder of what is built.
pub(crate) fn target() -> Result<PathBuf> {
    let root = root()?;
    // What the variable names is relative to the folder that cargo was called in, as cargo has it.
    Ok(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from))
}

/// The Python of the environment `name` under the target folder that holds exactly `requirements`; made when absent,
/// made anew when the requirements changed.
pub(crate) fn environment(name: &str, requirements: &Path) -> Result<PathBuf> {
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let folder = target()?.join(name);
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    finish(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder)).context(
        "python3 with its venv module is needed for this task; install it, or name a Python with --python",
    )?;
    finish(
        Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements),
    )
    .with_context(|| format!("cannot install the packages of {}", requirements.display()))?;
    std::fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(python)
}

/// Runs a command to its end; anything but success is an error that names the command.
pub(crate) fn finish(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}
