//! Guests that misbehave are stopped in time, with an error that says why, and leave the host as it was.
//!
//! `tests/hostile-guest` is one guest with many ways to misbehave; the name of the model file chooses one.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use wasm_chord::{Builder, Error, Limits, Model, Result, Sampling, Session, Stop, built_in_guest};
use wasm_chord_tests::{HOSTILE_GUEST, builder, golden, tokens};

/// What the hostile guest may take.
const LIMITS: Limits = Limits {
    memory: 64 << 20,
    device_memory: 256 << 20,
    time: Duration::from_millis(200),
    total_time: Duration::MAX,
    handles: 1000,
};

/// How long a stop may take.
const MOMENT: Duration = Duration::from_millis(50);

/// The data of every hostile model: 2 MiB of zeros.
static ZEROS: [u8; 2 << 20] = [0; 2 << 20];

fn hostile() -> Builder {
    builder().guest(HOSTILE_GUEST).limits(LIMITS)
}

/// Load the model that is named after a behaviour.
fn load(behaviour: &str) -> Result<Model> {
    hostile().open_static(behaviour, &ZEROS)
}

/// The host still works: a model loaded before goes on, and another can be loaded.
fn assert_host_is_usable() {
    static GOOD: LazyLock<Model> = LazyLock::new(good);
    let answer = |model: &Model| {
        let mut session =
            model.session(&Sampling::greedy(), &Stop::default()).expect("greedy sampling makes sense");
        session.append("boats", false).expect("it can be appended");
        tokens(&mut session, 4)
    };
    let expected = answer(&GOOD);
    assert_eq!(expected.len(), 4);
    assert_eq!(answer(&good()), expected);
}

fn good() -> Model {
    builder().open(golden("llama-f32.gguf")).expect("the golden model opens")
}

/// The guest is stopped with a message that holds all of `parts`.
#[track_caller]
fn stopped(behaviour: &str, parts: &[&str]) {
    match load(behaviour).map(|_| ()) {
        Err(Error::Guest(message)) => holds(behaviour, &message, parts),
        other => panic!("{behaviour}: {other:?}"),
    }
    assert_host_is_usable();
}

/// The host refuses what was asked for, and the guest lives on: what it heard holds all of `parts`.
#[track_caller]
fn refused(behaviour: &str, parts: &[&str]) {
    match load(behaviour).map(|_| ()) {
        Err(Error::Failed(message)) => holds(behaviour, &message, parts),
        other => panic!("{behaviour}: {other:?}"),
    }
    assert_host_is_usable();
}

#[track_caller]
fn holds(behaviour: &str, message: &str, parts: &[&str]) {
    let missing: Vec<_> = parts.iter().filter(|part| !message.contains(**part)).collect();
    assert!(missing.is_empty(), "{behaviour}: no {missing:?} in {message:?}");
    assert!(
        !message.contains('\n') && !message.contains("backtrace"),
        "{behaviour}: not for people: {message:?}"
    );
}

/// The shortest of three times: the machine has other things to do, too.
fn shortest(mut run: impl FnMut() -> Duration) -> Duration {
    (0..3).map(|_| run()).min().expect("there are three")
}

fn session(model: &Model) -> Session {
    model.session(&Sampling::greedy(), &Stop::default()).expect("the hostile guest has sessions")
}

// Time.

#[test]
fn an_endless_loop_is_stopped_when_its_time_is_up() {
    for behaviour in ["endless-loop", "endless-questions"] {
        let time = shortest(|| {
            let begun = Instant::now();
            stopped_in_time(behaviour);
            begun.elapsed()
        });
        assert!(time < LIMITS.time + MOMENT, "{behaviour} ran for {time:?}");
        assert_host_is_usable();
    }
}

fn stopped_in_time(behaviour: &str) {
    match load(behaviour).map(|_| ()) {
        Err(Error::Guest(message)) => assert!(message.contains("limit"), "{behaviour}: {message:?}"),
        other => panic!("{behaviour}: {other:?}"),
    }
}

/// Cancel a step after 50 ms; returns how it ended and how long that took.
fn cancel(model: &Model) -> (Result<()>, Duration) {
    let mut session = session(model);
    let canceller = model.canceller();
    std::thread::scope(|scope| {
        let cancelled = scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            canceller.cancel();
            Instant::now()
        });
        let result = session.advance().map(|_| ());
        let ended = Instant::now();
        let cancelled = cancelled.join().expect("it does not panic");
        (result, ended.saturating_duration_since(cancelled))
    })
}

#[test]
fn endless_kernels_are_cancelled_within_a_moment() {
    let model = hostile().limits(Limits { time: Duration::from_secs(60), ..LIMITS });
    let model = model.open_static("endless-kernels", &ZEROS).expect("it misbehaves later");
    let time = shortest(|| {
        let (result, time) = cancel(&model);
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
        time
    });
    assert!(time < MOMENT, "cancelled after {time:?}");
    // The guest did what it was told, so its instance is as good as before.
    assert!(session(&model).tokens().is_ok());
    assert_host_is_usable();
}

#[test]
fn a_guest_that_does_not_listen_is_stopped_within_a_moment() {
    for behaviour in ["stubborn-kernels", "endless-step"] {
        let time = shortest(|| {
            let model = hostile().limits(Limits { time: Duration::from_secs(60), ..LIMITS });
            let model = model.open_static(behaviour, &ZEROS).expect("it misbehaves later");
            let (result, time) = cancel(&model);
            let Err(Error::Guest(message)) = &result else { panic!("{behaviour}: {result:?}") };
            assert!(message.contains("cancelled"), "{behaviour}: {message:?}");
            assert!(matches!(model.tokenize("a", false), Err(Error::Guest(_))), "its instance is lost");
            time
        });
        assert!(time < MOMENT, "{behaviour} was stopped after {time:?}");
        assert_host_is_usable();
    }
}

#[test]
fn endless_kernels_end_when_their_time_in_all_is_up() {
    let limits = Limits { time: Duration::MAX, total_time: Duration::from_millis(200), ..LIMITS };
    let open = |behaviour| hostile().limits(limits.clone()).open_static(behaviour, &ZEROS);
    let mut outcome = None;
    let mut ends = |call: &dyn Fn() -> Result<()>| {
        let time = shortest(|| {
            let begun = Instant::now();
            outcome = Some(call());
            begun.elapsed()
        });
        assert!(time < limits.total_time + MOMENT, "it took {time:?}");
        outcome.take().expect("it was called")
    };
    let loading = ends(&|| open("endless-loading").map(|_| ()));
    assert!(matches!(loading, Err(Error::Cancelled)), "{loading:?}");
    let model = open("endless-kernels").expect("it misbehaves later");
    let step = ends(&|| session(&model).advance().map(|_| ()));
    assert!(matches!(step, Err(Error::Cancelled)), "{step:?}");
    let model = open("stubborn-kernels").expect("it misbehaves later");
    let Err(Error::Guest(message)) = session(&model).advance() else { panic!("it should be stopped") };
    assert!(message.contains("cancelled"), "{message:?}");
    assert_host_is_usable();
}

// Memory.

#[test]
fn a_memory_bomb_is_stopped_at_its_limit() {
    stopped("memory-bomb", &["unreachable"]);
}

#[test]
fn endless_recursion_is_stopped() {
    stopped("endless-recursion", &["stack exhausted"]);
}

#[test]
fn a_flood_of_handles_is_stopped_at_its_limit() {
    stopped("handle-flood", &["no free"]);
}

#[test]
fn device_memory_is_refused_beyond_its_limit() {
    refused("hoarded-tensors", &["OutOfMemory"]);
    refused("huge-tensor", &["OutOfMemory"]);
}

#[test]
fn a_bug_in_the_guest_stops_it() {
    stopped("panic", &["unreachable"]);
}

// Requests.

#[test]
fn reads_outside_the_file_are_refused_at_their_first_address() {
    let size = ZEROS.len();
    let beyond = format!("OutOfRange({size})");
    refused(
        "read-outside",
        &[&format!("OutOfRange({})", u64::MAX), &beyond, "OutOfRange(1099511627776)", "TooLong"],
    );
}

#[test]
fn weights_of_impossible_sizes_are_refused() {
    refused("bad-weights", &["BadShape", "OutOfRange"]);
}

#[test]
fn caches_of_impossible_sizes_are_refused() {
    refused("bad-caches", &["BadShape", "OutOfMemory"]);
}

#[test]
fn an_empty_tensor_is_refused() {
    refused("empty-tensor", &["BadShape"]);
}

#[test]
fn a_step_that_does_not_fit_is_refused() {
    refused("full-cache", &["CacheFull"]);
}

#[test]
fn shapes_that_do_not_fit_are_stopped_by_the_name_of_the_verb() {
    stopped("bad-embed", &["embed:", "7", "8"]);
    stopped("bad-norm", &["rms-norm:", "8", "3"]);
    stopped("bad-matmul", &["matmul:", "7", "8"]);
    stopped("bad-bias", &["matmul:", "5", "4"]);
    stopped("bad-rope", &["rope:"]);
    stopped("bad-attention", &["attention:"]);
    stopped("bad-gate", &["gate:", "9", "8"]);
    stopped("bad-add", &["add:"]);
    stopped("bad-view", &["view:", "4294967295"]);
    stopped("bad-row", &["read:", "4294967295"]);
}

#[test]
fn handles_that_the_guest_does_not_hold_are_stopped() {
    stopped("made-up-handle", &["handle index"]);
    stopped("dropped-handle", &["handle index"]);
    stopped("handle-of-another-kind", &["handle index"]);
}

#[test]
fn steps_that_make_no_sense_are_stopped() {
    stopped("sequence-twice", &["twice"]);
    stopped("empty-step", &["step:"]);
    stopped("huge-step", &["step:"]);
    stopped("token-outside", &["embed:", "4"]);
}

#[test]
fn answers_that_do_not_fit_the_question_are_errors() {
    let model = load("silent").expect("it misbehaves later");
    let result = session(&model).advance();
    assert!(matches!(&result, Err(Error::Guest(message)) if message.contains("0 events")), "{result:?}");
    assert_host_is_usable();
}

// Components.

#[test]
fn what_is_no_component_of_the_contract_is_refused() {
    let empty_module = b"\0asm\x01\0\0\0".to_vec();
    let empty_component = b"\0asm\x0d\0\x01\0".to_vec();
    let cut = built_in_guest()[..built_in_guest().len() / 2].to_vec();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("text", b"not a component".to_vec()),
        ("a module", empty_module),
        ("a component without exports", empty_component),
        ("half a component", cut),
    ] {
        let result = builder().guest(bytes).open(golden("llama-f32.gguf")).map(|_| ());
        assert!(matches!(result, Err(Error::Component(_))), "{what}: {result:?}");
    }
    assert_host_is_usable();
}
