//! A model inside an application: limits of its own, a time in which answers must be there, errors that it can tell apart.
//!
//! ```sh
//! cargo run --release -p wasm-chord-examples --example embed -- [MODEL.gguf]
//! ```

use std::io::{Write, stdout};
use std::num::NonZeroUsize;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use wasm_chord::{Chat, Error, Limits, Model, Sampling, Stop};

/// How long the application waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> anyhow::Result<()> {
    let limits = Limits {
        memory: 256 << 20,
        device_memory: 512 << 20,
        time: Duration::from_secs(5),
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

    let mut out = stdout().lock();
    match answer(&model, "Tell me a story.") {
        Ok(text) => writeln!(out, "{text}")?,
        Err(Error::Cancelled) => writeln!(out, "no answer within {} seconds", PATIENCE.as_secs())?,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The whole answer, or [`Error::Cancelled`] when patience ends.
fn answer(model: &Model, question: &str) -> wasm_chord::Result<String> {
    let mut chat = Chat::new(model.session(&Sampling::default(), &Stop::default())?);
    let canceller = model.canceller();
    // Dropping `done` says that the answer is there.
    let (done, waiting) = channel::<()>();
    let watchdog = thread::spawn(move || {
        if waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // Between two tokens no call runs, so once may be too early.
            while waiting.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                canceller.cancel();
            }
        }
    });
    let answer = chat.say(question).and_then(Iterator::collect);
    drop(done);
    let _ = watchdog.join();
    answer
}
