//! Builds the guest component: compiles `guest/` for WebAssembly with the same toolchain and makes a component of it.
//!
//! The target has no system interface at all, so the component imports the contract and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use wit_component::ComponentEncoder;

mod describe;

const TARGET: &str = "wasm32-unknown-unknown";

fn main() -> Result<()> {
    // In a component the guest is a neighbour.
    if env::var_os("CARGO_CFG_TARGET_FAMILY").is_some_and(|family| family == "wasm") {
        return Ok(());
    }
    let host = env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is set by cargo")?;
    let workspace = Path::new(&host).parent().context("host/ lies in the workspace")?;
    for source in ["guest", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is set by cargo")?);
    let module = compile(workspace, &out.join("guest"))?;
    let mut component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .context("the guest's module does not carry its interface")?
        .encode()
        .context("the guest's module cannot be made a component")?;
    describe::describe(&mut component, describe::GUEST, env!("CARGO_PKG_VERSION"));
    let digest: String = Sha256::digest(&component).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(out.join("guest.wasm"), component)?;
    fs::write(out.join("guest.sha256"), digest)?;
    Ok(())
}

/// Compile the guest into a folder of its own: cargo holds the lock of the outer one. Returns the core module.
fn compile(workspace: &Path, target: &Path) -> Result<Vec<u8>> {
    let cargo = env::var_os("CARGO").context("CARGO is set by cargo")?;
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace)
        .args([
            "build",
            "--package",
            "wasm-chord-guest",
            "--lib",
            "--profile",
            "guest",
            "--target",
            TARGET,
            "--locked",
        ])
        .arg("--target-dir")
        .arg(target);
    // What the outer build was told is about the outer target.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let meant_for_host = ["RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];
        if meant_for_host.contains(&&*name)
            || name.starts_with("CARGO_PROFILE_")
            || name.starts_with("CARGO_CFG_")
        {
            command.env_remove(&*name);
        }
    }
    // Set and empty, it also keeps away flags from the user's configuration files, such as for another linker.
    command.env("CARGO_ENCODED_RUSTFLAGS", "");
    let status = command.status().context("cargo cannot be started")?;
    ensure!(
        status.success(),
        "the guest does not build; if its target is missing, `rustup target add {TARGET}` installs it"
    );
    let module = target.join(TARGET).join("guest").join("wasm_chord_guest.wasm");
    fs::read(&module).with_context(|| format!("{} is not there", module.display()))
}
