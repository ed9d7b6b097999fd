//! Text to tokens and back, as the vocabulary of a GGUF file says.
//!
//! Two tokenizers: SentencePiece's byte pair encoding with scores (`tokenizer.ggml.model` = `llama`) and byte-level byte
//! pair encoding with merges (`gpt2`). Everything a file asks for that is not known exactly is refused, never guessed.
//! Text is taken as it is, without Unicode normalisation, and encoding takes O(n log n) at worst, times the bytes of the
//! longest token.
//!
//! Not here: chat templates, the choice of tokens, and when a session stops.
//!
//! # Why not the crate `tokenizers`
//! Measured with version 0.23.2 (feature `unstable_wasm`) and the vocabulary of Llama 3 (128k tokens, 280k merges) on two
//! shared cores of an x86-64 server (Cascade Lake, 2.5 GHz), the file's strings already read:
//!
//! | | `tokenizers`, native | here, native | here, wasm32 under Wasmtime |
//! |---|---|---|---|
//! | load | 221..261 ms | 25..37 ms | 34..49 ms |
//! | 10 MB of prose and code | 7.6..8.9 s | 0.26..0.43 s | 0.47..0.64 s |
//! | one word of 10 MB | | 2.9 s | 5.2 s |
//!
//! Both give the same tokens; this one also brings no regular-expression engine into the guest.

mod bpe;
mod index;
mod merge;
mod pretokenize;
mod sentencepiece;
mod special;
mod stream;
#[cfg(test)]
mod tests;
mod unicode;
mod vocabulary;
mod words;

use wasm_chord_gguf::Metadata;

use crate::error::{Error, Result};
use bpe::Bpe;
use merge::Merger;
use pretokenize::Pretokenizer;
use sentencepiece::SentencePiece;
use special::SpecialTokens;
pub use stream::Utf8Stream;
use vocabulary::{Alphabet, Kind, Vocabulary, quoted};

/// Breaks the names of control tokens apart: a noncharacter of Unicode, for use inside of programs.
const GUARD: char = '\u{FDD0}';

/// The tokenizer of a model.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    encoding: Encoding,
    /// Found in any text: user-defined tokens.
    always: SpecialTokens,
    /// Found in text that may hold special tokens: those, control tokens and the unknown token.
    when_asked: SpecialTokens,
    bos: Option<u32>,
    eos: Option<u32>,
    eot: Option<u32>,
    unknown: Option<u32>,
    /// Sorted.
    ends_of_generation: Vec<u32>,
    add_bos: bool,
    add_eos: bool,
    /// Whether encoding puts a space before a text.
    add_space_prefix: bool,
}

/// How ordinary text is encoded.
enum Encoding {
    Bpe(Bpe),
    SentencePiece(SentencePiece),
}

impl Tokenizer {
    /// Reads the `tokenizer.ggml.*` keys of a file.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another tokenizer model, or a pre-tokenizer that is unknown or not named;
    /// [`Error::Malformed`] for arrays that are missing or do not fit together, duplicate tokens, ids outside the
    /// vocabulary and merges that make what it lacks.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self> {
        let malformed = |error: wasm_chord_gguf::Error| Error::Malformed(error.to_string());
        let model = metadata.require_string("tokenizer.ggml.model").map_err(malformed)?;
        let alphabet = match model {
            "llama" => Alphabet::Spaces,
            "gpt2" => Alphabet::Bytes,
            _ => {
                let model = quoted(model.as_bytes());
                return Err(Error::Unsupported(format!(
                    "the tokenizer model {model}; llama and gpt2 are known"
                )));
            }
        };
        let texts = metadata.require_strings("tokenizer.ggml.tokens").map_err(malformed)?;
        let types = metadata.require_i32s("tokenizer.ggml.token_type").map_err(malformed)?;
        let mut vocabulary = Vocabulary::new(alphabet, texts, &types)?;

        let id = |key: &str| token_id(metadata, key, vocabulary.len());
        let (mut bos, mut eos, mut unknown) =
            (id("bos_token_id")?, id("eos_token_id")?, id("unknown_token_id")?);
        let (mut eot, eom) = (id("eot_token_id")?, id("eom_token_id")?);

        let (encoding, default_add_bos, add_space_prefix) = match alphabet {
            Alphabet::Bytes => {
                let pretokenizer = pretokenizer(metadata.string("tokenizer.ggml.pre").map_err(malformed)?)?;
                let merges = metadata.require_strings("tokenizer.ggml.merges").map_err(malformed)?;
                let bpe = Bpe::new(&vocabulary, texts, merges, pretokenizer, unknown)?;
                (Encoding::Bpe(bpe), pretokenizer.add_bos, false)
            }
            Alphabet::Spaces => {
                // SentencePiece's numbering, where the file is silent and the tokens are of these kinds.
                let of_kind = |token, kind| (vocabulary.kind(token) == Some(kind)).then_some(token);
                unknown = unknown.or_else(|| of_kind(0, Kind::Unknown));
                bos = bos.or_else(|| of_kind(1, Kind::Control));
                eos = eos.or_else(|| of_kind(2, Kind::Control));
                let prefix =
                    metadata.bool("tokenizer.ggml.add_space_prefix").map_err(malformed)?.unwrap_or(true);
                let scores = metadata.require_f32s("tokenizer.ggml.scores").map_err(malformed)?;
                let encoding = SentencePiece::new(&vocabulary, &scores, prefix, unknown)?;
                (Encoding::SentencePiece(encoding), true, prefix)
            }
        };
        let add_bos = metadata.bool("tokenizer.ggml.add_bos_token").map_err(malformed)?;
        let add_eos = metadata.bool("tokenizer.ggml.add_eos_token").map_err(malformed)?;
        for (add, id, name) in [(add_bos, bos, "bos"), (add_eos, eos, "eos")] {
            if add == Some(true) && id.is_none() {
                return Err(Error::Malformed(format!(
                    "texts are to get a token {name}, but the file names none"
                )));
            }
        }

        let mut ends_of_generation: Vec<u32> = [eos, eot, eom].into_iter().flatten().collect();
        for token in [bos, eos, eot, eom].into_iter().flatten() {
            // Tokens of this office are structure even where the file lists their text as the user's.
            if matches!(vocabulary.kind(token), Some(Kind::UserDefined | Kind::Foreign)) {
                vocabulary.make_control(token);
            }
        }
        let spelled = |token| matches!(&encoding, Encoding::Bpe(bpe) if bpe.makes(token));
        for token in ends_by_name(&mut vocabulary, spelled) {
            ends_of_generation.push(token);
            eot = eot.or_else(|| {
                ENDS_OF_TURN.iter().any(|name| vocabulary.named(name) == Some(token)).then_some(token)
            });
        }
        ends_of_generation.sort_unstable();
        ends_of_generation.dedup();

        Ok(Self {
            always: SpecialTokens::new(&vocabulary, &[Kind::UserDefined])?,
            when_asked: SpecialTokens::new(&vocabulary, &[Kind::UserDefined, Kind::Control, Kind::Unknown])?,
            vocabulary,
            encoding,
            bos,
            eos,
            eot,
            unknown,
            ends_of_generation,
            add_bos: add_bos.unwrap_or(default_add_bos && bos.is_some()),
            add_eos: add_eos.unwrap_or(false),
            add_space_prefix,
        })
    }

    /// The tokens of a text, without those that begin and end it (see [`with_boundaries`](Self::with_boundaries)).
    ///
    /// With `parse_special` the text of a control token becomes that token, as chat templates need, unless it was
    /// [`guard`](Self::guard)ed; without, it is ordinary text, so that what a user writes is never structure. User-defined
    /// tokens are found in both.
    pub fn encode(&self, text: &str, parse_special: bool) -> Vec<u32> {
        assert!(u32::try_from(text.len()).is_ok(), "a text of 4 GiB or more");
        let special = if parse_special { &self.when_asked } else { &self.always };
        let mut merger = Merger::new(text.len());
        let mut tokens = Vec::with_capacity(text.len() / 4);
        let mut ordinary = |text: &str, tokens: &mut Vec<u32>| {
            if parse_special && text.contains(GUARD) {
                self.encode_ordinary(&mut merger, &text.replace(GUARD, ""), tokens);
            } else {
                self.encode_ordinary(&mut merger, text, tokens);
            }
        };
        let mut at = 0;
        while let Some(occurrence) = special.find(&self.vocabulary, text, at) {
            ordinary(&text[at..occurrence.start], &mut tokens);
            tokens.push(occurrence.token);
            at = occurrence.end;
        }
        ordinary(&text[at..], &mut tokens);
        tokens
    }

    /// A text that is to stand inside of one encoded with `parse_special`, marked so that nothing in it becomes a control
    /// token: a character that no text should hold (and that is taken out of this one) breaks their names apart.
    pub fn guard(&self, text: &str) -> String {
        let text = text.replace(GUARD, "");
        let mut guarded = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(occurrence) = self.when_asked.find(&self.vocabulary, &text, at) {
            let first = text[occurrence.start..].chars().next().map_or(0, char::len_utf8);
            guarded.push_str(&text[at..occurrence.start + first]);
            if self.vocabulary.kind(occurrence.token) != Some(Kind::UserDefined) {
                guarded.push(GUARD);
            }
            at = occurrence.start + first;
        }
        guarded.push_str(&text[at..]);
        guarded
    }

    /// Adds the token that begins a text where the file says so, for a text that goes on. One that is there already is not
    /// added again.
    pub fn with_beginning(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        if let Some(bos) = self.bos
            && self.add_bos
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        tokens
    }

    /// Adds the tokens that begin and end a text where the file says so. A token that is there already is not added
    /// again.
    pub fn with_boundaries(&self, tokens: Vec<u32>) -> Vec<u32> {
        let mut tokens = self.with_beginning(tokens);
        if let Some(eos) = self.eos
            && self.add_eos
            && tokens.last() != Some(&eos)
        {
            tokens.push(eos);
        }
        tokens
    }

    /// The bytes that tokens stand for, as one text from its beginning: a space that encoding put before it is taken
    /// off. Control tokens are left out unless `show_control`; tokens outside the vocabulary always are.
    ///
    /// For text that goes on, join [`piece`](Self::piece)s instead.
    pub fn decode(&self, tokens: &[u32], show_control: bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(tokens.len() * 4);
        for &token in tokens {
            bytes.extend_from_slice(self.piece(token, show_control));
        }
        if self.add_space_prefix && bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
        bytes
    }

    /// The bytes that one token adds to a text; they need not be whole characters (see [`Utf8Stream`]). Nothing for a
    /// token outside the vocabulary and, unless `show_control`, for a control token or the unknown token.
    pub fn piece(&self, token: u32, show_control: bool) -> &[u8] {
        match self.vocabulary.kind(token) {
            Some(Kind::Control | Kind::Unknown) if !show_control => &[],
            _ => self.vocabulary.bytes(token),
        }
    }

    /// The token that the file spells like this, such as `<|im_end|>`; none for tokens of byte fallback.
    pub fn token_named(&self, text: &str) -> Option<u32> {
        self.vocabulary.named(text)
    }

    /// Number of tokens; ids are below it.
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The token that ends a turn of a conversation.
    pub fn eot(&self) -> Option<u32> {
        self.eot
    }

    /// The token of what the vocabulary lacks.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// Whether [`with_boundaries`](Self::with_boundaries) begins a text with [`bos`](Self::bos).
    pub fn adds_bos(&self) -> bool {
        self.add_bos
    }

    /// Whether [`with_boundaries`](Self::with_boundaries) ends a text with [`eos`](Self::eos).
    pub fn adds_eos(&self) -> bool {
        self.add_eos
    }

    /// Whether a token is structure rather than text.
    pub fn is_control(&self, token: u32) -> bool {
        self.vocabulary.kind(token) == Some(Kind::Control)
    }

    /// Whether the model has said all when it chooses this token.
    pub fn ends_generation(&self, token: u32) -> bool {
        self.ends_of_generation.binary_search(&token).is_ok()
    }

    /// Every token that ends generation, in ascending order: eos, eot, eom and those known by their names.
    pub fn ends_of_generation(&self) -> &[u32] {
        &self.ends_of_generation
    }

    /// Appends the tokens of a text without special tokens, which begins the whole text or follows a special token.
    fn encode_ordinary(&self, merger: &mut Merger, text: &str, tokens: &mut Vec<u32>) {
        match &self.encoding {
            Encoding::Bpe(bpe) => bpe.encode(&self.vocabulary, merger, text, tokens),
            Encoding::SentencePiece(encoding) => encoding.encode(&self.vocabulary, merger, text, tokens),
        }
    }
}

/// Names of tokens that end a turn. Many files say in no other way that they do.
const ENDS_OF_TURN: [&str; 11] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];

/// Names of other tokens after which a model has no more to say: ends of messages and texts, calls of tools, and the
/// borders of files that models of code write.
const ENDS_OF_MESSAGE: [&str; 22] = [
    "<|eom_id|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "</s>",
    "[EOS]",
    "<eos>",
    "<turn|>",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
    "<|tool_response>",
    "[e~[",
];

/// The tokens that end generation by their names; all are control tokens from then on, whatever the file says.
///
/// A token that merges make out of ordinary text (`spelled`) is no end in spite of its name: some vocabularies have
/// the `</s>` of HTML as a word.
fn ends_by_name(vocabulary: &mut Vocabulary, spelled: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut ends = Vec::new();
    for name in ENDS_OF_TURN.into_iter().chain(ENDS_OF_MESSAGE) {
        let Some(token) = vocabulary.named(name) else { continue };
        if vocabulary.kind(token) == Some(Kind::Normal) && spelled(token) {
            continue;
        }
        ends.push(token);
    }
    // Where messages end with another token, `<|end|>` and `</s>` are text between their parts.
    let has = |name: &str| vocabulary.named(name).is_some();
    let harmony = has("<|end|>") && has("<|call|>") && has("<|return|>");
    let solar = has("<|end|>") && has("<|calls|>") && has("<|flush|>");
    let mut not_ends = Vec::new();
    if harmony || solar {
        not_ends.extend(vocabulary.named("<|end|>"));
    }
    if has("<|tool_response>") {
        not_ends.extend(vocabulary.named("</s>"));
    }
    ends.retain(|token| !not_ends.contains(token));
    for &token in &ends {
        vocabulary.make_control(token);
    }
    ends
}

/// The pre-tokenizer that the file names.
fn pretokenizer(name: Option<&str>) -> Result<Pretokenizer> {
    let name = name.ok_or_else(|| {
        Error::Unsupported(
            "the file does not name its pre-tokenizer (tokenizer.ggml.pre); files from before mid-2024 lack it and \
             have to be converted again"
                .to_owned(),
        )
    })?;
    Pretokenizer::named(name)
        .ok_or_else(|| Error::Unsupported(format!("the pre-tokenizer {}", quoted(name.as_bytes()))))
}

/// The value of a key that names a token.
fn token_id(metadata: &Metadata, name: &str, count: usize) -> Result<Option<u32>> {
    let key = format!("tokenizer.ggml.{name}");
    let id = metadata.u32(&key).map_err(|error| Error::Malformed(error.to_string()))?;
    match id {
        Some(id) if id as usize >= count => {
            Err(Error::Malformed(format!("{key} is {id}, outside the vocabulary of {count} tokens")))
        }
        id => Ok(id),
    }
}
