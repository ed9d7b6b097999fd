//! A model inside an application: limits of its own, a time in which answers must be there, errors that it can tell apart.
//!
//! ```sh
//! cargo run --release -p wasm-chord-examples --example embed -- [MODEL.gguf]
//! ```

use std::io::{Write, stdout};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use wasm_chord::{Chat, Error, Limits, Model, Sampling, Stop};

/// How long the application waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> anyhow::Result<()> {
    // What one call of the guest may take; a token is a call, and so is the reading of a question.
    let limits = Limits {
        memory: 256 << 20,
        device_memory: 512 << 20,
        time: Duration::from_secs(5),
        total_time: PATIENCE,
        ..Limits::default()
    };
    let builder = Model::builder().limits(limits).context(1024).threads(NonZeroUsize::MIN);
    let opened = match std::env::args_os().nth(1) {
        Some(file) => builder.open(file),
        None => builder.open_default(),
    };
    let model = match opened {
        Ok(model) => model,
        Err(Error::OutOfMemory(what)) => anyhow::bail!("this model is too large for the application: {what}"),
        Err(Error::Unsupported(what)) => anyhow::bail!("this model needs a newer application: {what}"),
        Err(error) => return Err(error.into()),
    };

    let mut chat = Chat::new(model.session(&Sampling::default(), &Stop::default())?);
    let begun = Instant::now();
    let mut out = stdout().lock();
    for piece in chat.say("Tell me a story.")? {
        match piece {
            Ok(piece) => write!(out, "{piece}")?,
            Err(Error::Cancelled) => break,
            Err(error) => return Err(error.into()),
        }
        out.flush()?;
        if begun.elapsed() > PATIENCE {
            break;
        }
    }
    Ok(writeln!(out)?)
}
