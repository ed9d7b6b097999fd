//! The tokenizer as a whole: against the vocabularies of real models where this machine has them, and on small
//! vocabularies made here.

use std::path::PathBuf;

use wasm_chord_gguf::Header;

use super::Tokenizer;

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
