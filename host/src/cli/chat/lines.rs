//! What the user says, from a terminal with line editing or from a pipe.

use std::cell::Cell;
use std::io::{self, BufRead};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Behavior, Config, Context, Editor, Helper};

use crate::cli::failure::{Failure, Result};

const COMMANDS: [&str; 6] = ["/help", "/clear", "/system ", "/save ", "/load ", "/exit"];

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// To the model.
    Text(String),
    /// To the program: one line that begins with a slash.
    Command(String),
    /// Nothing more.
    End,
}

/// Where lines come from.
pub(crate) enum Lines {
    Terminal(Box<Editor<Assistance, MemHistory>>),
    Pipe(io::StdinLock<'static>),
}

/// One line, or why there is none.
enum Line {
    Read(String),
    /// Ctrl-C, with something or nothing on the line.
    Interrupted {
        empty: bool,
    },
    End,
}

impl Lines {
    pub(crate) fn open(interactive: bool) -> Result<Self> {
        if !interactive {
            return Ok(Self::Pipe(io::stdin().lock()));
        }
        // Standard output is for text: prompts go to the terminal itself.
        let config = Config::builder().behavior(Behavior::PreferTerm).build();
        let mut editor = Editor::with_history(config, MemHistory::new()).map_err(unusable)?;
        editor.set_helper(Some(Assistance::default()));
        Ok(Self::Terminal(Box::new(editor)))
    }

    /// What is said next: one line, or several put together.
    pub(crate) fn next(&mut self) -> Result<Input> {
        loop {
            let first = match self.line("> ")? {
                Line::Read(line) => line,
                Line::Interrupted { empty: true } => return Err(Failure::interrupted()),
                Line::Interrupted { empty: false } => continue,
                Line::End => return Ok(Input::End),
            };
            if first.starts_with('/') {
                self.remember(&first);
                return Ok(Input::Command(first.trim_end().to_owned()));
            }
            let mut several = Several::begin(first);
            let text = loop {
                several = match several {
                    Several::Whole(text) => break Some(text),
                    unfinished => match self.line(". ")? {
                        Line::Read(line) => unfinished.add(&line),
                        Line::Interrupted { .. } => break None,
                        Line::End => break Some(unfinished.into_text()),
                    },
                }
            };
            if let Some(text) = text {
                self.remember(&text);
                return Ok(Input::Text(text));
            }
        }
    }

    fn line(&mut self, prompt: &str) -> Result<Line> {
        match self {
            Self::Terminal(editor) => {
                if let Some(assistance) = editor.helper() {
                    assistance.empty.set(true);
                }
                match editor.readline(prompt) {
                    Ok(line) => Ok(Line::Read(line)),
                    Err(ReadlineError::Eof) => Ok(Line::End),
                    Err(ReadlineError::Interrupted) => Ok(Line::Interrupted {
                        empty: editor.helper().is_none_or(|assistance| assistance.empty.get()),
                    }),
                    Err(error) => Err(unusable(error)),
                }
            }
            Self::Pipe(stdin) => {
                let mut line = String::new();
                if stdin.read_line(&mut line)? == 0 {
                    return Ok(Line::End);
                }
                line.truncate(line.trim_end_matches(['\r', '\n']).len());
                Ok(Line::Read(line))
            }
        }
    }

    /// Offer it again with the arrow keys.
    fn remember(&mut self, text: &str) {
        if let Self::Terminal(editor) = self {
            // Convenience only.
            let _ = editor.add_history_entry(text);
        }
    }
}

fn unusable(error: ReadlineError) -> Failure {
    Failure::work(
        format!("the terminal cannot be used: {error}"),
        "pipe the lines into standard input instead",
    )
}

/// A text of several lines on its way.
enum Several {
    Whole(String),
    /// The last line ended with a backslash.
    Continued(String),
    /// Three quotation marks were opened.
    Quoted(String),
}

impl Several {
    fn begin(line: String) -> Self {
        match line.strip_prefix("\"\"\"") {
            Some(rest) => match rest.strip_suffix("\"\"\"") {
                Some(text) => Self::Whole(text.to_owned()),
                None => Self::Quoted(rest.to_owned()),
            },
            None => Self::continued(line),
        }
    }

    fn continued(mut text: String) -> Self {
        if text.ends_with('\\') {
            text.pop();
            Self::Continued(text)
        } else {
            Self::Whole(text)
        }
    }

    fn add(self, line: &str) -> Self {
        match self {
            Self::Whole(text) => Self::Whole(text),
            Self::Continued(text) => Self::continued(text + "\n" + line),
            Self::Quoted(text) => {
                // The line break after the opening marks is not part of the text, nor the one before the closing ones.
                let join = |text: String, line: &str| {
                    if text.is_empty() { line.to_owned() } else { text + "\n" + line }
                };
                match line.strip_suffix("\"\"\"") {
                    Some("") => Self::Whole(text),
                    Some(last) => Self::Whole(join(text, last)),
                    None => Self::Quoted(join(text, line)),
                }
            }
        }
    }

    fn into_text(self) -> String {
        match self {
            Self::Whole(text) | Self::Continued(text) | Self::Quoted(text) => text,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn join(lines: &[&str]) -> (String, bool) {
        let first = Several::begin(lines[0].to_owned());
        let several = lines[1..].iter().fold(first, |several, line| several.add(line));
        let whole = matches!(several, Several::Whole(_));
        (several.into_text(), whole)
    }

    #[test]
    fn a_backslash_continues_the_line() {
        assert_eq!(join(&["a\\", "b\\", "c"]), ("a\nb\nc".into(), true));
        assert_eq!(join(&["a\\"]), ("a".into(), false));
    }

    #[test]
    fn three_quotation_marks_hold_several_lines() {
        assert_eq!(join(&["\"\"\"", "a", "", "b", "\"\"\""]), ("a\n\nb".into(), true));
        assert_eq!(join(&["\"\"\"a", "b\"\"\""]), ("a\nb".into(), true));
        assert_eq!(join(&["\"\"\"a\"\"\""]), ("a".into(), true));
        assert!(!join(&["\"\"\"a", "b"]).1);
    }
}
