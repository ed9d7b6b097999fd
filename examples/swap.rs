//! Swapping the guest at run time, while the model file stays mapped: the next guest takes over the conversation.
//!
//! ```sh
//! cargo run --release -p wasm-chord-examples --example swap -- host/model/default.gguf [GUEST.wasm]...
//! ```
//!
//! The built-in guest answers the first question, each GUEST the next one. One that does not load is refused, and the guest before it
//! goes on. File and threads are there once; what a swap costs is the start of the new guest.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use wasm_chord::kernels::Device;
use wasm_chord::kernels::cpu::Cpu;
use wasm_chord::{AddressSpace, Builder, Chat, Message, Model, Sampling, Stop};

const QUESTIONS: [&str; 3] = ["And of Italy?", "And of Spain?", "And of Japan?"];

/// What stays when guests come and go.
struct Shared {
    space: Arc<AddressSpace>,
    device: Arc<dyn Device>,
}

impl Shared {
    /// A guest that goes on with a conversation. It renders the messages anew and makes its own keys and values of them.
    fn start(&self, guest: Builder, messages: &[Message]) -> wasm_chord::Result<Chat> {
        let model = guest.device(self.device.clone()).open_space(self.space.clone())?;
        let stop = Stop { after: Some(64), ..Stop::default() };
        let mut chat = Chat::new(model.session(&Sampling::greedy(), &stop)?);
        chat.messages = messages.to_vec();
        Ok(chat)
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let file = arguments.next().context("the first argument is a model file")?;
    let shared = Shared { space: Arc::new(AddressSpace::open(file)?), device: Arc::new(Cpu::new(None)) };

    let mut chat = shared.start(Model::builder(), &[])?;
    ask(&mut chat, "What is the capital of France?")?;
    for (guest, question) in arguments.zip(QUESTIONS.into_iter().cycle()) {
        let name = guest.display();
        let component = std::fs::read(&guest).with_context(|| name.to_string())?;
        let begun = Instant::now();
        match shared.start(Model::builder().guest(component), &chat.messages) {
            Ok(next) => {
                chat = next;
                writeln!(stdout(), "({name} took over after {:?})", begun.elapsed())?;
            }
            Err(error) => writeln!(stdout(), "({name} is refused: {error})")?,
        }
        ask(&mut chat, question)?;
    }
    Ok(())
}

fn ask(chat: &mut Chat, question: &str) -> anyhow::Result<()> {
    let answer = chat.say(question)?.collect::<wasm_chord::Result<String>>()?;
    Ok(writeln!(stdout(), "> {question}\n{answer}")?)
}
