//! What the tests share: one device, one folder of compiled guests, the golden models, and model files made by hand.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use wasm_chord::kernels::Device;
use wasm_chord::kernels::cpu::Cpu;
use wasm_chord::{Builder, Model, Session};
use wit_parser::WorldKey;
use wit_parser::decoding::{DecodedWasm, decode};

pub mod gguf;

/// The folder of compiled guests.
pub const CACHE: &str = concat!(env!("OUT_DIR"), "/cache");

/// The component of `tests/hostile-guest`.
pub const HOSTILE_GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// Settings for one more model on the device that all models of a test program share.
pub fn builder() -> Builder {
    static DEVICE: LazyLock<Arc<dyn Device>> = LazyLock::new(|| Arc::new(Cpu::new(None)));
    Model::builder().device(DEVICE.clone()).guest_cache(Some(CACHE.into()))
}

/// The top of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// A file of `tests/data/golden`.
pub fn golden(name: &str) -> PathBuf {
    workspace().join("tests/data/golden").join(name)
}

/// The names of the golden models, such as `llama-f32`.
pub fn golden_names() -> Vec<String> {
    let files = std::fs::read_dir(golden("")).expect("tests/data/golden is there");
    let mut names: Vec<String> = files
        .filter_map(|file| file.expect("it can be listed").file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "there are golden models");
    names
}

/// The next `count` tokens of a session, fewer if its answer ends.
pub fn tokens(session: &mut Session, count: usize) -> Vec<u32> {
    let mut tokens = Vec::with_capacity(count);
    while tokens.len() < count {
        let event = session.advance().expect("the step runs");
        tokens.extend(event.token);
        if event.finish.is_some() {
            break;
        }
    }
    tokens
}

/// Names of what a component imports and exports, sorted.
pub fn surface(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let DecodedWasm::Component(resolve, world) = decode(component).expect("it is valid") else {
        panic!("it is a component");
    };
    let world = &resolve.worlds[world];
    let names = |items: &mut dyn Iterator<Item = &WorldKey>| {
        let mut names: Vec<String> = items.map(|key| resolve.name_world_key(key)).collect();
        names.sort();
        names
    };
    (names(&mut world.imports.keys()), names(&mut world.exports.keys()))
}
