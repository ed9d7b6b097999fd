//! The tokens of a model: the bytes each stands for, its kind, and the way back from bytes to token.
//!
//! Token texts lie behind one another in one buffer, already decoded from the alphabet that the file spells them in, so
//! that a token's piece is a slice and loading allocates nothing per token.

use wasm_chord_gguf::Strings;

use super::index::{Crowded, ENTRIES, Index};
use super::words::Words;
use crate::error::{Error, Result};

/// Tokens in a vocabulary. The largest published ones have 2^18.
const TOKENS: usize = ENTRIES;

/// How a file spells the bytes of ordinary tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// GPT-2's: every byte is one printable character of U+0021..U+0143.
    Bytes,
    /// SentencePiece's: text with U+2581 for the space.
    Spaces,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ordinary text, the only kind that encoding ordinary text gives.
    Normal,
    /// Text that the alphabet cannot spell: no text encodes to it, and it is printed as it stands.
    Foreign,
    /// Stands for what the vocabulary lacks.
    Unknown,
    /// Structure, such as the beginning of a text or of a turn.
    Control,
    /// Text that is always one token wherever it occurs.
    UserDefined,
    /// A single byte of SentencePiece's byte fallback.
    Byte,
}

/// All tokens of a model.
pub(super) struct Vocabulary {
    /// Bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Where each token ends in `bytes`.
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    alphabet: Alphabet,
    index: Index,
    /// The token of each byte: ordinary ones of one byte, or those of byte fallback.
    byte_tokens: [Option<u32>; 256],
    longest: usize,
}

impl Vocabulary {
    /// Reads the arrays of a file: texts spelled in `alphabet`, and types numbered as GGUF does.
    pub(super) fn new(alphabet: Alphabet, texts: &Strings, types: &[i32]) -> Result<Self> {
        let count = texts.len();
        if count == 0 || count > TOKENS {
            return Err(Error::Malformed(format!("a vocabulary of {count} tokens, not 1 to {TOKENS}")));
        }
        if types.len() != count {
            return Err(Error::Malformed(format!("{} token types for {count} tokens", types.len())));
        }
        let mut vocabulary = Self {
            bytes: Vec::with_capacity(texts.byte_len()),
            ends: Vec::with_capacity(count),
            kinds: Vec::with_capacity(count),
            alphabet,
            index: Index::with_room(count + RENAMED),
            byte_tokens: [None; 256],
            longest: 0,
        };
        for (span, &number) in texts.spans().zip(types) {
            vocabulary.add(Words::within(texts.buffer(), span), number)?;
        }
        // In a loop of its own, so that waits for the table's memory overlap.
        for token in 0..count as u32 {
            vocabulary.register(token)?;
        }
        Ok(vocabulary)
    }

    /// Number of tokens.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The kind of a token, `None` past the end.
    pub(super) fn kind(&self, token: u32) -> Option<Kind> {
        self.kinds.get(token as usize).copied()
    }

    /// Every token of some kinds, in order.
    pub(super) fn of_kinds(&self, kinds: &[Kind]) -> impl Iterator<Item = u32> {
        (0..).zip(&self.kinds).filter_map(|(token, kind)| kinds.contains(kind).then_some(token))
    }

    /// The bytes that a token stands for; nothing past the end.
    #[inline]
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        words(&self.bytes, &self.ends, token).bytes()
    }

    /// The ordinary token that stands for these bytes.
    #[inline]
    pub(super) fn find(&self, bytes: Words<'_>) -> Option<u32> {
        if bytes.len() > self.longest {
            return None;
        }
        self.index.find(bytes.hash(ORDINARY), |token| {
            self.kinds[token as usize] == Kind::Normal && words(&self.bytes, &self.ends, token).is(bytes)
        })
    }

    /// The token that the file spells like this, of any kind but those of byte fallback.
    pub(super) fn named(&self, text: &str) -> Option<u32> {
        let mut decoded = Vec::new();
        let ordinary = self
            .alphabet
            .decode(text.as_bytes().into(), &mut decoded)
            .then(|| self.find(decoded.as_slice().into()))
            .flatten();
        ordinary.or_else(|| {
            self.index.find(Words::from(text.as_bytes()).hash(SPECIAL), |token| {
                self.bytes(token) == text.as_bytes() && self.kinds[token as usize] != Kind::Normal
            })
        })
    }

    /// The token of a byte, if the vocabulary has one.
    pub(super) fn byte_token(&self, byte: u8) -> Option<u32> {
        self.byte_tokens[usize::from(byte)]
    }

    /// Makes a token that the file calls something else a control token: no text encodes to it any more.
    pub(super) fn make_control(&mut self, token: u32) {
        let Some(kind) = self.kinds.get_mut(token as usize) else { return };
        if std::mem::replace(kind, Kind::Control) == Kind::Normal {
            // Where the table is full the token cannot be found by its name any more, which is all that it loses.
            let _ = self.index.insert(Words::from(self.bytes(token)).hash(SPECIAL), token, |_| false);
        }
        for byte_token in &mut self.byte_tokens {
            byte_token.take_if(|byte_token| *byte_token == token);
        }
    }

    fn add(&mut self, text: Words<'_>, number: i32) -> Result<()> {
        let token = self.ends.len() as u32;
        let start = self.bytes.len();
        let mut kind = match number {
            1 | 5 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            6 => Kind::Byte,
            _ => return Err(Error::Malformed(format!("token {token} has the unknown type {number}"))),
        };
        match kind {
            Kind::Normal => {
                if !self.alphabet.decode(text, &mut self.bytes) {
                    self.bytes.truncate(start);
                    self.bytes.extend_from_slice(text.bytes());
                    kind = Kind::Foreign;
                }
            }
            Kind::Byte => {
                let byte = byte_of(text.bytes()).ok_or_else(|| {
                    let text = quoted(text.bytes());
                    Error::Malformed(format!("token {token} is of type byte, but reads {text}"))
                })?;
                self.bytes.push(byte);
            }
            _ => self.bytes.extend_from_slice(text.bytes()),
        }
        let end = u32::try_from(self.bytes.len())
            .map_err(|_| Error::Malformed("a vocabulary of more than 4 GiB".to_owned()))?;
        self.ends.push(end);
        self.kinds.push(kind);
        self.longest = self.longest.max(self.bytes.len() - start);
        Ok(())
    }

    /// Makes a token findable, once.
    fn register(&mut self, token: u32) -> Result<()> {
        let (text, kind) = (words(&self.bytes, &self.ends, token), self.kinds[token as usize]);
        let bytes = text.bytes();
        let present = if kind == Kind::Byte {
            self.byte_tokens[usize::from(bytes[0])].replace(token)
        } else if bytes.is_empty() {
            // Files fill holes in the numbering with empty tokens; no text leads to them.
            None
        } else {
            if let (Kind::Normal, Alphabet::Bytes, &[byte]) = (kind, self.alphabet, bytes) {
                self.byte_tokens[usize::from(byte)] = Some(token);
            }
            let ordinary = kind == Kind::Normal;
            let hash = text.hash(if ordinary { ORDINARY } else { SPECIAL });
            let (all, ends, kinds) = (&self.bytes, &self.ends, &self.kinds);
            let same = |other: u32| {
                (kinds[other as usize] == Kind::Normal) == ordinary && words(all, ends, other).is(text)
            };
            self.index.insert(hash, token, same).map_err(|Crowded| {
                Error::Malformed("the tokens were chosen to collide in a hash table".to_owned())
            })?
        };
        match present {
            None => Ok(()),
            Some(other) => Err(Error::Malformed(format!(
                "tokens {other} and {token} are both {}",
                quoted(self.bytes(token))
            ))),
        }
    }
}

/// What a token has of the bytes of all, which end in these places; nothing past the last one.
#[inline]
fn words<'a>(bytes: &'a [u8], ends: &[u32], token: u32) -> Words<'a> {
    let token = token as usize;
    let Some(&end) = ends.get(token) else { return Words::within(&[], 0..0) };
    let start = if token == 0 { 0 } else { ends[token - 1] };
    Words::within(bytes, start as usize..end as usize)
}

/// Room for tokens that [`Vocabulary::make_control`] turns from ordinary to special ones.
const RENAMED: usize = 64;

/// Salts that keep apart ordinary tokens and all others, which may stand for the same bytes.
const ORDINARY: u64 = 0;
const SPECIAL: u64 = 1;

impl Alphabet {
    /// Appends the bytes that `text` spells; false, with a part of them appended, if it spells none.
    #[inline]
    pub(super) fn decode(self, text: Words<'_>, bytes: &mut Vec<u8>) -> bool {
        match self {
            Self::Bytes => decode_bytes(text, bytes),
            Self::Spaces => decode_spaces(text.bytes(), bytes),
        }
    }
}

/// GPT-2's alphabet: characters U+0021..U+007E, U+00A1..U+00AC and U+00AE..U+00FF are the bytes of their number; the
/// other bytes are in order U+0100, U+0101 and so on.
fn decode_bytes(text: Words<'_>, bytes: &mut Vec<u8>) -> bool {
    let mut rest = text;
    loop {
        // Up to eight at once that spell themselves, 0x21 to 0x7e: others have their upmost bit set in one of these.
        let eight = rest.word(0);
        let low = eight & each(0x7f);
        let others = eight | (low + each(0x80 - 0x7f)) | !(low + each(0x80 - 0x21));
        let own = (others & each(0x80)).trailing_zeros() as usize / 8;
        if own > 0 {
            let length = bytes.len() + own;
            bytes.extend_from_slice(&eight.to_le_bytes());
            bytes.truncate(length);
            rest = rest.after(own);
        }
        if own == 8 {
            continue;
        }
        // Two bytes of UTF-8 are the characters up to U+07FF.
        let (first, second) = match *rest.bytes() {
            [] => return true,
            [first @ 0xc2..=0xc5, second @ 0x80..=0xbf, ..] => (first, second),
            _ => return false,
        };
        match SPELLED.get(usize::from(first - 0xc2) << 6 | usize::from(second & 0x3f)) {
            Some(&Some(byte)) => bytes.push(byte),
            _ => return false,
        }
        rest = rest.after(2);
    }
}

/// A word of eight times this byte.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The bytes that the characters from U+0080 on spell.
const SPELLED: [Option<u8>; 0x144 - 0x80] = {
    let mut spelled = [None; 0x144 - 0x80];
    let (mut byte, mut shifted) = (0, 0x100);
    while byte < 0x100 {
        let own = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let character = if own { byte } else { shifted };
        if !own {
            shifted += 1;
        }
        if character >= 0x80 {
            spelled[character - 0x80] = Some(byte as u8);
        }
        byte += 1;
    }
    spelled
};

/// SentencePiece's alphabet. A plain space spells nothing there: text has none by the time it is looked up.
fn decode_spaces(text: &[u8], bytes: &mut Vec<u8>) -> bool {
    let mut at = 0;
    while let Some(&first) = text.get(at) {
        let space = first == 0xe2 && text[at..].starts_with("\u{2581}".as_bytes());
        if first == b' ' {
            return false;
        }
        bytes.push(if space { b' ' } else { first });
        at += if space { "\u{2581}".len() } else { 1 };
    }
    true
}

/// The byte of a text such as `<0x0A>`.
fn byte_of(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let &[high, low] = digits else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// Text of a file in a message, quoted, escaped and cut to a length that fits one.
pub(super) fn quoted(text: &[u8]) -> String {
    const SHOWN: usize = 60;
    let shown = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
    format!("{shown:?}{}", if text.len() > SHOWN { "..." } else { "" })
}
