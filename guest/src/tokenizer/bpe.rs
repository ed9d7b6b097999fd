//! Byte-level byte pair encoding with a list of merges, as GPT-2 introduced it.
//!
//! The pre-tokenizer splits a text into words; within a word the pair of neighbouring tokens that stands first in the
//! file's list of merges joins first.

use std::collections::BTreeMap;

use wasm_chord_gguf::Strings;

use super::index::ENTRIES;
use super::merge::{Merger, NONE, Rules};
use super::pretokenize::Pretokenizer;
use super::vocabulary::{Alphabet, Kind, Vocabulary, quoted};
use super::words::Words;
use crate::error::{Error, Result};

/// Merges in a list. The longest published ones have 2^19.
const MERGES: usize = ENTRIES;

/// The list of merges and the pre-tokenizer.
///
/// A merge is looked up by what it makes, a token that the vocabulary finds by its bytes. So nearly nothing is looked up
/// while the list is read, as lists name what they make in the order of the vocabulary.
pub(super) struct Bpe {
    /// In the order of the file, which is the order of precedence.
    merges: Vec<Merge>,
    /// The last merge that makes each token, or [`NONE`].
    last: Vec<u32>,
    /// By their bytes, tokens that merges make though the file calls them the user's.
    user_defined: BTreeMap<Vec<u8>, u32>,
    pretokenizer: Pretokenizer,
    /// In place of bytes that the vocabulary lacks; without one they are dropped.
    unknown: Option<u32>,
}

/// One way to make a token.
struct Merge {
    /// Bytes of its left side.
    left: u32,
    /// The merge before that makes the same token of other sides, or [`NONE`].
    previous: u32,
}

impl Bpe {
    /// Reads merges, each spelled as two tokens with a space between; `spelled` are the tokens as the file spells them.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        spelled: &Strings,
        merges: &Strings,
        pretokenizer: Pretokenizer,
        unknown: Option<u32>,
    ) -> Result<Self> {
        let count = merges.len();
        if count > MERGES {
            return Err(Error::Malformed(format!("{count} merges, more than {MERGES}")));
        }
        let mut bpe = Self {
            merges: Vec::with_capacity(count),
            last: vec![NONE; vocabulary.len()],
            user_defined: BTreeMap::new(),
            pretokenizer,
            unknown,
        };
        let mut products = Products { vocabulary, spelled, last: 0, near: [Words::default(); 2] };
        products.move_to(0);
        for (number, span) in merges.spans().enumerate() {
            let text = Words::within(merges.buffer(), span);
            let (token, left) = products.of(text).ok_or_else(|| {
                let text = quoted(text.bytes());
                Error::Malformed(format!("merge {number}, {text}, does not make a token of two"))
            })?;
            bpe.add(token, left);
            if vocabulary.kind(token) == Some(Kind::UserDefined) {
                let mut bytes = Vec::new();
                if Alphabet::Bytes.decode(vocabulary.bytes(token).into(), &mut bytes) {
                    bpe.user_defined.insert(bytes, token);
                }
            }
        }
        Ok(bpe)
    }

    /// Adds the next merge, which makes a token of two whose left one has so many bytes. The first of two of the same pair
    /// counts, so that a token has fewer of them than bytes.
    fn add(&mut self, token: u32, left: u32) {
        let number = self.merges.len() as u32;
        let previous = match self.find(token, left) {
            Some(_) => NONE,
            None => std::mem::replace(&mut self.last[token as usize], number),
        };
        self.merges.push(Merge { left, previous });
    }

    /// The merge that makes a token of two whose left one has so many bytes.
    fn find(&self, token: u32, left: u32) -> Option<u32> {
        let mut number = self.last[token as usize];
        while let Some(merge) = self.merges.get(number as usize) {
            if merge.left == left {
                return Some(number);
            }
            number = merge.previous;
        }
        None
    }

    /// Whether a merge gives this token, so that text can spell it.
    pub(super) fn makes(&self, token: u32) -> bool {
        self.last.get(token as usize).is_some_and(|&number| number != NONE)
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
        if self.pretokenizer.whole_words { vocabulary.find(word.as_bytes().into()) } else { None }
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
    fn join(&self, [left, right]: [u32; 2], joined: Words<'_>, border: usize) -> Option<(u32, u32)> {
        let user_defined = || self.bpe.user_defined.get(joined.bytes()).copied();
        let token = self.vocabulary.find(joined).or_else(user_defined)?;
        // What stands for a byte may be no text, or no token at all.
        let is_text = |side| matches!(self.vocabulary.kind(side), Some(Kind::Normal | Kind::UserDefined));
        if !is_text(left) || !is_text(right) {
            return None;
        }
        Some((self.bpe.find(token, border as u32)?, token))
    }

    fn fall_back(&self, _: &[u8], tokens: &mut Vec<u32>) {
        tokens.extend(self.bpe.unknown);
    }
}

/// What merges make. Most make what the merge before makes, or the next token.
struct Products<'a> {
    vocabulary: &'a Vocabulary,
    spelled: &'a Strings,
    last: u32,
    /// That token and the next one, as the file spells them.
    near: [Words<'a>; 2],
}

impl Products<'_> {
    /// The token that a merge makes, and the bytes of its left side.
    fn of(&mut self, text: Words<'_>) -> Option<(u32, u32)> {
        let near = self.near.iter().enumerate();
        let near = near.filter_map(|(step, &token)| Some((step, border(text, token)?))).next();
        let border = if let Some((step, border)) = near {
            if step > 0 {
                self.move_to(self.last + 1);
            }
            border
        } else {
            // A token is never empty, so a space at the beginning would be its own.
            let border = 1 + text.bytes().get(1..)?.iter().position(|&byte| byte == b' ')?;
            let [left, right] = [text.before(border), text.after(border + 1)].map(Words::bytes);
            if right.is_empty() {
                return None;
            }
            self.move_to(self.vocabulary.named(std::str::from_utf8(&[left, right].concat()).ok()?)?);
            border
        };
        // A character of the alphabet is a byte.
        Some((self.last, text.before(border).characters() as u32))
    }

    fn move_to(&mut self, token: u32) {
        self.last = token;
        self.near = [0, 1].map(|step| {
            let span = self.spelled.span(token as usize + step).unwrap_or_default();
            Words::within(self.spelled.buffer(), span)
        });
    }
}

/// Where a space divides `text`, which is a token's but for that.
#[inline(always)]
fn border(text: Words<'_>, token: Words<'_>) -> Option<usize> {
    if text.len() != token.len() + 1 {
        return None;
    }
    let border = text.difference(token).filter(|&border| border > 0)?;
    let divided = text.bytes()[border] == b' ' && text.after(border + 1).is(token.after(border));
    divided.then_some(border)
}
