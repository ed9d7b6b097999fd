//! The program as its users meet it: what goes to which stream, and how it ends.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Run the program with the built-in model, give it `input`, and wait.
fn wasm_chord(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasm-chord"));
    for (name, _) in std::env::vars_os() {
        let ours =
            name.to_str().is_some_and(|name| name.starts_with("WASM_CHORD_") && name != "WASM_CHORD_CACHE");
        if ours {
            command.env_remove(name);
        }
    }
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that needs no input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A file of this process's own.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("wasm-chord-{}-{name}", std::process::id()));
    fs::write(&path, content).unwrap();
    path
}

/// Run it, expect that it fails with this code, and return the cause and the hint.
fn failure(arguments: &[&str], code: i32) -> (String, String) {
    let output = wasm_chord(arguments, "");
    let lines = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{lines}");
    assert!(output.stdout.is_empty(), "a failure is not text: {}", text(&output.stdout));
    let (cause, hint) = lines.trim_end().split_once('\n').expect("two lines");
    assert!(!hint.contains('\n'), "more than two lines: {lines}");
    let (cause, hint) = (cause.strip_prefix("error: ").unwrap(), hint.strip_prefix("hint: ").unwrap());
    (cause.into(), hint.into())
}

#[test]
fn answer_goes_to_standard_output_and_statistics_do_not() {
    let quiet = wasm_chord(&["run", "-n", "8", "What is the capital of France?"], "");
    assert!(quiet.status.success());
    assert!(!quiet.stdout.is_empty() && quiet.stdout.ends_with(b"\n"));
    assert_eq!(text(&quiet.stderr), "");

    let verbose = wasm_chord(&["run", "-v", "-n", "8", "What is the capital of France?"], "");
    assert_eq!(verbose.stdout, quiet.stdout);
    for what in ["load:", "prompt:", "decode:", "tokens/s", "context:"] {
        assert!(text(&verbose.stderr).contains(what), "{}", text(&verbose.stderr));
    }
}

#[test]
fn profile_tells_where_the_time_went() {
    let question = ["run", "-n", "8", "What is the capital of France?"];
    let plain = wasm_chord(&question, "");
    let path = file("trace.json", b"");
    let option = format!("--profile={}", path.display());
    let profiled = wasm_chord(&[&question[..], &[option.as_str()]].concat(), "");
    assert!(profiled.status.success(), "{}", text(&profiled.stderr));
    assert_eq!(profiled.stdout, plain.stdout);

    let table = text(&profiled.stderr);
    for who in ["guest", "boundary", "kernels"] {
        assert!(table.lines().any(|line| line.starts_with(who)), "{table}");
    }
    let matmuls: Vec<&str> = table.lines().filter(|line| line.starts_with("matmul ")).collect();
    assert!(!matmuls.is_empty() && table.contains("GFLOP/s"), "{table}");
    for line in matmuls {
        let speed: f64 = line.split_whitespace().last().unwrap().parse().unwrap();
        assert!(speed > 0.0, "{line}");
    }

    let trace: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let named =
        |name: &str| events.iter().filter(|event| event["name"].as_str().unwrap().starts_with(name)).count();
    assert!(named("attention") > 0 && named("matmul") >= 2 * named("attention"), "{}", events.len());
    let ends = |event: &Value| event["ts"].as_f64().unwrap() + event["dur"].as_f64().unwrap();
    assert!(events.windows(2).all(|pair| ends(&pair[0]) <= pair[1]["ts"].as_f64().unwrap() + 1e-3));
    fs::remove_file(path).unwrap();

    let alone = wasm_chord(&["run", "--profile", "-n", "8", "What is the capital of France?"], "");
    assert_eq!(alone.stdout, plain.stdout);
    assert!(text(&alone.stderr).contains("matmul "));
    let (cause, _) = failure(&["run", "--profile=/no/such/trace.json", "hello"], 1);
    assert!(cause.contains("/no/such/trace.json"), "{cause}");
}

#[test]
fn built_in_model_knows_paris() {
    let output = wasm_chord(&["run", "What is the capital of France?"], "");
    assert!(text(&output.stdout).contains("Paris"), "{}", text(&output.stdout));
}

#[test]
fn text_may_come_from_everywhere() {
    let question = "What is the capital of France?";
    let given = wasm_chord(&["run", "-n", "6", question], "").stdout;
    let path = file("question.txt", format!("{question}\n").as_bytes());
    assert_eq!(wasm_chord(&["run", "-n", "6", "-p", question], "").stdout, given);
    assert_eq!(wasm_chord(&["run", "-n", "6", "-f", path.to_str().unwrap()], "").stdout, given);
    assert_eq!(wasm_chord(&["run", "-n", "6"], &format!("{question}\n")).stdout, given);
    fs::remove_file(path).unwrap();
}

#[test]
fn same_seed_gives_the_same_text() {
    let told = |seed: &str| {
        let arguments = ["run", "--no-chat", "--temp", "1.5", "-n", "24", "-s", seed, "Once upon a time"];
        let output = wasm_chord(&arguments, "");
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    };
    let first = told("1");
    assert_eq!(first, told("1"));
    assert!((2..6).any(|seed: u32| told(&seed.to_string()) != first), "no seed changes anything");
}

#[test]
fn system_prompt_has_its_short_flag() {
    let short = wasm_chord(&["run", "-n", "6", "-sys", "Answer in one word.", "Hello"], "");
    let long = wasm_chord(&["run", "-n", "6", "--system-prompt", "Answer in one word.", "Hello"], "");
    assert!(short.status.success(), "{}", text(&short.stderr));
    assert_eq!(short.stdout, long.stdout);
}

#[test]
fn predict_limits_the_answer() {
    let arguments = ["run", "--no-chat", "--ignore-eos", "-v", "-n", "5", "Once upon a time"];
    let output = wasm_chord(&arguments, "");
    assert!(
        text(&output.stderr).contains("decode:  4 tokens"),
        "one with the prompt, four more: {}",
        text(&output.stderr)
    );
}

#[test]
fn missing_file_is_an_ordinary_failure() {
    let (cause, hint) = failure(&["run", "-m", "/no/such/model.gguf", "hello"], 1);
    assert!(cause.contains("/no/such/model.gguf"), "{cause}");
    assert!(hint.contains("path"), "{hint}");
}

#[test]
fn damaged_model_has_its_own_code() {
    let path = file("damaged.gguf", b"GGUF\x03\0\0\0\x01");
    for command in [
        &["run", "hello", "-m"][..],
        &["tokenize", "hello", "-m"],
        &["info"],
        &["bench", "-m"],
        &["chat", "-m"],
    ] {
        failure(&[command, &[path.to_str().unwrap()]].concat(), 3);
    }
    fs::remove_file(path).unwrap();
}

#[test]
fn wrong_usage_is_told_apart() {
    assert_eq!(wasm_chord(&["run", "--no-such-flag", "hello"], "").status.code(), Some(2));
    assert_eq!(wasm_chord(&["run", "hello", "-p", "again"], "").status.code(), Some(2));
    let (cause, _) = failure(&["run", "--chat-template", "no-such", "hello"], 2);
    assert!(cause.contains("no-such") && cause.contains("chatml"), "{cause}");
    let (cause, _) = failure(&["run", "--temp", "nan", "hello"], 2);
    assert!(cause.contains("temperature"), "{cause}");
    failure(&["run", ""], 2);
}

#[test]
fn template_of_ones_own_is_blamed_itself() {
    let path = file("template.jinja", b"{% for");
    let (_, hint) = failure(&["run", "--chat-template-file", path.to_str().unwrap(), "hello"], 2);
    assert!(hint.contains("template.jinja"), "{hint}");
    fs::remove_file(path).unwrap();
}

#[test]
fn prompt_that_does_not_fit_is_told_with_numbers() {
    let (cause, hint) =
        failure(&["run", "--no-chat", "-c", "4", "one two three four five six seven eight"], 4);
    assert!(cause.contains("context") && cause.contains(" 4 "), "{cause}");
    assert!(hint.contains("-c"), "{hint}");
}

#[test]
fn file_that_is_no_guest_is_refused() {
    let path = file("guest.wasm", b"\0asm nonsense");
    let (cause, hint) = failure(&["run", "--guest", path.to_str().unwrap(), "hello"], 1);
    assert!(cause.contains("guest component"), "{cause}");
    assert!(hint.contains("--guest"), "{hint}");
    fs::remove_file(path).unwrap();
}

#[test]
fn reader_that_leaves_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasm-chord"));
    command.args(["run", "--no-chat", "--ignore-eos", "-n", "64", "Once upon a time"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert!(output.status.success());
}

#[cfg(unix)]
#[test]
fn interrupt_ends_the_answer_with_its_code() {
    use std::io::Read;
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasm-chord"));
    command.args(["run", "--no-chat", "--ignore-eos", "-c", "20000", "Once upon a time"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Once it speaks, it listens.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn information_is_one_json_object() {
    let output = wasm_chord(&["info", "--json"], "");
    let information: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(information["architecture"], "llama");
    assert!(information["parameters"].as_u64().unwrap() > 0);
    assert!(information["chat_template"].is_boolean());
    assert!(text(&wasm_chord(&["info"], "").stdout).contains("llama"));
}

#[test]
fn tokens_come_with_their_pieces_or_alone() {
    let lines = wasm_chord(&["tokenize", "Hello, world"], "");
    let ids = wasm_chord(&["tokenize", "--ids", "Hello, world"], "");
    let ids: Vec<u32> = serde_json::from_slice(&ids.stdout).unwrap();
    let lines: Vec<&str> = text(&lines.stdout).lines().collect();
    assert_eq!(lines.len(), ids.len());
    for (line, id) in lines.iter().zip(&ids) {
        assert!(line.trim_start().starts_with(&format!("{id}  '")) && line.ends_with('\''), "{line}");
    }
}

#[test]
fn control_tokens_are_recognised_only_when_asked_for() {
    let count = |arguments: &[&str]| {
        let output = wasm_chord(arguments, "");
        serde_json::from_slice::<Vec<u32>>(&output.stdout).unwrap().len()
    };
    assert_eq!(count(&["tokenize", "--ids", "--special", "<|im_end|>"]), 1);
    assert!(count(&["tokenize", "--ids", "<|im_end|>"]) > 1);
}

#[test]
fn conversation_goes_through_a_pipe_and_a_file() {
    let path = file("conversation.json", b"");
    let name = path.to_str().unwrap();
    let first = wasm_chord(
        &["chat", "-n", "6"],
        &format!("/system Be brief.\nHello\n/save {name}\n/exit\nnever said\n"),
    );
    assert!(first.status.success(), "{}", text(&first.stderr));
    let messages: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    assert_eq!(messages[0]["content"], "Be brief.");
    assert_eq!(messages[2]["content"].as_str().unwrap().trim_end(), text(&first.stdout).trim_end());

    let second =
        wasm_chord(&["chat", "-n", "6"], &format!("/load {name}\nAnd \\\nnow?\n/clear\n/save {name}\n"));
    assert!(second.status.success(), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("3 messages were read"));
    let cleared: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(cleared.len(), 1, "the system prompt stays");
    fs::remove_file(path).unwrap();
}

#[test]
fn script_with_an_unknown_command_fails() {
    let output = wasm_chord(&["chat"], "/no-such\nHello\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

#[test]
fn bench_measures_every_test_and_what_the_sandbox_costs() {
    let output = wasm_chord(&["bench", "-p", "16", "-n", "4", "-d", "0,8", "-r", "2", "-o", "json"], "");
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let tests: Vec<_> = rows
        .iter()
        .map(|row| ["n_prompt", "n_gen", "n_depth"].map(|name| row[name].as_u64().unwrap()))
        .collect();
    assert_eq!(tests, [[16, 0, 0], [0, 4, 0], [16, 0, 8], [0, 4, 8]]);
    for row in &rows {
        assert!(row["avg_ts"].as_f64().unwrap() > 0.0);
        assert_eq!(row["samples_ns"].as_array().unwrap().len(), 2);
        assert!(row["guest_ns_per_token"].as_u64().unwrap() > 0);
        assert!(row["host_calls_per_token"].as_f64().unwrap() > 0.0);
    }
    let table = wasm_chord(&["bench", "-p", "16", "-n", "0", "-r", "1"], "");
    assert!(text(&table.stdout).contains("| pp16 |") && !text(&table.stdout).contains("tg"));
}

#[test]
fn every_shell_has_its_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = wasm_chord(&["completions", shell], "");
        assert!(text(&output.stdout).contains("tokenize"), "{shell}");
    }
}
