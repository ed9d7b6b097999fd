//! The chat format of a model: its Jinja template, rendered as Hugging Face transformers does.
//!
//! A template is a stranger's program. It sees plain data only, has no clock, no files and no other templates, and it may spend
//! a bounded number of instructions, bytes and output (`meter`). The engine is minijinja; where it differs from jinja2, the
//! syntax tree is rewritten (`rewrite`) into calls of functions with Python's meaning (`python`, `methods`, `library`).
//! This module does not know what the special tokens of a rendered text mean: that is the tokenizer's part.

mod json;
mod library;
mod meter;
mod methods;
mod python;
mod rewrite;
mod time;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use minijinja::machinery::{CodeGenerator, eval, make_string_output};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use self::meter::Meter;
use crate::error::{Error, Result};

/// The templates built in for files without one, by name.
const NAMED: [(&str, &str); 3] = [
    ("chatml", include_str!("chat/chatml.jinja")),
    ("llama2", include_str!("chat/llama2.jinja")),
    ("alpaca", include_str!("chat/alpaca.jinja")),
];

/// Of the engine's depth of calls; a call of a macro costs four.
const RECURSION_LIMIT: usize = 240;

/// What a template is rendered with.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The conversation: an array of objects with `role`, `content`, `tool_calls` and whatever else the template reads.
    pub messages: serde_json::Value,
    /// Whether the text shall end where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// Tools that the model may call, as JSON schemas; the template sees `none` without.
    pub tools: Option<serde_json::Value>,
    /// Further variables: `documents`, `enable_thinking` and the like. They win over everything above but the messages.
    pub variables: serde_json::Map<String, serde_json::Value>,
    /// Special tokens by their variable's name, such as `bos_token`.
    pub special_tokens: Vec<(String, String)>,
    /// The time that `strftime_now` shows, in seconds since the epoch, UTC; its use is an error without.
    pub now: Option<i64>,
}

/// A template that has been read and can be rendered again and again.
#[derive(Debug, Clone)]
pub struct Template {
    /// The source in the engine's dialect, see `rewrite::prepare`.
    prepared: String,
}

impl Template {
    /// Reads a template's source.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a source that is no Jinja, is too large or nests too deeply; [`Error::Unsupported`] for statements
    /// that chat templates do not have (`include`, `autoescape`, ...).
    pub fn new(source: &str) -> Result<Template> {
        let prepared = rewrite::prepare(source)?;
        rewrite::compile(&prepared)?;
        Ok(Template { prepared })
    }

    /// A built-in template.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a name that is not built in; it lists those that are.
    pub fn named(name: &str) -> Result<Template> {
        match NAMED.iter().find(|(known, _)| *known == name) {
            Some((_, source)) => Template::new(source),
            None => {
                let known = NAMED.map(|(known, _)| known).join(", ");
                Err(Error::InvalidRequest(format!(
                    "no chat template is named {name:?}; the built-in ones are {known}"
                )))
            }
        }
    }

    /// Renders a conversation.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for messages that are not an array of objects, for data nested too deeply, and with the template's
    /// own words when it refuses the conversation; [`Error::Failed`] when the template fails, works too long or writes too much.
    pub fn render(&self, request: &Request) -> Result<String> {
        let context = Context::new(request)?;
        let meter = Arc::new(Meter::new(context.bytes));
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_recursion_limit(RECURSION_LIMIT);
        environment.set_fuel(Some(meter::fuel(context.bytes)));
        library::install(&mut environment, &meter, request.now);

        let tree = rewrite::compile(&self.prepared)?;
        let mut generator = CodeGenerator::new("chat template", &self.prepared);
        generator.compile_stmt(&tree);
        let (instructions, blocks) = generator.finish();
        let mut text = String::new();
        let mut output = make_string_output(&mut text);
        let done =
            eval(&environment, &instructions, context.root, &blocks, &mut output, AutoEscape::None).map(drop);
        done.map_err(|error| explain(&error))?;
        Ok(text)
    }
}

/// The variables of a rendering.
struct Context {
    root: Value,
    /// About the size of the request as JSON.
    bytes: u64,
}

impl Context {
    fn new(request: &Request) -> Result<Context> {
        let Some(messages) = request.messages.as_array() else {
            return Err(Error::InvalidRequest("the messages of a chat must be an array".into()));
        };
        if let Some(index) = messages.iter().position(|message| !message.is_object()) {
            return Err(Error::InvalidRequest(format!("message {index} of the chat is not an object")));
        }
        let mut bytes = 0;
        let inputs = [&request.messages].into_iter().chain(&request.tools).chain(request.variables.values());
        for input in inputs {
            bytes += size(input, 0)?;
        }
        let mut root: Vec<(String, Value)> = vec![
            ("tools".into(), request.tools.as_ref().map_or_else(|| Value::from(()), plain)),
            ("documents".into(), Value::from(())),
            ("add_generation_prompt".into(), Value::from(request.add_generation_prompt)),
        ];
        root.extend(
            request.special_tokens.iter().map(|(name, token)| (name.clone(), Value::from(token.as_str()))),
        );
        root.extend(request.variables.iter().map(|(name, value)| (name.clone(), plain(value))));
        root.push(("messages".into(), messages.iter().map(message).collect()));
        Ok(Context { root: Value::from_pairs(root), bytes })
    }
}

/// A message with its reasoning under the name that templates read: callers also write `thinking` or `reasoning`.
fn message(message: &serde_json::Value) -> Value {
    let names = ["reasoning_content", "thinking", "reasoning"];
    let reasoning = names.iter().filter_map(|name| message.get(name)).find(|value| !value.is_null());
    let (Some(reasoning), Some(fields)) = (reasoning, message.as_object()) else {
        return plain(message);
    };
    let mut fields = fields.clone();
    fields.insert("reasoning_content".into(), reasoning.clone());
    fields.entry("thinking").or_insert_with(|| reasoning.clone());
    plain(&serde_json::Value::Object(fields))
}

/// JSON as the engine's value.
fn plain(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::from(number),
            (_, Some(number), _) => Value::from(number),
            (.., number) => Value::from(number.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(plain).collect(),
        Json::Object(fields) => {
            Value::from_pairs(fields.iter().map(|(name, field)| (name.as_str(), plain(field))))
        }
    }
}

/// About the bytes of a value as JSON; refuses one that nests too deeply.
fn size(value: &serde_json::Value, depth: usize) -> Result<u64> {
    if depth > python::NESTING_LIMIT / 2 {
        return Err(Error::InvalidRequest("the data of a chat is nested too deeply".into()));
    }
    let mut bytes = 4;
    match value {
        serde_json::Value::String(text) => bytes += text.len() as u64,
        serde_json::Value::Array(items) => {
            for item in items {
                bytes += size(item, depth + 1)?;
            }
        }
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                bytes += name.len() as u64 + size(field, depth + 1)?;
            }
        }
        _ => {}
    }
    Ok(bytes)
}

/// The engine's error in our words.
fn explain(error: &minijinja::Error) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(refusal) = cause.downcast_ref::<library::Refusal>() {
            return Error::InvalidRequest(format!(
                "the chat template refuses the conversation: {}",
                refusal.0
            ));
        }
        source = cause.source();
    }
    let what =
        if library::is_too_costly(error) { "was stopped, its cost is out of bounds" } else { "failed" };
    Error::Failed(format!("the chat template {what}: {error}"))
}
