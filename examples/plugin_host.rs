//! A Wasmtime host of its own that loads a guest component as a plugin and lends it wasm-chord's memory and kernels.
//!
//! ```sh
//! cargo run --release -p wasm-chord-examples --example plugin_host -- host/model/default.gguf [GUEST.wasm]
//! ```
//!
//! Engine, store and limits are this program's; `wasm_chord::Model` is not involved. The built-in guest imports nothing but the
//! contract; one compiled for wasip2 imports a little of WASI, too, and gets one with nothing behind it.

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

mod plugin {
    //! What the plugin exports, generated from the contract.
    wasmtime::component::bindgen!({ path: "../wit", world: "model" });
}

use plugin::exports::wasm_chord::inference::generation::{CacheFormat, Limits, Options, Sampling};

/// What this host keeps for one plugin.
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
    let component = match arguments.next() {
        Some(guest) => Component::from_file(&engine, guest)?,
        None => Component::from_binary(&engine, built_in_guest())?,
    };
    let mut linker: Linker<Data> = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    imports::add_to_linker(&mut linker, |data| View { context: &mut data.context, table: &mut data.table })?;

    let data = Data {
        context: Context::new(Arc::new(AddressSpace::open(&file)?), Arc::new(Cpu::new(None)), 4 << 30),
        table: ResourceTable::new(),
        wasi: WasiCtx::builder().build(),
        limits: StoreLimitsBuilder::new().memory_size(1 << 30).build(),
    };
    let mut store = Store::new(&engine, data);
    store.limiter(|data| &mut data.limits);
    let plugin = plugin::Model::instantiate(&mut store, &component, &linker)?;
    let (models, sessions) = {
        let generation = plugin.wasm_chord_inference_generation();
        (generation.model(), generation.session())
    };

    let options = Options { context: None, cache: CacheFormat::F16 };
    let model = models.call_load(&mut store, options)??;
    let limits = Limits { tokens: Some(64), stop: Vec::new(), stop_tokens: Vec::new(), ignore_end: false };
    let session = models.call_session(&mut store, model, &greedy(), &limits)??;
    let text = "Once upon a time";
    sessions.call_append(&mut store, session, text, false)??;

    let mut out = stdout().lock();
    write!(out, "{text}")?;
    loop {
        let events = models.call_advance(&mut store, model, &[session])??;
        let event = events.first().context("one event for one session")?;
        write!(out, "{}", event.text)?;
        out.flush()?;
        if event.finish.is_some() {
            return Ok(writeln!(out)?);
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
