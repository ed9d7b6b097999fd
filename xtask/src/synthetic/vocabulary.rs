//! Made-up vocabularies of the published sizes.
//!
//! Their pieces are letter sequences of growing length, each one letter longer than another piece, so that every piece
//! can be reached by merging.

use std::collections::VecDeque;

use wasm_chord_gguf::{Metadata, Strings, Value};

/// The kinds of tokens, as `tokenizer.ggml.token_type` numbers them.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

/// A tokenizer as a GGUF file describes it.
#[derive(Default)]
pub(super) struct Vocabulary {
    /// `tokenizer.ggml.model` and `tokenizer.ggml.pre`.
    model: &'static str,
    pre: &'static str,
    tokens: Vec<String>,
    types: Vec<i32>,
    /// For SentencePiece; empty otherwise.
    scores: Vec<f32>,
    /// For byte-level BPE; empty otherwise.
    merges: Vec<String>,
    bos: u32,
    eos: u32,
    unknown: Option<u32>,
}

impl Vocabulary {
    /// Number of tokens.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Adds the tokenizer's keys to a file's metadata.
    pub(super) fn describe(self, metadata: &mut Metadata) {
        let strings = |strings: Vec<String>| Value::from(strings.into_iter().collect::<Strings>());
        metadata.insert("tokenizer.ggml.model", self.model);
        metadata.insert("tokenizer.ggml.pre", self.pre);
        metadata.insert("tokenizer.ggml.tokens", strings(self.tokens));
        metadata.insert("tokenizer.ggml.token_type", self.types);
        if !self.scores.is_empty() {
            metadata.insert("tokenizer.ggml.scores", self.scores);
        }
        if !self.merges.is_empty() {
            metadata.insert("tokenizer.ggml.merges", strings(self.merges));
        }
        metadata.insert("tokenizer.ggml.bos_token_id", self.bos);
        metadata.insert("tokenizer.ggml.eos_token_id", self.eos);
        if let Some(unknown) = self.unknown {
            metadata.insert("tokenizer.ggml.unknown_token_id", unknown);
        }
        metadata.insert("tokenizer.ggml.add_bos_token", true);
    }

    fn push(&mut self, token: impl Into<String>, kind: i32) {
        self.tokens.push(token.into());
        self.types.push(kind);
    }
}

/// 32000 pieces with scores and byte fallback, like Llama 2.
pub(super) fn llama2() -> Vocabulary {
    let mut vocabulary = Vocabulary {
        model: "llama",
        pre: "default",
        bos: 1,
        eos: 2,
        unknown: Some(0),
        ..Vocabulary::default()
    };
    vocabulary.push("<unk>", UNKNOWN);
    vocabulary.push("<s>", CONTROL);
    vocabulary.push("</s>", CONTROL);
    (0..256).for_each(|byte| vocabulary.push(format!("<0x{byte:02X}>"), BYTE));
    let plain = vocabulary.len();
    let characters: Vec<String> = ('!'..='~').chain(['▁']).map(String::from).collect();
    for (head, letter) in growing("▁", 32_000 - plain - characters.len()) {
        vocabulary.push(format!("{head}{letter}"), NORMAL);
    }
    characters.into_iter().for_each(|character| vocabulary.push(character, NORMAL));
    // The sooner a piece comes, the sooner it is merged.
    vocabulary.scores = (0..vocabulary.len())
        .map(|token| if token < plain { 0.0 } else { -((token - plain) as f32) })
        .collect();
    vocabulary
}

/// 128256 byte-level pieces with merges, like Llama 3.
pub(super) fn llama3() -> Vocabulary {
    let mut vocabulary =
        Vocabulary { model: "gpt2", pre: "llama-bpe", bos: 128_000, eos: 128_009, ..Vocabulary::default() };
    (0..=255).for_each(|byte| vocabulary.push(byte_character(byte), NORMAL));
    for (head, letter) in growing("Ġ", 128_000 - 256) {
        vocabulary.push(format!("{head}{letter}"), NORMAL);
        vocabulary.merges.push(format!("{head} {letter}"));
    }
    for special in 0..256 {
        let name = match special {
            0 => "begin_of_text".to_owned(),
            1 => "end_of_text".to_owned(),
            6 => "start_header_id".to_owned(),
            7 => "end_header_id".to_owned(),
            8 => "eom_id".to_owned(),
            9 => "eot_id".to_owned(),
            number => format!("reserved_special_token_{number}"),
        };
        vocabulary.push(format!("<|{name}|>"), CONTROL);
    }
    vocabulary
}

/// The first `count` pieces of two and more characters, shortest first, each as a shorter piece and a last letter. Pieces
/// begin with `space` or a letter.
fn growing(space: &str, count: usize) -> impl Iterator<Item = (String, char)> {
    let mut heads: VecDeque<String> =
        std::iter::once(space.to_owned()).chain(('a'..='z').map(String::from)).collect();
    let grow = move || {
        let head = heads.pop_front().unwrap_or_default();
        let pieces: Vec<(String, char)> = ('a'..='z').map(|letter| (head.clone(), letter)).collect();
        heads.extend(pieces.iter().map(|(head, letter)| format!("{head}{letter}")));
        Some(pieces)
    };
    std::iter::from_fn(grow).flatten().take(count)
}

/// The character that stands for a byte in byte-level vocabularies: itself where it is visible, the next free one from
/// U+0100 where it is not.
fn byte_character(byte: u8) -> char {
    let visible = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if visible(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&other| !visible(other)).count() as u32;
    char::from_u32(0x100 + before).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn vocabularies_have_the_published_sizes_and_no_duplicates() {
        for (vocabulary, size) in [(llama2(), 32_000), (llama3(), 128_256)] {
            assert_eq!((vocabulary.len(), vocabulary.types.len()), (size, size));
            assert_eq!(vocabulary.tokens.iter().collect::<HashSet<_>>().len(), size);
        }
    }

    #[test]
    fn every_merge_joins_two_tokens_into_a_third() {
        let vocabulary = llama3();
        let tokens: HashSet<&str> = vocabulary.tokens.iter().map(String::as_str).collect();
        assert_eq!(vocabulary.merges.len(), 128_000 - 256);
        for merge in &vocabulary.merges {
            let (left, right) = merge.split_once(' ').expect("two parts");
            assert!(tokens.contains(left) && tokens.contains(right), "{merge}");
            assert!(tokens.contains(format!("{left}{right}").as_str()), "{merge}");
        }
    }

    #[test]
    fn a_space_is_written_as_the_character_that_vocabularies_use() {
        assert_eq!((byte_character(b' '), byte_character(0), byte_character(0xad)), ('Ġ', 'Ā', 'Ń'));
        assert_eq!(byte_character(b'a'), 'a');
    }
}
