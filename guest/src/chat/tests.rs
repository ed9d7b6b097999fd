//! Templates of real models against Hugging Face's own rendering, the rules of jinja2 one by one, and hostile templates.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

fn render(source: &str, request: &Request) -> Result<String> {
    Template::new(source).and_then(|template| template.render(request))
}

/// Renders with one user message `Hi` and these variables.
fn with(source: &str, variables: Value) -> Result<String> {
    let variables = variables.as_object().cloned().unwrap_or_default();
    let messages = json!([{"role": "user", "content": "Hi"}]);
    render(source, &Request { messages, variables, now: Some(1_769_860_800), ..Request::default() })
}

#[track_caller]
fn check(source: &str, expected: &str) {
    let variables = json!({
        "n": 3, "f": 1.5, "t": true, "none_value": null, "s": "Héllo wörld", "list": [1, "two", 3.0, null, true],
        "map": {"b": 1, "a": {"x": [1, 2]}, "items": "own"}, "quote": "it's", "nested": [{"k": 2, "v": "b"}, {"k": 1, "v": "a"}],
    });
    assert_eq!(with(source, variables).as_deref(), Ok(expected), "{source}");
}

#[test]
fn real_templates_render_as_hugging_face_does() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/chat-templates"));
    let Ok(entries) = std::fs::read_dir(&folder) else {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"no shared chat templates here: nothing to compare\n",
        );
        return;
    };
    let (mut cases, mut failures) = (0, Vec::new());
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let source =
            std::fs::read_to_string(path.with_extension("jinja")).expect("a template beside its cases");
        let file: Value = serde_json::from_slice(&std::fs::read(&path).expect("cases")).expect("JSON");
        for case in file.as_array().expect("a list of cases") {
            cases += 1;
            let result = render(&source, &request_of(case));
            let name = format!("{}: {}", path.display(), case["case"]);
            match (&result, case["expected"].as_str()) {
                (Ok(text), Some(expected)) if text == expected => {}
                (Err(_), None) => {}
                (result, expected) => {
                    failures.push(format!("{name}\n  expected {expected:?}\n  rendered {result:?}"))
                }
            }
        }
    }
    assert!(
        cases > 0 && failures.is_empty(),
        "{} of {cases} cases differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn request_of(case: &Value) -> Request {
    let mut request = Request { now: Some(1_769_860_800), ..Request::default() };
    for (name, value) in case.as_object().expect("a case is an object") {
        match (name.as_str(), value) {
            ("case" | "expected" | "error", _) => {}
            ("messages", value) => request.messages = value.clone(),
            ("tools", value) => request.tools = Some(value.clone()),
            ("add_generation_prompt", value) => {
                request.add_generation_prompt = value.as_bool().expect("a boolean")
            }
            (name, Value::String(token)) if name.ends_with("_token") => {
                request.special_tokens.push((name.to_owned(), token.clone()));
            }
            (name, value) => drop(request.variables.insert(name.to_owned(), value.clone())),
        }
    }
    request
}
