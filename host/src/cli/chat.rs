//! `chat`: a conversation, line by line.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use wasm_chord::{Chat, Message};

use self::lines::{Input, Lines};
use super::failure::{Failure, Result};
use super::interrupt::Interrupt;
use super::options::{self, ContextOptions, ConversationOptions, ModelOptions, SamplingOptions};
use super::output::{marked, note};
use super::progress::Progress;
use super::run::Speech;
use super::statistics;

mod lines;
#[cfg_attr(target_family = "wasm", path = "sandboxed/terminal.rs")]
mod terminal;
mod transcript;

const HELP: &str = "\
/help           these commands
/clear          forget the conversation, but not the system prompt
/system TEXT    tell the model something before the conversation; without TEXT, nothing
/save FILE      write the conversation as JSON
/load FILE      go on with a conversation that was saved
/exit           leave; Ctrl-D, too
A line that ends with \\ goes on in the next; \"\"\" begins and ends a text of several lines.
Ctrl-C stops an answer and keeps what was said; on an empty line it leaves.";

#[derive(Args)]
pub(crate) struct ChatCommand {
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    context: ContextOptions,
    /// Say at the end how long it took.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    sampling: SamplingOptions,
    #[command(flatten)]
    conversation: ConversationOptions,
}

impl ChatCommand {
    pub(crate) fn execute(self) -> Result<()> {
        let begun = Instant::now();
        let progress = Progress::start("loading");
        let builder = self.context.apply(self.model.host.builder()?);
        let model = options::open(builder, self.model.model.as_deref())?;
        drop(progress);
        let load = begun.elapsed();

        let sampling = self.sampling.sampling(self.model.model.is_none());
        let mut chat = Chat::new(model.session(&sampling, &self.sampling.stop())?);
        chat.template = self.conversation.template(model.information())?.ok_or_else(Failure::no_template)?;
        chat.messages
            .extend(self.conversation.system_prompt.as_ref().map(|text| Message::new("system", text)));
        let interactive = io::stdin().is_terminal();
        if interactive {
            let name = model.information().name.as_deref().unwrap_or(&model.information().architecture);
            note(&format!("{name}; /help lists commands, Ctrl-D leaves"));
        }
        let interrupt = Interrupt::of(&model)?;
        let mut talk = Talk { chat, interrupt, options: &self.conversation, first: None };
        let ended = talk.go_on(&mut Lines::open(interactive)?, interactive);
        if self.verbose {
            statistics::report(talk.chat.session(), load, talk.first)?;
        }
        ended
    }
}

/// A conversation that goes on.
struct Talk<'a> {
    chat: Chat,
    interrupt: Interrupt,
    options: &'a ConversationOptions,
    /// From the first question to the first piece of its answer.
    first: Option<Duration>,
}

impl Talk<'_> {
    /// Until there are no more lines. Mistakes of somebody at a terminal are told; those of a script end it.
    fn go_on(&mut self, lines: &mut Lines, interactive: bool) -> Result<()> {
        loop {
            let done = match lines.next()? {
                Input::End => return Ok(()),
                Input::Text(text) if text.trim().is_empty() => Ok(()),
                Input::Text(text) => self.answer(&text),
                Input::Command(command) if command == "/exit" => return Ok(()),
                Input::Command(command) => self.obey(&command),
            };
            match done {
                Err(failure) if interactive => drop(failure.report()),
                done => done?,
            }
        }
    }

    /// Say something and write the answer. What cannot be answered was not said.
    fn answer(&mut self, text: &str) -> Result<()> {
        let before = self.chat.messages.len();
        let working = self.interrupt.work();
        let mut speech = Speech::new(Instant::now(), &working);
        let mut answer = self.chat.say(text).map_err(|error| self.options.failure(error))?;
        let said = speech.speak(&mut answer);
        let finish = answer.finish();
        drop(answer);
        self.first = self.first.or(speech.first);
        let ended = said.and_then(|()| speech.end(self.chat.session(), finish));
        if ended.is_err() && speech.first.is_none() {
            self.chat.messages.truncate(before);
        }
        // Whoever stopped it does not want to leave.
        if working.stopping() { Ok(()) } else { ended }
    }

    fn obey(&mut self, command: &str) -> Result<()> {
        let (name, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let argument = argument.trim();
        match (name, argument) {
            ("/help" | "/?", _) => note(HELP),
            ("/clear", "") => self.chat.messages.retain(|message| message.role == "system"),
            ("/system", text) => {
                self.chat.messages.retain(|message| message.role != "system");
                if !text.is_empty() {
                    self.chat.messages.insert(0, Message::new("system", text));
                }
            }
            ("/save" | "/load", "") => {
                return Err(Failure::usage(format!("{name} needs a file"), format!("{name} FILE")));
            }
            ("/save", path) => {
                transcript::save(&self.chat.messages, Path::new(path))?;
                marked("note", &format!("{} messages were written to {path}", self.chat.messages.len()));
            }
            ("/load", path) => {
                self.chat.messages = transcript::load(Path::new(path))?;
                marked("note", &format!("{} messages were read from {path}", self.chat.messages.len()));
            }
            _ => {
                return Err(Failure::usage(
                    format!("there is no command {name:?}"),
                    "/help lists the commands",
                ));
            }
        }
        Ok(())
    }
}
