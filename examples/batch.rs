//! Several sessions in one batched step: the weights are read once for all of them.
//!
//! ```sh
//! cargo run --release -p wasm-chord-examples --example batch -- [MODEL.gguf]
//! ```
//!
//! Sessions may join and leave between steps; no answer depends on its neighbours.

use std::io::{Write, stdout};

use wasm_chord::{Conversation, Message, Model, Sampling, Session, Stop};

const QUESTIONS: [&str; 4] = [
    "What is the capital of France?",
    "What is the opposite of hot?",
    "What is 7 plus 5?",
    "What day comes after Monday?",
];

fn main() -> anyhow::Result<()> {
    let model = match std::env::args_os().nth(1) {
        Some(file) => Model::open(file)?,
        None => Model::open_default()?,
    };
    let mut answers = QUESTIONS.map(|_| String::new());
    let mut running: Vec<(usize, Session)> = Vec::new();
    for (index, question) in QUESTIONS.into_iter().enumerate() {
        let mut session = model.session(&Sampling::greedy(), &Stop { after: Some(64), ..Stop::default() })?;
        session.converse(&Conversation {
            messages: vec![Message::new("user", question)],
            open_answer: true,
            ..Conversation::default()
        })?;
        running.push((index, session));
    }

    let mut steps = 0;
    while !running.is_empty() {
        let mut sessions: Vec<&mut Session> = running.iter_mut().map(|(_, session)| session).collect();
        let events = model.advance(&mut sessions)?;
        steps += 1;
        let mut events = events.into_iter();
        running.retain(|(index, _)| {
            events.next().is_some_and(|event| {
                answers[*index] += &event.text;
                event.finish.is_none()
            })
        });
    }

    let mut out = stdout().lock();
    for (question, answer) in QUESTIONS.iter().zip(answers) {
        writeln!(out, "> {question}\n{answer}")?;
    }
    Ok(writeln!(out, "({steps} steps)")?)
}
