//! What package registries are given: the contract and the guest, under one version, as the tool `wkg` lays them out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wasm_chord::built_in_guest;
use wasm_chord_tests::workspace;
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

/// Put a package where the backend `local` of `wkg` has it: `ROOT/NAMESPACE/NAME/VERSION.wasm`.
fn publish(root: &Path, namespace: &str, name: &str, package: &[u8]) -> PathBuf {
    let folder = root.join(namespace).join(name);
    fs::create_dir_all(&folder).expect("the registry can be written to");
    let file = folder.join(format!("{VERSION}.wasm"));
    fs::write(&file, package).expect("the registry can be written to");
    file
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
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry");
    let contract = publish(&root, "wasm-chord", "inference", &contract());
    let guest = publish(&root, "wasm-chord", "guest", built_in_guest());

    // A package of somebody else depends on it by name and version, fetched into `deps`.
    let consumer = root.join("consumer");
    let deps = consumer.join("deps");
    fs::create_dir_all(&deps).expect("the folder can be made");
    let world =
        format!("package else:where;\nworld plugin {{ include wasm-chord:inference/model@{VERSION}; }}\n");
    fs::write(consumer.join("world.wit"), world).expect("it can be written");
    fs::copy(contract, deps.join("inference.wasm")).expect("it can be copied");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&consumer).expect("the dependency is found");
    let world = resolve.select_world(&[package], None).expect("there is one world");

    // And the published guest is a component of that world.
    let guest = fs::read(guest).expect("it was published");
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
