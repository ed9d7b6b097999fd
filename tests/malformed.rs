//! Damaged and lying model files: each ends in an error that says what is wrong, within 100 ms, and never in a panic.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use wasm_chord::{Error, Result, Sampling, Stop};
use wasm_chord_tests::gguf::{File, Value};
use wasm_chord_tests::{builder, golden};

/// How long opening may take.
const MOMENT: Duration = Duration::from_millis(100);

/// A place for one damaged file after the other.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.gguf", std::process::id())))
    }

    /// Open the file; if it loads, let it say a token.
    fn open(&self, bytes: &[u8]) -> Result<()> {
        std::fs::write(&self.0, bytes).expect("the file can be written");
        let model = builder().context(16).open(&self.0)?;
        let mut session = model.session(&Sampling::greedy(), &Stop::default())?;
        session.append("a b", false)?;
        session.advance().map(|_| ())
    }

    /// The same, in time. Errors must be about the file.
    fn check(&self, what: &str, bytes: &[u8]) -> Result<()> {
        let mut times = [Duration::MAX; 3];
        let mut result = Ok(());
        // Again only if it was slow: the machine may have had other things to do.
        for time in &mut times {
            let begun = Instant::now();
            result = self.open(bytes);
            *time = begun.elapsed();
            if *time < MOMENT {
                break;
            }
        }
        assert!(times.iter().any(|time| *time < MOMENT), "{what}: {times:?}");
        if let Err(error) = &result {
            let typed = matches!(
                error,
                Error::Open { .. }
                    | Error::Malformed(_)
                    | Error::Unsupported(_)
                    | Error::OutOfMemory(_)
                    | Error::Failed(_)
                    | Error::InvalidRequest(_)
            );
            assert!(typed, "{what}: {error:?}");
            assert!(error.to_string().len() > 8, "{what}: {error:?} says nothing");
        }
        result
    }

    /// The file is refused.
    #[track_caller]
    fn refused(&self, what: &str, file: &File) {
        let result = self.check(what, &file.bytes().0);
        let refused =
            matches!(result, Err(Error::Malformed(_) | Error::Unsupported(_) | Error::OutOfMemory(_)));
        assert!(refused, "{what}: {result:?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It lies in a folder of the build; what is left there does no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_file_that_the_others_are_made_from_is_sound() {
    Place::new("sound").check("sound", &File::tiny().bytes().0).expect("it runs");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let place = Place::new("cut");
    let (bytes, tables) = File::tiny().bytes();
    // Every length up to the data; the data holds nothing that could tell one byte from another.
    for length in (0..tables).chain((tables..bytes.len()).step_by(23)) {
        let result = place.check(&format!("cut to {length}"), &bytes[..length]);
        assert!(result.is_err(), "cut to {length} of {} bytes", bytes.len());
    }
}

#[test]
fn a_flipped_byte_of_the_tables_never_crashes() {
    let place = Place::new("flipped");
    let (bytes, tables) = File::tiny().bytes();
    let mut refused = 0;
    for position in 0..tables {
        for flip in [0x01, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position] ^= flip;
            let result = place.check(&format!("byte {position} ^ {flip:#x}"), &damaged);
            refused += usize::from(result.is_err());
        }
    }
    assert!(refused > tables, "{refused} of {} flips were noticed", 2 * tables);
}

#[test]
fn damaged_numbers_never_crash() {
    let place = Place::new("numbers");
    let (bytes, tables) = File::tiny().bytes();
    for position in (tables..bytes.len()).step_by(29) {
        for flip in [0x40, 0x7f, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position..(position + 4).min(bytes.len())].iter_mut().for_each(|byte| *byte ^= flip);
            // These load: any number may be a weight. What cannot be computed with them is an error.
            let result = place.check(&format!("number at {position} ^ {flip:#x}"), &damaged);
            assert!(
                matches!(result, Ok(()) | Err(Error::Failed(_))),
                "number at {position} ^ {flip:#x}: {result:?}"
            );
        }
    }
    let mut poisoned = bytes.clone();
    poisoned[tables..].chunks_exact_mut(4).for_each(|number| number.copy_from_slice(&f32::NAN.to_le_bytes()));
    let result = place.check("all NaN", &poisoned);
    assert!(matches!(result, Err(Error::Failed(_))), "{result:?}");
}

#[test]
fn a_damaged_file_of_quantised_weights_and_merges_never_crashes() {
    let place = Place::new("quantised");
    let bytes = std::fs::read(golden("llama3-q4_0.gguf")).expect("it can be read");
    for length in (0..bytes.len()).step_by(211) {
        assert!(place.check(&format!("cut to {length}"), &bytes[..length]).is_err(), "cut to {length}");
    }
    for position in (0..7000).step_by(17).chain((7000..bytes.len()).step_by(997)) {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0xff;
        // It may still be sound.
        let _ = place.check(&format!("byte {position}"), &damaged);
    }
}

#[test]
fn hostile_lengths_and_counts_are_refused() {
    let place = Place::new("lengths");
    for count in [12, 1 << 20, 1 << 32, u64::MAX / 2, u64::MAX] {
        let mut file = File::tiny();
        file.tensor_count = Some(count);
        place.refused(&format!("{count} tensors"), &file);
        let mut file = File::tiny();
        file.key_count = Some(count.saturating_add(5));
        place.refused(&format!("{count} keys and 5 more"), &file);
    }
    for length in [1 << 16, 1 << 31, 1 << 32, 1 << 40, u64::MAX / 8, u64::MAX] {
        let bytes = u64::to_le_bytes(length).to_vec();
        let mut file = File::tiny();
        file.set("general.name", Value::Raw(8, bytes.clone()));
        place.refused(&format!("a text of {length} bytes"), &file);
        for kind in 0..=13u32 {
            let list = [kind.to_le_bytes().to_vec(), bytes.clone()].concat();
            let mut file = File::tiny();
            file.set("tokenizer.ggml.tokens", Value::Raw(9, list.clone()));
            place.refused(&format!("{length} elements of type {kind}"), &file);
        }
    }
    // Lists in lists in lists.
    let deep = [9u32.to_le_bytes().to_vec(), 1u64.to_le_bytes().to_vec()].concat().repeat(5000);
    let mut file = File::tiny();
    file.set("general.deep", Value::Raw(9, deep));
    place.refused("lists in lists", &file);
    for kind in [13, 255, u32::MAX] {
        let mut file = File::tiny();
        file.set("general.odd", Value::Raw(kind, vec![0; 64]));
        place.refused(&format!("a value of type {kind}"), &file);
    }
}

#[test]
fn overflowing_and_empty_shapes_are_refused() {
    let place = Place::new("shapes");
    let shapes: [&[u64]; 12] = [
        &[],
        &[0],
        &[0, 0],
        &[8, 0],
        &[1 << 32, 1 << 32],
        &[u64::MAX, u64::MAX],
        &[1 << 62, 8],
        &[u64::MAX / 4 + 2, 1],
        &[1 << 16, 1 << 16, 1 << 16, 1 << 16],
        &[8, 8, 2],
        &[8, 1 << 40],
        &[7, 8],
    ];
    for name in ["token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_norm.weight", "output_norm.weight"] {
        for shape in shapes {
            let mut file = File::tiny();
            file.tensor(name).dimensions = shape.to_vec();
            place.refused(&format!("{name} of {shape:?}"), &file);
        }
        for count in [0, 5, 1 << 16, u32::MAX] {
            let mut file = File::tiny();
            file.tensor(name).dimension_count = Some(count);
            place.refused(&format!("{name} of {count} dimensions"), &file);
        }
        for offset in [1, 31, 1 << 20, 1 << 40, u64::MAX - 31, u64::MAX] {
            let mut file = File::tiny();
            file.tensor(name).offset = offset;
            place.refused(&format!("{name} at {offset}"), &file);
        }
        for kind in [2, 4, 5, 12, 16, 26, 31, 39, 1000, u32::MAX] {
            let mut file = File::tiny();
            file.tensor(name).kind = kind;
            place.refused(&format!("{name} of format {kind}"), &file);
        }
    }
}

#[test]
fn tensors_that_are_missing_unknown_or_there_twice_are_refused() {
    let place = Place::new("tensors");
    for index in 0..File::tiny().tensors.len() {
        let mut file = File::tiny();
        let removed = file.tensors.remove(index);
        place.refused(&format!("no {}", removed.name), &file);
        let mut file = File::tiny();
        file.tensors.push(removed.clone());
        place.refused(&format!("{} twice", removed.name), &file);
    }
    let mut file = File::tiny();
    file.add("blk.0.attn_gate.weight", &[8, 8]);
    place.refused("a tensor that no llama has", &file);
    let mut file = File::tiny();
    file.add("blk.1.attn_norm.weight", &[8]);
    place.refused("a tensor of a layer that is not there", &file);
    for name in ["", &"x".repeat(65), &"x".repeat(5000)] {
        let mut file = File::tiny();
        file.tensor("output_norm.weight").name = name.to_owned();
        place.refused(&format!("a tensor name of {} bytes", name.len()), &file);
    }
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let place = Place::new("lies");
    for (key, values) in [
        ("llama.block_count", &[0, 2, 1000, 1_000_000_000, u32::MAX][..]),
        ("llama.embedding_length", &[0, 1, 7, 16, 1 << 20, u32::MAX]),
        ("llama.feed_forward_length", &[0, 9, u32::MAX]),
        ("llama.attention.head_count", &[0, 3, 1 << 20, u32::MAX]),
        ("llama.attention.head_count_kv", &[0, 2, 3, u32::MAX]),
        ("llama.attention.key_length", &[0, 3, 1 << 31, u32::MAX]),
        ("llama.attention.value_length", &[0, 3, 1 << 31, u32::MAX]),
        ("llama.rope.dimension_count", &[0, 1, 3, 5, 8, u32::MAX]),
        ("llama.expert_count", &[1, 8]),
        ("general.alignment", &[0, 3, 1 << 31, u32::MAX]),
        ("split.count", &[2, 65535]),
        ("tokenizer.ggml.bos_token_id", &[8, u32::MAX]),
        ("tokenizer.ggml.eos_token_id", &[8, 1 << 31, u32::MAX]),
        ("tokenizer.ggml.unknown_token_id", &[8, u32::MAX]),
    ] {
        for &value in values {
            let mut file = File::tiny();
            file.set(key, Value::U32(value));
            place.refused(&format!("{key} is {value}"), &file);
        }
    }
    for (key, values) in [
        ("llama.attention.layer_norm_rms_epsilon", &[f32::NAN, f32::INFINITY, -1.0, 2.0][..]),
        ("llama.rope.freq_base", &[f32::NAN, f32::NEG_INFINITY, 0.0, -10.0]),
        ("llama.rope.scaling.factor", &[f32::NAN, f32::INFINITY, -2.0]),
    ] {
        for &value in values {
            let mut file = File::tiny();
            file.set(key, Value::F32(value));
            place.refused(&format!("{key} is {value}"), &file);
        }
    }
    // Longer contexts than anybody has memory for are claims, not needs.
    let mut file = File::tiny();
    file.set("llama.context_length", Value::U32(u32::MAX));
    place.check("a context of 2^32", &file.bytes().0).expect("it runs in less");
}

#[test]
fn keys_that_are_missing_or_of_another_type_are_refused() {
    let place = Place::new("keys");
    let optional = [
        "llama.attention.head_count_kv",
        "llama.rope.dimension_count",
        "llama.rope.freq_base",
        "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eos_token_id",
    ];
    for (key, _) in File::tiny().metadata {
        let mut file = File::tiny();
        file.set(&key, Value::Raw(7, vec![1]));
        place.refused(&format!("{key} is true"), &file);
        if !optional.contains(&key.as_str()) {
            let mut file = File::tiny();
            file.remove(&key);
            place.refused(&format!("no {key}"), &file);
        }
    }
}

#[test]
fn vocabularies_that_do_not_fit_together_are_refused() {
    let place = Place::new("vocabulary");
    let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|&text| text.to_owned()).collect());
    let lies: [(&str, &str, Value); 12] = [
        ("no tokens", "tokenizer.ggml.tokens", texts(&[])),
        ("fewer tokens than rows", "tokenizer.ggml.tokens", texts(&["<unk>", "<s>", "</s>", "a"])),
        ("a token twice", "tokenizer.ggml.tokens", texts(&["<unk>", "<s>", "</s>", "a", "a", "b", "c", "d"])),
        ("too few scores", "tokenizer.ggml.scores", Value::F32s(vec![0.0; 7])),
        ("too many scores", "tokenizer.ggml.scores", Value::F32s(vec![0.0; 9])),
        ("scores that are none", "tokenizer.ggml.scores", Value::F32s(vec![f32::NAN; 8])),
        ("too few types", "tokenizer.ggml.token_type", Value::I32s(vec![1; 7])),
        ("types that are none", "tokenizer.ggml.token_type", Value::I32s(vec![77; 8])),
        ("bytes that are none", "tokenizer.ggml.token_type", Value::I32s(vec![6; 8])),
        ("a tokenizer without a name", "tokenizer.ggml.model", Value::Text(String::new())),
        ("an unknown tokenizer", "tokenizer.ggml.model", Value::Text("bert".into())),
        ("merges that are missing", "tokenizer.ggml.model", Value::Text("gpt2".into())),
    ];
    for (what, key, value) in lies {
        let mut file = File::tiny();
        file.set(key, value);
        place.refused(what, &file);
    }
    for pre in [None, Some("no-such-pretokenizer"), Some("")] {
        let mut file = File::tiny();
        file.set("tokenizer.ggml.model", Value::Text("gpt2".into()));
        file.set("tokenizer.ggml.merges", texts(&["a b"]));
        if let Some(pre) = pre {
            file.set("tokenizer.ggml.pre", Value::Text(pre.into()));
        }
        place.refused(&format!("pre-tokenizer {pre:?}"), &file);
    }
}

#[test]
fn other_files_are_refused() {
    let place = Place::new("other");
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("text", b"Once upon a time there was a file that was no model."),
        ("zeros", &[0; 4096]),
        ("ones", &[0xff; 4096]),
        ("an archive", b"PK\x03\x04 and so on and so forth, for longer than any header"),
    ] {
        let result = place.check(what, bytes);
        assert!(matches!(result, Err(Error::Malformed(_) | Error::Open { .. })), "{what}: {result:?}");
    }
    for version in [0, 1, 4, 3 << 24, u32::MAX] {
        let mut file = File::tiny();
        file.version = version;
        place.refused(&format!("version {version}"), &file);
    }
    for architecture in ["", "mamba", "llama\0", "LLAMA", "../../etc"] {
        let mut file = File::tiny();
        file.set("general.architecture", Value::Text(architecture.into()));
        place.refused(&format!("architecture {architecture:?}"), &file);
    }
    let missing = builder().open(place.0.with_extension("missing")).map(|_| ());
    assert!(matches!(missing, Err(Error::Open { .. })), "{missing:?}");
    let folder = builder().open(env!("CARGO_TARGET_TMPDIR")).map(|_| ());
    assert!(matches!(folder, Err(Error::Open { .. })), "{folder:?}");
}

#[test]
fn a_file_cut_while_it_is_in_use_is_an_error_and_not_the_end() {
    let place = Place::new("in-use");
    std::fs::copy(golden("llama-f32.gguf"), &place.0).expect("it can be copied");
    let model = builder().open(&place.0).expect("the golden model opens");
    let mut session =
        model.session(&Sampling::greedy(), &Stop::default()).expect("greedy sampling makes sense");
    session.append("boats", false).expect("it can be appended");
    let file = std::fs::OpenOptions::new().write(true).open(&place.0).expect("it can be opened");
    file.set_len(8192).expect("it can be cut");
    let result = session.advance();
    assert!(matches!(&result, Err(Error::Failed(message)) if message.contains("shortened")), "{result:?}");
}
