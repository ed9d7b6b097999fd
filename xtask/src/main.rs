//! The project's own tasks, run as `cargo xtask TASK`. One file per task, one `match` that names them all.
//!
//! Tasks produce data that is checked in or measured against, or other forms of the same program; nothing of the host depends on
//! them.

mod compare;
mod dist;
mod golden;
mod python;
mod synthetic;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure the speed beside llama.cpp's and that of memory
    Compare(compare::Arguments),
    /// Make the components for hosts that have WASI only, such as the program wasmtime
    Dist,
    /// Make the golden logits in tests/data/golden with Hugging Face transformers and llama.cpp
    Golden(golden::Arguments),
    /// Write a large model of random weights, for benchmarks
    Synthetic(synthetic::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Compare(arguments) => compare::run(&arguments),
        Task::Dist => dist::run(),
        Task::Golden(arguments) => golden::run(&arguments),
        Task::Synthetic(arguments) => synthetic::run(&arguments),
    }
}
