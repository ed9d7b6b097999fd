//! Vocabularies of published models, where they are at hand beside the repository.

use std::path::Path;

use wasm_chord_gguf::Header;

#[test]
#[expect(clippy::print_stderr, reason = "someone without the files should know that nothing was read")]
fn published_vocabularies_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tokenizers");
    if !folder.is_dir() {
        eprintln!("there are no vocabularies at {}, so none is read", folder.display());
        return;
    }
    for (name, model, tokens, merges, longest) in FILES {
        let file = std::fs::read(folder.join(format!("ggml-vocab-{name}.gguf"))).unwrap();
        let header = Header::read(&file).unwrap();
        assert_eq!(header.metadata.require_string("tokenizer.ggml.model").unwrap(), *model, "{name}");
        let vocabulary = header.metadata.require_strings("tokenizer.ggml.tokens").unwrap();
        assert_eq!(vocabulary.len(), *tokens, "{name}");
        assert_eq!(vocabulary.iter_bytes().map(<[u8]>::len).max(), Some(*longest), "{name}");
        assert_eq!(
            header.metadata.require_i32s("tokenizer.ggml.token_type").unwrap().len(),
            *tokens,
            "{name}"
        );
        let found = header.metadata.strings("tokenizer.ggml.merges").unwrap().map(|merges| merges.len());
        assert_eq!(found, *merges, "{name}");
    }
}

/// Name, kind of tokenizer, number of tokens, number of merges, bytes of the longest token.
const FILES: &[(&str, &str, usize, Option<usize>, usize)] = &[
    ("llama-spm", "llama", 32000, None, 48),
    ("phi-3", "llama", 32064, None, 48),
    ("gpt-2", "gpt2", 50257, Some(50000), 256),
    ("deepseek-coder", "gpt2", 32256, Some(31757), 128),
    ("llama-bpe", "gpt2", 128256, Some(280147), 256),
    ("qwen2", "gpt2", 151936, Some(151387), 256),
];
