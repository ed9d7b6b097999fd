//! Tenants on one mapped model, each with a guest and limits of its own; one that misbehaves is stopped, the others go on.
//!
//! ```sh
//! cargo run --release -p wasm-chord-examples --example tenants -- host/model/default.gguf [GUEST.wasm]
//! ```
//!
//! Two tenants ask at the same time, the first through the built-in guest, the second through GUEST if there is one. The file is
//! mapped once. Everything else is a tenant's own: the instance of the guest, a thread to compute on, keys and values.

use std::io::{Write, stdout};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use wasm_chord::{AddressSpace, Builder, Chat, Limits, Model, Sampling, Stop};

/// What every tenant may take.
fn limits() -> Limits {
    Limits {
        // The guest's memory, then that of activations, keys and values.
        memory: 64 << 20,
        device_memory: 64 << 20,
        // Of each call: what the guest computes, and that with all kernels that it asks for.
        time: Duration::from_millis(500),
        total_time: Duration::from_secs(5),
        handles: 10_000,
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let file = arguments.next().context("the first argument is a model file")?;
    let space = Arc::new(AddressSpace::open(file)?);
    let theirs = match arguments.next() {
        Some(guest) => Model::builder().guest(std::fs::read(guest)?),
        None => Model::builder(),
    };

    let tenants = [
        ("first", Model::builder(), "What is the capital of France?"),
        ("second", theirs, "What is the capital of Italy?"),
    ];
    let running = tenants.map(|(name, guest, question)| {
        let space = space.clone();
        (name, thread::spawn(move || answer(guest, space, question)))
    });
    for (name, tenant) in running {
        let said = match tenant.join().expect("errors are results") {
            Ok(answer) => answer,
            Err(error) => format!("(failed: {error})"),
        };
        writeln!(stdout(), "{name}: {said}")?;
    }
    Ok(())
}

/// One tenant's question, from opening the model to the end of the answer.
fn answer(guest: Builder, space: Arc<AddressSpace>, question: &str) -> wasm_chord::Result<String> {
    let model = guest.limits(limits()).context(512).threads(NonZeroUsize::MIN).open_space(space)?;
    let stop = Stop { after: Some(64), ..Stop::default() };
    let mut chat = Chat::new(model.session(&Sampling::greedy(), &stop)?);
    chat.say(question)?.collect()
}
