//! Builds the guest that misbehaves, in the same way as the real one is built.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

fn main() -> Result<()> {
    let tests = env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is set by cargo")?;
    let workspace = Path::new(&tests).parent().context("tests/ lies in the workspace")?;
    for source in ["tests/hostile-guest", "wit"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is set by cargo")?);
    // A folder of its own: cargo holds the lock of the outer one.
    let target = out.join("guest");
    let mut command = Command::new(env::var_os("CARGO").context("CARGO is set by cargo")?);
    command
        .current_dir(workspace)
        .args([
            "build",
            "--package",
            "wasm-chord-hostile-guest",
            "--profile",
            "guest",
            "--target",
            TARGET,
            "--locked",
        ])
        .arg("--target-dir")
        .arg(&target);
    // What the outer build was told is about the outer target.
    for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
        command.env_remove(name);
    }
    ensure!(
        command.status().context("cargo cannot be started")?.success(),
        "the hostile guest does not build"
    );

    let module = target.join(TARGET).join("guest").join("wasm_chord_hostile_guest.wasm");
    let module = fs::read(&module).with_context(|| format!("{} is not there", module.display()))?;
    let component = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    fs::write(out.join("hostile.wasm"), component)?;
    Ok(())
}
