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

/// Templates over the variables below with what jinja2 3.1 in Hugging Face's environment makes of them, or its error.
const RULES: &str = include_str!("rules.json");

#[test]
fn expressions_and_statements_mean_what_jinja2_means() {
    let variables = json!({
        "n": 3, "f": 1.5, "t": true, "none_value": null, "s": "Héllo wörld", "list": [1, "two", 3.0, null, true],
        "map": {"b": 1, "a": {"x": [1, 2]}, "items": "own"}, "quote": "it's",
        "nested": [{"k": 2, "v": "b"}, {"k": 1, "v": "a"}],
    });
    let rules: Vec<(String, Value)> = serde_json::from_str(RULES).expect("a list of pairs");
    let mut failures = Vec::new();
    for (source, expected) in &rules {
        match (with(source, variables.clone()), expected.as_str()) {
            (Ok(text), Some(expected)) if text == expected => {}
            (Err(_), None) => {}
            (result, _) => failures.push(format!("{source}\n  expected {expected}\n  rendered {result:?}")),
        }
    }
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), rules.len(), failures.join("\n"));
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

fn conversation(messages: Value) -> Request {
    Request {
        messages,
        add_generation_prompt: true,
        special_tokens: vec![("bos_token".into(), "<s>".into()), ("eos_token".into(), "</s>".into())],
        ..Request::default()
    }
}

#[track_caller]
fn check_named(name: &str, request: &Request, expected: &str) {
    let text = Template::named(name).and_then(|template| template.render(request));
    assert_eq!(text.as_deref(), Ok(expected));
}

fn three_turns() -> Value {
    json!([
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "2 + 2?"}]},
    ])
}

#[test]
fn chatml_is_built_in() {
    let mut request = conversation(three_turns());
    let closed = "<|im_start|>system\nBe terse.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n\
        <|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n";
    check_named("chatml", &request, &format!("{closed}<|im_start|>assistant\n"));
    request.add_generation_prompt = false;
    check_named("chatml", &request, closed);
}

#[test]
fn llama2_is_built_in() {
    check_named(
        "llama2",
        &conversation(three_turns()),
        "<s>[INST] <<SYS>>\nBe terse.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] What is 2 + 2? [/INST]",
    );
    check_named(
        "llama2",
        &conversation(json!([{"role": "user", "content": " Hi "}])),
        "<s>[INST] Hi [/INST]",
    );
    let twice = conversation(json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]));
    let refused = Template::named("llama2").and_then(|template| template.render(&twice));
    assert!(matches!(refused, Err(Error::InvalidRequest(message)) if message.contains("in turn")));
}

#[test]
fn alpaca_is_built_in() {
    check_named(
        "alpaca",
        &conversation(json!([{"role": "user", "content": "Name a colour."}])),
        "<s>Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n\
        ### Instruction:\nName a colour.\n\n### Response:\n",
    );
    check_named(
        "alpaca",
        &conversation(three_turns()),
        "<s>Be terse.\n\n### Instruction:\nHi\n\n### Response:\nHello.</s>\n\n### Instruction:\nWhat is 2 + 2?\n\n\
        ### Response:\n",
    );
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let Err(Error::InvalidRequest(message)) = Template::named("vicuna") else { panic!("vicuna was found") };
    assert!(["vicuna", "chatml", "llama2", "alpaca"].iter().all(|name| message.contains(name)), "{message}");
}

#[test]
fn a_refusal_carries_the_templates_words() {
    let refused = with("{{ raise_exception('no ' ~ messages[0].role) }}", json!({}));
    assert!(matches!(refused, Err(Error::InvalidRequest(message)) if message.ends_with("no user")));
}

#[test]
fn a_conversation_that_is_none_is_refused() {
    for messages in [Value::Null, json!("text"), json!({"role": "user"}), json!(["text"])] {
        let result = render("x", &Request { messages, ..Request::default() });
        assert!(matches!(result, Err(Error::InvalidRequest(_))), "{result:?}");
    }
    let deep = (0..200).fold(json!(1), |value, _| json!([value]));
    assert!(matches!(with("x", json!({"deep": deep})), Err(Error::InvalidRequest(_))));
}

#[test]
fn reasoning_is_found_under_its_older_names() {
    let messages = json!([{"role": "assistant", "content": "a", "thinking": "b"}]);
    let request = Request { messages, ..Request::default() };
    assert_eq!(render("{{ messages[0].reasoning_content }}", &request).as_deref(), Ok("b"));
}

#[test]
fn the_time_comes_from_the_request() {
    let source = "{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %B %a %A %j %y %-d %-m %e|%I %p %U %W %V %G %u %w %%|%Z|%q') }}";
    assert_eq!(
        with(source, json!({})).as_deref(),
        Ok("2026-01-31 12:00:00 31 Jan January Sat Saturday 031 26 31 1 31|12 PM 04 04 05 2026 6 6 %||%q")
    );
    let timeless = Request { messages: json!([]), ..Request::default() };
    assert!(matches!(render("{{ strftime_now('%Y') }}", &timeless), Err(Error::Failed(_))));
}

#[test]
fn dates_are_right_around_leap_days_and_years() {
    for (seconds, expected) in [
        (0, "1970-01-01 Thu 001 1970-W01"),
        (-1, "1969-12-31 Wed 365 1970-W01"),
        (951_782_400, "2000-02-29 Tue 060 2000-W09"),
        (1_709_164_800, "2024-02-29 Thu 060 2024-W09"),
        (1_735_603_200, "2024-12-31 Tue 366 2025-W01"),
        (1_609_459_200, "2021-01-01 Fri 001 2020-W53"),
        (4_102_444_800, "2100-01-01 Fri 001 2099-W53"),
    ] {
        assert_eq!(time::strftime(seconds, "%Y-%m-%d %a %j %G-W%V").as_deref(), Some(expected));
    }
    assert_eq!(time::strftime(i64::MAX, "%Y"), None);
}

#[test]
fn hostile_templates_end_in_an_error_soon() {
    let doubling = "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = BODY %}{% endfor %}{{ ns.x }}";
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
    let sources = [
        "{% for i in range(1000000000) %}x{% endfor %}".to_owned(),
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}".into(),
        "{% for i in range(99999) %}{{ messages | tojson }}{% for j in range(99) %}{{ j }}{% endfor %}{% endfor %}".into(),
        "{{ 'a' * 1000000000 }}".into(),
        "{{ 'a' * 10 ** 30 }}".into(),
        "{{ ['a'] * 1000000000 }}".into(),
        "{% set x = 'a' * 10000000 %}{{ x }}{{ x }}{{ x }}".into(),
        "{% set x = ['a' * 1000000] * 1000 %}{{ x | join }}".into(),
        "{% set x = ['a' * 1000000] * 1000 %}{{ x }}".into(),
        "{% set x = ['a' * 1000000] * 1000 %}{{ x | tojson }}".into(),
        doubling.replace("BODY", "ns.x ~ ns.x"),
        doubling.replace("BODY", "ns.x + ns.x"),
        doubling.replace("BODY", "ns.x * 8"),
        doubling.replace("BODY", "ns.x.replace('a', 'aaaa')"),
        doubling.replace("BODY", "ns.x | replace('a', 'aaaa')"),
        doubling.replace("BODY", "ns.x.join(ns.x | list)"),
        doubling.replace("BODY", "[ns.x, ns.x] | join(ns.x)"),
        doubling.replace("BODY", "'{0}{0}{0}'.format(ns.x)"),
        doubling.replace("BODY", "'%s%s' % (ns.x, ns.x)"),
        doubling.replace("BODY", "[ns.x, ns.x]").replace("{{ ns.x }}", "{{ ns.x | tojson }}"),
        doubling.replace("BODY", "{'a': ns.x, 'b': ns.x}"),
        doubling.replace("BODY", "(ns.x, ns.x)").replace("60", "99999"),
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set b %}{{ ns.x }}{{ ns.x }}{% endset %}\
            {% set ns.x = b %}{% endfor %}{{ ns.x }}"
            .into(),
        "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}".into(),
        "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = namespace(x=ns) %}{% endfor %}".into(),
        "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}".into(),
        "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = ns.x | batch(1) | list %}{% endfor %}".into(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
        "{% macro m(n) %}{{ m(n + 1) ~ m(n + 2) }}{% endmacro %}{{ m(0) }}".into(),
        "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}".into(),
        "{{ 'x'.ljust(1000000000) }}".into(),
        "{{ 'x'.center(1000000000000) }}".into(),
        "{{ 'x' | indent(1000000000, true) }}".into(),
        "{{ messages | tojson(indent=1000000000) }}".into(),
        "{{ '%1000000000d' % 1 }}".into(),
        "{{ '%*d' % (1000000000, 1) }}".into(),
        "{{ '{:1000000000}'.format(1) }}".into(),
        "{{ '{:{}}'.format(1, 1000000000) }}".into(),
        "{{ '{:.1000000000f}'.format(1.5) }}".into(),
        "{{ 'a'.__class__.__mro__ }}".into(),
        "{{ messages.__class__.__base__.__subclasses__() }}".into(),
        "{{ range.__globals__['os'] }}".into(),
        "{{ namespace.__init__.__globals__ }}".into(),
        "{{ self.__init__.__globals__ }}".into(),
        "{{ messages.append({}) }}".into(),
        "{% include 'chat template' %}".into(),
        "{% import 'chat template' as x %}".into(),
        "{% from 'chat template' import x %}".into(),
        "{% extends 'chat template' %}".into(),
        "{% autoescape true %}{% endautoescape %}".into(),
        "{% do messages %}".into(),
        "x".repeat(10 << 20),
        "{{ 1 }}".repeat(1_000_000),
        format!("{{{{ {} }}}}", nested("(", ")")),
        format!("{{{{ {} }}}}", nested("[", "]")),
        format!("{{{{ {} }}}}", nested("-", "")),
        format!("{{{{ {} }}}}", nested("not ", "")),
        format!("{{{{ 1{} }}}}", " + 1".repeat(100_000)),
        format!("{{{{ x{} }}}}", ".x".repeat(100_000)),
        format!("{{{{ x{} }}}}", "|list".repeat(100_000)),
        format!("{{{{ x{} }}}}", "()".repeat(100_000)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(50_000)),
        format!("{{{{ f({}) }}}}", "1,".repeat(100_000)),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(50_000)),
        format!("{}{}", "{% if 1 %}".repeat(40_000), "{% endif %}".repeat(40_000)),
        format!("{{% set x = 1 %}}{}", "{% set x = [x] %}".repeat(30_000)),
        format!("{{% set x = [1] %}}{}{{{{ x }}}}", "{% set x = x | batch(1) | list %}".repeat(20_000)),
    ];
    let mut failures = Vec::new();
    for source in &sources {
        // The best of three: other work on the machine is not the template's.
        let (mut result, mut took) = (Ok(String::new()), Duration::MAX);
        for _ in 0..3 {
            let start = Instant::now();
            result = with(source, json!({}));
            took = took.min(start.elapsed());
            if took <= LIMIT {
                break;
            }
        }
        let shown: String = source.chars().take(100).collect();
        match result {
            Ok(text) => failures.push(format!("{shown} rendered {} bytes", text.len())),
            Err(_) if took > LIMIT => failures.push(format!("{shown} took {took:?}")),
            Err(_) => {}
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), sources.len(), failures.join("\n"));
}

/// What a hostile template may take; without optimisation everything is some ten times slower.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2500 } else { 250 });
