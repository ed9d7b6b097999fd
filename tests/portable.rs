//! The composed components of `cargo xtask dist`: the same guest where there is no native host, only WASI.
//!
//! They run in a plain Wasmtime that knows nothing of this project, and must say what the native host says.

#[path = "../xtask/src/dist.rs"]
mod dist;

use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;
use wasm_chord_tests::{golden, golden_names, surface, workspace};
use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{FsPerms, ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use plugin::Plugin;
use plugin::exports::wasm_chord::inference::generation::{
    CacheFormat, Conversation, Error, Limits, Message, Options, Sampling, Template,
};

mod plugin {
    //! The contract as a host sees it, generated from `wit/`.

    wasmtime::component::bindgen!({ path: "../wit", world: "plugin" });
}

/// What a host keeps for the components that it runs.
struct Data {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// `wasm-chord-plugin.wasm`, made of the sources as they are now.
fn composed() -> &'static (Vec<u8>, Component) {
    static COMPOSED: LazyLock<(Vec<u8>, Component)> = LazyLock::new(|| {
        let bytes = built("wasm-chord-plugin.wasm");
        let component = Component::from_binary(&Engine::default(), &bytes).expect("it is a component");
        (bytes, component)
    });
    &COMPOSED
}

/// A file of `target/dist`, made of the sources as they are now.
fn built(file: &str) -> Vec<u8> {
    static DIST: LazyLock<PathBuf> = LazyLock::new(|| {
        dist::run().expect("the components can be built");
        workspace().join("target/dist")
    });
    std::fs::read(DIST.join(file)).expect("it is there")
}

/// A running instance, with a model in it.
struct Running {
    store: Store<Data>,
    plugin: Plugin,
    model: ResourceAny,
}

/// An instance that sees the golden models in `/golden`, the default model in `/model`, and these variables.
fn instance(variables: &[(&str, &str)]) -> (Store<Data>, Plugin) {
    instance_of(&composed().1, variables)
}

/// The same of another component.
fn instance_of(component: &Component, variables: &[(&str, &str)]) -> (Store<Data>, Plugin) {
    let mut linker: Linker<Data> = Linker::new(component.engine());
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("nothing is linked twice");
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stderr().envs(variables);
    for (folder, name) in [(golden(""), "/golden"), (workspace().join("host/model"), "/model")] {
        wasi.preopened_dir(folder, name, FsPerms::ReadOnly).expect("the folder is there");
    }
    let mut store = Store::new(component.engine(), Data { wasi: wasi.build(), table: ResourceTable::new() });
    let plugin = Plugin::instantiate(&mut store, component, &linker).expect("it needs WASI only");
    (store, plugin)
}

impl Running {
    /// Load a golden model.
    fn golden(file: &str, cache: CacheFormat) -> Self {
        Self::open(&format!("/golden/{file}"), cache, &[])
    }

    /// Load a file.
    fn open(path: &str, cache: CacheFormat, variables: &[(&str, &str)]) -> Self {
        let (mut store, plugin) = instance(variables);
        let opened = plugin.wasm_chord_inference_files().call_open(&mut store, path);
        opened.expect("it runs").expect("the file is there");
        Self::load(store, plugin, cache).expect("the model loads")
    }

    /// Load what was opened.
    fn load(mut store: Store<Data>, plugin: Plugin, cache: CacheFormat) -> Result<Self, Error> {
        let options = Options { context: Some(512), cache };
        let models = plugin.wasm_chord_inference_generation().model();
        let model = models.call_load(&mut store, options).expect("it runs")?;
        Ok(Self { store, plugin, model })
    }

    /// An empty session that takes the most likely tokens.
    fn session(&mut self, tokens: u32, ignore_end: bool) -> ResourceAny {
        let sampling = Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last: 0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            bias: Vec::new(),
            seed: 0,
        };
        let limits = Limits { tokens: Some(tokens), stop: Vec::new(), stop_tokens: Vec::new(), ignore_end };
        let models = self.plugin.wasm_chord_inference_generation().model();
        let session = models.call_session(&mut self.store, self.model, &sampling, &limits);
        session.expect("it runs").expect("greedy sampling makes sense")
    }

    fn append(&mut self, session: ResourceAny, tokens: &[u32]) {
        let sessions = self.plugin.wasm_chord_inference_generation().session();
        let appended = sessions.call_append_tokens(&mut self.store, session, tokens);
        appended.expect("it runs").expect("they are in the vocabulary");
    }

    /// The answer to a question.
    fn converse(&mut self, question: &str) -> String {
        let session = self.session(64, false);
        let message = Message { role: "user".into(), content: question.into(), extra: None };
        let conversation = Conversation {
            messages: vec![message],
            template: Template::FromFile,
            open_answer: true,
            variables: None,
            now: None,
        };
        let sessions = self.plugin.wasm_chord_inference_generation().session();
        let said = sessions.call_converse(&mut self.store, session, &conversation);
        said.expect("it runs").expect("the template takes it");
        let (_, text) = self.answer(session);
        // Sessions share the positions of the context.
        session.resource_drop(&mut self.store).expect("it runs");
        text
    }

    /// The rest of an answer: its tokens and its text.
    fn answer(&mut self, session: ResourceAny) -> (Vec<u32>, String) {
        let models = self.plugin.wasm_chord_inference_generation().model();
        let (mut tokens, mut text) = (Vec::new(), String::new());
        loop {
            let events = models.call_advance(&mut self.store, self.model, &[session]);
            let events = events.expect("it runs").expect("the step runs");
            tokens.extend(events[0].token);
            text += &events[0].text;
            if events[0].finish.is_some() {
                return (tokens, text);
            }
        }
    }
}

/// The files of some format, with what others computed for them.
fn golden_files(format: impl Fn(&str) -> bool) -> Vec<Value> {
    let read = |name: String| -> Value {
        let text = std::fs::read_to_string(golden(&format!("{name}.json"))).expect("it can be read");
        serde_json::from_str(&text).expect("it is JSON")
    };
    let mut files: Vec<Value> = golden_names().into_iter().map(read).collect();
    files.retain(|file| format(file["format"].as_str().expect("there is a format")));
    assert!(!files.is_empty(), "there are files of these formats");
    files
}

fn tokens(list: &Value) -> Vec<u32> {
    list.as_array().expect("a list").iter().map(|token| token.as_u64().expect("a token") as u32).collect()
}

fn name(file: &Value) -> &str {
    file["file"].as_str().expect("there is a file")
}

#[test]
fn a_composed_component_needs_wasi_only() {
    let (bytes, _) = composed();
    let (imports, exports) = surface(bytes);
    assert!(imports.iter().all(|import| import.starts_with("wasi:")), "{imports:?}");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(exports, ["files", "generation"].map(|name| format!("wasm-chord:inference/{name}@{version}")));
    assert!(bytes.len() < 6_000_000, "{} bytes", bytes.len());
}

#[test]
fn its_guest_is_the_built_in_one() {
    let (bytes, _) = composed();
    let guest = wasm_chord::built_in_guest();
    assert!(bytes.windows(guest.len()).any(|window| window == guest));
}

#[test]
fn golden_tokens_are_those_of_the_reference() {
    for file in golden_files(|format| format == "F32") {
        for cache in [CacheFormat::F32, CacheFormat::F16] {
            let mut running = Running::golden(name(&file), cache);
            let session = running.session(64, true);
            running.append(session, &tokens(&file["tokens"]));
            let (found, _) = running.answer(session);
            assert_eq!(found, tokens(&file["reference"]["greedy"]), "{}", name(&file));
        }
    }
}

#[test]
fn logits_of_quantised_models_are_as_near_the_truth_as_those_of_llama_cpp() {
    for file in golden_files(|format| format != "F32") {
        let mut running = Running::golden(name(&file), CacheFormat::F32);
        let (session, positions) = (running.session(0, true), tokens(&file["positions"]));
        let last = *positions.last().expect("there are positions") as usize;
        running.append(session, &tokens(&file["tokens"])[..=last]);
        let sessions = running.plugin.wasm_chord_inference_generation().session();
        let logits =
            sessions.call_logits(&mut running.store, session).expect("it runs").expect("the step runs");

        let reference = file["reference"]["logits"].as_array().and_then(|rows| rows.last()?.as_array());
        let reference =
            reference.expect("there are logits").iter().map(|logit| logit.as_f64().expect("a number"));
        let distance = distance(logits.into_iter().map(f64::from), reference);
        let theirs = &file["llama_cpp"]["whole_prompt"]["max_cosine_distance"];
        let most = theirs.as_f64().map_or(1e-5, |most| most.max(1e-5));
        assert!(distance <= most, "{}: {distance:.2e}, llama.cpp's is {most:.2e}", name(&file));
    }
}

fn distance(a: impl Iterator<Item = f64> + Clone, b: impl Iterator<Item = f64> + Clone) -> f64 {
    let square = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>();
    let dot: f64 = a.clone().zip(b.clone()).map(|(a, b)| a * b).sum();
    1.0 - dot / (square(&mut a.clone()) * square(&mut b.clone())).sqrt()
}

#[test]
fn the_default_model_answers_as_on_the_native_host() {
    answers_as_on_the_native_host(&composed().1);
}

#[test]
fn it_also_does_in_engines_without_relaxed_simd() {
    let engine = Engine::new(Config::new().wasm_relaxed_simd(false)).expect("it can be configured so");
    let bytes = built("wasm-chord-plugin-simd128.wasm");
    answers_as_on_the_native_host(&Component::from_binary(&engine, &bytes).expect("it needs no more"));
}

fn answers_as_on_the_native_host(component: &Component) {
    let (mut store, plugin) = instance_of(component, &[]);
    let model = std::fs::read(workspace().join("host/model/default.gguf")).expect("the model is there");
    let provided = plugin.wasm_chord_inference_files().call_provide(&mut store, "default.gguf", &model);
    provided.expect("it runs");
    let mut running = Running::load(store, plugin, CacheFormat::F16).expect("the model loads");

    for (question, answer) in recorded() {
        assert_eq!(running.converse(&question), answer, "{question}");
    }
}

/// Questions, and what the default model says on the native host.
fn recorded() -> Vec<(String, String)> {
    let recorded = std::fs::read_to_string(workspace().join("tests/data/answers.json"));
    let recorded = serde_json::from_str(&recorded.expect("the answers are there")).expect("they are JSON");
    let recorded: std::collections::BTreeMap<String, String> = recorded;
    recorded.into_iter().collect()
}

#[test]
fn a_model_that_does_not_fit_is_read_again_and_again_and_says_the_same() {
    // Of these 20 MiB, activations, keys and values take about 16; the weights have 8.
    let variables = [("WASM_CHORD_MEMORY", "20")];
    let mut running = Running::open("/model/default.gguf", CacheFormat::F16, &variables);
    let (question, answer) = &recorded()[0];
    assert_eq!(running.converse(question), *answer);
}

#[test]
fn a_plugin_has_no_64_bit_memory_and_says_so() {
    let (mut store, plugin) = instance(&[("WASM_CHORD_FAR_MEMORY", "1")]);
    let opened = plugin.wasm_chord_inference_files().call_open(&mut store, "/model/default.gguf");
    let why = opened.expect("it runs").expect_err("there is no such memory");
    assert!(why.contains("64-bit memory") && why.contains("WASM_CHORD_FAR_MEMORY"), "{why}");
}

#[test]
fn a_variable_names_the_model_for_hosts_that_know_generation_only() {
    let file = &golden_files(|format| format == "F32")[0];
    let path = format!("/golden/{}", name(file));
    let (store, plugin) = instance(&[("WASM_CHORD_MODEL", &path)]);
    let mut running = Running::load(store, plugin, CacheFormat::F16).expect("the model loads");
    let session = running.session(1, true);
    running.append(session, &tokens(&file["tokens"]));
    assert_eq!(running.answer(session).0, tokens(&file["reference"]["greedy"])[..1]);
}

#[test]
fn a_model_that_is_not_there_is_a_sentence() {
    let (store, plugin) = instance(&[]);
    let why = Running::load(store, plugin, CacheFormat::F16).map(|_| ()).expect_err("nothing was opened");
    assert!(why.to_string().contains("WASM_CHORD_MODEL"), "{why}");

    let (mut store, plugin) = instance(&[]);
    for path in ["/golden/missing.gguf", "/golden", "/outside.gguf", ""] {
        let opened = plugin.wasm_chord_inference_files().call_open(&mut store, path).expect("it runs");
        assert!(opened.as_ref().is_err_and(|why| why.contains("cannot be opened")), "{path}: {opened:?}");
    }
}
