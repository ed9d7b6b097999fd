//! Continue a text, and show it while it comes.
//!
//! ```sh
//! cargo run --release -p wasm-chord-examples --example generate -- [MODEL.gguf]
//! ```

use std::io::{Write, stdout};

use wasm_chord::{Model, Sampling, Stop};

fn main() -> anyhow::Result<()> {
    let model = match std::env::args_os().nth(1) {
        Some(file) => Model::open(file)?,
        None => Model::open_default()?,
    };
    let text = "Once upon a time";
    let mut session = model.session(&Sampling::default(), &Stop { after: Some(64), ..Stop::default() })?;
    session.append(text, false)?;

    let mut out = stdout().lock();
    write!(out, "{text}")?;
    for piece in session.pieces() {
        write!(out, "{}", piece?)?;
        out.flush()?;
    }
    Ok(writeln!(out)?)
}
