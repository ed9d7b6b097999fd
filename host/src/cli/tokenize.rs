//! `tokenize`: the tokens of a text.

use clap::Args;
use wasm_chord::Model;

use super::failure::Result;
use super::options::{self, ModelOptions};
use super::output::Text;
use super::run::Input;

#[derive(Args)]
pub(crate) struct Tokenize {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    model: ModelOptions,
    /// Only the ids, as a list.
    #[arg(long)]
    ids: bool,
    /// Recognise control tokens in the text.
    #[arg(long)]
    special: bool,
}

impl Tokenize {
    pub(crate) fn execute(self) -> Result<()> {
        let text = self.input.read()?;
        let model = options::open(self.model.host.builder()?, self.model.model.as_deref())?;
        let tokens = model.tokenize(&text, self.special)?;
        let mut out = Text::to_stdout();
        if self.ids {
            return out.line(&format!("{tokens:?}"));
        }
        for token in tokens {
            out.line(&format!("{token:6}  '{}'", readable(&piece(&model, token)?)))?;
        }
        Ok(())
    }
}

/// Bytes of a token inside a text: some vocabularies begin every text with a space that only the first token loses again.
fn piece(model: &Model, token: u32) -> Result<Vec<u8>> {
    let first = model.detokenize(&[token], true)?;
    let both = model.detokenize(&[token, token], true)?;
    Ok(both.get(first.len()..).unwrap_or_default().to_vec())
}

/// Bytes of a token in one line: text as it is, everything else escaped.
fn readable(bytes: &[u8]) -> String {
    let mut line = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\'' | '\\' => line.extend(['\\', character]),
                _ if character.is_control() => line.extend(character.escape_default()),
                _ => line.push(character),
            }
        }
        line.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_characters_are_readable() {
        assert_eq!(readable(" é\n'".as_bytes()), " é\\n\\'");
        assert_eq!(readable(&[0xe6, 0x97, b'a']), "\\xe6\\x97a");
    }
}
