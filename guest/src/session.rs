//! One conversation: its tokens, how far they were run, and how its answer goes on.

use std::rc::Rc;

use crate::bindings::wasm_chord::inference::kernels::{Continuation, Failure};
use crate::bindings::wasm_chord::inference::tensors::Sequence;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::output::Output;
use crate::sampler::{Sampler, Sampling};

/// When to stop, counted from the last append.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Most tokens of an answer.
    pub tokens: Option<u32>,
    /// Texts that end it.
    pub stop: Vec<String>,
    /// Tokens that end it, besides the model's own.
    pub stop_tokens: Vec<u32>,
    /// Go on past the model's own end.
    pub ignore_end: bool,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop text or token came.
    Stop,
    /// The token limit was reached.
    Length,
    /// No position is left.
    ContextFull,
}

/// What one session produced in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The token; none if there was no room for it.
    pub token: Option<u32>,
    /// Text that became certain with it.
    pub text: String,
    /// Set once the answer has ended.
    pub finish: Option<Finish>,
}

/// One conversation.
pub struct Session {
    model: Rc<Model>,
    /// Keys and values of `tokens[..run]`.
    sequence: Sequence,
    /// Tokens that were run. The sequence knows it, too, but asking the host for every token is slower than counting.
    run: usize,
    /// Everything appended and yielded.
    tokens: Vec<u32>,
    /// Logits of the token after the last, if all were run and none was drawn from them yet.
    logits: Option<Logits>,
    sampler: Sampler,
    limits: Limits,
    answer: Answer,
}

/// What is known of the next token.
#[derive(Clone)]
enum Logits {
    /// `(vocabulary)`
    All(Vec<f32>),
    /// The highest with their tokens, highest first: as many as the sampler needs.
    Top(Vec<(u32, f32)>),
}

/// The state of an answer.
#[derive(Clone)]
struct Answer {
    output: Output,
    tokens: u32,
    finish: Option<Finish>,
}

impl Answer {
    fn new(limits: &Limits) -> Self {
        Self { output: Output::new(&limits.stop), tokens: 0, finish: None }
    }
}

impl Session {
    /// An empty session.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for sampling that makes no sense.
    pub fn new(model: &Rc<Model>, sampling: Sampling, limits: Limits) -> Result<Self> {
        let sampler = Sampler::new(sampling, model.tokenizer.vocabulary_size())?;
        let answer = Answer::new(&limits);
        let (model, sequence) = (model.clone(), model.sequence());
        Ok(Self { model, sequence, run: 0, tokens: Vec::new(), logits: None, sampler, limits, answer })
    }

    /// Continue with a text; returns how many tokens were appended.
    pub fn append(&mut self, text: &str, special: bool) -> usize {
        let tokens = self.encode(text, special, self.tokens.is_empty());
        self.extend(&tokens);
        tokens.len()
    }

    /// Make a rendered conversation, its messages [guarded](crate::tokenizer::Tokenizer::guard), the whole of the session; returns
    /// how many tokens are new.
    pub fn rewrite(&mut self, text: &str) -> usize {
        let tokens = self.encode(text, true, true);
        let common = tokens.iter().zip(&self.tokens).take_while(|(new, old)| new == old).count();
        self.rewind(common);
        self.extend(&tokens[common..]);
        tokens.len() - common
    }

    /// Tokens of a text; one that opens a session begins with the token that the file wants there, once.
    fn encode(&self, text: &str, special: bool, opens: bool) -> Vec<u32> {
        let tokenizer = &self.model.tokenizer;
        let tokens = tokenizer.encode(text, special);
        if opens { tokenizer.with_beginning(tokens) } else { tokens }
    }

    /// Continue with tokens as they are.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for one outside the vocabulary.
    pub fn append_tokens(&mut self, tokens: &[u32]) -> Result<()> {
        let vocabulary = self.model.tokenizer.vocabulary_size();
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(Error::InvalidRequest(format!("token {token} of a vocabulary of {vocabulary}")));
        }
        self.extend(tokens);
        Ok(())
    }

    fn extend(&mut self, tokens: &[u32]) {
        if !tokens.is_empty() {
            self.tokens.extend_from_slice(tokens);
            self.logits = None;
        }
        self.answer = Answer::new(&self.limits);
    }

    /// Tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Its model.
    pub fn model(&self) -> &Rc<Model> {
        &self.model
    }

    /// Whether it is one of `model`.
    pub fn belongs_to(&self, model: &Rc<Model>) -> bool {
        Rc::ptr_eq(&self.model, model)
    }

    /// Forget all but the first `length` tokens.
    pub fn rewind(&mut self, length: usize) {
        if length < self.tokens.len() {
            self.tokens.truncate(length);
            self.forget(length);
            self.logits = None;
        }
        self.answer = Answer::new(&self.limits);
    }

    /// Keep the keys and values of the first `length` tokens only.
    fn forget(&mut self, length: usize) {
        self.run = self.run.min(length);
        self.sequence.truncate(self.run as u32);
    }

    /// A second session with the same past.
    pub fn fork(&self) -> Self {
        Self {
            model: self.model.clone(),
            sequence: self.sequence.fork(),
            run: self.run,
            tokens: self.tokens.clone(),
            logits: self.logits.clone(),
            sampler: self.sampler.clone(),
            limits: self.limits.clone(),
            answer: self.answer.clone(),
        }
    }

    /// Logits of the next token, `(vocabulary)`.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for an empty session, [`Error::OutOfMemory`] if the context is full.
    pub fn logits(&mut self) -> Result<&[f32]> {
        if !matches!(self.logits, Some(Logits::All(_))) {
            self.logits = None;
            if !run_pending(&mut [self], Want::All)?.is_empty() {
                return Err(Error::OutOfMemory("the context is full".into()));
            }
        }
        match &self.logits {
            Some(Logits::All(logits)) => Ok(logits),
            _ => unreachable!("all logits were asked for"),
        }
    }

    /// Draw the next token from the logits.
    fn next(&mut self) -> Result<Event> {
        let token = match self.logits.as_ref().expect("all tokens were run") {
            Logits::All(logits) => self.sampler.sample(logits, &self.tokens)?,
            Logits::Top(top) => self.sampler.sample_top(top)?,
        };
        self.tokens.push(token);
        self.logits = None;
        self.answer.tokens += 1;

        let tokenizer = &self.model.tokenizer;
        let ends = tokenizer.ends_generation(token) && !self.limits.ignore_end
            || self.limits.stop_tokens.contains(&token);
        let (mut text, stopped) = if ends {
            (String::new(), false)
        } else {
            self.answer.output.push(tokenizer.piece(token, false))
        };
        let finish = if ends || stopped {
            Some(Finish::Stop)
        } else if self.limits.tokens.is_some_and(|limit| self.answer.tokens >= limit) {
            Some(Finish::Length)
        } else {
            None
        };
        if finish.is_some() && !stopped {
            text.push_str(&self.answer.output.finish());
        }
        self.answer.finish = finish;
        Ok(Event { token: Some(token), text, finish })
    }

    /// End the answer without a token.
    fn end(&mut self, finish: Finish) -> Event {
        let text = self.answer.output.finish();
        self.answer.finish = Some(finish);
        Event { token: None, text, finish: Some(finish) }
    }
}

/// One batched step: each session runs what is pending and yields its next token, unless its answer has ended.
///
/// # Errors
/// [`Error::InvalidRequest`] for an empty session, or what the host says. No session has yielded a token then.
pub fn advance(sessions: &mut [&mut Session]) -> Result<Vec<Event>> {
    let mut events: Vec<Option<Event>> = sessions
        .iter_mut()
        .map(|session| match session.answer.finish {
            Some(finish) => Some(session.end(finish)),
            None if session.limits.tokens == Some(0) => Some(session.end(Finish::Length)),
            None => None,
        })
        .collect();

    let going: Vec<usize> = (0..sessions.len()).filter(|&index| events[index].is_none()).collect();
    let mut active: Vec<&mut Session> = sessions
        .iter_mut()
        .zip(&events)
        .filter_map(|(session, event)| event.is_none().then_some(&mut **session))
        .collect();
    let full = run_pending(&mut active, Want::WhatSuffices)?;

    // Draw from all logits before anything is kept, so that one bad session does not cost another its token.
    for session in &active {
        match &session.logits {
            Some(Logits::All(logits)) => session.sampler.check(logits)?,
            Some(Logits::Top(top)) => session.sampler.check_top(top)?,
            None => {}
        }
    }
    for (index, session) in active.into_iter().enumerate() {
        let event = if full.contains(&index) { session.end(Finish::ContextFull) } else { session.next()? };
        events[going[index]] = Some(event);
    }
    Ok(events.into_iter().map(|event| event.expect("every session has its event")).collect())
}

/// Which logits to read back after a step.
#[derive(Clone, Copy)]
enum Want {
    /// All of them.
    All,
    /// As few as the session's sampler needs.
    WhatSuffices,
}

/// Run what is pending in batched steps until every session has logits. Returns the indices of those without room.
fn run_pending(sessions: &mut [&mut Session], want: Want) -> Result<Vec<usize>> {
    let mut full = Vec::new();
    for (index, session) in sessions.iter_mut().enumerate() {
        if session.tokens.is_empty() {
            return Err(Error::InvalidRequest("nothing was appended to the session".into()));
        }
        if session.logits.is_none() && session.run >= session.tokens.len() {
            // All were run, but the logits are gone: the last token runs again.
            session.forget(session.tokens.len() - 1);
        }
        if session.tokens.len() > session.model.information.context as usize {
            full.push(index);
        }
    }
    loop {
        let waiting: Vec<usize> = (0..sessions.len())
            .filter(|index| sessions[*index].logits.is_none() && !full.contains(index))
            .collect();
        if waiting.is_empty() {
            return Ok(full);
        }
        match run_step(sessions, &waiting, want) {
            Ok(()) => {}
            // Together they do not fit; one after the other, some may.
            Err(Failure::CacheFull) => {
                for index in waiting {
                    match run_step(sessions, &[index], want) {
                        Ok(()) => {}
                        Err(Failure::CacheFull) => full.push(index),
                        Err(failure) => return Err(failure.into()),
                    }
                }
            }
            Err(failure) => return Err(failure.into()),
        }
    }
}

/// One step with as many pending tokens of the sessions `which` as fit, in their order.
fn run_step(sessions: &mut [&mut Session], which: &[usize], want: Want) -> std::result::Result<(), Failure> {
    let Some(&first) = which.first() else { return Ok(()) };
    let model = sessions[first].model.clone();
    let mut room = model.step_limit;
    let mut continuations = Vec::new();
    let mut complete = Vec::new();
    for &index in which {
        let session = &*sessions[index];
        let pending = &session.tokens[session.run..];
        let tokens = &pending[..pending.len().min(room)];
        if tokens.is_empty() {
            break;
        }
        room -= tokens.len();
        let done = tokens.len() == pending.len();
        if done {
            complete.push(index);
        }
        continuations.push(Continuation {
            sequence: &session.sequence,
            tokens: tokens.to_vec(),
            outputs: u32::from(done),
        });
    }
    let counts: Vec<usize> = continuations.iter().map(|continuation| continuation.tokens.len()).collect();
    let result = model.run(&continuations);
    drop(continuations);
    for (&index, count) in which.iter().zip(counts) {
        let session = &mut *sessions[index];
        match &result {
            Ok(()) => session.run += count,
            Err(_) => session.forget(session.run),
        }
    }
    result?;
    for (row, index) in (0..).zip(complete) {
        let session = &mut *sessions[index];
        session.logits = Some(match (want, session.sampler.top()) {
            (Want::WhatSuffices, Some(count)) => Logits::Top(model.top_logits(row, count)),
            _ => Logits::All(model.logits(row)),
        });
    }
    Ok(())
}
