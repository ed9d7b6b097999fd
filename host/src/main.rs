//! The program `wasm-chord`: runs models from the command line. It parses, calls the library and prints; all else is in the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
