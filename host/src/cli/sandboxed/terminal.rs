//! Lines of somebody at a terminal, as the terminal itself edits them.

use std::io::{self, Write};

use super::lines::Line;
use crate::cli::failure::Result;

/// The terminal behind standard input and standard error.
pub(crate) struct Terminal;

impl Terminal {
    pub(crate) fn open() -> Result<Self> {
        Ok(Self)
    }

    /// The next line, after a prompt.
    pub(crate) fn line(&mut self, prompt: &str) -> Result<Line> {
        let mut err = io::stderr().lock();
        err.write_all(prompt.as_bytes())?;
        err.flush()?;
        Line::read(&mut io::stdin().lock())
    }

    /// There is no history to be offered again.
    pub(crate) fn remember(&mut self, _: &str) {}
}
