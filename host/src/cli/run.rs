//! `run`: one text in, one answer out.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use wasm_chord::{Chat, Finish, Message, Session};

use super::failure::{Failure, Result};
use super::interrupt::{Interrupt, Working};
use super::options::{self, ContextOptions, ConversationOptions, ModelOptions, SamplingOptions};
use super::output::{Text, marked};
use super::profile::ProfileOptions;
use super::progress::Progress;
use super::statistics;

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    context: ContextOptions,
    /// Continue the text as it is, without a chat template.
    #[arg(long, conflicts_with_all = ["system_prompt", "chat_template", "chat_template_file"])]
    no_chat: bool,
    /// Recognise control tokens in the text that is continued.
    #[arg(long, requires = "no_chat")]
    special: bool,
    /// Say at the end how long it took.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    profile: ProfileOptions,
    #[command(flatten)]
    sampling: SamplingOptions,
    #[command(flatten)]
    conversation: ConversationOptions,
}

/// A text: given, from a file, or from standard input.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct Input {
    /// The text; standard input if absent.
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// The text.
    #[arg(short, long, value_name = "TEXT")]
    prompt: Option<String>,
    /// A file with the text; a line break at its end does not count.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Input {
    pub(crate) fn read(self) -> Result<String> {
        if let Some(text) = self.text.or(self.prompt) {
            return Ok(text);
        }
        let mut text = match &self.file {
            Some(path) => fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?,
            None if io::stdin().is_terminal() => {
                let hint =
                    "give one: wasm-chord run \"What is the capital of France?\", or talk: wasm-chord chat";
                return Err(Failure::usage("there is no text", hint));
            }
            None => {
                let mut text = String::new();
                io::stdin().lock().read_to_string(&mut text).map_err(|error| {
                    Failure::work(format!("cannot read standard input: {error}"), "the text must be UTF-8")
                })?;
                text
            }
        };
        let line_break = if text.ends_with("\r\n") { 2 } else { usize::from(text.ends_with('\n')) };
        text.truncate(text.len() - line_break);
        Ok(text)
    }
}

impl Run {
    pub(crate) fn execute(self) -> Result<()> {
        let begun = Instant::now();
        let text = self.input.read()?;
        if text.is_empty() {
            return Err(Failure::usage("the text is empty", "give the model something to read"));
        }
        let progress = Progress::start("loading");
        let builder = self.context.apply(self.model.host.builder()?);
        let (builder, mut profile) = self.profile.begin(&self.model.host.machine, builder)?;
        let model = options::open(builder, self.model.model.as_deref())?;
        drop(progress);
        let load = begun.elapsed();
        if let Some(profile) = &mut profile {
            profile.start(&model);
        }

        let sampling = self.sampling.sampling(self.model.model.is_none());
        let mut session = model.session(&sampling, &self.sampling.stop())?;
        let template = if self.no_chat { None } else { self.conversation.template(model.information())? };
        let interrupt = Interrupt::of(&model)?;
        let working = interrupt.work();
        let mut speech = Speech::new(begun, &working);

        let chat;
        let (said, finish, session) = if let Some(template) = template {
            let mut talk = Chat::new(session);
            talk.template = template;
            talk.messages
                .extend(self.conversation.system_prompt.as_ref().map(|text| Message::new("system", text)));
            let mut answer = talk.say(text).map_err(|error| self.conversation.failure(error))?;
            let (said, finish) = (speech.speak(&mut answer), answer.finish());
            drop(answer);
            chat = talk;
            (said, finish, chat.session())
        } else if self.conversation.system_prompt.is_some() {
            return Err(Failure::no_template());
        } else {
            session.append(&text, self.special)?;
            let mut pieces = session.pieces();
            let (said, finish) = (speech.speak(&mut pieces), pieces.finish());
            (said, finish, &session)
        };
        let ended = said.and_then(|()| speech.end(session, finish));
        if self.verbose {
            statistics::report(session, load, speech.first)?;
        }
        if let Some(profile) = profile {
            profile.report(&model)?;
        }
        ended
    }
}

/// An answer on its way to standard output.
pub(crate) struct Speech<'a> {
    begun: Instant,
    working: &'a Working<'a>,
    out: Text,
    /// Until the first piece.
    pub(crate) first: Option<Duration>,
}

impl<'a> Speech<'a> {
    /// Nothing said yet; times count from `begun`.
    pub(crate) fn new(begun: Instant, working: &'a Working<'a>) -> Self {
        Self { begun, working, out: Text::to_stdout(), first: None }
    }

    /// Write pieces as they come, until they end or the user has had enough.
    pub(crate) fn speak(
        &mut self,
        pieces: &mut dyn Iterator<Item = wasm_chord::Result<String>>,
    ) -> Result<()> {
        let mut progress = Some(Progress::start("reading the prompt"));
        let mut said = Ok(());
        while said.is_ok() && !self.working.stopping() {
            let Some(piece) = pieces.next() else { break };
            progress = None;
            said = piece.map_err(Failure::from).and_then(|piece| {
                self.first.get_or_insert_with(|| self.begun.elapsed());
                self.out.write(&piece)
            });
        }
        drop(progress);
        let stopped = if self.working.stopping() { Err(Failure::interrupted()) } else { said };
        stopped.and(self.out.end_line())
    }

    /// Say why the answer is not longer, if it was not the model's or the user's choice.
    pub(crate) fn end(&self, session: &Session, finish: Option<Finish>) -> Result<()> {
        if finish != Some(Finish::ContextFull) {
            return Ok(());
        }
        let context = session.model().information().context;
        let tokens = session.tokens()?.len();
        if self.first.is_none() && tokens > context as usize {
            return Err(Failure::context(tokens, context));
        }
        marked("note", &format!("the context of {context} positions is full; -c N makes it larger"));
        Ok(())
    }
}
