//! What must not change an answer: threads, neighbours in a batch, how a prompt was cut, forks, rewinds, rendering anew. And how
//! answers end.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasm_chord::kernels::CacheFormat;
use wasm_chord::{
    Chat, Conversation, Error, Event, Finish, Limits, Message, Model, Sampling, Session, Stop, Template,
};
use wasm_chord_tests::{builder, golden, tokens};

const PROMPT: &str = "The lighthouse keeper counted 3 small boats, and then";

/// One float and some quantised models, with one, few and many key heads.
const MODELS: [&str; 4] = ["llama-f32.gguf", "qwen2-q8_0.gguf", "llama3-q4_0.gguf", "qwen3-q6_k.gguf"];

fn open(name: &str) -> Model {
    builder().open(golden(name)).expect("the golden model opens")
}

/// A greedy session that goes on past the model's end.
fn greedy(model: &Model) -> Session {
    let stop = Stop { ignore_end: true, ..Stop::default() };
    model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense")
}

fn with_prompt(model: &Model, prompt: &str) -> Session {
    let mut session = greedy(model);
    session.append(prompt, false).expect("it can be appended");
    session
}

/// Logits as bits: the same, or not.
fn bits(session: &mut Session) -> Vec<u32> {
    session.logits().expect("the step runs").into_iter().map(f32::to_bits).collect()
}

/// Step until the answer ends.
fn events(session: &mut Session) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = session.advance().expect("the step runs");
        let ended = event.finish.is_some();
        events.push(event);
        if ended {
            return events;
        }
    }
}

fn text(events: &[Event]) -> String {
    events.iter().map(|event| event.text.as_str()).collect()
}

#[test]
fn threads_change_no_bit() {
    for name in MODELS {
        let mut expected = None;
        for threads in 1..=3 {
            let threads = NonZeroUsize::new(threads).expect("more than none");
            let model = Model::builder().threads(threads).guest_cache(Some(wasm_chord_tests::CACHE.into()));
            let model = model.open(golden(name)).expect("the golden model opens");
            let mut session = with_prompt(&model, PROMPT);
            let found = (bits(&mut session), tokens(&mut session, 48));
            assert_eq!(*expected.get_or_insert(found.clone()), found, "{name} on {threads} threads");
        }
    }
}

#[test]
fn neighbours_in_a_batch_change_no_bit() {
    let prompts = ["a", PROMPT, "boats", &PROMPT.repeat(5), "and then the keeper"];
    for name in MODELS {
        let model = open(name);
        let alone: Vec<(Vec<u32>, Vec<u32>)> = prompts
            .map(|prompt| {
                let mut session = with_prompt(&model, prompt);
                let tokens = tokens(&mut session, 24);
                (tokens, bits(&mut session))
            })
            .into();

        let mut sessions = prompts.map(|prompt| with_prompt(&model, prompt));
        let mut together = vec![Vec::new(); prompts.len()];
        for _ in 0..24 {
            let events = model.advance(&mut sessions.each_mut()).expect("the step runs");
            assert_eq!(events.len(), prompts.len());
            together.iter_mut().zip(events).for_each(|(tokens, event)| tokens.extend(event.token));
        }
        for (index, (tokens, last)) in alone.into_iter().enumerate() {
            assert_eq!(together[index], tokens, "{name}: session {index}");
            assert_eq!(bits(&mut sessions[index]), last, "{name}: logits of session {index}");
        }
    }
}

#[test]
fn a_session_that_joins_and_leaves_changes_nothing_for_the_others() {
    let model = open("llama-f32.gguf");
    let expected = tokens(&mut with_prompt(&model, PROMPT), 12);
    let mut session = with_prompt(&model, PROMPT);
    let mut found = tokens(&mut session, 4);
    let mut guest = with_prompt(&model, "boats");
    for _ in 0..4 {
        let events = model.advance(&mut [&mut guest, &mut session]).expect("the step runs");
        found.extend(events[1].token);
    }
    drop(guest);
    found.extend(tokens(&mut session, 4));
    assert_eq!(found, expected);
}

#[test]
fn advice_changes_no_bit() {
    for name in MODELS {
        let without = builder().prefetch(false).open(golden(name)).expect("the golden model opens");
        assert_eq!(
            bits(&mut with_prompt(&without, PROMPT)),
            bits(&mut with_prompt(&open(name), PROMPT)),
            "{name}"
        );
    }
}

#[test]
fn an_answer_comes_the_same_to_a_callback() {
    let model = open(MODELS[0]);
    let stop = Stop { after: Some(12), ignore_end: true, ..Stop::default() };
    let mut session = model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense");
    session.append(PROMPT, false).expect("it can be appended");
    let mut fork = session.fork().expect("it can be forked");
    let mut text = String::new();
    let finish = session.generate(|piece| {
        text += piece;
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!((finish.expect("it runs"), text), (Some(Finish::Length), fork.complete().expect("it runs")));

    session.append(PROMPT, false).expect("it can be appended");
    let broken = session.generate(|_| std::ops::ControlFlow::Break(()));
    assert_eq!(broken.expect("it runs"), None);
}

#[test]
fn how_a_prompt_is_cut_changes_no_bit() {
    for name in MODELS {
        let model = open(name);
        let prompt = model.tokenize(&PROMPT.repeat(8), false).expect("the guest runs");
        let logits_of = |cuts: &[usize], run_between: bool| {
            let mut session = greedy(&model);
            let mut rest = &prompt[..];
            for &cut in cuts.iter().cycle() {
                let (part, after) = rest.split_at(cut.min(rest.len()));
                session.append_tokens(part).expect("they are in the vocabulary");
                rest = after;
                if rest.is_empty() {
                    break;
                }
                if run_between {
                    session.logits().expect("the step runs");
                }
            }
            bits(&mut session)
        };
        let whole = logits_of(&[prompt.len()], false);
        assert_eq!(logits_of(&[1], true), whole, "{name}: token by token");
        assert_eq!(logits_of(&[5, 1, 70], true), whole, "{name}: in pieces");
        assert_eq!(logits_of(&[3], false), whole, "{name}: in pieces that run together");
    }
}

#[test]
fn forks_share_their_past_and_not_their_future() {
    let model = open("llama-f32.gguf");
    let mut original = with_prompt(&model, PROMPT);
    tokens(&mut original, 5);
    let mut fork = original.fork().expect("the guest runs");
    let mut other = original.fork().expect("the guest runs");
    other.append(" three boats", false).expect("it can be appended");
    let past = original.tokens().expect("the guest runs");

    let strayed = tokens(&mut other, 20);
    let followed = tokens(&mut fork, 20);
    assert_eq!(tokens(&mut original, 20), followed, "the fork goes on as its original");
    assert!(other.tokens().expect("the guest runs").starts_with(&past));

    let mut fresh = greedy(&model);
    let all = other.tokens().expect("the guest runs");
    fresh.append_tokens(&all[..all.len() - 20]).expect("they are in the vocabulary");
    assert_eq!(tokens(&mut fresh, 20), strayed, "the other fork goes on as a session of the same text");
}

#[test]
fn a_fork_outlives_its_original() {
    let model = open("qwen2-q8_0.gguf");
    let expected = tokens(&mut with_prompt(&model, PROMPT), 16);
    let mut original = with_prompt(&model, PROMPT);
    let begun = tokens(&mut original, 6);
    let mut fork = original.fork().expect("the guest runs");
    drop(original);
    assert_eq!([begun, tokens(&mut fork, 10)].concat(), expected);
}

#[test]
fn a_rewound_session_says_the_same_again() {
    let model = open("llama3-q4_0.gguf");
    let mut session = with_prompt(&model, PROMPT);
    let prompt = session.tokens().expect("the guest runs").len();
    let first = tokens(&mut session, 30);
    for kept in [29, 13, 1, 0] {
        session.rewind(prompt + kept).expect("the guest runs");
        assert_eq!(tokens(&mut session, 30 - kept), first[kept..], "rewound to {kept} tokens of the answer");
    }
    session.rewind(usize::MAX).expect("the guest runs");
    assert_eq!(session.tokens().expect("the guest runs").len(), prompt + 30, "there is nothing to forget");
}

#[test]
fn a_session_rewound_to_nothing_is_an_empty_one() {
    let model = open("llama-f32.gguf");
    let expected = tokens(&mut with_prompt(&model, "boats"), 8);
    let mut session = with_prompt(&model, PROMPT);
    tokens(&mut session, 8);
    session.rewind(0).expect("the guest runs");
    assert!(matches!(session.advance(), Err(Error::InvalidRequest(_))), "there is nothing to continue");
    session.append("boats", false).expect("it can be appended");
    assert_eq!(tokens(&mut session, 8), expected);
}

#[test]
fn a_conversation_goes_on_as_if_it_were_read_anew() {
    let model = open("llama-f32.gguf");
    let stop = Stop { after: Some(12), ignore_end: true, ..Stop::default() };
    let session = || model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense");
    let mut chat = Chat::new(session());
    chat.template = Template::Named("chatml".into());
    let mut say = |text: &str| -> String {
        let answer: Result<String, Error> = chat.say(text).expect("the template takes it").collect();
        answer.expect("the steps run")
    };
    let first = say("How many boats?");
    let second = say("And then?");

    let mut fresh = session();
    let messages = vec![
        Message::new("user", "How many boats?"),
        Message::new("assistant", first),
        Message::new("user", "And then?"),
    ];
    let template = Template::Named("chatml".into());
    let conversation = Conversation { messages, template, open_answer: true, ..Conversation::default() };
    fresh.converse(&conversation).expect("the template takes it");
    assert_eq!(fresh.complete().expect("the steps run"), second);
    assert_eq!(fresh.tokens().expect("the guest runs"), chat.session().tokens().expect("the guest runs"));
}

#[test]
fn control_tokens_in_what_a_user_says_are_plain_text() {
    let model = open("llama3-q4_0.gguf");
    let names = (0..model.information().vocabulary)
        .filter_map(|token| String::from_utf8(model.detokenize(&[token], true).ok()?).ok())
        .filter(|piece| piece.starts_with('<') && piece.ends_with('>') && piece.len() > 2);
    let mut checked = 0;
    for name in names {
        let structure = model.tokenize(&name, true).expect("the guest runs");
        assert_eq!(structure.len(), 1, "{name}");
        assert!(!model.tokenize(&name, false).expect("the guest runs").contains(&structure[0]), "{name}");
        let mut session = greedy(&model);
        let conversation = Conversation {
            messages: vec![Message::new("user", name.clone())],
            template: Template::Source("{{ messages[0].content }}".into()),
            ..Conversation::default()
        };
        session.converse(&conversation).expect("the template takes it");
        let tokens = session.tokens().expect("the guest runs");
        assert!(!tokens[1..].contains(&structure[0]), "{name} in a message: {tokens:?}");
        checked += 1;
    }
    assert!(checked > 0, "the vocabulary has control tokens");
}

#[test]
fn a_full_context_is_an_event() {
    let model = builder().context(64).open(golden("llama-f32.gguf")).expect("the golden model opens");
    let mut session = with_prompt(&model, "boats");
    let prompt = session.tokens().expect("the guest runs").len();
    let events = events(&mut session);
    let last = events.last().expect("there is one");
    assert_eq!((last.token, last.finish), (None, Some(Finish::ContextFull)));
    // The token after the last position is still chosen, but cannot be run.
    assert_eq!(prompt + events.len() - 1, 64 + 1);
    let again = session.advance().expect("an ended answer stays ended");
    assert_eq!((again.token, again.finish), (None, Some(Finish::ContextFull)));

    session.rewind(32).expect("the guest runs");
    assert_eq!(tokens(&mut session, 4).len(), 4, "there is room again");
}

#[test]
fn a_prompt_longer_than_the_context_is_an_event() {
    let model = builder().context(32).open(golden("llama-f32.gguf")).expect("the golden model opens");
    let mut session = with_prompt(&model, &PROMPT.repeat(10));
    let event = session.advance().expect("it is no error");
    assert_eq!((event.token, event.finish), (None, Some(Finish::ContextFull)));
    assert_eq!(tokens(&mut with_prompt(&model, "boats"), 4).len(), 4, "other sessions have their room");
}

#[test]
fn a_stop_text_across_tokens_ends_the_answer_before_it() {
    let model = open("llama-f32.gguf");
    let stop = Stop { after: Some(40), ignore_end: true, ..Stop::default() };
    let whole = {
        let mut session = model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense");
        session.append(PROMPT, false).expect("it can be appended");
        events(&mut session)
    };
    let answer = text(&whole);
    // Text of the end of one token and the beginning of the next, of whole characters.
    let characters: Vec<char> = answer.chars().collect();
    let sought = (4..characters.len() - 4)
        .map(|start| characters[start..start + 4].iter().collect::<String>())
        .find(|sought| {
            !sought.contains('\u{fffd}') && whole.iter().all(|event| !event.text.contains(sought.as_str()))
        })
        .expect("some text lies across tokens");
    let expected = &answer[..answer.find(&sought).expect("it is part of the answer")];

    let stop = Stop { texts: vec!["never said".into(), sought.clone()], ..stop };
    let mut session = model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense");
    session.append(PROMPT, false).expect("it can be appended");
    let events = events(&mut session);
    assert_eq!(text(&events), expected, "stopped at {sought:?} in {answer:?}");
    assert_eq!(events.last().and_then(|event| event.finish), Some(Finish::Stop));
}

#[test]
fn a_stop_token_ends_the_answer_and_is_not_part_of_it() {
    let model = open("llama-f32.gguf");
    let answer = tokens(&mut with_prompt(&model, PROMPT), 30);
    let place = answer.iter().position(|token| *token != answer[0]).expect("not always the same token");
    let stop = Stop { tokens: vec![answer[place]], ignore_end: true, ..Stop::default() };
    let mut session = model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense");
    session.append(PROMPT, false).expect("it can be appended");
    let events = events(&mut session);
    assert_eq!(events.len(), place + 1);
    let last = &events[place];
    assert_eq!((last.token, last.finish), (Some(answer[place]), Some(Finish::Stop)));
    let shown = model.detokenize(&answer[..place], false).expect("they are in the vocabulary");
    assert_eq!(text(&events), String::from_utf8_lossy(&shown));
}

#[test]
fn an_answer_has_at_most_the_tokens_asked_for() {
    let model = open("qwen2-q8_0.gguf");
    for after in [0, 1, 7] {
        let stop = Stop { after: Some(after), ignore_end: true, ..Stop::default() };
        let mut session = model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense");
        for _ in 0..2 {
            session.append(PROMPT, false).expect("it can be appended");
            let events = events(&mut session);
            assert_eq!(events.iter().filter(|event| event.token.is_some()).count(), after as usize);
            assert_eq!(events.last().and_then(|event| event.finish), Some(Finish::Length));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_text() {
    let model = open("llama-f32.gguf");
    let run = |seed| {
        let sampling = Sampling { seed: Some(seed), temperature: 1.5, ..Sampling::default() };
        let stop = Stop { ignore_end: true, ..Stop::default() };
        let mut session = model.session(&sampling, &stop).expect("the sampling makes sense");
        session.append(PROMPT, false).expect("it can be appended");
        tokens(&mut session, 32)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn every_format_of_the_cache_holds_a_conversation() {
    let logits = |format| {
        let model =
            builder().cache_format(format).open(golden("llama3-f32.gguf")).expect("the golden model opens");
        with_prompt(&model, PROMPT).logits().expect("the step runs")
    };
    let exact = logits(CacheFormat::F32);
    let largest = exact.iter().fold(0f32, |largest, logit| largest.max(logit.abs()));
    for (format, tolerance) in [(CacheFormat::F16, 1e-3), (CacheFormat::Q8_0, 0.03)] {
        let error = exact.iter().zip(logits(format)).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(error > 0.0 && error <= tolerance * largest, "{format:?}: off by {error} of {largest}");
    }
}

#[test]
fn a_context_that_does_not_fit_is_refused() {
    let open = |context, device_memory| {
        let limits = Limits { device_memory, ..Limits::default() };
        builder().context(context).limits(limits).open(golden("llama-f32.gguf")).map(|_| ())
    };
    assert!(matches!(open(0, 1 << 40), Err(Error::InvalidRequest(_))));
    assert!(matches!(open(u32::MAX, 1 << 40), Err(Error::OutOfMemory(_))));
    assert!(matches!(open(512, 1 << 16), Err(Error::OutOfMemory(_))));
    assert!(open(512, 16 << 20).is_ok());
}

#[test]
fn sessions_and_models_work_from_several_threads_at_once() {
    let expected = MODELS.map(|name| tokens(&mut with_prompt(&open(name), PROMPT), 16));
    let shared = open(MODELS[0]);
    std::thread::scope(|scope| {
        for (name, expected) in MODELS.iter().zip(&expected) {
            scope.spawn(move || {
                assert_eq!(&tokens(&mut with_prompt(&open(name), PROMPT), 16), expected, "{name}")
            });
        }
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(tokens(&mut with_prompt(&shared, PROMPT), 16), expected[0]));
        }
    });
}

#[test]
fn a_cancelled_step_leaves_the_session_as_it_was() {
    let model = builder().context(2048).open_default().expect("the default model opens");
    let prompt =
        model.tokenize(&"What is the capital of France? ".repeat(200), false).expect("the guest runs");
    let prompt = &prompt[..1200];
    let expected = {
        let mut session = greedy(&model);
        session.append_tokens(prompt).expect("they are in the vocabulary");
        (bits(&mut session), tokens(&mut session, 2))
    };
    let mut session = greedy(&model);
    session.append_tokens(prompt).expect("they are in the vocabulary");
    let canceller = model.canceller();
    let done = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(2));
                canceller.cancel();
            }
        });
        let result = session.advance();
        done.store(true, Ordering::Relaxed);
        result
    });
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert_eq!(session.tokens().expect("the guest runs"), prompt);
    assert_eq!((bits(&mut session), tokens(&mut session, 2)), expected);
}

#[test]
fn requests_that_make_no_sense_are_refused_and_change_nothing() {
    let model = open("llama-f32.gguf");
    let vocabulary = model.information().vocabulary;
    let invalid = |sampling: Sampling| {
        let refused = model.session(&sampling, &Stop::default()).map(|_| ());
        assert!(matches!(refused, Err(Error::InvalidRequest(_))), "{sampling:?}: {refused:?}");
    };
    invalid(Sampling { temperature: f32::NAN, ..Sampling::default() });
    invalid(Sampling { top_p: f32::NAN, ..Sampling::default() });
    invalid(Sampling { bias: vec![(vocabulary, 1.0)], ..Sampling::default() });

    let mut session = greedy(&model);
    assert!(matches!(session.logits(), Err(Error::InvalidRequest(_))));
    assert!(matches!(session.append_tokens(&[0, vocabulary]), Err(Error::InvalidRequest(_))));
    assert!(session.tokens().expect("the guest runs").is_empty());
    assert!(matches!(model.detokenize(&[vocabulary], true), Err(Error::InvalidRequest(_))));

    let mut stranger = with_prompt(&open("llama-f32.gguf"), "boats");
    assert!(matches!(model.advance(&mut [&mut stranger]), Err(Error::InvalidRequest(_))));
}

#[test]
fn the_default_model_answers_the_same_on_any_number_of_threads() {
    let ask = |threads| {
        let model = Model::builder()
            .threads(NonZeroUsize::new(threads).expect("more than none"))
            .guest_cache(Some(wasm_chord_tests::CACHE.into()))
            .open_default()
            .expect("the default model opens");
        let stop = Stop { after: Some(40), ..Stop::default() };
        let mut chat =
            Chat::new(model.session(&Sampling::greedy(), &stop).expect("greedy sampling makes sense"));
        let answer: Result<String, Error> =
            chat.say("What is the capital of France?").expect("the template takes it").collect();
        answer.expect("the steps run")
    };
    let answer = ask(1);
    assert!(answer.contains("Paris"), "{answer:?}");
    assert_eq!(ask(2), answer);
    assert_eq!(ask(3), answer);
}
