//! Runs every example as its users do, with the built-in model, and reads what it prints.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wasm_chord::built_in_guest;
use wasm_chord_tests::{CACHE, HOSTILE_GUEST, workspace};

/// What an example prints. It lies beside the folder of this test: cargo builds a package's examples before it runs the tests.
fn run<A: AsRef<OsStr>>(example: &str, arguments: &[A]) -> String {
    let test = std::env::current_exe().expect("tests know where they are");
    let folder = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
    let program = folder.join("examples").join(example).with_extension(std::env::consts::EXE_EXTENSION);
    let output = Command::new(&program)
        .args(arguments)
        .env("WASM_CHORD_CACHE", CACHE)
        .current_dir(workspace())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run all tests of the package", program.display()));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{example}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

fn default_model() -> PathBuf {
    workspace().join("host/model/default.gguf")
}

/// A file that only one test writes.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    fs::create_dir_all(&folder).expect("cargo made the folder above");
    let path = folder.join(name);
    fs::write(&path, bytes).expect("it can be written");
    path
}

/// The built-in guest with a section more: another component that does the same.
fn next_guest() -> Vec<u8> {
    let mut guest = built_in_guest().to_vec();
    guest.extend(b"\0\x05\x04next");
    guest
}

#[test]
fn every_example_is_run_by_a_test() {
    let files = fs::read_dir(workspace().join("examples")).expect("examples/ is there");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let tests = include_str!("programs.rs");
    let forgotten: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned()))
        .filter(|name| !tests.contains(&format!("(\"{name}\", ")))
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

#[test]
fn generate_continues_a_text() {
    let text = run::<&str>("generate", &[]);
    assert!(text.starts_with("Once upon a time"), "{text}");
    assert!(text.len() > 50, "{text}");
}

#[test]
fn chat_remembers_what_was_said() {
    let text = run::<&str>("chat", &[]);
    assert!(text.contains("Paris") && text.contains("Rome"), "{text}");
}

#[test]
fn embed_answers_within_its_limits() {
    let text = run("embed", &[default_model()]);
    assert!(text.trim().len() > 20, "{text}");
}

#[test]
fn batch_answers_all_questions_at_once() {
    let text = run::<&str>("batch", &[]);
    for answer in ["Paris", "cold", "12", "Tuesday"] {
        assert!(text.contains(answer), "{answer}: {text}");
    }
}

#[test]
fn plugin_host_runs_the_guest_beside_another_component() {
    let text = run("plugin_host", &[default_model()]);
    assert!(text.starts_with("ONCE UPON A TIME") && text.len() > 50, "{text}");
    assert_eq!(text, text.to_uppercase());
}

#[test]
fn swap_goes_on_with_the_conversation() {
    let arguments = [
        default_model(),
        file("next.wasm", &next_guest()),
        file("cut.wasm", &built_in_guest()[..built_in_guest().len() / 2]),
    ];
    let text = run("swap", &arguments);
    for part in ["Paris", "next.wasm took over", "Rome", "cut.wasm is refused", "Madrid"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn tenants_do_not_notice_one_that_misbehaves() {
    let text = run("tenants", &[default_model()]);
    assert!(text.contains("Paris") && text.contains("Rome"), "{text}");

    let hostile = file("hostile.wasm", HOSTILE_GUEST);
    let model = fs::read(default_model()).expect("the default model is there");
    for behaviour in ["memory-bomb", "endless-loop", "endless-loading", "hoarded-tensors"] {
        // The guest misbehaves in the way that the model file is named after.
        let text = run("tenants", &[file(behaviour, &model), hostile.clone()]);
        assert!(text.contains("Paris") && text.contains("second: (failed"), "{behaviour}: {text}");
    }
}
