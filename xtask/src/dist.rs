//! `dist`: the components of `target/dist`, for hosts that have WASI only. The work is done by `xtask/dist`.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Build and run it, with a target folder of its own: its dependencies are not those of the workspace.
pub(crate) fn run() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask/ lies in the workspace")?;
    let status = Command::new(env::var_os("CARGO").context("CARGO is set by cargo")?)
        .args(["run", "--quiet", "--locked", "--release", "--manifest-path"])
        .arg(workspace.join("xtask/dist/Cargo.toml"))
        .arg("--target-dir")
        .arg(workspace.join("target/dist/build"))
        .args(["--", env!("CARGO_PKG_VERSION")])
        .status();
    ensure!(status.context("cargo cannot be started")?.success(), "the components were not made");
    Ok(())
}
