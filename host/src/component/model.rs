//! A loaded model of the guest that this component is composed with.

use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use wasm_chord_kernels::CacheFormat;

use super::bindings::wasm_chord::inference::files;
use crate::contract;
use crate::error::{Error, Result};
use crate::generation::{Conversation, Event, Information, Sampling, Stop};
use crate::handle::Handle;
use crate::session::Session;

/// A loaded model. Clones are the same model.
#[derive(Clone)]
pub struct Model(Rc<Loaded>);

struct Loaded {
    model: contract::Model,
    information: Information,
}

/// How to open a model; [`Model::builder`].
#[derive(Clone, Default)]
pub struct Builder {
    context: Option<u32>,
    cache_format: Option<CacheFormat>,
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
    /// Only if there is no memory.
    pub fn open_default() -> Result<Self> {
        Self::builder().open_default()
    }

    /// Settings, to be opened at the end.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What the file says of itself.
    pub fn information(&self) -> &Information {
        &self.0.information
    }

    /// What it computes on, for people.
    pub fn device(&self) -> String {
        "kernels in WebAssembly, 1 thread".into()
    }

    /// Tokens of a text, nothing added. Control tokens are recognised in it only if `special`.
    ///
    /// # Errors
    /// None here.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        Ok(self.0.model.tokenize(text, special))
    }

    /// Bytes of tokens, control tokens included only if `special`.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a token outside the vocabulary.
    pub fn detokenize(&self, tokens: &[u32], special: bool) -> Result<Vec<u8>> {
        Ok(self.0.model.detokenize(tokens, special)?)
    }

    /// The conversation as the model was trained to read it.
    ///
    /// # Errors
    /// If there is no such template, it does not parse, or refuses the conversation.
    pub fn render(&self, conversation: &Conversation) -> Result<String> {
        Ok(self.0.model.render(&conversation.into())?)
    }

    /// An empty session.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for sampling that makes no sense.
    pub fn session(&self, sampling: &Sampling, stop: &Stop) -> Result<Session> {
        let session = self.0.model.session(&sampling.into(), &stop.into())?;
        Ok(Session::new(Handle::new(self.clone(), session)))
    }

    /// One batched step: each session runs what was appended to it and yields its next token. Events come in the order of the
    /// sessions.
    ///
    /// # Errors
    /// What went wrong; no session has yielded a token then. [`Error::InvalidRequest`] if a session belongs to another model.
    pub fn advance(&self, sessions: &mut [&mut Session]) -> Result<Vec<Event>> {
        if !sessions.iter().all(|session| Rc::ptr_eq(&session.model().0, &self.0)) {
            return Err(Error::InvalidRequest("a session belongs to another model".into()));
        }
        let sessions: Vec<&contract::Session> =
            sessions.iter().map(|session| session.handle().session()).collect();
        Ok(self.0.model.advance(&sessions)?.into_iter().map(Event::from).collect())
    }
}

impl Builder {
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

    /// Open a model file; of a model in shards, name any one.
    ///
    /// # Errors
    /// What is wrong with the file, or what does not fit.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        // What the portable component says of a file is a sentence; the system's own error tells more.
        File::open(path).map_err(|cause| Error::Open { path: path.into(), cause })?;
        files::open(&path.to_string_lossy()).map_err(Error::Failed)?;
        self.load()
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
        files::provide(name, bytes);
        self.load()
    }

    fn load(self) -> Result<Model> {
        let options = contract::Options {
            context: self.context,
            cache: self.cache_format.unwrap_or(CacheFormat::F16).into(),
        };
        let model = contract::Model::load(options)?;
        let information = model.information().into();
        Ok(Model(Rc::new(Loaded { model, information })))
    }
}
