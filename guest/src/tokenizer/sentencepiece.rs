//! SentencePiece's byte pair encoding: the neighbours that make the token of the highest score join first, and what is
//! no token at all falls back to tokens of single bytes.
//!
//! Nothing but tokens bounds a word here, so a whole text would be one word. But characters that stand side by side in
//! no token never join; where a character and a space after it are such a pair the text is cut, exactly.

use std::borrow::Cow;

use super::merge::{Merger, NONE, Rules};
use super::vocabulary::{Kind, Vocabulary, quoted};
use super::words::Words;
use crate::error::{Error, Result};

/// The scores, as keys of merging, and what the vocabulary says about spaces.
pub(super) struct SentencePiece {
    /// One per token; lower is a higher score.
    keys: Vec<u32>,
    /// The characters that precede a space within a token, sorted.
    before_space: Vec<char>,
    /// Whether a text gets a space before it.
    prefix: bool,
    /// In place of bytes that the vocabulary lacks; without one they are dropped.
    unknown: Option<u32>,
}

impl SentencePiece {
    /// Reads the scores, one per token.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        scores: &[f32],
        prefix: bool,
        unknown: Option<u32>,
    ) -> Result<Self> {
        if scores.len() != vocabulary.len() {
            let (scores, tokens) = (scores.len(), vocabulary.len());
            return Err(Error::Malformed(format!("{scores} scores for {tokens} tokens")));
        }
        if let Some(token) = (0..).zip(scores).find_map(|(token, score)| score.is_nan().then_some(token)) {
            let text = quoted(vocabulary.bytes(token));
            return Err(Error::Malformed(format!("the score of token {token}, {text}, is not a number")));
        }
        let mut before_space = Vec::new();
        for token in (0..scores.len() as u32).filter(|&token| vocabulary.kind(token) == Some(Kind::Normal)) {
            characters_before_space(vocabulary.bytes(token), &mut before_space);
        }
        before_space.sort_unstable();
        before_space.dedup();
        let keys = scores.iter().map(|&score| key(score)).collect();
        Ok(Self { keys, before_space, prefix, unknown })
    }

    /// Appends the tokens of `text`, which begins the whole text or follows a special token.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        merger: &mut Merger,
        text: &str,
        tokens: &mut Vec<u32>,
    ) {
        let mut text = Cow::from(text);
        if text.contains('\u{2581}') {
            text = text.replace('\u{2581}', " ").into();
        }
        if self.prefix && !text.is_empty() {
            text.to_mut().insert(0, ' ');
        }
        let rules = Scored { encoding: self, vocabulary };
        let mut rest = &*text;
        while !rest.is_empty() {
            let (word, after) = rest.split_at(self.word(rest));
            merger.merge(&rules, word.as_bytes(), tokens);
            rest = after;
        }
    }

    /// Bytes of the word at the beginning of `text`.
    fn word(&self, text: &str) -> usize {
        let mut previous = ' ';
        for (at, character) in text.char_indices() {
            if character == ' ' && previous != ' ' && self.before_space.binary_search(&previous).is_err() {
                return at;
            }
            previous = character;
        }
        text.len()
    }
}

/// Merging by the scores of what is made.
struct Scored<'a> {
    encoding: &'a SentencePiece,
    vocabulary: &'a Vocabulary,
}

impl Rules for Scored<'_> {
    fn part(&self, word: &[u8], start: usize) -> (usize, u32) {
        let length = match word[start] {
            0..=0x7f => 1,
            0x80..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        };
        let end = word.len().min(start + length);
        (end, self.vocabulary.find(Words::within(word, start..end)).unwrap_or(NONE))
    }

    fn join(&self, _: [u32; 2], joined: Words<'_>, _: usize) -> Option<(u32, u32)> {
        let token = self.vocabulary.find(joined)?;
        Some((*self.encoding.keys.get(token as usize)?, token))
    }

    fn fall_back(&self, bytes: &[u8], tokens: &mut Vec<u32>) {
        let stand_in = |&byte: &u8| self.vocabulary.byte_token(byte).or(self.encoding.unknown);
        tokens.extend(bytes.iter().filter_map(stand_in));
    }
}

/// An integer that is lower for a higher score.
fn key(score: f32) -> u32 {
    // The sum makes the negative zero a positive one.
    let bits = (score + 0.0).to_bits();
    if score < 0.0 { bits } else { !bits & (u32::MAX >> 1) }
}

/// Adds the characters of a token that a space follows. Bytes that are no text never join in a text.
fn characters_before_space(bytes: &[u8], characters: &mut Vec<char>) {
    if !bytes.windows(2).any(|pair| pair[0] != b' ' && pair[1] == b' ') {
        return;
    }
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let pairs = text.chars().zip(text.chars().skip(1));
    characters.extend(pairs.filter(|&(before, after)| before != ' ' && after == ' ').map(|pair| pair.0));
}
