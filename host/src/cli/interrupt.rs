//! Ctrl-C: the first stops the work, one more or one while nothing is done ends the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use wasm_chord::Model;

use super::failure::{Failure, Result};

const IDLE: u8 = 0;
const WORKING: u8 = 1;
const STOPPING: u8 = 2;

/// Whether the user wants the work to stop.
pub(crate) struct Interrupt {
    state: Arc<AtomicU8>,
}

impl Interrupt {
    /// Listen from now on; before, Ctrl-C ends the program by itself. Once in a program.
    pub(crate) fn of(model: &Model) -> Result<Self> {
        let state = Arc::new(AtomicU8::new(IDLE));
        let (shared, canceller) = (state.clone(), model.canceller());
        let listening = ctrlc::set_handler(move || {
            match shared.compare_exchange(WORKING, STOPPING, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => canceller.cancel(),
                Err(_) => std::process::exit(130),
            }
        });
        listening.map_err(|error| {
            Failure::work(format!("Ctrl-C cannot be listened to: {error}"), "allow one more thread")
        })?;
        Ok(Self { state })
    }

    /// Work begins, which Ctrl-C stops until what is returned is dropped.
    pub(crate) fn work(&self) -> Working<'_> {
        self.state.store(WORKING, Ordering::Release);
        Working(&self.state)
    }
}

/// Work that Ctrl-C stops.
pub(crate) struct Working<'a>(&'a AtomicU8);

impl Working<'_> {
    /// Whether the user wants it to stop.
    pub(crate) fn stopping(&self) -> bool {
        self.0.load(Ordering::Acquire) == STOPPING
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.store(IDLE, Ordering::Release);
    }
}
