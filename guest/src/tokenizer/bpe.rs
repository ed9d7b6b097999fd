//! Byte-level byte pair encoding with a list of merges, as GPT-2 introduced it.
//!
//! The pre-tokenizer splits a text into words; within a word the pair of neighbouring tokens that stands first in the
//! file's list of merges joins first.

use wasm_chord_gguf::Strings;

use super::index::{Crowded, Index, hash_pair};
use super::merge::{Merger, NONE, Rules};
use super::pretokenize::Pretokenizer;
use super::vocabulary::{Alphabet, Kind, Vocabulary, quoted};
use crate::error::{Error, Result};

/// Merges in a list. The longest published ones have 2^19.
const MERGES: usize = 1 << 22;

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
        let mut bpe =
            Self { merges: Vec::with_capacity(count), index: Index::with_room(count), pretokenizer, unknown };
        let mut resolver = Resolver { vocabulary, decoded: Vec::new(), last: 0 };
        for (number, text) in merges.iter_bytes().enumerate() {
            let merge = resolver.resolve(text).ok_or_else(|| {
                let text = quoted(text);
                Error::Malformed(format!("merge {number}, {text}, is not two tokens that make a third"))
            })?;
            bpe.add(merge)?;
        }
        Ok(bpe)
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
        self.pretokenizer.split(text, &mut |word| {
            if let Some(token) = self.whole(vocabulary, word) {
                tokens.push(token);
                return;
            }
            let bytes = (0..).zip(word.bytes().map(|byte| vocabulary.byte_token(byte).unwrap_or(NONE)));
            merger.merge(self, word, bytes, |_, tokens| tokens.extend(self.unknown), tokens);
        });
    }

    /// The token of a word that is taken whole, whatever the merges say.
    fn whole(&self, vocabulary: &Vocabulary, word: &str) -> Option<u32> {
        if self.pretokenizer.whole_words { vocabulary.find(word.as_bytes()) } else { None }
    }

    /// The first of two merges of the same pair counts.
    fn add(&mut self, merge: Merge) -> Result<()> {
        let Merge { left, right, .. } = merge;
        let number = self.merges.len() as u32;
        self.index
            .insert(hash_pair(left, right), number, |other| self.merges[other as usize].joins(left, right))
            .map_err(|Crowded| {
                Error::Malformed("the merges were chosen to collide in a hash table".to_owned())
            })?;
        self.merges.push(merge);
        Ok(())
    }
}

impl Merge {
    fn joins(self, left: u32, right: u32) -> bool {
        self.left == left && self.right == right
    }
}

impl Rules for Bpe {
    fn join(&self, left: u32, right: u32, _: &[u8]) -> Option<(u32, u32)> {
        let joins = |number: u32| self.merges[number as usize].joins(left, right);
        let number = self.index.find(hash_pair(left, right), joins)?;
        let merged = self.merges[number as usize].merged;
        (merged != NONE).then_some((number, merged))
    }
}

/// Finds the tokens that a list of merges names.
struct Resolver<'a> {
    vocabulary: &'a Vocabulary,
    /// Bytes of the merged token.
    decoded: Vec<u8>,
    /// The merged token before. Lists mostly name merged tokens in the order of the vocabulary.
    last: u32,
}

impl Resolver<'_> {
    fn resolve(&mut self, text: &[u8]) -> Option<Merge> {
        // A token is never empty, so a space at the beginning would be its own.
        let space = 1 + text.get(1..)?.iter().position(|&byte| byte == b' ')?;
        let (left, right) = (&text[..space], &text[space + 1..]);
        self.decoded.clear();
        let ordinary = Alphabet::Bytes.decode(left, &mut self.decoded);
        let middle = self.decoded.len();
        if !ordinary || !Alphabet::Bytes.decode(right, &mut self.decoded) {
            self.decoded.clear();
        }
        let (start, end) = self.decoded.split_at(middle.min(self.decoded.len()));
        let (left_token, right_token) = (self.find(left, start)?, self.find(right, end)?);
        let merged = match self.guess() {
            Some(token) => token,
            None => match self.vocabulary.find(&self.decoded) {
                Some(token) => token,
                None => self.vocabulary.named(std::str::from_utf8(&[left, right].concat()).ok()?)?,
            },
        };
        self.last = merged;
        let usable = [left_token, right_token, merged]
            .iter()
            .all(|&token| matches!(self.vocabulary.kind(token), Some(Kind::Normal | Kind::UserDefined)));
        Some(Merge { left: left_token, right: right_token, merged: if usable { merged } else { NONE } })
    }

    /// The token of one side: `decoded` are its bytes, `text` is its spelling.
    fn find(&self, text: &[u8], decoded: &[u8]) -> Option<u32> {
        let found = match decoded {
            &[byte] => self.vocabulary.byte_token(byte),
            bytes => self.vocabulary.find(bytes),
        };
        found.or_else(|| self.vocabulary.named(std::str::from_utf8(text).ok()?))
    }

    /// The merged token if it is the one before again, or the next.
    fn guess(&self) -> Option<u32> {
        [self.last, self.last.saturating_add(1)].into_iter().find(|&token| {
            self.vocabulary.bytes(token) == self.decoded && self.vocabulary.kind(token) == Some(Kind::Normal)
        })
    }
}
