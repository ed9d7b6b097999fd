//! The command line: what can be asked for, and who does it.
//!
//! Text goes to standard output and nothing else does; all that is said about it goes to standard error.

mod bench;
mod chat;
mod completions;
mod failure;
mod info;
mod interrupt;
mod options;
mod output;
mod profile;
mod run;
mod statistics;
mod tokenize;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

const EXIT_CODES: &str =
    "Exit codes: 0 success, 1 the work failed, 2 wrong usage, 3 damaged model file, 4 it does not fit \
into memory, 5 unsupported model, 130 stopped with Ctrl-C.

WASM_CHORD_LOG=debug shows what happens inside; WASM_CHORD_CACHE is the folder of compiled guests.";

/// Runs language models whose logic is a sandboxed WebAssembly component.
#[derive(Parser)]
#[command(name = "wasm-chord", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer or continue a text.
    Run(run::Run),
    /// Talk with a model.
    Chat(chat::ChatCommand),
    /// Say what a model file contains.
    Info(info::Info),
    /// Show the tokens of a text.
    Tokenize(tokenize::Tokenize),
    /// Measure the speed of a model, in the columns of llama-bench.
    Bench(bench::Bench),
    /// Print a completion script for a shell.
    Completions(completions::Completions),
}

/// Parse, do what is asked, and say with the exit code how it went.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(llama_flags(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done about a terminal that is gone.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    log();
    let done = match cli.command {
        Command::Run(run) => run.execute(),
        Command::Chat(chat) => chat.execute(),
        Command::Info(info) => info.execute(),
        Command::Tokenize(tokenize) => tokenize.execute(),
        Command::Bench(bench) => bench.execute(),
        Command::Completions(completions) => completions.execute(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// llama.cpp has short flags of several letters, which clap does not; give it the long ones.
fn llama_flags(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut flags_may_follow = true;
    let rename = |argument: OsString| {
        flags_may_follow &= argument != "--";
        match argument.to_str() {
            Some("-sys") if flags_may_follow => "--system-prompt".into(),
            Some("-ctk") if flags_may_follow => "--cache-type".into(),
            _ => argument,
        }
    };
    arguments.map(rename).collect()
}

/// Show warnings of the library, or what `WASM_CHORD_LOG` asks for.
fn log() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::WARN.into())
        .with_env_var("WASM_CHORD_LOG")
        .from_env_lossy();
    let colours = std::io::stderr().is_terminal() && output::colours_allowed();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_llama_are_understood_until_flags_end() {
        let renamed = llama_flags(["run", "-sys", "x", "--", "-sys"].map(OsString::from).into_iter());
        assert_eq!(renamed, ["run", "--system-prompt", "x", "--", "-sys"]);
    }
}
