//! Conversations with a model: sessions of tokens, and chats of messages on top.

use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::Result;
use crate::generation::{Conversation, Event, Finish, Message, Template};
use crate::handle::Handle;
use crate::model::Model;

/// One conversation with a model, as tokens.
pub struct Session {
    handle: Handle,
    statistics: Statistics,
    /// Tokens appended since the last step.
    pending: usize,
}

/// How much a session did, and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Tokens that were appended and run.
    pub prompt_tokens: usize,
    /// Time of the steps that ran them, the first token of each answer included.
    pub prompt_time: Duration,
    /// Tokens of answers after the first of each.
    pub tokens: usize,
    /// Time of the steps that made them.
    pub time: Duration,
}

impl Session {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, statistics: Statistics::default(), pending: 0 }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Its model.
    pub fn model(&self) -> &Model {
        self.handle.model()
    }

    /// Continue with a text. Control tokens are recognised in it only if `special`: leave it false for what users typed. Returns
    /// how many tokens that is.
    ///
    /// # Errors
    /// If the guest was stopped.
    pub fn append(&mut self, text: &str, special: bool) -> Result<usize> {
        let count = self.handle.append(text, special)? as usize;
        self.pending += count;
        Ok(count)
    }

    /// Continue with tokens as they are.
    ///
    /// # Errors
    /// [`crate::Error::InvalidRequest`] for one outside the vocabulary.
    pub fn append_tokens(&mut self, tokens: &[u32]) -> Result<()> {
        self.handle.append_tokens(tokens)?;
        self.pending += tokens.len();
        Ok(())
    }

    /// Make a conversation the whole of the session; what it has in common with it from the beginning is not run again. Control
    /// tokens in messages are plain text. Returns how many tokens are new.
    ///
    /// # Errors
    /// If the template cannot be had or refuses the conversation; the session is as before then.
    pub fn converse(&mut self, conversation: &Conversation) -> Result<usize> {
        let count = self.handle.converse(conversation)? as usize;
        self.pending = count;
        Ok(count)
    }

    /// The next token: runs what was appended first.
    ///
    /// # Errors
    /// What went wrong; the session has not changed then.
    pub fn advance(&mut self) -> Result<Event> {
        let begun = Instant::now();
        let model = self.model().clone();
        let events = model.advance(&mut [self])?;
        let event = events.into_iter().next().expect("one event for one session");
        if event.token.is_some() {
            self.count(begun.elapsed());
        }
        Ok(event)
    }

    fn count(&mut self, time: Duration) {
        if self.pending > 0 {
            self.statistics.prompt_tokens += std::mem::take(&mut self.pending);
            self.statistics.prompt_time += time;
        } else {
            self.statistics.tokens += 1;
            self.statistics.time += time;
        }
    }

    /// The answer, piece by piece, until it ends.
    pub fn pieces(&mut self) -> Pieces<'_> {
        Pieces { session: self, finish: None }
    }

    /// The answer, handed to `each` piece by piece until it ends or `each` breaks. Returns why it ended, `None` if `each` did.
    ///
    /// # Errors
    /// What went wrong; the pieces before were handed over.
    pub fn generate(&mut self, mut each: impl FnMut(&str) -> ControlFlow<()>) -> Result<Option<Finish>> {
        let mut pieces = self.pieces();
        for piece in pieces.by_ref() {
            if each(&piece?).is_break() {
                return Ok(None);
            }
        }
        Ok(pieces.finish())
    }

    /// The whole answer.
    ///
    /// # Errors
    /// What went wrong; what was said until then is lost, but still part of the session.
    pub fn complete(&mut self) -> Result<String> {
        self.pieces().collect()
    }

    /// Tokens so far: appended and yielded.
    ///
    /// # Errors
    /// If the guest was stopped.
    pub fn tokens(&self) -> Result<Vec<u32>> {
        self.handle.tokens()
    }

    /// Logits of the next token, before sampling, one for each token of the vocabulary. Runs what was appended.
    ///
    /// # Errors
    /// What went wrong; [`crate::Error::InvalidRequest`] if nothing was appended yet.
    pub fn logits(&mut self) -> Result<Vec<f32>> {
        self.pending = 0;
        self.handle.logits()
    }

    /// A second session with the same past. What both have in common is kept once.
    ///
    /// # Errors
    /// If the guest was stopped.
    pub fn fork(&self) -> Result<Session> {
        let fork = self.handle.fork()?;
        Ok(Self { handle: fork, statistics: Statistics::default(), pending: self.pending })
    }

    /// Forget all but the first `length` tokens.
    ///
    /// # Errors
    /// If the guest was stopped.
    pub fn rewind(&mut self, length: usize) -> Result<()> {
        self.pending = 0;
        self.handle.rewind(u32::try_from(length).unwrap_or(u32::MAX))
    }

    /// How much it did so far, by [`Session::advance`] and what is built on it.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }
}

/// An answer, piece by piece; [`Session::pieces`].
pub struct Pieces<'a> {
    session: &'a mut Session,
    finish: Option<Finish>,
}

impl Pieces<'_> {
    /// Why the answer ended, once it has.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.finish.is_none() {
            match self.session.advance() {
                Ok(event) => {
                    self.finish = event.finish;
                    if !event.text.is_empty() {
                        return Some(Ok(event.text));
                    }
                }
                Err(error) => {
                    self.finish = Some(Finish::Stop);
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// A conversation in messages, rendered by the model's chat template.
pub struct Chat {
    session: Session,
    /// What was said so far. May be changed between turns; what the change does not touch is not run again.
    pub messages: Vec<Message>,
    /// Which template renders them.
    pub template: Template,
    /// Further variables for the template: a JSON object.
    pub variables: Option<String>,
}

impl Chat {
    /// A conversation in an empty session.
    pub fn new(session: Session) -> Self {
        Self { session, messages: Vec::new(), template: Template::default(), variables: None }
    }

    /// Say something; the answer comes piece by piece and becomes a message when it ends or is dropped.
    ///
    /// # Errors
    /// If the template refuses the conversation; it is as before then.
    pub fn say(&mut self, text: impl Into<String>) -> Result<Answer<'_>> {
        self.messages.push(Message::new("user", text));
        self.converse()?;
        Ok(Answer { chat: self, text: String::new(), finish: None })
    }

    /// Give the messages to the session; if that fails, the last one is taken back.
    fn converse(&mut self) -> Result<()> {
        let conversation = Conversation {
            messages: self.messages.clone(),
            template: self.template.clone(),
            open_answer: true,
            variables: self.variables.clone(),
            now: SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|now| now.as_secs() as i64),
        };
        self.session.converse(&conversation).map(|_| ()).inspect_err(|_| {
            self.messages.pop();
        })
    }

    /// The session underneath.
    pub fn session(&self) -> &Session {
        &self.session
    }
}

/// The answer of a [`Chat`], piece by piece.
pub struct Answer<'a> {
    chat: &'a mut Chat,
    text: String,
    finish: Option<Finish>,
}

impl Answer<'_> {
    /// Why the answer ended, once it has.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }
}

impl Iterator for Answer<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finish.is_some() {
            return None;
        }
        let mut pieces = self.chat.session.pieces();
        let piece = pieces.next();
        self.finish = pieces.finish();
        if let Some(Ok(piece)) = &piece {
            self.text.push_str(piece);
        }
        piece
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.chat.messages.push(Message::new("assistant", std::mem::take(&mut self.text)));
    }
}
