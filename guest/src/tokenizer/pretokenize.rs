//! Pre-tokenizers: how a text is split into words before byte-level byte pair encoding.
//!
//! The field writes them as regular expressions with look-ahead, and files name them by a word in
//! `tokenizer.ggml.pre`. Here each is a list of hand-written matchers, which need no regular-expression engine in the
//! guest and take linear time on any text. A name that is not in the table of names is refused: a wrong split makes a
//! model worse without any sign of it.

use super::unicode::{Class, class, is_letter, is_number, is_punctuation, is_space};

/// A pre-tokenizer and what its name implies beside the split.
#[derive(Clone, Copy)]
pub(super) struct Pretokenizer {
    /// Each splits the pieces that the one before left, see [`split`].
    matchers: &'static [Matcher],
    /// Whether a word that is a token is taken whole, without asking the merges.
    pub(super) whole_words: bool,
    /// Whether texts begin with the bos token where the file does not say.
    pub(super) add_bos: bool,
}

/// Bytes of the match at the beginning of a text, 0 for no match.
type Matcher = fn(&str) -> usize;

impl Pretokenizer {
    /// The pre-tokenizer of a name, as `tokenizer.ggml.pre` has it.
    pub(super) fn named(name: &str) -> Option<Self> {
        let entry = TABLE.iter().find(|entry| entry.names.contains(&name))?;
        Some(Self { matchers: entry.matchers, whole_words: entry.whole_words, add_bos: entry.whole_words })
    }

    /// Calls `word` with every word of `text` in order; together they are `text`.
    pub(super) fn split(&self, text: &str, word: &mut impl FnMut(&str)) {
        split(self.matchers, text, word);
    }
}

/// A pre-tokenizer and all its names.
struct Entry {
    names: &'static [&'static str],
    matchers: &'static [Matcher],
    /// Whether words are taken whole; the models of these names also begin texts with bos.
    whole_words: bool,
}

/// Every pre-tokenizer that is known.
const TABLE: &[Entry] = &[
    Entry {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        matchers: &[llama3],
        whole_words: true,
    },
    Entry { names: &["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], matchers: &[llama3], whole_words: false },
    Entry {
        names: &["qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "grok-2"],
        matchers: &[qwen2],
        whole_words: false,
    },
    Entry {
        names: &["gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "gigachat", "trillion"],
        matchers: &[gpt2],
        whole_words: false,
    },
    Entry {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        matchers: &[number, gpt2],
        whole_words: false,
    },
    Entry { names: &["tekken"], matchers: &[tekken], whole_words: true },
    Entry { names: &["gpt-4o", "llama4"], matchers: &[gpt4o], whole_words: false },
    Entry {
        names: &["deepseek-coder"],
        matchers: &[newline, spaced_letters, spaced_punctuation, deepseek_characters, number],
        whole_words: false,
    },
    Entry {
        names: &["deepseek-v3"],
        matchers: &[up_to_three_numbers, han_and_kana, deepseek3],
        whole_words: false,
    },
    Entry {
        names: &["default"],
        matchers: &[default_punctuation, gpt2, numbers, three_digits],
        whole_words: false,
    },
    Entry { names: &["falcon"], matchers: &[falcon_punctuation, gpt2, three_digits], whole_words: false },
];

/// Every name that is known.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().flat_map(|entry| entry.names).copied()
}

/// Splits `text` by the first matcher; its matches, and what lies between them, are then split by the others.
fn split(matchers: &[Matcher], text: &str, word: &mut impl FnMut(&str)) {
    let Some((matcher, others)) = matchers.split_first() else {
        if !text.is_empty() {
            word(text);
        }
        return;
    };
    let mut rest = text;
    // Bytes at the beginning of `rest` at which nothing matches.
    let mut between = 0;
    while let Some(character) = rest[between..].chars().next() {
        match matcher(&rest[between..]) {
            0 => between += character.len_utf8(),
            length => {
                split(others, &rest[..between], word);
                split(others, &rest[between..between + length], word);
                rest = &rest[between + length..];
                between = 0;
            }
        }
    }
    split(others, rest, word);
}

/// GPT-2: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
fn gpt2(text: &str) -> usize {
    let contracted = contraction(text, |letter| letter);
    if contracted > 0 {
        return contracted;
    }
    let space = usize::from(text.starts_with(' '));
    let rest = &text[space..];
    let length = match rest.chars().next() {
        Some(first) if is_letter(first) => run(rest, is_letter),
        Some(first) if is_number(first) => run(rest, is_number),
        _ => run(rest, is_neither),
    };
    if length > 0 { space + length } else { spaces(text) }
}

/// Llama 3: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
fn llama3(text: &str) -> usize {
    cl100k(text, 3)
}

/// Qwen 2: as [`llama3`], but with `\p{N}` instead of `\p{N}{1,3}`.
fn qwen2(text: &str) -> usize {
    cl100k(text, 1)
}

fn cl100k(text: &str, most_numbers: usize) -> usize {
    let contracted = contraction(text, fold);
    if contracted > 0 {
        return contracted;
    }
    let lead = lead(text);
    let letters = run(&text[lead..], is_letter);
    if letters > 0 {
        return lead + letters;
    }
    let numbers = run_of(text, most_numbers, is_number);
    if numbers > 0 { numbers } else { others_or_spaces(text, is_newline) }
}

/// Tekken: `[^\r\n\p{L}\p{N}]?U*L+|[^\r\n\p{L}\p{N}]?U+L*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
/// with U = `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]` and L = `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
fn tekken(text: &str) -> usize {
    let letters = cased_letters(text);
    if letters > 0 {
        return letters;
    }
    let numbers = number(text);
    if numbers > 0 {
        numbers
    } else {
        others_or_spaces(text, |character| is_newline(character) || character == '/')
    }
}

/// GPT-4o: as [`tekken`], but with `(?i:'s|'t|'re|'ve|'m|'ll|'d)?` behind letters and `\p{N}{1,3}`.
fn gpt4o(text: &str) -> usize {
    let letters = cased_letters(text);
    if letters > 0 {
        return letters + contraction(&text[letters..], fold);
    }
    let numbers = up_to_three_numbers(text);
    if numbers > 0 {
        numbers
    } else {
        others_or_spaces(text, |character| is_newline(character) || character == '/')
    }
}

/// `[^\r\n\p{L}\p{N}]?U*L+|[^\r\n\p{L}\p{N}]?U+L*` of [`tekken`].
fn cased_letters(text: &str) -> usize {
    // A mark may be the optional lead or the first of the letters, so the lead is tried first and then none.
    let lead = lead(text);
    [lead, 0]
        .into_iter()
        .find_map(|lead| lower_ending(&text[lead..]).map(|length| lead + length))
        .unwrap_or_else(|| {
            let upper = run(&text[lead..], is_upper);
            if upper > 0 { lead + upper } else { run(text, is_upper) }
        })
}

/// Bytes of `U*L+` at the beginning of a text: as many of U as leave one of L.
fn lower_ending(text: &str) -> Option<usize> {
    let upper = run(text, is_upper);
    let lower = run(&text[upper..], is_lower);
    if lower > 0 {
        return Some(upper + lower);
    }
    // All of L that is also in U was taken; the last of it ends the match, and U behind it is left.
    let (at, last) = text[..upper].char_indices().rev().find(|&(_, character)| is_lower(character))?;
    Some(at + last.len_utf8())
}

/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`.
fn is_upper(character: char) -> bool {
    matches!(class(character), Class::UpperLetter | Class::OtherLetter | Class::Mark)
}

/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
fn is_lower(character: char) -> bool {
    matches!(class(character), Class::LowerLetter | Class::OtherLetter | Class::Mark)
}

/// DeepSeek V3: <code>[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+</code>.
fn deepseek3(text: &str) -> usize {
    let is_word = |character| is_letter(character) || class(character) == Class::Mark;
    let is_sign = |character| matches!(class(character), Class::Punctuation | Class::Symbol);
    let Some(first) = text.chars().next() else { return 0 };
    if first.is_ascii_punctuation() {
        let letters = run(&text[1..], |character| character.is_ascii_alphabetic());
        if letters > 0 {
            return 1 + letters;
        }
    }
    let lead = if is_newline(first) || is_letter(first) || is_sign(first) { 0 } else { first.len_utf8() };
    for lead in [lead, 0] {
        let letters = run(&text[lead..], is_word);
        if letters > 0 {
            return lead + letters;
        }
    }
    let space = usize::from(first == ' ');
    let signs = run(&text[space..], is_sign);
    if signs > 0 {
        let end = space + signs;
        return end + run(&text[end..], is_newline);
    }
    let lines = lines(text);
    if lines > 0 { lines } else { spaces(text) }
}

/// `[\r\n]`.
fn newline(text: &str) -> usize {
    run_of(text, 1, is_newline)
}

/// `\s?\p{L}+`.
fn spaced_letters(text: &str) -> usize {
    spaced(text, is_letter)
}

/// `\s?\p{P}+`.
fn spaced_punctuation(text: &str) -> usize {
    spaced(text, is_punctuation)
}

/// `[一-龥ࠀ-一가-퟿]+`.
fn deepseek_characters(text: &str) -> usize {
    run(text, |character| matches!(character, '\u{800}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7ff}'))
}

/// `[一-龥぀-ゟ゠-ヿ]+`.
fn han_and_kana(text: &str) -> usize {
    run(text, |character| matches!(character, '\u{4e00}'..='\u{9fa5}' | '\u{3040}'..='\u{30ff}'))
}

/// `\p{N}`.
fn number(text: &str) -> usize {
    run_of(text, 1, is_number)
}

/// `\p{N}{1,3}`.
fn up_to_three_numbers(text: &str) -> usize {
    run_of(text, 3, is_number)
}

/// `\p{N}+`.
fn numbers(text: &str) -> usize {
    run(text, is_number)
}

/// `[0-9][0-9][0-9]`.
fn three_digits(text: &str) -> usize {
    let digits = run_of(text, 3, |character| character.is_ascii_digit());
    if digits == 3 { 3 } else { 0 }
}

/// `[\p{P}\$\+<=>\^~\|]+`.
fn default_punctuation(text: &str) -> usize {
    run(text, |character| {
        is_punctuation(character) || matches!(character, '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|')
    })
}

/// <code>[\p{P}\$\+<=>\^~\|`]+</code>.
fn falcon_punctuation(text: &str) -> usize {
    run(text, |character| {
        is_punctuation(character) || (character.is_ascii() && class(character) == Class::Symbol)
    })
}

/// `'s|'t|'re|'ve|'m|'ll|'d`, after `fold` of each letter.
fn contraction(text: &str, fold: impl Fn(char) -> char) -> usize {
    let Some(rest) = text.strip_prefix('\'') else { return 0 };
    let mut letters = rest.chars();
    let Some(first) = letters.next() else { return 0 };
    match (fold(first), letters.next().map(fold)) {
        ('s' | 't' | 'm' | 'd', _) => 1 + first.len_utf8(),
        ('r' | 'v', Some('e')) | ('l', Some('l')) => 3,
        _ => 0,
    }
}

/// Case folding as far as contractions can tell: the long s is an s.
fn fold(letter: char) -> char {
    if letter == 'ſ' { 's' } else { letter.to_ascii_lowercase() }
}

/// Bytes of the character that `[^\r\n\p{L}\p{N}]?` takes at the beginning of a text.
fn lead(text: &str) -> usize {
    match text.chars().next() {
        Some(first) if !is_newline(first) && !is_letter(first) && !is_number(first) => first.len_utf8(),
        _ => 0,
    }
}

/// ` ?[^\s\p{L}\p{N}]+T*|\s*[\r\n]+|\s+(?!\S)|\s+`, where T is `is_tail`.
fn others_or_spaces(text: &str, is_tail: impl Fn(char) -> bool) -> usize {
    let space = usize::from(text.starts_with(' '));
    let others = run(&text[space..], is_neither);
    if others > 0 {
        let end = space + others;
        return end + run(&text[end..], is_tail);
    }
    let lines = lines(text);
    if lines > 0 { lines } else { spaces(text) }
}

/// `\s*[\r\n]+`.
fn lines(text: &str) -> usize {
    text[..run(text, is_space)].rfind(is_newline).map_or(0, |last| last + 1)
}

/// `\s+(?!\S)|\s+`: all spaces but the last before something else, or that one.
fn spaces(text: &str) -> usize {
    let length = run(text, is_space);
    let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
    if length < text.len() && length > last { length - last } else { length }
}

/// `\s?C+`, where C is `is_member`.
fn spaced(text: &str, is_member: impl Fn(char) -> bool) -> usize {
    let space = run_of(text, 1, is_space);
    let members = run(&text[space..], is_member);
    if members > 0 { space + members } else { 0 }
}

/// `[^\s\p{L}\p{N}]`.
fn is_neither(character: char) -> bool {
    !matches!(
        class(character),
        Class::UpperLetter | Class::LowerLetter | Class::OtherLetter | Class::Number | Class::Space
    )
}

fn is_newline(character: char) -> bool {
    matches!(character, '\r' | '\n')
}

/// Bytes of the members of a set at the beginning of a text.
fn run(text: &str, is_member: impl Fn(char) -> bool) -> usize {
    text.find(|character| !is_member(character)).unwrap_or(text.len())
}

/// Bytes of at most `most` members of a set at the beginning of a text.
fn run_of(text: &str, most: usize, is_member: impl Fn(char) -> bool) -> usize {
    text.chars().take(most).take_while(|&character| is_member(character)).map(char::len_utf8).sum()
}
