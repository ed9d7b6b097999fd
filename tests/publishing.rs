//! What package registries are given: the contract, the guest and the plugin, under one version, as the tool `wkg` lays them out.
//!
//! The registry here is a folder, the backend `local` of `wkg` 0.16. Its layout is defined at the top of `local.rs` in the crate
//! `wasm-pkg-client`: a release of the package `NAMESPACE:NAME` is the file `ROOT/NAMESPACE/NAME/VERSION.wasm`, with the published
//! bytes as they were, and the versions of a package are the files in its folder.

#[path = "../xtask/src/dist.rs"]
mod dist;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wasm_chord::built_in_guest;
use wasm_chord_tests::{surface, workspace};
use wasmparser::{Parser, Payload};
use wit_parser::Resolve;
use wit_parser::decoding::{DecodedWasm, decode};

/// The version of the workspace in Cargo.toml: of every package, crate or component.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The contract as one binary file.
fn contract() -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(workspace().join("wit")).expect("wit/ is valid");
    wit_component::encode(&resolve, package).expect("it can be encoded")
}

/// `wasm-chord-plugin.wasm`, made of the sources as they are now.
fn plugin() -> Vec<u8> {
    dist::run().expect("the components can be built");
    fs::read(workspace().join("target/dist/wasm-chord-plugin.wasm")).expect("it is there")
}

/// A folder of packages that belongs to one test.
struct Registry(PathBuf);

impl Registry {
    fn new(test: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry").join(test);
        if root.exists() {
            fs::remove_dir_all(&root).expect("it was made by this test");
        }
        Self(root)
    }

    fn folder(&self, package: &str) -> PathBuf {
        let (namespace, name) = package.split_once(':').expect("NAMESPACE:NAME");
        self.0.join(namespace).join(name)
    }

    fn publish(&self, package: &str, bytes: &[u8]) {
        fs::create_dir_all(self.folder(package)).expect("the registry can be written to");
        fs::write(self.folder(package).join(format!("{VERSION}.wasm")), bytes)
            .expect("the registry can be written to");
    }

    /// The version that there is of a package, and its bytes.
    fn fetch(&self, package: &str) -> (String, Vec<u8>) {
        let entries = fs::read_dir(self.folder(package)).expect("it was published");
        let files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
        let [file] = &files[..] else { panic!("one version was published, not {files:?}") };
        assert_eq!(file.extension(), Some("wasm".as_ref()));
        let version = file.file_stem().and_then(|stem| stem.to_str()).expect("it is text");
        (version.to_owned(), fs::read(file).expect("it can be read"))
    }
}

/// What the outermost custom sections of a component say.
fn metadata(component: &[u8]) -> BTreeMap<String, String> {
    let mut depth = 0;
    let mut found = BTreeMap::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload.expect("it is valid") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::CustomSection(section) if depth == 0 => {
                found.insert(section.name().into(), String::from_utf8_lossy(section.data()).into());
            }
            _ => {}
        }
    }
    found
}

#[test]
fn the_contract_carries_the_version_of_the_crates() {
    let DecodedWasm::WitPackage(resolve, package) = decode(&contract()).expect("it is valid") else {
        panic!("it is a package");
    };
    assert_eq!(resolve.packages[package].name.to_string(), format!("wasm-chord:inference@{VERSION}"));
}

#[test]
fn the_guest_says_what_it_is() {
    let metadata = metadata(built_in_guest());
    assert_eq!(metadata["version"], VERSION);
    assert_eq!(metadata["licenses"], env!("CARGO_PKG_LICENSE"));
    assert_eq!(metadata["source"], env!("CARGO_PKG_REPOSITORY"));
    assert!(!metadata["description"].is_empty());
}

#[test]
fn what_is_published_is_what_others_build_against() {
    let registry = Registry::new("contract");
    registry.publish("wasm-chord:inference", &contract());
    registry.publish("wasm-chord:guest", built_in_guest());

    // A package of somebody else depends on it by name and version, fetched into `deps`.
    let (version, contract) = registry.fetch("wasm-chord:inference");
    let consumer = registry.0.join("consumer");
    let deps = consumer.join("deps");
    fs::create_dir_all(&deps).expect("the folder can be made");
    let world =
        format!("package else:where;\nworld plugin {{ include wasm-chord:inference/model@{version}; }}\n");
    fs::write(consumer.join("world.wit"), world).expect("it can be written");
    fs::write(deps.join("inference.wasm"), contract).expect("it can be written");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&consumer).expect("the dependency is found");
    let world = resolve.select_world(&[package], None).expect("there is one world");

    // And the published guest is a component of that world.
    let (_, guest) = registry.fetch("wasm-chord:guest");
    let DecodedWasm::Component(theirs, is) = decode(&guest).expect("it is valid") else {
        panic!("it is a component");
    };
    let names = |resolve: &Resolve, world| {
        let world = &resolve.worlds[world];
        let keys = world.imports.keys().chain(world.exports.keys());
        let mut names: Vec<String> = keys.map(|key| resolve.name_world_key(key)).collect();
        names.sort();
        names
    };
    assert_eq!(names(&theirs, is), names(&resolve, world));
}

#[test]
fn a_fetched_plugin_is_the_composed_one_and_says_what_it_is() {
    let registry = Registry::new("plugin");
    let published = plugin();
    registry.publish("wasm-chord:plugin", &published);
    let (version, fetched) = registry.fetch("wasm-chord:plugin");
    assert_eq!(fetched, published);

    let metadata = metadata(&fetched);
    assert_eq!(metadata["version"], version);
    assert_eq!(metadata["licenses"], env!("CARGO_PKG_LICENSE"));
    assert_eq!(metadata["source"], env!("CARGO_PKG_REPOSITORY"));
    let (_, exports) = surface(&fetched);
    let interfaces = ["files", "generation"].map(|name| format!("wasm-chord:inference/{name}@{version}"));
    assert_eq!(exports, interfaces);
}

#[test]
fn there_is_one_version() {
    let text = |file: &str| fs::read_to_string(workspace().join(file)).expect("it can be read");
    // A workspace of its own, which cannot take the version from the other one.
    assert!(text("xtask/dist/Cargo.toml").contains(&format!("\nversion = \"{VERSION}\"\n")));
    // The names of interfaces, where programs that are copied spell them out.
    for interface in ["generation", "files"] {
        let name = format!("\"wasm-chord:inference/{interface}@{VERSION}\"");
        assert!(text("examples/python/wasm_chord.py").contains(&name), "{name}");
    }
}
