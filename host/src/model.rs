//! A loaded model: one guest instance on one address space and one device.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasm_chord_kernels::cpu::Cpu;
use wasm_chord_kernels::{CacheFormat, Device};
use wasmtime::component::{Linker, ResourceAny, ResourceTable};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::contract;
use crate::error::{Error, Result};
use crate::generation::{Conversation, Event, Information, Sampling, Stop};
use crate::guest::{self, Guest, one_line};
use crate::handle::Handle;
use crate::imports::{self, Context, View};
use crate::mapping::physical_memory;
use crate::meter::Meter;
use crate::session::Session;
use crate::space::AddressSpace;
use crate::watch::{Ticker, Watch};

/// A loaded model. Clones are the same model; sessions of it can be used from several threads, one step at a time.
#[derive(Clone)]
pub struct Model {
    pub(crate) loaded: Arc<Loaded>,
}

/// How to open a model; [`Model::builder`].
#[derive(Clone, Default)]
pub struct Builder {
    threads: Option<NonZeroUsize>,
    device: Option<Arc<dyn Device>>,
    context: Option<u32>,
    cache_format: Option<CacheFormat>,
    without_prefetch: bool,
    pack: bool,
    guest: Option<Guest>,
    guest_cache: Option<Option<PathBuf>>,
    limits: Limits,
}

/// What a guest may take. A guest that takes more is stopped or told so; the host goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the guest's own memory, where it keeps vocabularies and text. Weights and activations are not in it.
    pub memory: usize,
    /// Bytes of activations, keys and values on the device; by default as many as the machine has.
    pub device_memory: u64,
    /// Time that one call may compute in the guest; time in kernels does not count.
    pub time: Duration,
    /// Time that one call may take in all, kernels included, before it is cancelled; without limit by default. A prompt is run in
    /// one call.
    pub total_time: Duration,
    /// Handles to weights, tensors and the like.
    pub handles: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            device_memory: physical_memory(),
            time: Duration::from_secs(30),
            total_time: Duration::MAX,
            handles: 100_000,
        }
    }
}

/// Bytes that one call may copy from the guest to the host: more than the longest text or list of tokens that makes sense.
const HOSTCALL_BYTES: usize = 64 << 20;

pub(crate) struct Loaded {
    state: Mutex<State>,
    watch: Arc<Watch>,
    ticker: Ticker,
    information: Information,
    device: Arc<dyn Device>,
    limits: Limits,
}

struct State {
    store: Store<Data>,
    bindings: imports::generated::Model,
    model: Option<ResourceAny>,
    /// Why the instance cannot be used any more.
    lost: Option<String>,
}

/// What belongs to one guest instance.
pub(crate) struct Data {
    context: Context,
    table: ResourceTable,
    limits: StoreLimits,
    wasi: WasiCtx,
    pub(crate) meter: Meter,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Model {
    /// Open a model file with default settings; of a model in shards, name any one.
    ///
    /// # Errors
    /// What is wrong with the file, or what does not fit.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path)
    }

    /// Open the small model that is part of this crate.
    ///
    /// # Errors
    /// Only if the system has no memory or threads.
    pub fn open_default() -> Result<Self> {
        Self::builder().open_default()
    }

    /// Settings, to be opened at the end.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What the file says of itself.
    pub fn information(&self) -> &Information {
        &self.loaded.information
    }

    /// What it computes on, for people.
    pub fn device(&self) -> String {
        self.loaded.device.name()
    }

    /// Tokens of a text, nothing added. Control tokens are recognised in it only if `special`.
    ///
    /// # Errors
    /// If the guest was stopped.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        self.call(|store, exports, model| {
            Ok(Ok(exports.model().call_tokenize(store, model, text, special)?))
        })
    }

    /// Bytes of tokens, control tokens included only if `special`.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a token outside the vocabulary.
    pub fn detokenize(&self, tokens: &[u32], special: bool) -> Result<Vec<u8>> {
        self.call(|store, exports, model| exports.model().call_detokenize(store, model, tokens, special))
    }

    /// The conversation as the model was trained to read it.
    ///
    /// # Errors
    /// If there is no such template, it does not parse, or refuses the conversation.
    pub fn render(&self, conversation: &Conversation) -> Result<String> {
        let conversation = conversation.into();
        self.call(|store, exports, model| exports.model().call_render(store, model, &conversation))
    }

    /// An empty session.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for sampling that makes no sense.
    pub fn session(&self, sampling: &Sampling, stop: &Stop) -> Result<Session> {
        let (sampling, limits) = (sampling.into(), stop.into());
        let handle = self
            .call(|store, exports, model| exports.model().call_session(store, model, &sampling, &limits))?;
        Ok(Session::new(Handle::new(self.clone(), handle)))
    }

    /// One batched step: each session runs what was appended to it and yields its next token. Events come in the order of the
    /// sessions.
    ///
    /// # Errors
    /// What went wrong; no session has yielded a token then. [`Error::InvalidRequest`] if a session belongs to another model.
    pub fn advance(&self, sessions: &mut [&mut Session]) -> Result<Vec<Event>> {
        if !sessions.iter().all(|session| session.handle().belongs_to(self)) {
            return Err(Error::InvalidRequest("a session belongs to another model".into()));
        }
        let handles: Vec<ResourceAny> = sessions.iter().map(|session| session.handle().resource()).collect();
        let events =
            self.call(|store, exports, model| exports.model().call_advance(store, model, &handles))?;
        if events.len() != sessions.len() {
            let (events, sessions) = (events.len(), sessions.len());
            return Err(Error::Guest(format!("it returned {events} events for {sessions} sessions")));
        }
        Ok(events.into_iter().map(Event::from).collect())
    }

    /// Stops the call that is running, from another thread; it ends with [`Error::Cancelled`] within a moment. Sessions stay as they
    /// were before that call.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.loaded.watch.clone())
    }

    /// Measure from now on where calls spend their time; costs a little itself.
    pub fn start_meter(&self) {
        let mut state = self.loaded.state();
        state.store.call_hook(|mut store, hook| {
            let data = store.data_mut();
            data.meter.switch(hook);
            Ok(())
        });
        let data = state.store.data_mut();
        data.meter = Meter::start(data.context.work);
    }

    /// What was measured since [`Model::start_meter`].
    pub fn meter(&self) -> Meter {
        let state = self.loaded.state();
        let data = state.store.data();
        data.meter.read(data.context.work)
    }

    /// Call the guest within its limits. An outer error is a trap, an inner one a circumstance.
    pub(crate) fn call<T>(
        &self,
        work: impl FnOnce(
            &mut Store<Data>,
            &contract::Guest,
            ResourceAny,
        ) -> wasmtime::Result<std::result::Result<T, contract::Error>>,
    ) -> Result<T> {
        let mut state = self.loaded.state();
        let model = state.model;
        self.loaded
            .call(&mut state, |store, exports| work(store, exports, model.expect("the model is loaded")))
    }

    /// Give up a session. Nothing to be done about an instance that is lost.
    pub(crate) fn drop_session(&self, handle: ResourceAny) {
        let mut state = self.loaded.state();
        let dropped = self.loaded.call(&mut state, |store, _| Ok(Ok(handle.resource_drop(store)?)));
        if let Err(error) = dropped {
            tracing::debug!("a session could not be given up: {error}");
        }
    }
}

impl Loaded {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<T>(
        &self,
        state: &mut State,
        work: impl FnOnce(
            &mut Store<Data>,
            &contract::Guest,
        ) -> wasmtime::Result<std::result::Result<T, contract::Error>>,
    ) -> Result<T> {
        if let Some(lost) = &state.lost {
            return Err(Error::Guest(format!("{lost} (before this call; open the model again)")));
        }
        self.watch.begin(self.limits.time, self.limits.total_time);
        self.ticker.follow(&self.watch);
        state.store.set_epoch_deadline(1);
        let exports = state.bindings.wasm_chord_inference_generation();
        let result = work(&mut state.store, exports);
        self.watch.end();
        match result {
            Ok(result) => result.map_err(Error::from),
            Err(trap) => {
                let reason = one_line(&trap);
                state.lost = Some(reason.clone());
                Err(Error::Guest(reason))
            }
        }
    }
}

impl Builder {
    /// Threads that compute; by default one for every core.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Compute on this device instead of a CPU device of the model's own. Models may share one.
    pub fn device(mut self, device: Arc<dyn Device>) -> Self {
        self.device = Some(device);
        self
    }

    /// Positions that all sessions share; by default those the model was trained for, but at most 4096.
    pub fn context(mut self, positions: u32) -> Self {
        self.context = Some(positions);
        self
    }

    /// How keys and values are kept; by default as f16.
    pub fn cache_format(mut self, format: CacheFormat) -> Self {
        self.cache_format = Some(format);
        self
    }

    /// Whether to bring weights near when the guest says that it will need them soon, as is the default. Never changes a result.
    pub fn prefetch(mut self, follow: bool) -> Self {
        self.without_prefetch = !follow;
        self
    }

    /// Whether to multiply with a packed copy of the model's matrices, which is faster where arithmetic is slower than memory: a file as
    /// large as they are, `.wcpack` behind the model's own name, which is written when there is none or the model has changed, and mapped.
    /// Never changes a result. A model that is part of the program has no place for one, and not every device has a use for one
    /// ([`Device::reads_packed`]).
    pub fn pack(mut self, pack: bool) -> Self {
        self.pack = pack;
        self
    }

    /// Run this guest component instead of the built-in one.
    pub fn guest(mut self, component: impl Into<Arc<[u8]>>) -> Self {
        self.guest = Some(Guest::Bytes(component.into()));
        self
    }

    /// Keep compiled guests in this folder, or nowhere; by default in `wasm-chord` in the user's cache folder.
    pub fn guest_cache(mut self, folder: Option<PathBuf>) -> Self {
        self.guest_cache = Some(folder);
        self
    }

    /// What the guest may take.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Open a model file; of a model in shards, name any one.
    ///
    /// # Errors
    /// What is wrong with the file, or what does not fit. [`Error::InvalidRequest`] if a packed copy is asked for and the device has no
    /// use for one, [`Error::Failed`] if it cannot be written.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Model> {
        self.open_space(Arc::new(AddressSpace::open(path)?))
    }

    /// Open the small model that is part of this crate.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open_default(self) -> Result<Model> {
        self.open_static("default.gguf", crate::DEFAULT_MODEL)
    }

    /// Open a model that is part of the program.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open_static(self, name: &str, bytes: &'static [u8]) -> Result<Model> {
        self.open_space(Arc::new(AddressSpace::of_static(name, bytes)))
    }

    /// Open a model whose files are mapped already. Any number of models share one address space, at the same time or one after
    /// another; each has a guest, limits, activations, keys and values of its own.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open_space(mut self, space: Arc<AddressSpace>) -> Result<Model> {
        if self.pack {
            let threads = self.threads;
            let device = self.device.get_or_insert_with(|| Arc::new(Cpu::new(threads)));
            if !device.reads_packed() {
                let name = device.name();
                return Err(Error::InvalidRequest(format!("{name} has no use for packed weights")));
            }
            space.pack(|| {
                let model = self.clone().load(space.clone(), true)?;
                let mut state = model.loaded.state();
                Ok(state.store.data_mut().context.multiplied.take().unwrap_or_default())
            })?;
        }
        self.load(space, false)
    }

    /// `note_multiplied` has the context note which matrices are multiplied.
    fn load(self, space: Arc<AddressSpace>, note_multiplied: bool) -> Result<Model> {
        let engine = guest::engine()?;
        let cache = self.guest_cache.unwrap_or_else(guest::default_cache);
        let component = self.guest.unwrap_or(Guest::BuiltIn).compile(&engine, cache.as_deref())?;
        let linker = linker(&engine, &component).map_err(|error| Error::Component(one_line(&error)))?;

        let device = match self.device {
            Some(device) => device,
            None => Arc::new(Cpu::new(self.threads)),
        };
        let watch = Arc::new(Watch::default());
        let mut store = store(&engine, space, &device, &watch, &self.limits);
        store.data_mut().context.prefetch = !self.without_prefetch;
        store.data_mut().context.multiplied = note_multiplied.then(Vec::new);
        let ticker = Ticker::start(engine)
            .map_err(|error| Error::Failed(format!("no thread can be started: {error}")))?;

        // Instantiation runs the guest's own initialisation: within its limits, too.
        watch.begin(self.limits.time, self.limits.total_time);
        ticker.follow(&watch);
        let bindings = imports::generated::Model::instantiate(&mut store, &component, &linker);
        watch.end();
        let bindings = bindings.map_err(|error| Error::Component(one_line(&error)))?;

        let state = State { store, bindings, model: None, lost: None };
        let information = Information::default();
        let mut loaded =
            Loaded { state: Mutex::new(state), watch, ticker, information, device, limits: self.limits };
        let options = contract::Options {
            context: self.context,
            cache: self.cache_format.unwrap_or(CacheFormat::F16).into(),
        };
        let mut state = loaded.state();
        let model = loaded.call(&mut state, |store, exports| exports.model().call_load(store, options))?;
        let information = loaded
            .call(&mut state, |store, exports| Ok(Ok(exports.model().call_information(store, model)?)))?;
        state.model = Some(model);
        drop(state);
        loaded.information = information.into();
        Ok(Model { loaded: Arc::new(loaded) })
    }
}

/// What a guest can import: the contract, and WASI with nothing behind it for guests that were compiled against it.
fn linker(engine: &Engine, component: &wasmtime::component::Component) -> wasmtime::Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    imports::add_to_linker(&mut linker, |data: &mut Data| View {
        context: &mut data.context,
        table: &mut data.table,
    })?;
    if component.component_type().imports(engine).any(|(name, _)| name.starts_with("wasi:")) {
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    }
    Ok(linker)
}

fn store(
    engine: &Engine,
    space: Arc<AddressSpace>,
    device: &Arc<dyn Device>,
    watch: &Arc<Watch>,
    limits: &Limits,
) -> Store<Data> {
    let context = Context::with_watch(space, device.clone(), limits.device_memory, watch.clone());
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.handles);
    let store_limits =
        StoreLimitsBuilder::new().memory_size(limits.memory).instances(64).memories(16).tables(64).build();
    let wasi = WasiCtx::builder().build();
    let data = Data { context, table, limits: store_limits, wasi, meter: Meter::default() };
    let mut store = Store::new(engine, data);
    store.limiter(|data| &mut data.limits);
    let of_store = watch.clone();
    store.epoch_deadline_callback(move |_| of_store.look_up());
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    store.set_max_component_handles(limits.handles);
    store
}

/// Stops the running call of a model.
#[derive(Clone)]
pub struct Canceller(Arc<Watch>);

impl Canceller {
    /// Stop the call that is running, if one is.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}
