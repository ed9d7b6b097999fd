//! Finding special tokens in a text: leftmost first, of those that begin together the longest.
//!
//! The texts of the tokens are sorted, so that those which agree with the text so far are a range that narrows byte by
//! byte. The time is linear in the text, whatever the number of special tokens.

use super::vocabulary::{Kind, Vocabulary, quoted};
use crate::error::{Error, Result};

/// Bytes of a special token; it bounds what a hostile vocabulary makes a byte of text cost.
const LONGEST: usize = 1024;

/// A set of special tokens.
pub(super) struct SpecialTokens {
    /// Sorted by their bytes.
    tokens: Vec<u32>,
    /// The range in `tokens` of those that begin with each byte.
    beginning: Vec<(u32, u32)>,
}

/// An occurrence of a token in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Occurrence {
    pub(super) token: u32,
    /// Its bytes in the text.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl SpecialTokens {
    /// The tokens of some kinds. Those without text, or with bytes that are no text, never occur.
    pub(super) fn new(vocabulary: &Vocabulary, kinds: &[Kind]) -> Result<Self> {
        let mut tokens = Vec::new();
        for token in vocabulary.of_kinds(kinds) {
            let bytes = vocabulary.bytes(token);
            if bytes.is_empty() {
                continue;
            }
            if bytes.len() > LONGEST {
                let (length, text) = (bytes.len(), quoted(bytes));
                return Err(Error::Malformed(format!(
                    "special token {token}, {text}, has {length} bytes, more than {LONGEST}"
                )));
            }
            if std::str::from_utf8(bytes).is_ok() {
                tokens.push(token);
            }
        }
        tokens.sort_unstable_by_key(|&token| vocabulary.bytes(token));
        let first = |token: &u32| vocabulary.bytes(*token)[0];
        let beginning = (0..=u8::MAX)
            .map(|byte| {
                let start = tokens.partition_point(|token| first(token) < byte);
                let end = tokens.partition_point(|token| first(token) <= byte);
                (start as u32, end as u32)
            })
            .collect();
        Ok(Self { tokens, beginning })
    }

    /// The first occurrence in `text` from byte `from` on.
    pub(super) fn find(&self, vocabulary: &Vocabulary, text: &str, from: usize) -> Option<Occurrence> {
        if self.tokens.is_empty() {
            return None;
        }
        let text = text.as_bytes();
        (from..text.len()).find_map(|start| {
            let (low, high) = self.beginning[usize::from(text[start])];
            if low == high {
                return None;
            }
            let candidates = &self.tokens[low as usize..high as usize];
            let (token, length) = longest(vocabulary, candidates, &text[start..])?;
            Some(Occurrence { token, start, end: start + length })
        })
    }
}

/// The longest of the sorted `candidates` that `text` begins with, and its length. All begin with its first byte.
fn longest(vocabulary: &Vocabulary, mut candidates: &[u32], text: &[u8]) -> Option<(u32, usize)> {
    let mut found = None;
    let mut length = 1;
    loop {
        // Those that agree so far and end here sort before those that go on.
        let (&first, others) = candidates.split_first()?;
        if vocabulary.bytes(first).len() == length {
            found = Some((first, length));
            candidates = others;
        }
        let Some(&byte) = text.get(length) else { return found };
        let at = |token: &u32| vocabulary.bytes(*token)[length];
        let start = candidates.partition_point(|token| at(token) < byte);
        let end = candidates.partition_point(|token| at(token) <= byte);
        candidates = &candidates[start..end];
        if candidates.is_empty() {
            return found;
        }
        length += 1;
    }
}
