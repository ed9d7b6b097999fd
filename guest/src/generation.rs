//! The interface `generation` of the contract, on top of models and sessions.

use std::cell::RefCell;
use std::rc::Rc;

use crate::bindings::exports::wasm_chord::inference::generation as contract;
use crate::bindings::wasm_chord::inference::tensors::CacheFormat;
use crate::chat::{Request, Template};
use crate::error::Error;
use crate::model::Model;
use crate::sampler::Sampling;
use crate::session::{Event, Finish, Limits, Session, advance};
use crate::tokenizer::Tokenizer;

/// What this component exports.
pub struct Component;

impl contract::Guest for Component {
    type Model = LoadedModel;
    type Session = OpenSession;
}

/// A [`Model`] behind a handle.
pub struct LoadedModel(Rc<Model>);

/// A [`Session`] behind a handle.
pub struct OpenSession(RefCell<Session>);

impl contract::GuestModel for LoadedModel {
    fn load(options: contract::Options) -> Result<contract::Model, contract::Error> {
        let format = match options.cache {
            contract::CacheFormat::F32 => CacheFormat::F32,
            contract::CacheFormat::F16 => CacheFormat::F16,
            contract::CacheFormat::Q80 => CacheFormat::Q80,
        };
        Ok(contract::Model::new(Self(Rc::new(Model::load(options.context, format)?))))
    }

    fn information(&self) -> contract::Information {
        self.0.information.clone()
    }

    fn tokenize(&self, text: String, special: bool) -> Vec<u32> {
        self.0.tokenizer.encode(&text, special)
    }

    fn detokenize(&self, tokens: Vec<u32>, special: bool) -> Result<Vec<u8>, contract::Error> {
        let vocabulary = self.0.tokenizer.vocabulary_size();
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(
                Error::InvalidRequest(format!("token {token} of a vocabulary of {vocabulary}")).into()
            );
        }
        Ok(self.0.tokenizer.decode(&tokens, special))
    }

    fn render(&self, conversation: contract::Conversation) -> Result<String, contract::Error> {
        Ok(render(&self.0, &conversation, str::to_owned)?)
    }

    fn session(
        &self,
        sampling: contract::Sampling,
        limits: contract::Limits,
    ) -> Result<contract::Session, contract::Error> {
        let session = Session::new(&self.0, sampling.into(), limits.into())?;
        Ok(contract::Session::new(OpenSession(RefCell::new(session))))
    }

    fn advance(
        &self,
        sessions: Vec<contract::SessionBorrow<'_>>,
    ) -> Result<Vec<contract::Event>, contract::Error> {
        let mut sessions: Vec<_> = sessions
            .iter()
            .map(|session| {
                session.get::<OpenSession>().0.try_borrow_mut().expect("a session was given twice")
            })
            .collect();
        assert!(
            sessions.iter().all(|session| session.belongs_to(&self.0)),
            "a session of another model was given"
        );
        let mut sessions: Vec<&mut Session> = sessions.iter_mut().map(|session| &mut **session).collect();
        Ok(advance(&mut sessions)?.into_iter().map(Into::into).collect())
    }
}

impl contract::GuestSession for OpenSession {
    fn append(&self, text: String, special: bool) -> Result<u32, contract::Error> {
        Ok(self.0.borrow_mut().append(&text, special) as u32)
    }

    fn converse(&self, conversation: contract::Conversation) -> Result<u32, contract::Error> {
        let mut session = self.0.borrow_mut();
        let model = session.model().clone();
        let text = render(&model, &conversation, |text| model.tokenizer.guard(text))?;
        Ok(session.rewrite(&text) as u32)
    }

    fn append_tokens(&self, tokens: Vec<u32>) -> Result<(), contract::Error> {
        Ok(self.0.borrow_mut().append_tokens(&tokens)?)
    }

    fn tokens(&self) -> Vec<u32> {
        self.0.borrow().tokens().to_vec()
    }

    fn logits(&self) -> Result<Vec<f32>, contract::Error> {
        Ok(self.0.borrow_mut().logits()?.to_vec())
    }

    fn fork(&self) -> contract::Session {
        contract::Session::new(Self(RefCell::new(self.0.borrow().fork())))
    }

    fn rewind(&self, length: u32) {
        self.0.borrow_mut().rewind(length as usize);
    }
}

/// Render a conversation, the texts of its messages passed through `content`.
fn render(
    model: &Model,
    conversation: &contract::Conversation,
    content: impl Fn(&str) -> String,
) -> Result<String, Error> {
    let request = request(model, conversation, content)?;
    match &conversation.template {
        contract::Template::FromFile => model.with_template(|template| template.render(&request)),
        contract::Template::Named(name) => Template::named(name)?.render(&request),
        contract::Template::Source(source) => Template::new(source)?.render(&request),
    }
}

/// A conversation as templates see it.
fn request(
    model: &Model,
    conversation: &contract::Conversation,
    content: impl Fn(&str) -> String,
) -> Result<Request, Error> {
    let object = |what: &str, json: &Option<String>| match json {
        None => Ok(serde_json::Map::new()),
        Some(json) => serde_json::from_str(json)
            .map_err(|error| Error::InvalidRequest(format!("{what} is not a JSON object: {error}"))),
    };
    let messages = conversation.messages.iter().map(|message| {
        let mut fields = serde_json::Map::new();
        fields.insert("role".into(), message.role.clone().into());
        fields.insert("content".into(), content(&message.content).into());
        for (name, value) in object("the extra of a message", &message.extra)? {
            fields.insert(name, map_texts(value, &content));
        }
        Ok(serde_json::Value::Object(fields))
    });
    let messages = serde_json::Value::Array(messages.collect::<Result<_, Error>>()?);
    let variables = object("the variables of a conversation", &conversation.variables)?;
    let mut variables: serde_json::Map<_, _> =
        variables.into_iter().map(|(name, value)| (name, map_texts(value, &content))).collect();
    let tools = variables.remove("tools");
    Ok(Request {
        messages,
        add_generation_prompt: conversation.open_answer,
        tools,
        variables,
        special_tokens: special_tokens(&model.tokenizer),
        now: conversation.now,
    })
}

/// A JSON value, its texts passed through `content`.
fn map_texts(value: serde_json::Value, content: &impl Fn(&str) -> String) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => content(&text).into(),
        Value::Array(values) => values.into_iter().map(|value| map_texts(value, content)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, map_texts(value, content)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

/// Special tokens under the names that templates know them by.
fn special_tokens(tokenizer: &Tokenizer) -> Vec<(String, String)> {
    [("bos_token", tokenizer.bos()), ("eos_token", tokenizer.eos()), ("unk_token", tokenizer.unknown())]
        .into_iter()
        .filter_map(|(name, token)| {
            let text = String::from_utf8_lossy(tokenizer.piece(token?, true)).into_owned();
            Some((name.to_owned(), text))
        })
        .collect()
}

impl From<Error> for contract::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Malformed(message) => Self::Malformed(message),
            Error::Unsupported(message) => Self::Unsupported(message),
            Error::OutOfMemory(message) => Self::OutOfMemory(message),
            Error::InvalidRequest(message) => Self::InvalidRequest(message),
            Error::Failed(message) => Self::Failed(message),
            Error::Cancelled => Self::Cancelled,
        }
    }
}

impl From<contract::Sampling> for Sampling {
    fn from(sampling: contract::Sampling) -> Self {
        Self {
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            repeat_penalty: sampling.repeat_penalty,
            repeat_last: sampling.repeat_last,
            presence_penalty: sampling.presence_penalty,
            frequency_penalty: sampling.frequency_penalty,
            bias: sampling.bias,
            seed: sampling.seed,
        }
    }
}

impl From<contract::Limits> for Limits {
    fn from(limits: contract::Limits) -> Self {
        Self {
            tokens: limits.tokens,
            stop: limits.stop,
            stop_tokens: limits.stop_tokens,
            ignore_end: limits.ignore_end,
        }
    }
}

impl From<Event> for contract::Event {
    fn from(event: Event) -> Self {
        let finish = event.finish.map(|finish| match finish {
            Finish::Stop => contract::Finish::Stop,
            Finish::Length => contract::Finish::Length,
            Finish::ContextFull => contract::Finish::ContextFull,
        });
        Self { token: event.token, text: event.text, finish }
    }
}
