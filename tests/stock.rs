//! `wasm-chord.wasm` in the stock program `wasmtime`: the commands of the README, with nothing of this project around it.
//!
//! The program is taken from `PATH` or from where `.ci/run` installs it. Without it there is nothing to test; CI insists.

#[path = "../xtask/src/dist.rs"]
mod dist;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use wasm_chord::{Sampling, Stop};
use wasm_chord_tests::{builder, golden, workspace};

/// The program, and `wasm-chord.wasm` compiled by it; none if there is no such program.
static STOCK: LazyLock<Option<(PathBuf, PathBuf)>> = LazyLock::new(|| {
    let installed = workspace().join("target/tools/wasmtime_cli/wasmtime");
    let runs = |program: &PathBuf| Command::new(program).arg("--version").output().is_ok();
    let Some(wasmtime) = [PathBuf::from("wasmtime"), installed].into_iter().find(runs) else {
        assert!(std::env::var_os("CI").is_none(), "CI has the program wasmtime");
        // Printed past the test harness, which would keep it to itself.
        let _ = writeln!(
            std::io::stderr(),
            "NOT TESTED: there is no program wasmtime; `.ci/run` shows how to install it"
        );
        return None;
    };
    dist::run().expect("the components can be built");
    let compiled = workspace().join("target/dist/wasm-chord.cwasm");
    let component = workspace().join("target/dist/wasm-chord.wasm");
    // Tests may be processes of their own, of which none should see half a file.
    let partial = compiled.with_extension(format!("{}.partial", std::process::id()));
    let status = Command::new(&wasmtime).arg("compile").arg(component).arg("-o").arg(&partial).status();
    assert!(status.expect("it runs").success(), "it does not compile");
    std::fs::rename(partial, &compiled).expect("it lies in the same folder");
    Some((wasmtime, compiled))
});

/// Run it in the folder of the golden models, give it `input`, and wait. None without the program.
fn stock(arguments: &[&str], input: &str) -> Option<Output> {
    let (wasmtime, component) = STOCK.as_ref()?;
    let mut command = Command::new(wasmtime);
    command.current_dir(golden("")).args(["run", "--allow-precompiled", "--dir", "."]).arg(component);
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it can be started");
    // A program that needs no input may have ended already.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    Some(child.wait_with_output().expect("it ends"))
}

/// What it says when all goes well.
fn said(arguments: &[&str], input: &str) -> Option<String> {
    let output = stock(arguments, input)?;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("it is text"))
}

fn recorded(question: &str) -> String {
    let answers =
        std::fs::read_to_string(workspace().join("tests/data/answers.json")).expect("they are there");
    let answers: Value = serde_json::from_str(&answers).expect("they are JSON");
    answers[question].as_str().expect("there is an answer").to_owned() + "\n"
}

#[test]
fn the_default_model_answers_as_on_the_native_host() {
    let question = "What is the capital of France?";
    let Some(answer) = said(&["run", question], "") else { return };
    assert_eq!(answer, recorded(question));
}

#[test]
fn a_file_is_continued_as_on_the_native_host() {
    for file in ["llama-f32.gguf", "llama-q4_k.gguf", "qwen2-f32.gguf", "qwen3-f32.gguf"] {
        let Some(continued) = said(&[&["run", "-m", file], &continuing("24")[..]].concat(), "") else {
            return;
        };
        assert_eq!(continued, native(golden(file), 24), "{file}");
    }
}

#[test]
fn an_open_end_is_reached_as_on_the_native_host() {
    let Some(continued) = said(&[&["run"], &continuing("128")[..]].concat(), "") else { return };
    assert_eq!(continued, native(workspace().join("host/model/default.gguf"), 128));
}

/// What is continued, with as many tokens as wanted.
const TEXT: &str = "Once upon a time";

fn continuing(tokens: &str) -> [&str; 8] {
    ["-p", TEXT, "--no-chat", "--temp", "0", "--ignore-eos", "-n", tokens]
}

/// How the native host continues it.
fn native(file: PathBuf, tokens: u32) -> String {
    let model = builder().open(file).expect("it opens");
    let stop = Stop { after: Some(tokens), ignore_end: true, ..Stop::default() };
    let mut session = model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense");
    session.append(TEXT, false).expect("it can be appended");
    session.complete().expect("the steps run") + "\n"
}

#[test]
fn a_conversation_goes_on_line_by_line() {
    let questions = ["What is 7 + 5?", "What is the plural of mouse?"];
    let Some(answers) =
        said(&["chat", "-n", "32"], &questions.map(|question| question.to_owned() + "\n").concat())
    else {
        return;
    };
    assert_eq!(answers.lines().next().map(|line| line.to_owned() + "\n"), Some(recorded(questions[0])));
    assert_eq!(answers.lines().count(), 2, "{answers}");
}

#[test]
fn what_has_no_room_in_32_bits_stays_in_a_64_bit_memory() {
    let Some((wasmtime, component)) = STOCK.as_ref() else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("far");
    std::fs::create_dir_all(&folder).expect("it can be made");
    let model = folder.join("model.gguf");
    std::fs::copy(workspace().join("host/model/default.gguf"), &model).expect("it can be copied");

    // As in tests/portable.rs, weights do not fit into these 20 MiB. Those that do not all fit into the other 16.
    let mut command = Command::new(wasmtime);
    command.current_dir(&folder).args(["run", "--allow-precompiled", "--dir", "."]);
    command.args(["--env", "WASM_CHORD_MEMORY=20", "--env", "WASM_CHORD_FAR_MEMORY=16"]).arg(component);
    command.args(["chat", "-m", "model.gguf", "-c", "512", "-n", "32"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be started");
    let (mut input, output) = (child.stdin.take().expect("it is piped"), child.stdout.take());
    let mut answers = BufReader::new(output.expect("it is piped")).lines();
    let mut ask = |question| {
        writeln!(input, "{question}").expect("it listens");
        answers.next().expect("there is an answer").expect("it is text")
    };
    let question = "What is 7 + 5?";
    assert_eq!(ask(question) + "\n", recorded(question));
    // From here on there is no file to read.
    File::create(&model).expect("it can be shortened");
    assert!(!ask("What is the plural of mouse?").is_empty());
    drop(input);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_file_says_of_itself_what_it_says_to_the_native_host() {
    let Some(json) = said(&["info", "--json", "llama-q4_k.gguf"], "") else { return };
    let found: Value = serde_json::from_str(&json).expect("it is JSON");
    let model = builder().open(golden("llama-q4_k.gguf")).expect("it opens");
    let information = model.information();
    assert_eq!(found["parameters"], information.parameters);
    assert_eq!(found["bytes"], information.bytes);
    assert_eq!(found["format"], information.format.as_str());
    assert_eq!(found["vocabulary"], information.vocabulary);
}

#[test]
fn failures_are_a_sentence_and_a_hint() {
    for (arguments, cause) in [
        (&["run", "-m", "missing.gguf", "Hi"][..], "missing.gguf"),
        (&["run", "-m", "llama-f32.json", "Hi"], "not a GGUF file"),
        (&["chat", "-m", "llama-f32.gguf"], "no chat template"),
        (&["run", "--no-such-flag"], "--no-such-flag"),
    ] {
        let Some(output) = stock(arguments, "") else { return };
        let lines = String::from_utf8_lossy(&output.stderr);
        // WASI 0.2 has no other code than this one.
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {lines}");
        assert!(output.stdout.is_empty(), "a failure is not text");
        let first = lines.lines().next().unwrap_or_default();
        assert!(first.starts_with("error: ") && first.contains(cause), "{arguments:?}: {lines}");
    }
}
