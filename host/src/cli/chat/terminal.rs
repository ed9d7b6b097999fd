//! Lines of somebody at a terminal, with editing, history and completion.

use std::cell::Cell;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Behavior, Config, Context, Editor, Helper};

use super::lines::Line;
use crate::cli::failure::{Failure, Result};

const COMMANDS: [&str; 6] = ["/help", "/clear", "/system ", "/save ", "/load ", "/exit"];

/// The terminal, whatever standard input and output are.
pub(crate) struct Terminal(Box<Editor<Assistance, MemHistory>>);

impl Terminal {
    pub(crate) fn open() -> Result<Self> {
        // Standard output is for text: prompts go to the terminal itself.
        let config = Config::builder().behavior(Behavior::PreferTerm).build();
        let mut editor = Editor::with_history(config, MemHistory::new()).map_err(unusable)?;
        editor.set_helper(Some(Assistance::default()));
        Ok(Self(Box::new(editor)))
    }

    /// The next line, after a prompt.
    pub(crate) fn line(&mut self, prompt: &str) -> Result<Line> {
        if let Some(assistance) = self.0.helper() {
            assistance.empty.set(true);
        }
        match self.0.readline(prompt) {
            Ok(line) => Ok(Line::Read(line)),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(ReadlineError::Interrupted) => Ok(Line::Interrupted {
                empty: self.0.helper().is_none_or(|assistance| assistance.empty.get()),
            }),
            Err(error) => Err(unusable(error)),
        }
    }

    /// Offer it again with the arrow keys.
    pub(crate) fn remember(&mut self, text: &str) {
        // Convenience only.
        let _ = self.0.add_history_entry(text);
    }
}

fn unusable(error: ReadlineError) -> Failure {
    Failure::work(
        format!("the terminal cannot be used: {error}"),
        "pipe the lines into standard input instead",
    )
}

/// Completes commands, and knows whether the line is empty.
#[derive(Default)]
pub(crate) struct Assistance {
    empty: Cell<bool>,
}

impl Completer for Assistance {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..position];
        let fitting = COMMANDS.iter().filter(|command| typed.starts_with('/') && command.starts_with(typed));
        Ok((0, fitting.map(ToString::to_string).collect()))
    }
}

impl Hinter for Assistance {
    type Hint = String;

    /// Gives no hints, but hears of every change.
    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.empty.set(line.is_empty());
        None
    }
}

impl Highlighter for Assistance {}
impl Validator for Assistance {}
impl Helper for Assistance {}
