//! Numbers and text against those of others: transformers on the dequantised weights, and llama.cpp.
//!
//! `cargo xtask golden` makes the files. Distances are `1 - cosine` in double precision.

use serde_json::Value;
use wasm_chord::kernels::CacheFormat;
use wasm_chord::{Chat, Model, Sampling, Session, Stop};
use wasm_chord_tests::{builder, golden, golden_names, tokens, workspace};

/// What others computed for one model file.
struct Golden {
    name: String,
    json: Value,
}

impl Golden {
    fn all() -> Vec<Self> {
        let read = |name: String| {
            let text = std::fs::read_to_string(golden(&format!("{name}.json"))).expect("it can be read");
            Self { json: serde_json::from_str(&text).expect("it is JSON"), name }
        };
        golden_names().into_iter().map(read).collect()
    }

    fn of(is_wanted: impl Fn(&str) -> bool) -> Vec<Self> {
        let wanted: Vec<Self> =
            Self::all().into_iter().filter(|golden| is_wanted(golden.text("/format"))).collect();
        assert!(!wanted.is_empty(), "there are files of these formats");
        wanted
    }

    fn text(&self, path: &str) -> &str {
        self.json.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{}: {path}", self.name))
    }

    fn number(&self, path: &str) -> f64 {
        self.json.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{}: {path}", self.name))
    }

    fn list(&self, path: &str) -> Vec<f64> {
        numbers(self.json.pointer(path).unwrap_or_else(|| panic!("{}: {path}", self.name)))
    }

    fn tokens(&self, path: &str) -> Vec<u32> {
        self.list(path).into_iter().map(|token| token as u32).collect()
    }

    /// Logits at the listed positions, `(positions)(vocabulary)`.
    fn logits(&self, by: &str) -> Vec<Vec<f64>> {
        let rows =
            self.json.pointer(&format!("/{by}/logits")).and_then(Value::as_array).expect("there are logits");
        rows.iter().map(numbers).collect()
    }

    fn open(&self, cache: CacheFormat) -> Model {
        let file = golden(self.text("/file"));
        builder().cache_format(cache).open(file).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Our logits at the listed positions.
    fn computed(&self, cache: CacheFormat) -> Vec<Vec<f64>> {
        let (model, tokens) = (self.open(cache), self.tokens("/tokens"));
        let mut session = greedy(&model, 0);
        let mut run = 0;
        let positions = self.tokens("/positions").into_iter().map(|position| {
            let upto = position as usize + 1;
            session.append_tokens(&tokens[run..upto]).expect("they are in the vocabulary");
            run = upto;
            session.logits().expect("the step runs").into_iter().map(f64::from).collect()
        });
        positions.collect()
    }
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn greedy(model: &Model, after: u32) -> Session {
    let stop = Stop { after: Some(after), ignore_end: true, ..Stop::default() };
    model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense")
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "both are as long as the vocabulary");
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

fn shown(distances: &[f64]) -> String {
    distances.iter().map(|distance| format!("{distance:.2e}")).collect::<Vec<_>>().join(" ")
}

/// Every file passes; those that do not are named with their numbers.
fn all_pass(files: Vec<Golden>, check: impl Fn(&Golden) -> Result<(), String>) {
    let count = files.len();
    let failures: Vec<String> = files
        .iter()
        .filter_map(|file| check(file).err().map(|why| format!("{}: {why}", file.name)))
        .collect();
    assert!(failures.is_empty(), "{} of {count} files:\n{}", failures.len(), failures.join("\n"));
}

fn is_float(format: &str) -> bool {
    matches!(format, "F32" | "F16" | "BF16")
}

#[test]
fn prompts_become_the_same_tokens() {
    all_pass(Golden::all(), |file| {
        let model = file.open(CacheFormat::F16);
        let expected = file.tokens("/tokens");
        let mut session = greedy(&model, 0);
        session.append(file.text("/prompt"), false).expect("it can be appended");
        let found = session.tokens().expect("the guest runs");
        let without_first = model.tokenize(file.text("/prompt"), false).expect("the guest runs");
        match found == expected && expected.ends_with(&without_first) {
            true => Ok(()),
            false => Err(format!("{found:?}, not {expected:?}")),
        }
    });
}

#[test]
fn logits_of_float_models_are_those_of_others() {
    all_pass(Golden::of(is_float), |file| {
        let computed = file.computed(CacheFormat::F32);
        // llama.cpp rounds activations to F16 where weights are.
        let most = if file.text("/format") == "F32" { 1e-10 } else { 1e-5 };
        for other in ["reference", "llama_cpp"] {
            let distances: Vec<f64> = computed
                .iter()
                .zip(&file.logits(other))
                .map(|(ours, theirs)| distance(ours, theirs))
                .collect();
            if !distances.iter().all(|&distance| distance <= most) {
                return Err(format!("{} from {other}", shown(&distances)));
            }
        }
        Ok(())
    });
}

#[test]
fn logits_of_quantised_models_are_as_near_the_truth_as_those_of_llama_cpp() {
    all_pass(Golden::of(|format| !is_float(format)), |file| {
        let computed = file.computed(CacheFormat::F32);
        let reference = file.logits("reference");
        let distances: Vec<f64> =
            computed.iter().zip(&reference).map(|(ours, theirs)| distance(ours, theirs)).collect();
        let most = file.number("/llama_cpp/whole_prompt/max_cosine_distance");
        let usual = file.number("/llama_cpp/whole_prompt/mean_cosine_distance");
        match distances.iter().all(|&distance| distance <= most) && mean(&distances) <= 1.5 * usual {
            true => Ok(()),
            false => Err(format!(
                "{}, mean {:.2e}; llama.cpp's are {}, on the whole prompt at most {most:.2e}, mean {usual:.2e}",
                shown(&distances),
                mean(&distances),
                shown(&file.list("/llama_cpp/cosine_distance")),
            )),
        }
    });
}

/// The first 64 greedy tokens are those of the reference.
fn greedy_tokens_agree(cache: CacheFormat) {
    all_pass(Golden::of(|format| format == "F32"), |file| {
        let model = file.open(cache);
        let mut session = greedy(&model, 64);
        session.append_tokens(&file.tokens("/tokens")).expect("they are in the vocabulary");
        let (found, expected) = (tokens(&mut session, 64), file.tokens("/reference/greedy"));
        match found.iter().zip(&expected).position(|(a, b)| a != b) {
            None if found.len() == expected.len() => Ok(()),
            place => Err(format!("differ at {place:?} of {}", expected.len())),
        }
    });
}

#[test]
fn greedy_tokens_of_float_models_are_those_of_the_reference() {
    greedy_tokens_agree(CacheFormat::F32);
}

#[test]
fn greedy_tokens_stay_the_same_with_keys_and_values_as_f16() {
    greedy_tokens_agree(CacheFormat::F16);
}

#[test]
fn the_default_model_answers_as_recorded() {
    let model = builder().open_default().expect("the default model opens");
    let path = workspace().join("tests/data/answers.json");
    let recorded = std::fs::read_to_string(&path).expect("the answers are there");
    let recorded: serde_json::Map<String, Value> = serde_json::from_str(&recorded).expect("they are JSON");
    let answers: serde_json::Map<String, Value> = recorded
        .keys()
        .map(|question| {
            let stop = Stop { after: Some(64), ..Stop::default() };
            let mut chat =
                Chat::new(model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense"));
            let answer: Result<String, _> = chat.say(question).expect("the template takes it").collect();
            (question.clone(), answer.expect("the steps run").into())
        })
        .collect();
    if std::env::var_os("UPDATE_ANSWERS").is_some() {
        let text = serde_json::to_string_pretty(&answers).expect("it is JSON");
        std::fs::write(&path, text + "\n").expect("the answers can be written");
    } else {
        assert_eq!(answers, recorded, "set UPDATE_ANSWERS to record the answers of a new default model");
    }
}

#[test]
fn the_draft_model_reads_and_writes_the_tokens_of_the_default_model() {
    let default = builder().open_default().expect("the default model opens");
    let draft = builder().open(workspace().join("tests/data/draft.gguf")).expect("the draft model opens");
    let (large, small) = (default.information(), draft.information());
    assert_eq!(small.vocabulary, large.vocabulary);
    assert!(
        small.parameters * 5 < large.parameters,
        "{} of {} parameters",
        small.parameters,
        large.parameters
    );
    for token in 0..large.vocabulary {
        assert_eq!(draft.detokenize(&[token], true).ok(), default.detokenize(&[token], true).ok(), "{token}");
    }
    let text = "<|im_start|>user\nWhat is 17 + 25, mon ami? \u{1f600}<|im_end|>";
    for special in [false, true] {
        assert_eq!(draft.tokenize(text, special).ok(), default.tokenize(text, special).ok());
    }
}

#[test]
fn all_of_this_holds_on_every_instruction_set() {
    const CHOICE: &str = "WASM_CHORD_ISA";
    if std::env::var_os(CHOICE).is_some() {
        return;
    }
    // Those that the machine lacks run on what it has, again.
    for isa in ["portable", "avx2", "avxvnni"] {
        let program = std::env::current_exe().expect("a test is a program");
        let output = std::process::Command::new(program).env(CHOICE, isa).output().expect("it can run again");
        assert!(output.status.success(), "{isa}:\n{}", String::from_utf8_lossy(&output.stdout));
    }
}
