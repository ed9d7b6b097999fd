//! Builds the components and composes them, for hosts that have WASI and nothing of this project.
//!
//! `target/dist/wasm-chord-plugin.wasm` is guest and portable component: a model as a library. `wasm-chord-plugin-simd128.wasm` is the
//! same for engines without relaxed-simd. `wasm-chord.wasm` is the command line on top of the two, with the default model.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};
use wit_component::{ComponentEncoder, LibraryInfo};

#[path = "../../../host/describe.rs"]
mod describe;

use describe::describe;

fn main() -> Result<()> {
    let workspace =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("it lies two folders deep")?;
    let version = env::args().nth(1).context("the argument is the version of the components")?;
    let dist = workspace.join("target/dist");
    let build = Build { workspace, target: dist.join("build") };

    let guest = build.packages(&["wasm-chord-guest"], "wasm32-unknown-unknown", "")?;
    let mut guest = component(&guest("wasm_chord_guest.wasm")?, None)?;
    describe(&mut guest, describe::GUEST, &version);
    // The linker of WASI would make components of the others, but knows no module beside theirs.
    let flags = "-Clink-arg=--skip-wit-component -Ctarget-feature=+simd128";
    let built = build.packages(&["wasm-chord-portable"], "wasm32-wasip2", flags)?;
    let simd128 = built("wasm_chord_portable.wasm")?;
    let flags = format!("{flags},+relaxed-simd");
    let built = build.packages(&["wasm-chord-portable", "wasm-chord"], "wasm32-wasip2", &flags)?;
    let relaxed = built("wasm_chord_portable.wasm")?;
    let portable = |module: &[u8], far: &str| {
        let far = wat::parse_file(workspace.join("kernels/portable/far").join(far))?;
        component(module, Some(&far))
    };
    let program = component(&built("wasm-chord.wasm")?, None)?;

    // A plugin is for hosts of all kinds. Node 20 knows neither 64-bit addresses nor a second memory.
    for (module, name) in [(&relaxed, "wasm-chord-plugin.wasm"), (&simd128, "wasm-chord-plugin-simd128.wasm")]
    {
        let mut composition = Composition::default();
        composition.model(&guest, &portable(module, "none.wat")?)?;
        let mut plugin = composition.encode()?;
        describe(&mut plugin, "Language models in a sandbox, for any host with WASI", &version);
        write(&dist.join(name), &plugin)?;
    }

    let mut composition = Composition::default();
    composition.program(&guest, &portable(&relaxed, "memory64.wat")?, &program)?;
    let mut program = composition.encode()?;
    describe(&mut program, "The program wasm-chord, for any host with WASI", &version);
    write(&dist.join("wasm-chord.wasm"), &program)
}

/// A module as a component; `far` is what it imports under that name, a module on the memory of the first.
fn component(module: &[u8], far: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).merge_imports_based_on_semver(true).module(module)?;
    if let Some(far) = far {
        // What the encoder calls an adapter may have no memory of its own; a library may.
        encoder.library("far", far, LibraryInfo { arguments: Vec::new() })?;
    }
    encoder.encode()
}

/// Write all or nothing: somebody may be reading what was there before.
fn write(path: &Path, component: &[u8]) -> Result<()> {
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let written = fs::write(&partial, component).and_then(|()| fs::rename(&partial, path));
    written.with_context(|| format!("{} cannot be written", path.display()))?;
    println!("{} ({:.2} MB)", path.display(), component.len() as f64 / 1e6);
    Ok(())
}

/// Where components are built.
struct Build<'a> {
    workspace: &'a Path,
    target: PathBuf,
}

impl Build<'_> {
    /// Compile packages for a target, with flags for rustc. Returns how to read the files that result.
    fn packages(
        &self,
        packages: &[&str],
        target: &str,
        flags: &str,
    ) -> Result<impl Fn(&str) -> Result<Vec<u8>>> {
        let mut command = Command::new(env::var_os("CARGO").context("CARGO is set by cargo")?);
        command
            .current_dir(self.workspace)
            .args(["build", "--locked", "--profile", "guest", "--target", target, "--target-dir"])
            .arg(&self.target)
            .args(packages.iter().flat_map(|package| ["--package", package]))
            .env("RUSTFLAGS", flags);
        // What the outer build was told is about the outer target.
        for name in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
            command.env_remove(name);
        }
        let built = command.status().context("cargo cannot be started")?.success();
        ensure!(built, "{} cannot be built for {target}", packages.join(" and "));
        let folder = self.target.join(target).join("guest");
        Ok(move |file: &str| {
            fs::read(folder.join(file)).with_context(|| format!("{file} is not in {}", folder.display()))
        })
    }
}

/// Components that are connected by the names of the contract.
#[derive(Default)]
struct Composition {
    graph: CompositionGraph,
}

impl Composition {
    /// A guest on the portable component: exports what a model offers, and which files it has.
    fn model(&mut self, guest: &[u8], portable: &[u8]) -> Result<()> {
        let portable = self.instantiate("portable", portable, &[])?;
        let guest = self.instantiate("guest", guest, &[portable])?;
        self.export(guest, "wasm-chord:inference/generation")?;
        self.export(portable, "wasm-chord:inference/files")
    }

    /// A program on top of the two.
    fn program(&mut self, guest: &[u8], portable: &[u8], program: &[u8]) -> Result<()> {
        let portable = self.instantiate("portable", portable, &[])?;
        let guest = self.instantiate("guest", guest, &[portable])?;
        let program = self.instantiate("program", program, &[guest, portable])?;
        self.export(program, "wasi:cli/run")
    }

    /// One more component; what it imports and one of `others` exports comes from there, all else from outside.
    fn instantiate(&mut self, name: &str, component: &[u8], others: &[NodeId]) -> Result<NodeId> {
        let package = Package::from_bytes(name, None, component, self.graph.types_mut())?;
        let package = self.graph.register_package(package)?;
        let imports: Vec<String> =
            self.graph.types()[self.graph[package].ty()].imports.keys().cloned().collect();
        let instance = self.graph.instantiate(package);
        for import in imports {
            for &other in others {
                if let Ok(export) = self.graph.alias_instance_export(other, &import) {
                    self.graph.set_instantiation_argument(instance, &import, export)?;
                }
            }
        }
        Ok(instance)
    }

    /// Let an interface that an instance exports, in whatever version, be an export of the whole.
    fn export(&mut self, instance: NodeId, interface: &str) -> Result<()> {
        let package = self.graph[instance].package().context("it is an instance of a component")?;
        let exports = &self.graph.types()[self.graph[package].ty()].exports;
        let versioned = |name: &&String| name.split('@').next() == Some(interface);
        let name =
            exports.keys().find(versioned).with_context(|| format!("{interface} is not exported"))?.clone();
        let export = self.graph.alias_instance_export(instance, &name)?;
        self.graph.export(export, &name)?;
        Ok(())
    }

    fn encode(self) -> Result<Vec<u8>> {
        Ok(self.graph.encode(EncodeOptions::default())?)
    }
}
