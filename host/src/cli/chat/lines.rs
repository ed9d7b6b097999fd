//! What the user says, from a terminal with line editing or from a pipe.

use std::io::{self, BufRead};

use super::terminal::Terminal;
use crate::cli::failure::{Failure, Result};

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
    Terminal(Terminal),
    Pipe(io::StdinLock<'static>),
}

/// One line, or why there is none.
pub(crate) enum Line {
    Read(String),
    /// Ctrl-C, with something or nothing on the line.
    #[cfg_attr(
        target_family = "wasm",
        expect(dead_code, reason = "Ctrl-C ends whatever runs a sandboxed program")
    )]
    Interrupted {
        empty: bool,
    },
    End,
}

impl Lines {
    pub(crate) fn open(interactive: bool) -> Result<Self> {
        Ok(if interactive { Self::Terminal(Terminal::open()?) } else { Self::Pipe(io::stdin().lock()) })
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
            Self::Terminal(terminal) => terminal.line(prompt),
            Self::Pipe(stdin) => Line::read(stdin),
        }
    }

    /// Offer it again with the arrow keys.
    fn remember(&mut self, text: &str) {
        if let Self::Terminal(terminal) = self {
            terminal.remember(text);
        }
    }
}

impl Line {
    /// The next one of a stream, without the line break.
    pub(crate) fn read(stream: &mut impl BufRead) -> Result<Self> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(Self::End);
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(Self::Read(line))
    }
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
