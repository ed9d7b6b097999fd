//! A conversation of several turns, rendered by the model's own chat template.
//!
//! ```sh
//! cargo run --release -p wasm-chord-examples --example chat -- [MODEL.gguf]
//! ```
//!
//! A turn costs only its new tokens: what the session has in common with the conversation is not run again.

use std::io::{Write, stdout};

use wasm_chord::{Chat, Message, Model, Sampling, Stop};

fn main() -> anyhow::Result<()> {
    let model = match std::env::args_os().nth(1) {
        Some(file) => Model::open(file)?,
        None => Model::open_default()?,
    };
    let session = model.session(&Sampling::greedy(), &Stop { after: Some(64), ..Stop::default() })?;
    let mut chat = Chat::new(session);
    chat.messages.push(Message::new("system", "You are a helpful assistant."));

    let mut out = stdout().lock();
    for question in ["Hello!", "What is the capital of France?", "And of Italy?"] {
        writeln!(out, "> {question}")?;
        for piece in chat.say(question)? {
            write!(out, "{}", piece?)?;
            out.flush()?;
        }
        writeln!(out)?;
    }

    let statistics = chat.session().statistics();
    writeln!(out, "({} tokens read, {} made)", statistics.prompt_tokens, statistics.tokens)?;
    Ok(())
}
