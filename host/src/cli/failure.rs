//! How the program ends when something is wrong: a line of cause, a line of what to do, an exit code.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use wasm_chord::Error;

use super::{machine, output};

/// Why a command did not succeed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: u8,
    /// Nothing is said if there is none: the user knows, or nobody listens any more.
    cause: Option<String>,
    hint: Option<String>,
}

/// Result of everything in the command line that can fail.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    fn new(code: u8, cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, cause: Some(cause.into()), hint: Some(hint.into()) }
    }

    /// The work itself failed.
    pub(crate) fn work(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(1, cause, hint)
    }

    /// The user asked for something that cannot be.
    pub(crate) fn usage(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(2, cause, hint)
    }

    /// More tokens than the context has positions for.
    pub(crate) fn context(tokens: usize, context: u32) -> Self {
        let cause = format!("the prompt has {tokens} tokens, but the context only {context} positions");
        Self::new(
            4,
            cause,
            format!(
                "make room with -c {}; in a chat, /clear does so, too",
                tokens.next_multiple_of(256) + 256
            ),
        )
    }

    /// A chat is wanted, but nothing says how to write one down.
    pub(crate) fn no_template() -> Self {
        Error::Unsupported("the model file has no chat template".into()).into()
    }

    /// The user pressed Ctrl-C and knows.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, cause: None, hint: None }
    }

    /// A file beside the model could not be read or written; `doing` is what was tried, such as `read`.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::work(format!("cannot {doing} {}: {error}", path.display()), "check the path and who may use it")
    }

    /// Say what is wrong.
    pub(crate) fn report(&self) -> ExitCode {
        if let Some(cause) = &self.cause {
            output::marked("error", cause);
        }
        if let Some(hint) = &self.hint {
            output::marked("hint", hint);
        }
        ExitCode::from(self.code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let cause = error.to_string();
        match &error {
            Error::Open { cause: system, .. } => Self::new(1, cause, hint_of_open(system.kind())),
            Error::Malformed(_) => Self::new(
                3,
                cause,
                "the file is damaged, incomplete or no GGUF file: fetch or convert it again",
            ),
            Error::Unsupported(_) => {
                let hint = hint_of_unsupported(&cause);
                Self::new(5, cause, hint)
            }
            Error::OutOfMemory(_) => Self::new(
                4,
                cause,
                "use a smaller context (-c N), a smaller cache (--cache-type q8_0) or a smaller model",
            ),
            Error::InvalidRequest(_) => Self::new(2, cause, "see --help for what can be asked for"),
            Error::Cancelled => Self::interrupted(),
            Error::Component(_) => {
                Self::new(1, cause, "check the file given with --guest, or use the built-in guest without it")
            }
            Error::Guest(_) => Self::new(
                1,
                cause,
                "the model file may be hostile, or the guest has a bug; WASM_CHORD_LOG=debug shows more",
            ),
            _ => Self::new(1, cause, machine::FAILED),
        }
    }
}

fn hint_of_open(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => machine::NOT_FOUND,
        io::ErrorKind::PermissionDenied => "check who may read the file",
        _ => "a model is a regular file in GGUF format",
    }
}

fn hint_of_unsupported(cause: &str) -> &'static str {
    if cause.contains("chat template") {
        "name one with --chat-template (chatml, llama2, alpaca), or continue the text as it is with run --no-chat"
    } else if cause.contains("GGUF file of version") {
        "convert the model to GGUF again, with a newer converter"
    } else if cause.contains("architecture") {
        "use a model of the llama family, or a guest that knows this one (--guest)"
    } else if cause.contains("stored as") || cause.contains("format") {
        "quantise the model to F16, Q8_0, Q4_0, Q4_K, Q5_K or Q6_K"
    } else {
        "use another model, or a guest that knows this one (--guest)"
    }
}

impl From<io::Error> for Failure {
    /// Of standard input or output.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // Whoever read has had enough.
            return Self { code: 0, cause: None, hint: None };
        }
        Self::work(format!("standard input or output failed: {error}"), "check where the output goes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        let code = |error: Error| Failure::from(error).code;
        assert_eq!(code(Error::Failed(String::new())), 1);
        assert_eq!(code(Error::InvalidRequest(String::new())), 2);
        assert_eq!(code(Error::Malformed(String::new())), 3);
        assert_eq!(code(Error::OutOfMemory(String::new())), 4);
        assert_eq!(code(Error::Unsupported(String::new())), 5);
        assert_eq!(code(Error::Cancelled), 130);
    }

    #[test]
    fn broken_pipe_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure, Failure { code: 0, cause: None, hint: None });
    }
}
