//! Byte-level byte pair encoding with a list of merges, as GPT-2 introduced it.
//!
//! The pre-tokenizer splits a text into words; within a word the pair of neighbouring tokens that stands first in the
//! file's list of merges joins first.

use std::ops::Range;

use wasm_chord_gguf::Strings;

use super::index::{Crowded, ENTRIES, Guess, Index, hash_pair};
use super::merge::{Merger, NONE, Rules};
use super::pretokenize::Pretokenizer;
use super::vocabulary::{Alphabet, Kind, Vocabulary, quoted};
use crate::error::{Error, Result};

/// Merges in a list. The longest published ones have 2^19.
const MERGES: usize = ENTRIES;

/// The list of merges and the pre-tokenizer.
pub(super) struct Bpe {
    /// In the order of the file, which is the order of precedence.
    merges: Vec<Merge>,
    index: Index,
    pretokenizer: Pretokenizer,
    /// In place of bytes that the vocabulary lacks; without one they are dropped.
    unknown: Option<u32>,
}

#[derive(Clone, Copy)]
struct Merge {
    left: u32,
    right: u32,
    /// What the pair becomes, [`NONE`] for a merge that no text may use.
    merged: u32,
}

impl Bpe {
    /// Resolves merges, each spelled as two tokens with a space between.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        merges: &Strings,
        pretokenizer: Pretokenizer,
        unknown: Option<u32>,
    ) -> Result<Self> {
        let count = merges.len();
        if count > MERGES {
            return Err(Error::Malformed(format!("{count} merges, more than {MERGES}")));
        }
        let merges = resolve(vocabulary, merges)?;
        let mut index = Index::with_room(count);
        for (number, &Merge { left, right, .. }) in (0..).zip(&merges) {
            // The first of two merges of the same pair counts.
            let joins = |other: u32| merges[other as usize].joins(left, right);
            index.insert(hash_pair(left, right), number, joins).map_err(|Crowded| {
                Error::Malformed("the merges were chosen to collide in a hash table".to_owned())
            })?;
        }
        Ok(Self { merges, index, pretokenizer, unknown })
    }

    /// Whether a merge gives this token, so that text can spell it.
    pub(super) fn makes(&self, token: u32) -> bool {
        self.merges.iter().any(|merge| merge.merged == token)
    }

    /// Appends the tokens of `text` to `tokens`.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        merger: &mut Merger,
        text: &str,
        tokens: &mut Vec<u32>,
    ) {
        let rules = Ranked { bpe: self, vocabulary };
        self.pretokenizer.split(text, &mut |word| {
            if let Some(token) = self.whole(vocabulary, word) {
                tokens.push(token);
                return;
            }
            merger.merge(&rules, word.as_bytes(), tokens);
        });
    }

    /// The token of a word that is taken whole, whatever the merges say.
    fn whole(&self, vocabulary: &Vocabulary, word: &str) -> Option<u32> {
        if self.pretokenizer.whole_words { vocabulary.find(word.as_bytes()) } else { None }
    }
}

impl Merge {
    fn joins(self, left: u32, right: u32) -> bool {
        self.left == left && self.right == right
    }

    /// No text may use a merge of what is not text.
    fn unless_special(self, vocabulary: &Vocabulary) -> Self {
        let is_text = |token| matches!(vocabulary.kind(token), Some(Kind::Normal | Kind::UserDefined));
        let usable = is_text(self.left) && is_text(self.right) && is_text(self.merged);
        Self { merged: if usable { self.merged } else { NONE }, ..self }
    }
}

/// Merging by the order of the list.
struct Ranked<'a> {
    bpe: &'a Bpe,
    vocabulary: &'a Vocabulary,
}

impl Rules for Ranked<'_> {
    #[inline]
    fn part(&self, word: &[u8], start: usize) -> (usize, u32) {
        (start + 1, self.vocabulary.byte_token(word[start]).unwrap_or(NONE))
    }

    #[inline]
    fn join(&self, left: u32, right: u32, _: &[u8]) -> Option<(u32, u32)> {
        let merges = &self.bpe.merges;
        let joins = |number: u32| merges[number as usize].joins(left, right);
        let number = self.bpe.index.find(hash_pair(left, right), joins)?;
        let merged = merges[number as usize].merged;
        (merged != NONE).then_some((number, merged))
    }

    fn fall_back(&self, _: &[u8], tokens: &mut Vec<u32>) {
        tokens.extend(self.bpe.unknown);
    }
}

/// The merges that `texts` spell.
///
/// Nearly all the time goes into waiting for memory at random places: the slots of a hash table and the bytes of tokens.
/// So it goes batch by batch, in steps that each ask for what the next step needs, and the waits overlap.
fn resolve(vocabulary: &Vocabulary, texts: &Strings) -> Result<Vec<Merge>> {
    const BATCH: usize = 64;
    let mut merges = Vec::with_capacity(texts.len());
    let mut texts = texts.iter_bytes();
    let (mut decoded, mut batch) = (Vec::new(), Vec::with_capacity(BATCH));
    // Lists mostly name the merged tokens in the order of the vocabulary.
    let mut last = 0;
    while texts.len() > 0 {
        decoded.clear();
        batch.clear();
        for text in texts.by_ref().take(BATCH) {
            let number = merges.len() + batch.len();
            batch
                .push(Spelling::new(vocabulary, text, &mut decoded).ok_or_else(|| unresolved(number, text))?);
        }
        for spelling in &batch {
            let merge = spelling.resolve(vocabulary, &decoded, last);
            let merge = merge.ok_or_else(|| unresolved(merges.len(), spelling.text))?;
            last = merge.merged;
            merges.push(merge.unless_special(vocabulary));
        }
    }
    Ok(merges)
}

fn unresolved(number: usize, text: &[u8]) -> Error {
    Error::Malformed(format!("merge {number}, {}, is not two tokens that make a third", quoted(text)))
}

/// A merge on its way from text to tokens.
struct Spelling<'a> {
    text: &'a [u8],
    /// Where the space is in `text`.
    space: usize,
    /// Bytes of both sides in a buffer; none if the alphabet does not spell them.
    left: Range<usize>,
    right: Range<usize>,
    left_guess: Guess,
    right_guess: Guess,
}

impl<'a> Spelling<'a> {
    /// Splits and decodes a merge and begins to look up its sides; none if it lacks a second side.
    #[inline]
    fn new(vocabulary: &Vocabulary, text: &'a [u8], decoded: &mut Vec<u8>) -> Option<Self> {
        // A token is never empty, so a space at the beginning would be its own.
        let space = 1 + text.get(1..)?.iter().position(|&byte| byte == b' ')?;
        let start = decoded.len();
        let ordinary = Alphabet::Bytes.decode(&text[..space], decoded);
        let mut middle = decoded.len();
        if !ordinary || !Alphabet::Bytes.decode(&text[space + 1..], decoded) {
            decoded.truncate(start);
            middle = start;
        }
        let (left, right) = (start..middle, middle..decoded.len());
        let guess = |side: &Range<usize>| vocabulary.guess(&decoded[side.clone()]);
        Some(Self { text, space, left_guess: guess(&left), right_guess: guess(&right), left, right })
    }

    /// The merge, if its sides and what they make are tokens. `last` is what the merge before makes.
    #[inline]
    fn resolve(&self, vocabulary: &Vocabulary, decoded: &[u8], last: u32) -> Option<Merge> {
        let both = &decoded[self.left.start..self.right.end];
        let left = vocabulary.confirm(self.left_guess, &decoded[self.left.clone()]);
        let right = vocabulary.confirm(self.right_guess, &decoded[self.right.clone()]);
        let merged =
            [last, last.saturating_add(1)].into_iter().find(|&token| vocabulary.is_ordinary(token, both));
        let merged = merged.or_else(|| vocabulary.find(both));
        // What is not ordinary may still be a token that the file calls the user's.
        let (left_text, right_text) = (&self.text[..self.space], &self.text[self.space + 1..]);
        let named = |text: &[u8]| vocabulary.named(std::str::from_utf8(text).ok()?);
        Some(Merge {
            left: left.or_else(|| named(left_text))?,
            right: right.or_else(|| named(right_text))?,
            merged: merged.or_else(|| named(&[left_text, right_text].concat()))?,
        })
    }
}
