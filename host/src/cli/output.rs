//! What goes where: text to standard output, everything about it to standard error.
//!
//! Nothing that a model or its file says reaches a terminal as a control sequence.

use std::borrow::Cow;
use std::io::{self, IsTerminal, StdoutLock, Write};

use super::failure::Result;

/// Standard output, for text.
pub(crate) struct Text {
    out: StdoutLock<'static>,
    terminal: bool,
    /// Whether a line has begun and not ended.
    in_line: bool,
}

impl Text {
    pub(crate) fn to_stdout() -> Self {
        let out = io::stdout().lock();
        Self { terminal: out.is_terminal(), out, in_line: false }
    }

    /// Write a piece of text; it is visible at once.
    pub(crate) fn write(&mut self, piece: &str) -> Result<()> {
        let piece = if self.terminal { visible(piece) } else { Cow::Borrowed(piece) };
        self.raw(piece.as_bytes())
    }

    /// Write a line.
    pub(crate) fn line(&mut self, line: &str) -> Result<()> {
        self.write(line)?;
        self.raw(b"\n")
    }

    /// End the line that has begun, if one has.
    pub(crate) fn end_line(&mut self) -> Result<()> {
        if self.in_line { self.raw(b"\n") } else { Ok(()) }
    }

    /// Write bytes of the program's own.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(&last) = bytes.last() else { return Ok(()) };
        self.out.write_all(bytes)?;
        self.out.flush()?;
        self.in_line = last != b'\n';
        Ok(())
    }
}

/// Text with control characters as their pictures, so that it cannot steer a terminal.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let steers = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let picture = |character: char| match character {
        '\0'..='\x1f' => char::from_u32(0x2400 + character as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(
        text.chars()
            .map(|character| if steers(character) { picture(character) } else { character })
            .collect(),
    )
}

/// Say something about the text, on standard error.
pub(crate) fn note(line: &str) {
    // If nobody can hear it, nobody needs to.
    let _ = writeln!(io::stderr().lock(), "{}", visible(line));
}

/// Say something marked as `error`, `hint` or `note`, in one line.
pub(crate) fn marked(mark: &str, line: &str) {
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = visible(&line);
    let mut err = io::stderr().lock();
    let _ = if err.is_terminal() && colours_allowed() {
        let colour = if mark == "error" { 31 } else { 36 };
        writeln!(err, "\x1b[1;{colour}m{mark}:\x1b[0m {line}")
    } else {
        writeln!(err, "{mark}: {line}")
    };
}

/// Whether the user has not asked for plain text: <https://no-color.org>.
pub(crate) fn colours_allowed() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(visible("a\x1b[31m\rb\x7f\u{9b}2J"), "a␛[31m␍b␡\u{fffd}2J");
        assert!(matches!(visible("two\n\tlines, 日本"), Cow::Borrowed(_)));
    }
}
