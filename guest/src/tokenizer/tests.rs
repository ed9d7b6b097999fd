//! The tokenizer as a whole: against the vocabularies of real models where this machine has them, and on small
//! vocabularies made here.

use std::path::PathBuf;

use wasm_chord_gguf::{Header, Metadata, Strings, Value};

use super::Tokenizer;
use crate::error::Error;

/// Ends each text of a file of cases.
const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

/// The cases of one real vocabulary: each text becomes exactly the tokens expected.
fn check_real_vocabulary(name: &str) {
    let Some(folder) = real_vocabularies() else { return };
    let read = |suffix: &str| std::fs::read(folder.join(format!("ggml-vocab-{name}.gguf{suffix}"))).unwrap();
    let tokenizer = Tokenizer::from_metadata(&Header::read(&read("")).unwrap().metadata).unwrap();
    let texts = String::from_utf8(read(".inp")).unwrap();
    let expected = String::from_utf8(read(".out")).unwrap();
    let texts: Vec<&str> = texts.strip_suffix(SEPARATOR).unwrap().split(SEPARATOR).collect();
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(texts.len(), expected.len());
    for (text, expected) in texts.into_iter().zip(expected) {
        let expected: Vec<u32> = expected.split_whitespace().map(|id| id.parse().unwrap()).collect();
        let tokens = tokenizer.encode(text, false);
        assert_eq!(tokens, expected, "{name}: {text:?}");
        assert_eq!(String::from_utf8(tokenizer.decode(&tokens, false)).unwrap(), text, "{name}");
    }
}

/// The folder of real vocabularies, which are not part of the project.
#[expect(clippy::print_stderr, reason = "a test that checks nothing has to say so")]
fn real_vocabularies() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/tokenizers");
    if !folder.is_dir() {
        eprintln!("NOT TESTED: this machine lacks the real vocabularies ({})", folder.display());
        return None;
    }
    Some(folder)
}

#[test]
fn llama_3_encodes_as_its_reference() {
    check_real_vocabulary("llama-bpe");
}

#[test]
fn gpt_2_encodes_as_its_reference() {
    check_real_vocabulary("gpt-2");
}

#[test]
fn qwen_2_encodes_as_its_reference() {
    check_real_vocabulary("qwen2");
}

#[test]
fn deepseek_coder_encodes_as_its_reference() {
    check_real_vocabulary("deepseek-coder");
}

#[test]
fn llama_2_encodes_as_its_reference() {
    check_real_vocabulary("llama-spm");
}

#[test]
fn phi_3_encodes_as_its_reference() {
    check_real_vocabulary("phi-3");
}

/// A text of each kind that pre-tokenizers and merging tell apart.
const TEXTS: [&str; 12] = [
    "",
    " ",
    "Hello, world!",
    "  two  spaces \n\n\t and lines\r\n",
    "it's WE'LL I'ſ 'quoted'",
    "1 22 333 4444 55555",
    "Äpfel naïve e\u{301} ΑΒγ ǅ",
    "我想在apple工作1314151天～ ひらがな",
    "🚀 😶‍🌫️ \u{200b}\u{3000}\u{85}",
    "<|im_end|><s></s><unk><0x0A>",
    "fn main() { println!(\"{}\", 1 + 2); } // HTTPServer/path",
    "\0\u{1f}\u{fffd}\u{10ffff}",
];

/// Metadata of a byte-level vocabulary: the 256 bytes, the merges (spelled as in a file) and what they make, then
/// `special` tokens with their types.
fn byte_level(pre: &str, merges: &[&str], special: &[(&str, i32)]) -> Metadata {
    let mut alphabet: Vec<char> = ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ').collect();
    alphabet.extend(('\u{100}'..).take(256 - alphabet.len()));
    let mut tokens: Vec<String> = alphabet.into_iter().map(String::from).collect();
    for merge in merges {
        let merged = merge.replace(' ', "");
        if !tokens.contains(&merged) {
            tokens.push(merged);
        }
    }
    let mut types = vec![1; tokens.len()];
    tokens.extend(special.iter().map(|(text, _)| text.to_string()));
    types.extend(special.iter().map(|(_, number)| number));
    let mut metadata = Metadata::new();
    metadata.insert("tokenizer.ggml.model", "gpt2");
    metadata.insert("tokenizer.ggml.pre", pre);
    metadata.insert("tokenizer.ggml.tokens", strings(tokens));
    metadata.insert("tokenizer.ggml.token_type", types);
    metadata.insert("tokenizer.ggml.merges", strings(merges));
    metadata
}

/// Metadata of a SentencePiece vocabulary: unknown, bos, eos, the 256 bytes, then `tokens` with their scores and types.
fn sentence_piece(tokens: &[(&str, f32, i32)]) -> Metadata {
    let mut all: Vec<(String, f32, i32)> =
        vec![("<unk>".into(), 0.0, 2), ("<s>".into(), 0.0, 3), ("</s>".into(), 0.0, 3)];
    all.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), 0.0, 6)));
    all.extend(tokens.iter().map(|&(text, score, number)| (text.to_owned(), score, number)));
    let mut metadata = Metadata::new();
    metadata.insert("tokenizer.ggml.model", "llama");
    metadata.insert("tokenizer.ggml.tokens", strings(all.iter().map(|token| &token.0)));
    metadata.insert("tokenizer.ggml.scores", all.iter().map(|token| token.1).collect::<Vec<_>>());
    metadata.insert("tokenizer.ggml.token_type", all.iter().map(|token| token.2).collect::<Vec<_>>());
    metadata
}

fn strings(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Strings {
    let mut strings = Strings::new();
    for text in texts {
        strings.push(text.as_ref());
    }
    strings
}

/// The text of each token, as the file spells it or, for bytes that are no text, as U+FFFD.
fn pieces(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<String> {
    tokens.iter().map(|&token| String::from_utf8_lossy(tokenizer.piece(token, true)).into_owned()).collect()
}

fn load(metadata: &Metadata) -> Tokenizer {
    Tokenizer::from_metadata(metadata).unwrap()
}

/// Asserts that a vocabulary is refused as malformed, with `part` in the message.
fn check_malformed(metadata: &Metadata, part: &str) {
    match Tokenizer::from_metadata(metadata) {
        Err(Error::Malformed(message)) => assert!(message.contains(part), "{message}"),
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("accepted; expected: {part}"),
    }
}

/// Words of random letters of an alphabet, a different one for each `seed`.
fn random_text(alphabet: &[char], length: usize, mut seed: u64) -> String {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    (0..length).map(|_| alphabet[next() % alphabet.len()]).collect()
}

#[test]
fn every_pre_tokenizer_keeps_the_text() {
    for name in super::pretokenize::names() {
        let tokenizer = load(&byte_level(name, &["Ġ a", "e r", "Ġ Ġ"], &[]));
        let random = random_text(&['a', 'B', ' ', '\n', '\'', 's', '1', '.', '漢', '\u{301}', '~'], 5000, 7);
        for text in TEXTS.into_iter().chain([&*random]) {
            let tokens = tokenizer.encode(text, false);
            assert_eq!(tokenizer.decode(&tokens, false), text.as_bytes(), "{name}");
        }
    }
}

#[test]
fn the_first_merge_of_the_list_joins_first_and_the_leftmost_of_equals() {
    let tokenizer = load(&byte_level("gpt-2", &["b c", "a b", "a a", "aa a"], &[]));
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(pieces(&tokenizer, &tokenizer.encode(text, false)), expected)
    };
    check("abc", &["a", "bc"]);
    check("ab", &["ab"]);
    check("aaaaa", &["aa", "aaa"]);
}

#[test]
fn merges_need_not_be_in_the_order_of_the_vocabulary() {
    // The same pair twice, other sides of one token, and tokens longer than a word of memory.
    let merges = ["Ã ©", "b c", "a b", "ab c", "a bc", "b c", "abc abc", "abcabc abc", "abc abcabc", "Ġ Ã©"];
    let ordered = byte_level("gpt-2", &merges, &[]);
    let mut tokens: Vec<String> = ordered
        .require_strings("tokenizer.ggml.tokens")
        .unwrap()
        .iter()
        .map(|token| token.unwrap().into())
        .collect();
    tokens.reverse();
    let mut reversed = ordered.clone();
    reversed.insert("tokenizer.ggml.tokens", strings(tokens));
    for tokenizer in [load(&ordered), load(&reversed)] {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(pieces(&tokenizer, &tokenizer.encode(text, false)), expected)
        };
        check("abcabcabc", &["abcabcabc"]);
        check("abbc", &["ab", "bc"]);
        check("aébc é", &["a", "é", "bc", " é"]);
    }
}

#[test]
fn merges_make_tokens_that_the_file_calls_the_users() {
    // Of which the text is no such token, as the file spells it in the alphabet of bytes.
    let tokenizer = load(&byte_level("gpt-2", &["Ġ Ġ", "ĠĠ ĠĠ"], &[]));
    let [two, four] = ["ĠĠ", "ĠĠĠĠ"].map(|name| tokenizer.token_named(name).unwrap());
    let mut metadata = byte_level("gpt-2", &["Ġ Ġ", "ĠĠ ĠĠ"], &[]);
    let mut types = vec![1; tokenizer.vocabulary_size()];
    types[two as usize] = 4;
    metadata.insert("tokenizer.ggml.token_type", types);
    assert_eq!(load(&metadata).encode("      ", false), [four, two]);
}

#[test]
fn a_long_word_becomes_what_its_parts_become_together() {
    // Joints that reach across segments: runs of one letter, whose parse depends on where the run begins.
    let merges = ["a a", "aa a", "a b", "b a", "ab aa", "aaa b", "b b", "bb b"];
    let tokenizer = load(&byte_level("gpt-2", &merges, &[]));
    for seed in 0..4 {
        let run = "a".repeat(4090 + seed as usize);
        let text = [run.as_str(), &random_text(&['a', 'b'], 9000, seed), &run].concat();
        let tokens = tokenizer.encode(&text, false);
        assert_eq!(tokens, merge_naively(&text, &merges, &tokenizer));
    }
}

/// The definition of byte pair encoding: merge by merge, from the left. (For lists in which a merge makes nothing that
/// an earlier one takes.)
fn merge_naively(text: &str, merges: &[&str], tokenizer: &Tokenizer) -> Vec<u32> {
    let mut parts: Vec<String> = text.chars().map(String::from).collect();
    for merge in merges {
        let (left, right) = merge.split_once(' ').unwrap();
        let mut merged: Vec<String> = Vec::new();
        let mut rest = parts.into_iter().peekable();
        while let Some(part) = rest.next() {
            let joins = part == left && rest.peek().is_some_and(|next| next == right);
            merged.push(if joins { part + &rest.next().unwrap() } else { part });
        }
        parts = merged;
    }
    parts.iter().map(|part| tokenizer.token_named(part).unwrap()).collect()
}

#[test]
fn sentence_piece_joins_by_score_and_falls_back_to_bytes() {
    let vocabulary =
        [("▁", -9.0, 1), ("a", -9.0, 1), ("b", -9.0, 1), ("ab", -3.0, 1), ("▁a", -2.0, 1), ("ba", -1.0, 1)];
    let tokenizer = load(&sentence_piece(&vocabulary));
    let check = |text: &str, expected: &[&str]| {
        let tokens = tokenizer.encode(text, false);
        assert_eq!(pieces(&tokenizer, &tokens), expected);
        assert_eq!(tokenizer.decode(&tokens, false), text.as_bytes());
    };
    check("ab", &[" a", "b"]);
    check("aba", &[" a", "ba"]);
    check("b ab", &[" ", "b", " a", "b"]);
    check("é", &[" ", "\u{fffd}", "\u{fffd}"]);
    check("", &[]);
    for text in TEXTS {
        check(
            text,
            &pieces(&tokenizer, &tokenizer.encode(text, false))
                .iter()
                .map(|piece| &**piece)
                .collect::<Vec<_>>(),
        );
    }
}

#[test]
fn a_token_across_a_space_is_found() {
    let tokens =
        [("a", -9.0, 1), ("▁", -9.0, 1), ("b", -9.0, 1), ("a▁", -2.0, 1), ("a▁b", -1.0, 1), ("▁a", -3.0, 1)];
    let tokenizer = load(&sentence_piece(&tokens));
    assert_eq!(pieces(&tokenizer, &tokenizer.encode("a b", false)), [" ", "a b"]);
}

#[test]
fn the_space_before_a_text_is_as_the_file_says() {
    let mut metadata = sentence_piece(&[("▁", -1.0, 1), ("a", -1.0, 1)]);
    assert_eq!(pieces(&load(&metadata), &load(&metadata).encode("a", false)), [" ", "a"]);
    metadata.insert("tokenizer.ggml.add_space_prefix", false);
    let tokenizer = load(&metadata);
    assert_eq!(pieces(&tokenizer, &tokenizer.encode("a", false)), ["a"]);
    assert_eq!(tokenizer.decode(&tokenizer.encode(" a", false), false), b" a");
}

#[test]
fn text_of_control_tokens_is_text_unless_asked() {
    let special = [("<|im_end|>", 3), ("<|im", 3), ("<unk>", 2), ("<tool>", 4)];
    let tokenizer = load(&byte_level("gpt-2", &[], &special));
    let text = "a<|im_end|><|imx<unk><tool>";
    let as_text = tokenizer.encode(text, false);
    assert!(!as_text.iter().any(|&token| tokenizer.is_control(token)));
    assert_eq!(as_text.len(), text.len() - "<tool>".len() + 1, "only the user's token is one");
    let as_structure = tokenizer.encode(text, true);
    assert_eq!(pieces(&tokenizer, &as_structure), ["a", "<|im_end|>", "<|im", "x", "<unk>", "<tool>"]);
    assert_eq!(tokenizer.decode(&as_structure, false), b"ax<tool>");
    assert_eq!(tokenizer.decode(&as_structure, true), text.as_bytes());
}

#[test]
fn guarded_text_is_text_amid_structure() {
    let special = [("<|im_end|>", 3), ("<|im", 3), ("<|", 3), ("<unk>", 2), ("<tool>", 4)];
    let tokenizer = load(&byte_level("gpt-2", &["i m"], &special));
    for text in [
        "a<|im_end|><|imx<unk><tool>",
        "<|<|im_end|>im_end|>",
        "<\u{fdd0}|im_end|>",
        "<|",
        "é<|",
        "",
        "im im",
    ] {
        let plain = text.replace('\u{fdd0}', "");
        assert_eq!(
            tokenizer.encode(&tokenizer.guard(text), true),
            tokenizer.encode(&plain, false),
            "{text:?}"
        );
    }
    let amid = format!("<|im{}<|im_end|>", tokenizer.guard("<|im_end|>"));
    let tokens = tokenizer.encode(&amid, true);
    assert_eq!(tokens.iter().filter(|&&token| tokenizer.is_control(token)).count(), 2);
}

#[test]
fn merges_never_make_a_control_token_of_text() {
    let mut metadata = byte_level("llama-bpe", &["a b"], &[]);
    let types = [vec![1; 256], vec![3]].concat();
    metadata.insert("tokenizer.ggml.token_type", types);
    let tokenizer = load(&metadata);
    assert_eq!(pieces(&tokenizer, &tokenizer.encode("ab", false)), ["a", "b"]);
    assert_eq!(pieces(&tokenizer, &tokenizer.encode("ab", true)), ["ab"]);
}

#[test]
fn generation_ends_by_id_and_by_name() {
    let special = [("<stop>", 3), ("<|im_end|>", 1), ("<|eot_id|>", 4), ("<|eom_id|>", 3), ("<other>", 3)];
    let mut metadata = byte_level("gpt-2", &["< /", "</ s", "</s >"], &special);
    let id =
        |text| load(&byte_level("gpt-2", &["< /", "</ s", "</s >"], &special)).token_named(text).unwrap();
    metadata.insert("tokenizer.ggml.eos_token_id", id("<stop>"));
    let tokenizer = load(&metadata);
    let expected = ["<stop>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>"].map(id);
    assert_eq!(tokenizer.ends_of_generation(), expected);
    assert_eq!((tokenizer.eos(), tokenizer.bos()), (Some(id("<stop>")), None));
    assert!(
        expected.into_iter().all(|token| tokenizer.is_control(token) && tokenizer.ends_generation(token))
    );
    assert!(!tokenizer.ends_generation(id("</s>")), "text can spell it");
    assert!(!tokenizer.ends_generation(id("<other>")));
    assert!(
        !tokenizer.encode("<|im_end|><|eot_id|>", false).iter().any(|&token| tokenizer.is_control(token))
    );
}

#[test]
fn boundaries_are_as_the_file_says_and_not_doubled() {
    let mut metadata = byte_level("gpt-2", &[], &[("<b>", 3), ("<e>", 3)]);
    metadata.insert("tokenizer.ggml.bos_token_id", 256_u32);
    metadata.insert("tokenizer.ggml.eos_token_id", 257_u32);
    assert_eq!(load(&metadata).with_boundaries(vec![7]), [7]);
    metadata.insert("tokenizer.ggml.add_bos_token", true);
    metadata.insert("tokenizer.ggml.add_eos_token", true);
    assert_eq!(load(&metadata).with_boundaries(vec![7]), [256, 7, 257]);
    assert_eq!(load(&metadata).with_boundaries(vec![256, 7, 257]), [256, 7, 257]);
    let llama = load(&sentence_piece(&[]));
    assert_eq!(llama.with_boundaries(vec![7]), [1, 7], "SentencePiece models begin with bos by default");
}

#[test]
fn tokens_outside_the_vocabulary_are_nothing() {
    let tokenizer = load(&byte_level("gpt-2", &[], &[]));
    assert_eq!(tokenizer.piece(256, true), b"");
    assert_eq!(tokenizer.decode(&[u32::MAX, 0, 256], true), b"!");
    assert!(!tokenizer.ends_generation(u32::MAX) && !tokenizer.is_control(u32::MAX));
}

#[test]
fn long_words_and_runs_take_linear_time() {
    let merges = ["Ġ Ġ", "ĠĠ ĠĠ", "a a", "aa aa"];
    let tokenizer = load(&byte_level("llama-bpe", &merges, &[("<|im_end|>", 3)]));
    // Quadratic time would be many minutes for these.
    for text in ["a", " ", "\n", " \n", "<|im_en"] {
        let text = text.repeat(100_000);
        assert_eq!(tokenizer.decode(&tokenizer.encode(&text, true), true), text.as_bytes());
    }
    let pieces = [("▁", -9.0, 1), ("▁▁", -1.0, 1), ("a", -9.0, 1), ("aa", -2.0, 1), ("a▁", -3.0, 1)];
    let tokenizer = load(&sentence_piece(&pieces));
    for text in ["a", " ", "a "] {
        let text = text.repeat(100_000);
        assert_eq!(tokenizer.decode(&tokenizer.encode(&text, false), true), text.as_bytes());
    }
}

#[test]
fn what_is_not_known_exactly_is_unsupported() {
    let unsupported = |metadata: &Metadata| match Tokenizer::from_metadata(metadata) {
        Err(Error::Unsupported(message)) => message,
        other => panic!("{:?}", other.err()),
    };
    assert!(unsupported(&byte_level("no-such", &[], &[])).contains("no-such"));
    let complete = byte_level("gpt-2", &[], &[]);
    let mut unnamed = Metadata::new();
    for (key, value) in complete.iter().filter(|(key, _)| *key != "tokenizer.ggml.pre") {
        unnamed.insert(key, value.clone());
    }
    assert!(unsupported(&unnamed).contains("tokenizer.ggml.pre"));
    for model in ["bert", "t5", "rwkv", "no_vocab", ""] {
        let mut other = complete.clone();
        other.insert("tokenizer.ggml.model", model);
        assert!(unsupported(&other).contains(model));
    }
}

#[test]
fn malformed_vocabularies_are_refused() {
    let complete = byte_level("gpt-2", &["a b"], &[("<s>", 3)]);
    let with = |key: &str, value: Value| {
        let mut metadata = complete.clone();
        metadata.insert(format!("tokenizer.ggml.{key}"), value);
        metadata
    };
    check_malformed(&Metadata::new(), "tokenizer.ggml.model");
    check_malformed(&with("tokens", Strings::new().into()), "0 tokens");
    check_malformed(&with("tokens", 7_u32.into()), "tokenizer.ggml.tokens");
    check_malformed(&with("token_type", vec![1_i32; 3].into()), "3 token types");
    check_malformed(&with("token_type", vec![9_i32; 258].into()), "type 9");
    check_malformed(&with("token_type", vec![6_i32; 258].into()), "type byte");
    for key in ["bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id", "unknown_token_id"] {
        check_malformed(&with(key, 258_u32.into()), key);
        check_malformed(&with(key, (-1_i32).into()), key);
    }
    check_malformed(&with("add_bos_token", true.into()), "bos");
    for merge in ["", " ", "ab", "a ", "a  b", "a z z", "b a", "a é"] {
        check_malformed(&with("merges", strings(["a b", merge]).into()), "merge 1");
    }
    check_malformed(&byte_level("gpt-2", &[], &[("<s>", 3), ("<s>", 4)]), "tokens 256 and 257");
    check_malformed(&byte_level("gpt-2", &[], &[("a", 1)]), "are both");
    check_malformed(&byte_level("gpt-2", &[], &[(&"<".repeat(2000), 3)]), "2000 bytes");
    let pieces = sentence_piece(&[("a", 1.0, 1)]);
    let with_scores = |scores: Vec<f32>| {
        let mut metadata = pieces.clone();
        metadata.insert("tokenizer.ggml.scores", scores);
        metadata
    };
    check_malformed(&with_scores(vec![0.0; 3]), "3 scores");
    check_malformed(&with_scores(vec![f32::NAN; 260]), "not a number");
    check_malformed(&sentence_piece(&[("<0x0A>", 0.0, 6)]), "are both");
    check_malformed(&sentence_piece(&[("<0x+A>", 0.0, 6)]), "type byte");
}

#[test]
fn tokens_without_text_or_that_are_no_utf_8_are_harmless() {
    for number in [1, 3, 4] {
        let mut metadata = byte_level("gpt-2", &[], &[("", 1), ("", 3), ("", 4)]);
        let mut tokens = metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap().clone();
        tokens.push(b"\xa9");
        tokens.push(b"\xc3");
        let mut types = metadata.i32s("tokenizer.ggml.token_type").unwrap().unwrap();
        types.extend([number; 2]);
        metadata.insert("tokenizer.ggml.tokens", tokens);
        metadata.insert("tokenizer.ggml.token_type", types);
        let tokenizer = load(&metadata);
        for text in TEXTS.into_iter().chain(["é"]) {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text, true), true), text.as_bytes());
        }
    }
}
