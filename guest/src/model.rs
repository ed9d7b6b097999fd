//! A loaded model: its file, its vocabulary, and its plans; one step of tokens through all layers.

use std::cell::RefCell;

use crate::bindings::exports::wasm_chord::inference::generation::Information;
use crate::bindings::wasm_chord::inference::kernels::{self, Continuation, Failure, Plan, Recorder};
use crate::bindings::wasm_chord::inference::tensors::{Cache, CacheFormat, CacheShape, Sequence, Tensor};
use crate::chat::Template;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::file::File;
use crate::host::{not_made, tensor};
use crate::layer::{Activations, Layer, rotary};
use crate::tokenizer::Tokenizer;

/// Positions of a cache if nobody says.
const DEFAULT_CONTEXT: u32 = 4096;

/// Layers that the host is told of before the first run.
const PREFETCHED: usize = 2;

/// A loaded model.
pub struct Model {
    /// What the file says of itself.
    pub information: Information,
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// The source of the file's own chat template, and the template once somebody asked for it.
    chat_template: Option<String>,
    parsed_template: RefCell<Option<Template>>,
    cache: Cache,
    /// The embedding, the layers, the head.
    plans: Vec<Plan>,
    /// `(vocabulary)`, one row for every output of a step.
    logits: Tensor,
    /// Most tokens of a step.
    pub step_limit: usize,
}

impl Model {
    /// Parse the file, name its weights, record its plans. `context` positions for all sessions together.
    ///
    /// # Errors
    /// What is wrong with the file, or what this guest or its host lacks.
    pub fn load(context: Option<u32>, cache_format: CacheFormat) -> Result<Self> {
        let file = File::open()?;
        let config = Config::from_metadata(file.metadata())?;
        if config.layers as usize > file.tensors().count() {
            return Err(Error::Malformed(format!("{} layers cannot be in so few tensors", config.layers)));
        }
        let tokenizer = Tokenizer::from_metadata(file.metadata())?;
        let vocabulary = tokenizer.vocabulary_size() as u32;

        let context = context.unwrap_or(config.context.min(DEFAULT_CONTEXT));
        if context == 0 {
            return Err(Error::InvalidRequest("a context of 0 positions".into()));
        }
        let cache = Cache::create(CacheShape {
            layers: config.layers,
            kv_heads: config.kv_heads,
            key_size: config.key_size,
            value_size: config.value_size,
            positions: context,
            format: cache_format,
        })
        .map_err(|error| not_made("the cache", error))?;

        let factors = file.optional_numbers("rope_freqs.weight", config.rope.rotated / 2)?;
        if let Some(factors) = &factors
            && !factors.iter().all(|factor| factor.is_finite() && *factor > 0.0)
        {
            return Err(Error::Malformed("a rotary frequency factor is not a positive number".into()));
        }
        let rotary = rotary(&config, factors.as_deref());

        let activations = Activations::new(&config)?;
        let table = file.matrix("token_embd.weight", vocabulary, config.width)?;
        let recorder = Recorder::new();
        recorder.embed(&activations.x, &table);
        let mut plans = vec![Recorder::finish(recorder)?];

        for index in 0..config.layers {
            let layer = Layer::open(&file, &config, index)?;
            plans.push(layer.record(&config, &rotary, &cache, index, &activations)?);
        }
        plans[1..].iter().take(PREFETCHED).for_each(Plan::prefetch);

        // The head, on the rows whose next token is wanted. Without a matrix of its own it is the embedding again.
        let norm = file.vector("output_norm.weight", config.width)?;
        let output = if file.has("output.weight") {
            file.matrix("output.weight", vocabulary, config.width)?
        } else {
            file.matrix("token_embd.weight", vocabulary, config.width)?
        };
        let (selected, logits) = (tensor(config.width)?, tensor(vocabulary)?);
        let recorder = Recorder::new();
        recorder.select(&selected, &activations.x);
        recorder.rms_norm(&selected, &selected, &norm, config.epsilon);
        recorder.matmul(&logits, &selected, &output, None);
        plans.push(Recorder::finish(recorder)?);

        if let Some(name) = file.unknown_tensor() {
            let architecture = config.architecture;
            return Err(Error::Unsupported(format!(
                "tensor {name:?} is not part of a {architecture} model known here"
            )));
        }
        let chat_template = file.metadata().string("tokenizer.chat_template")?.map(str::to_owned);
        let information = describe(&file, &config, vocabulary, context, chat_template.is_some())?;
        let parsed_template = RefCell::new(None);
        let step_limit = kernels::step_limit() as usize;
        Ok(Self { information, tokenizer, chat_template, parsed_template, cache, plans, logits, step_limit })
    }

    /// The file's own chat template.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it has none or one that does not parse.
    pub fn with_template<T>(&self, use_it: impl FnOnce(&Template) -> Result<T>) -> Result<T> {
        let mut parsed = self.parsed_template.borrow_mut();
        if parsed.is_none() {
            let source = self.chat_template.as_ref().ok_or_else(|| {
                Error::Unsupported("the model file has no chat template; name one, such as chatml".into())
            })?;
            *parsed = Some(Template::new(source)?);
        }
        use_it(parsed.as_ref().expect("parsed above"))
    }

    /// A sequence of no positions.
    pub fn sequence(&self) -> Sequence {
        self.cache.sequence()
    }

    /// Run tokens through all layers. The logits of the tokens that ask for it, in their order, are in [`Model::logits`] until the
    /// next run.
    ///
    /// # Errors
    /// What the host says; the sequences may have grown all the same.
    pub fn run(&self, continuations: &[Continuation<'_>]) -> std::result::Result<(), Failure> {
        let outputs = continuations.iter().any(|continuation| continuation.outputs > 0);
        let plans: Vec<&Plan> = self.plans[..self.plans.len() - usize::from(!outputs)].iter().collect();
        kernels::run(continuations, &plans)
    }

    /// The `count` highest logits of output `row` of the last run with their tokens, highest first.
    pub fn top_logits(&self, row: u32, count: u32) -> Vec<(u32, f32)> {
        self.logits.top_k(row, count)
    }

    /// Logits of output `row` of the last run, `(vocabulary)`.
    pub fn logits(&self, row: u32) -> Vec<f32> {
        self.logits.read(row)
    }
}

fn describe(
    file: &File,
    config: &Config,
    vocabulary: u32,
    context: u32,
    chat_template: bool,
) -> Result<Information> {
    // Sizes were checked by the parser, one by one; their sum may still lie.
    let (mut parameters, mut bytes) = (0u64, 0u64);
    let mut by_kind = std::collections::BTreeMap::new();
    for tensor in file.tensors() {
        parameters = parameters.saturating_add(tensor.dimensions.iter().product());
        bytes = bytes.saturating_add(tensor.size);
        let of_kind: &mut u64 = by_kind.entry(tensor.kind.name()).or_default();
        *of_kind = of_kind.saturating_add(tensor.size);
    }
    let format = by_kind.into_iter().max_by_key(|&(_, bytes)| bytes).map_or("none", |(name, _)| name);
    Ok(Information {
        architecture: config.architecture.into(),
        name: file.metadata().string("general.name")?.map(str::to_owned),
        parameters,
        bytes,
        format: format.into(),
        trained_context: config.context,
        context,
        vocabulary,
        layers: config.layers,
        width: config.width,
        heads: config.heads,
        kv_heads: config.kv_heads,
        chat_template,
    })
}
