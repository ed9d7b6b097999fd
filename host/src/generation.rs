//! What callers say to a model and hear from it: the records of the contract's `generation`, with defaults.

use std::hash::{BuildHasher, Hasher};

use wasm_chord_kernels::CacheFormat;

use crate::contract;
use crate::error::Error;

/// What a model file says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Information {
    /// The kind of model, for example `llama`.
    pub architecture: String,
    /// Its name, if the file has one.
    pub name: Option<String>,
    /// Elements of all its tensors.
    pub parameters: u64,
    /// Bytes of all its tensors.
    pub bytes: u64,
    /// Most common format among them, for example `Q4_K`.
    pub format: String,
    /// Positions the model was trained for.
    pub trained_context: u32,
    /// Positions that sessions share here.
    pub context: u32,
    /// Tokens in the vocabulary.
    pub vocabulary: u32,
    /// Transformer layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub width: u32,
    /// Query heads of a layer.
    pub heads: u32,
    /// Key and value heads of a layer.
    pub kv_heads: u32,
    /// Whether the file brings a chat template.
    pub chat_template: bool,
}

/// How the next token is chosen; by default as llama.cpp does.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f32,
    /// Keep the most likely ones; 0 keeps all.
    pub top_k: u32,
    /// Keep the most likely ones that together reach this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep those at least this fraction as likely as the most likely; 0 keeps all.
    pub min_p: f32,
    /// Divides positive, multiplies negative logits of recent tokens; 1 changes nothing.
    pub repeat_penalty: f32,
    /// How many tokens count as recent.
    pub repeat_last: u32,
    /// Subtracted once from recent tokens.
    pub presence_penalty: f32,
    /// Subtracted from recent tokens for every time they occurred.
    pub frequency_penalty: f32,
    /// Added to the logits of tokens.
    pub bias: Vec<(u32, f32)>,
    /// The same seed and the same text give the same tokens; another one every time if absent.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            repeat_last: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            bias: Vec::new(),
            seed: None,
        }
    }
}

impl Sampling {
    /// Always the most likely token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }
}

/// When an answer ends, besides where the model ends it; counted from the last append.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stop {
    /// Most tokens; no limit but the context if absent.
    pub after: Option<u32>,
    /// Texts that end the answer and are not part of it.
    pub texts: Vec<String>,
    /// Tokens that end the answer and are not part of it.
    pub tokens: Vec<u32>,
    /// Go on past the model's own end.
    pub ignore_end: bool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant`, or whatever else the template knows.
    pub role: String,
    /// What was said.
    pub content: String,
    /// Further fields for the template, such as tool calls: a JSON object.
    pub extra: Option<String>,
}

impl Message {
    /// A message of any role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), extra: None }
    }
}

/// Which template renders a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Template {
    /// The one that the file brings.
    #[default]
    FromFile,
    /// One that the guest knows by name: `chatml`, `llama2` or `alpaca`.
    Named(String),
    /// Jinja source.
    Source(String),
}

/// A conversation to be rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    /// In order.
    pub messages: Vec<Message>,
    /// Which template.
    pub template: Template,
    /// End with what opens the assistant's answer.
    pub open_answer: bool,
    /// Further variables for the template: a JSON object.
    pub variables: Option<String>,
    /// Seconds since 1970 in UTC, for templates that print the date.
    pub now: Option<i64>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop text or token came.
    Stop,
    /// The token limit was reached.
    Length,
    /// No position is left in the context.
    ContextFull,
}

/// What one session produced in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The token; none if the context was full before it.
    pub token: Option<u32>,
    /// Text that became certain with it; may be empty in the middle of a character.
    pub text: String,
    /// Set once the answer has ended.
    pub finish: Option<Finish>,
}

impl From<contract::Information> for Information {
    fn from(information: contract::Information) -> Self {
        Self {
            architecture: information.architecture,
            name: information.name,
            parameters: information.parameters,
            bytes: information.bytes,
            format: information.format,
            trained_context: information.trained_context,
            context: information.context,
            vocabulary: information.vocabulary,
            layers: information.layers,
            width: information.width,
            heads: information.heads,
            kv_heads: information.kv_heads,
            chat_template: information.chat_template,
        }
    }
}

impl From<&Sampling> for contract::Sampling {
    fn from(sampling: &Sampling) -> Self {
        Self {
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            repeat_penalty: sampling.repeat_penalty,
            repeat_last: sampling.repeat_last,
            presence_penalty: sampling.presence_penalty,
            frequency_penalty: sampling.frequency_penalty,
            bias: sampling.bias.clone(),
            seed: sampling.seed.unwrap_or_else(random),
        }
    }
}

impl From<&Stop> for contract::Limits {
    fn from(stop: &Stop) -> Self {
        Self {
            tokens: stop.after,
            stop: stop.texts.clone(),
            stop_tokens: stop.tokens.clone(),
            ignore_end: stop.ignore_end,
        }
    }
}

impl From<&Conversation> for contract::Conversation {
    fn from(conversation: &Conversation) -> Self {
        let message = |message: &Message| contract::Message {
            role: message.role.clone(),
            content: message.content.clone(),
            extra: message.extra.clone(),
        };
        Self {
            messages: conversation.messages.iter().map(message).collect(),
            template: match &conversation.template {
                Template::FromFile => contract::Template::FromFile,
                Template::Named(name) => contract::Template::Named(name.clone()),
                Template::Source(source) => contract::Template::Source(source.clone()),
            },
            open_answer: conversation.open_answer,
            variables: conversation.variables.clone(),
            now: conversation.now,
        }
    }
}

impl From<CacheFormat> for contract::CacheFormat {
    fn from(format: CacheFormat) -> Self {
        match format {
            CacheFormat::F32 => Self::F32,
            CacheFormat::F16 => Self::F16,
            CacheFormat::Q8_0 => Self::Q80,
        }
    }
}

impl From<contract::Event> for Event {
    fn from(event: contract::Event) -> Self {
        let finish = event.finish.map(|finish| match finish {
            contract::Finish::Stop => Finish::Stop,
            contract::Finish::Length => Finish::Length,
            contract::Finish::ContextFull => Finish::ContextFull,
        });
        Self { token: event.token, text: event.text, finish }
    }
}

impl From<contract::Error> for Error {
    fn from(error: contract::Error) -> Self {
        match error {
            contract::Error::Malformed(message) => Self::Malformed(message),
            contract::Error::Unsupported(message) => Self::Unsupported(message),
            contract::Error::OutOfMemory(message) => Self::OutOfMemory(message),
            contract::Error::InvalidRequest(message) => Self::InvalidRequest(message),
            contract::Error::Failed(message) => Self::Failed(message),
            contract::Error::Cancelled => Self::Cancelled,
        }
    }
}

/// A seed that nobody asked to be the same: the standard library seeds its hash tables from the system.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}
