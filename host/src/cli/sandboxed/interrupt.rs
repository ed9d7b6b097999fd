//! Ctrl-C: ends whatever runs this program, which hears nothing of it.

use wasm_chord::Model;

use super::failure::Result;

/// Whether the user wants the work to stop: never.
pub(crate) struct Interrupt;

impl Interrupt {
    pub(crate) fn of(_: &Model) -> Result<Self> {
        Ok(Self)
    }

    pub(crate) fn work(&self) -> Working<'_> {
        Working(self)
    }
}

/// Work that goes on to its end.
pub(crate) struct Working<'a>(
    #[expect(dead_code, reason = "borrowed as long as on a machine")] &'a Interrupt,
);

impl Working<'_> {
    pub(crate) fn stopping(&self) -> bool {
        false
    }
}
