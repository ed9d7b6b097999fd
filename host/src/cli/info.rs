//! `info`: what a model file says of itself.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use wasm_chord::Model;

use super::failure::Result;
use super::options::{self, HostOptions};
use super::output::Text;
use super::progress::Progress;
use super::statistics::{parameters, size};

#[derive(Args)]
pub(crate) struct Info {
    /// Model file in GGUF format; the built-in model if absent.
    #[arg(value_name = "FILE", env = "WASM_CHORD_MODEL")]
    file: Option<PathBuf>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostOptions,
}

/// The fields of the JSON object.
#[derive(Serialize)]
struct Description<'a> {
    file: Option<String>,
    name: Option<&'a str>,
    architecture: &'a str,
    parameters: u64,
    bytes: u64,
    format: &'a str,
    trained_context: u32,
    context: u32,
    vocabulary: u32,
    layers: u32,
    width: u32,
    heads: u32,
    kv_heads: u32,
    chat_template: bool,
    device: String,
}

impl Info {
    pub(crate) fn execute(self) -> Result<()> {
        let progress = Progress::start("loading");
        let model = options::open(self.host.builder()?, self.file.as_deref())?;
        drop(progress);
        let description = self.describe(&model);
        let mut out = Text::to_stdout();
        if self.json {
            let json =
                serde_json::to_string_pretty(&description).expect("numbers and text can be written as JSON");
            out.line(&json)
        } else {
            table(&description).iter().try_for_each(|(what, value)| out.line(&format!("{what:<15}{value}")))
        }
    }

    fn describe<'a>(&self, model: &'a Model) -> Description<'a> {
        let information = model.information();
        Description {
            file: self.file.as_ref().map(|file| file.display().to_string()),
            name: information.name.as_deref(),
            architecture: &information.architecture,
            parameters: information.parameters,
            bytes: information.bytes,
            format: &information.format,
            trained_context: information.trained_context,
            context: information.context,
            vocabulary: information.vocabulary,
            layers: information.layers,
            width: information.width,
            heads: information.heads,
            kv_heads: information.kv_heads,
            chat_template: information.chat_template,
            device: model.device(),
        }
    }
}

fn table(model: &Description<'_>) -> Vec<(&'static str, String)> {
    vec![
        ("file", model.file.clone().unwrap_or_else(|| "built in".into())),
        ("name", model.name.unwrap_or("none").into()),
        ("architecture", model.architecture.into()),
        ("parameters", parameters(model.parameters)),
        ("size", format!("{}, mostly {}", size(model.bytes), model.format)),
        ("context", format!("{} positions, trained for {}", model.context, model.trained_context)),
        ("vocabulary", format!("{} tokens", model.vocabulary)),
        ("layers", model.layers.to_string()),
        ("width", model.width.to_string()),
        ("heads", format!("{}, of keys and values {}", model.heads, model.kv_heads)),
        ("chat template", if model.chat_template { "yes" } else { "no" }.into()),
        ("device", model.device.clone()),
    ]
}
