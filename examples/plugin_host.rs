//! A Wasmtime host of its own with plugins of two kinds, one of which is our guest: it gets wasm-chord's memory and kernels.
//!
//! ```sh
//! cargo run --release -p wasm-chord-examples --example plugin_host -- host/model/default.gguf [GUEST.wasm]
//! ```
//!
//! What the model says goes through the plugin `capitals.wat`. Engine, stores and limits are this program's; `wasm_chord::Model` is
//! not involved. The built-in guest imports nothing but the contract; one compiled for wasip2 imports a little of WASI, too, and gets
//! one with nothing behind it.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;

use wasm_chord::imports::{self, Context, View};
use wasm_chord::kernels::cpu::Cpu;
use wasm_chord::{AddressSpace, built_in_guest};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::error::Context as _;
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod model {
    //! What a plugin with a model exports, generated from the contract.
    wasmtime::component::bindgen!({ path: "../wit", world: "model" });
}

mod filter {
    //! What the other kind exports.
    wasmtime::component::bindgen!({
        inline: "
            package plugin-host:plugins;
            world filter { export filter: func(text: string) -> string; }
        ",
    });
}

use model::exports::wasm_chord::inference::generation::{CacheFormat, Limits, Options, Sampling};

/// What this host keeps for one plugin with a model.
struct Data {
    context: Context,
    table: ResourceTable,
    wasi: WasiCtx,
    limits: StoreLimits,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn main() -> wasmtime::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let file = arguments.next().context("the first argument is a model file")?;
    let engine = Engine::default();

    // The plugin with a model, which imports the contract.
    let component = match arguments.next() {
        Some(guest) => Component::from_file(&engine, guest)?,
        None => Component::from_binary(&engine, built_in_guest())?,
    };
    let mut linker: Linker<Data> = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    imports::add_to_linker(&mut linker, |data| View { context: &mut data.context, table: &mut data.table })?;
    let data = Data {
        context: Context::new(Arc::new(AddressSpace::open(file)?), Arc::new(Cpu::new(None)), 4 << 30),
        table: ResourceTable::new(),
        wasi: WasiCtx::builder().build(),
        limits: StoreLimitsBuilder::new().memory_size(1 << 30).build(),
    };
    let mut store = Store::new(&engine, data);
    store.limiter(|data| &mut data.limits);
    let plugin = model::Model::instantiate(&mut store, &component, &linker)?;
    let generation = plugin.wasm_chord_inference_generation();
    let (models, sessions) = (generation.model(), generation.session());

    // The other plugin, which imports nothing, in a store of its own.
    let component = Component::from_binary(&engine, &wat::parse_str(include_str!("capitals.wat"))?)?;
    let mut filter_store = Store::new(&engine, ());
    let filter = filter::Filter::instantiate(&mut filter_store, &component, &Linker::new(&engine))?;
    let mut say = |text: &str| -> wasmtime::Result<()> {
        write!(stdout(), "{}", filter.call_filter(&mut filter_store, text)?)?;
        Ok(stdout().flush()?)
    };

    let model = models.call_load(&mut store, Options { context: None, cache: CacheFormat::F16 })??;
    let limits = Limits { tokens: Some(64), stop: Vec::new(), stop_tokens: Vec::new(), ignore_end: false };
    let session = models.call_session(&mut store, model, &greedy(), &limits)??;
    let text = "Once upon a time";
    sessions.call_append(&mut store, session, text, false)??;
    say(text)?;
    loop {
        let events = models.call_advance(&mut store, model, &[session])??;
        let event = events.first().context("one event for one session")?;
        say(&event.text)?;
        if event.finish.is_some() {
            return Ok(writeln!(stdout())?);
        }
    }
}

/// Always the most likely token.
fn greedy() -> Sampling {
    Sampling {
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
    }
}
