//! Guest components: the one that is built in, compilation, and the cache of compiled ones.

#![expect(unsafe_code, reason = "loads machine code that this program compiled and kept in the user's cache")]

use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use crate::error::{Error, Result};

/// The guest that runs models of the llama family, built with this crate.
const BUILT_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.wasm"));
/// Its SHA-256 in hex.
const BUILT_IN_DIGEST: &str = include_str!(concat!(env!("OUT_DIR"), "/guest.sha256"));

/// The guest component that this crate brings with it, as a WebAssembly binary: to be inspected, or run by another host.
pub fn built_in_guest() -> &'static [u8] {
    BUILT_IN
}

/// A guest component, not yet compiled.
#[derive(Clone)]
pub(crate) enum Guest {
    /// The one built with this crate.
    BuiltIn,
    /// The bytes of another.
    Bytes(std::sync::Arc<[u8]>),
}

impl Guest {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::BuiltIn => BUILT_IN,
            Self::Bytes(bytes) => bytes,
        }
    }

    fn digest(&self) -> String {
        match self {
            Self::BuiltIn => BUILT_IN_DIGEST.into(),
            Self::Bytes(bytes) => hex(&Sha256::digest(bytes)),
        }
    }

    /// Compile it, or load what was compiled before. `cache` is the folder of compiled guests; none compiles every time.
    ///
    /// # Errors
    /// [`Error::Component`] if it is not a component that this host can compile.
    pub(crate) fn compile(&self, engine: &Engine, cache: Option<&Path>) -> Result<Component> {
        let file = cache.map(|folder| {
            let mut compatibility = std::hash::DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut compatibility);
            folder.join(format!("{}-{:016x}.cwasm", self.digest(), compatibility.finish()))
        });
        if let Some(component) = file.as_deref().and_then(|file| load(engine, file)) {
            return Ok(component);
        }
        let component = Component::from_binary(engine, self.bytes())
            .map_err(|error| Error::Component(one_line(&error)))?;
        if let Some(file) = file
            && let Err(error) = store(&component, &file)
        {
            tracing::warn!("the compiled guest is not kept: {error:#}");
        }
        Ok(component)
    }
}

/// An engine for guests: only what the contract needs.
pub(crate) fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    // Guests know their own function names; tables of source positions would only make the machine code larger.
    config.generate_address_map(false);
    Engine::new(&config).map_err(|error| Error::Component(one_line(&error)))
}

/// The folder of compiled guests: `$WASM_CHORD_CACHE`, or `wasm-chord` in the user's cache folder.
pub(crate) fn default_cache() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("WASM_CHORD_CACHE").or_else(|| {
        let caches = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
        let caches = caches.or_else(|| variable("LOCALAPPDATA"));
        caches.map(|caches| caches.join("wasm-chord"))
    })
}

/// An error of Wasmtime with its causes, as one line. Where in the guest it happened goes to the log.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    tracing::debug!("{error:#}");
    let causes = error.chain().map(ToString::to_string);
    let causes: Vec<String> = causes.filter(|cause| !cause.starts_with("error while executing at")).collect();
    causes.join(": ").lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

fn load(engine: &Engine, file: &Path) -> Option<Component> {
    if !file.exists() || !only_ours(file.parent()?) {
        return None;
    }
    // SAFETY: The file lies in a folder that only this user can write to, under the digest of what it was compiled from, and appeared
    // there whole. Wasmtime checks that it was made by this version with these settings.
    let component = unsafe { Component::deserialize_file(engine, file) };
    component.inspect_err(|error| tracing::debug!("{} is compiled anew: {error:#}", file.display())).ok()
}

fn store(component: &Component, file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().expect("the file was made inside a folder");
    create(folder)?;
    anyhow::ensure!(only_ours(folder), "others may write to {}", folder.display());
    // Readers see the whole file or none.
    let thread = std::thread::current().id();
    let partial = file.with_extension(format!("{}-{thread:?}.partial", std::process::id()));
    fs::write(&partial, component.serialize().map_err(|error| anyhow::anyhow!("{error:#}"))?)?;
    fs::rename(&partial, file)?;
    Ok(())
}

#[cfg(unix)]
fn create(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn create(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

/// Whether nobody but this user can put files into a folder.
#[cfg(unix)]
fn only_ours(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    // SAFETY: No arguments to get wrong.
    let user = unsafe { libc::geteuid() };
    fs::metadata(folder).is_ok_and(|metadata| metadata.uid() == user && metadata.mode() & 0o022 == 0)
}

#[cfg(not(unix))]
fn only_ours(_folder: &Path) -> bool {
    true
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
