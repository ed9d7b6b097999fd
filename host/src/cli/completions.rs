//! `completions`: scripts that let shells complete this program's arguments.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::failure::Result;
use super::output::Text;

#[derive(Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn execute(self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "wasm-chord", &mut script);
        Text::to_stdout().raw(&script)
    }
}
