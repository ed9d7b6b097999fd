//! Options that several commands share, named as llama.cpp names them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use wasm_chord::kernels::CacheFormat;
use wasm_chord::{Builder, Information, Model, Sampling, Stop, Template};

use super::failure::{Failure, Result};
use super::machine::MachineOptions;

/// Which model, and on what it runs.
#[derive(Args)]
pub(crate) struct ModelOptions {
    /// Model file in GGUF format; of one in shards, any. The small built-in model if absent.
    #[arg(short, long, value_name = "FILE", env = "WASM_CHORD_MODEL")]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) host: HostOptions,
}

/// On what a model runs, and how it keeps what it has read.
#[derive(Args)]
pub(crate) struct HostOptions {
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
    /// How keys and values are kept.
    #[arg(
        long,
        alias = "cache-type-k",
        value_name = "TYPE",
        default_value = "f16",
        env = "WASM_CHORD_CACHE_TYPE"
    )]
    pub(crate) cache_type: CacheType,
}

/// How keys and values are kept.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CacheType {
    /// 4 bytes an element
    F32,
    /// 2 bytes an element
    F16,
    /// 34 bytes for 32 elements
    #[value(name = "q8_0")]
    Q8_0,
}

impl HostOptions {
    /// Settings to open a model with.
    pub(crate) fn builder(&self) -> Result<Builder> {
        let builder = Model::builder().cache_format(match self.cache_type {
            CacheType::F32 => CacheFormat::F32,
            CacheType::F16 => CacheFormat::F16,
            CacheType::Q8_0 => CacheFormat::Q8_0,
        });
        self.machine.apply(builder)
    }
}

/// Open a model file, or the built-in model if there is none.
pub(crate) fn open(builder: Builder, file: Option<&Path>) -> Result<Model> {
    Ok(match file {
        Some(file) => builder.open(file)?,
        None => builder.open_default()?,
    })
}

/// How much a conversation may grow.
#[derive(Args)]
pub(crate) struct ContextOptions {
    /// Positions of the context; as many as the model was trained for, but at most 4096, if absent.
    #[arg(short, long, value_name = "N", env = "WASM_CHORD_CTX_SIZE", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) ctx_size: Option<u32>,
}

impl ContextOptions {
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        match self.ctx_size {
            Some(positions) => builder.context(positions),
            None => builder,
        }
    }
}

/// How the next token is chosen and where the answer ends.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingOptions {
    /// Most tokens of an answer; -1 goes on until the model ends or the context is full.
    #[arg(short = 'n', long, value_name = "N", default_value_t = -1, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(-1..=i64::from(u32::MAX)))]
    predict: i64,
    /// The same seed and text give the same answer; -1 takes another seed every time.
    #[arg(short, long, value_name = "N", default_value = "-1", allow_negative_numbers = true, value_parser = parse_seed)]
    seed: Seed,
    /// Temperature; 0 takes the most likely token. 0.8 if absent, but 0 for the built-in model, which is small.
    #[arg(long, value_name = "T")]
    temp: Option<f32>,
    /// Keep the K most likely tokens; 0 keeps all.
    #[arg(long, value_name = "K", default_value_t = 40)]
    top_k: u32,
    /// Keep the most likely tokens that together reach this probability; 1 keeps all.
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    top_p: f32,
    /// Keep tokens at least this fraction as likely as the most likely; 0 keeps all.
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    min_p: f32,
    /// Makes recent tokens less likely; 1 changes nothing.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repeat_penalty: f32,
    /// How many tokens count as recent.
    #[arg(long, value_name = "N", default_value_t = 64)]
    repeat_last_n: u32,
    /// Subtracted once from the logits of recent tokens.
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// Subtracted from the logits of recent tokens for every time they occurred.
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// Added to the logit of a token, for example 15+1 or 15-inf; may be repeated.
    #[arg(long, value_name = "ID(+|-)VALUE", value_parser = parse_bias)]
    logit_bias: Vec<(u32, f32)>,
    /// End the answer before this text; may be repeated.
    #[arg(short, long, value_name = "TEXT")]
    reverse_prompt: Vec<String>,
    /// Go on past the end that the model chooses.
    #[arg(long)]
    ignore_eos: bool,
}

/// A seed, or none for another one every time.
type Seed = Option<u64>;

fn parse_seed(text: &str) -> std::result::Result<Seed, String> {
    match text {
        "-1" => Ok(None),
        _ => {
            text.parse().map(Some).map_err(|error| format!("{error}; a seed is -1 or a number up to 2^64-1"))
        }
    }
}

fn parse_bias(text: &str) -> std::result::Result<(u32, f32), String> {
    let wrong = || "write a token's id, + or -, and a number, for example 15-1".to_owned();
    let at = text.find(['+', '-']).ok_or_else(wrong)?;
    let (token, value) = text.split_at(at);
    Ok((token.parse().map_err(|_| wrong())?, value.parse().map_err(|_| wrong())?))
}

impl SamplingOptions {
    /// How tokens are chosen; the built-in model prefers its best.
    pub(crate) fn sampling(&self, built_in: bool) -> Sampling {
        Sampling {
            temperature: self.temp.unwrap_or(if built_in { 0.0 } else { Sampling::default().temperature }),
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last: self.repeat_last_n,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            bias: self.logit_bias.clone(),
            seed: self.seed,
        }
    }

    /// Where an answer ends.
    pub(crate) fn stop(&self) -> Stop {
        Stop {
            after: u32::try_from(self.predict).ok(),
            texts: self.reverse_prompt.clone(),
            tokens: Vec::new(),
            ignore_end: self.ignore_eos,
        }
    }
}

/// How a conversation is written down for the model.
#[derive(Args)]
#[command(next_help_heading = "Conversation")]
pub(crate) struct ConversationOptions {
    /// What the model is told before the conversation (also: -sys).
    #[arg(long, value_name = "TEXT")]
    pub(crate) system_prompt: Option<String>,
    /// Chat template by name, instead of the model file's: chatml, llama2 or alpaca.
    #[arg(long, value_name = "NAME", env = "WASM_CHORD_CHAT_TEMPLATE")]
    chat_template: Option<String>,
    /// Chat template in Jinja, instead of the model file's.
    #[arg(long, value_name = "FILE", conflicts_with = "chat_template")]
    chat_template_file: Option<PathBuf>,
}

impl ConversationOptions {
    /// The template to use; none if the model has none and none was named.
    pub(crate) fn template(&self, information: &Information) -> Result<Option<Template>> {
        if let Some(name) = &self.chat_template {
            return Ok(Some(Template::Named(name.clone())));
        }
        if let Some(path) = &self.chat_template_file {
            let source = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
            return Ok(Some(Template::Source(source)));
        }
        Ok(information.chat_template.then_some(Template::FromFile))
    }

    /// What an error means while the template is in use: it may be the user's own that is wrong.
    pub(crate) fn failure(&self, error: wasm_chord::Error) -> Failure {
        match (&self.chat_template_file, error) {
            (Some(path), wasm_chord::Error::Malformed(cause) | wasm_chord::Error::Unsupported(cause)) => {
                Failure::usage(cause, format!("correct {}", path.display()))
            }
            (_, error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_has_a_token_a_sign_and_a_number() {
        assert_eq!(parse_bias("15+1.5"), Ok((15, 1.5)));
        assert_eq!(parse_bias("15-inf"), Ok((15, f32::NEG_INFINITY)));
        assert!(["", "15", "+1", "x-1", "15-", "-1-1"].into_iter().all(|text| parse_bias(text).is_err()));
    }

    #[test]
    fn minus_one_is_no_seed() {
        assert_eq!(parse_seed("-1"), Ok(None));
        assert_eq!(parse_seed("7"), Ok(Some(7)));
        assert!(parse_seed("-2").is_err());
    }
}
