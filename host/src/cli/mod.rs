//! The command line: what can be asked for, and who does it.
//!
//! Text goes to standard output and nothing else does; all that is said about it goes to standard error.

#[cfg(not(target_family = "wasm"))]
mod bench;
mod chat;
mod completions;
mod failure;
mod info;
mod options;
mod output;
mod run;
mod statistics;
mod tokenize;

// What a machine has and a sandbox has not.
#[cfg_attr(target_family = "wasm", path = "sandboxed/interrupt.rs")]
mod interrupt;
#[cfg_attr(target_family = "wasm", path = "sandboxed/machine.rs")]
mod machine;
#[cfg_attr(target_family = "wasm", path = "sandboxed/profile.rs")]
mod profile;
#[cfg_attr(target_family = "wasm", path = "sandboxed/progress.rs")]
mod progress;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs language models whose logic is a sandboxed WebAssembly component.
#[derive(Parser)]
#[command(name = "wasm-chord", version, after_help = machine::AFTER_HELP)]
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
    #[cfg(not(target_family = "wasm"))]
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
    machine::log();
    let done = match cli.command {
        Command::Run(run) => run.execute(),
        Command::Chat(chat) => chat.execute(),
        Command::Info(info) => info.execute(),
        Command::Tokenize(tokenize) => tokenize.execute(),
        #[cfg(not(target_family = "wasm"))]
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
