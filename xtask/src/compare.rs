//! `cargo xtask compare`: the speed of wasm-chord beside llama.cpp's and beside plain reads of memory.
//!
//! Only ratios of what ran within the same minute mean something on a shared machine, so a round measures the
//! memory, ours and theirs one after the other, and ratios are made within a round before their median is taken.
//! llama.cpp is the Python package of xtask/compare/requirements.txt, built for the machine, behind its C interface.

mod machine;
mod programs;
mod streaming;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::python;
use crate::synthetic::{self, Format, ShapeName};
use machine::Machine;
use programs::{CacheType, Ours, Theirs, Work};
use streaming::Streaming;
use table::{Configuration, Report, Round};

/// Arguments of `cargo xtask compare`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Models whose dimensions to take
    #[arg(long, value_delimiter = ',', default_values = ["tinyllama-1.1b", "llama-3.2-1b"])]
    shapes: Vec<ShapeName>,
    /// Formats of the weights
    #[arg(long, value_delimiter = ',', default_values = ["Q8_0", "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "F16"])]
    formats: Vec<Format>,
    /// Numbers of threads
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values = ["1", "2"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    threads: Vec<u32>,
    /// Tokens of the prompt; 0 for none
    #[arg(long, value_name = "N", default_value_t = 512)]
    prompt: u32,
    /// Tokens to be made; 0 for none
    #[arg(long, value_name = "N", default_value_t = 128)]
    generate: u32,
    /// Tokens that are in the context already
    #[arg(long, value_name = "N", default_value_t = 0)]
    depth: u32,
    /// Sequences that make tokens side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    parallel: u32,
    /// Threads of this process that are busy meanwhile, and so take cores away from both
    #[arg(long, value_name = "N", default_value_t = 0)]
    busy: u32,
    /// How both keep keys and values
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    cache_type: CacheType,
    /// Have wasm-chord multiply with packed weights, as its option --pack says
    #[arg(long)]
    pack: bool,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// File to write every sample to
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder of the models, made when absent (default: models under target/)
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// A wasm-chord to measure (default: built in release mode)
    #[arg(long, value_name = "PROGRAM")]
    program: Option<PathBuf>,
    /// A Python that already has the packages of xtask/compare/requirements.txt (default: an environment made under
    /// target/, which builds llama.cpp and needs a C++ compiler)
    #[arg(long)]
    python: Option<PathBuf>,
}

/// Runs the task.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.prompt + arguments.generate > 0,
        "there is nothing to measure: --prompt and --generate are 0"
    );
    let ours = Ours::find(arguments.program.as_deref())?;
    let theirs = Theirs::find(arguments.python.as_deref())?;
    let folder = match &arguments.models {
        Some(folder) => folder.clone(),
        None => python::target()?.join("models"),
    };
    let mut out = std::io::stdout();
    let mut report = Report {
        machine: Machine::describe(),
        theirs: theirs.describe()?,
        cache_type: name(&arguments.cache_type),
        busy: arguments.busy,
        packed: arguments.pack,
        configurations: Vec::new(),
    };
    writeln!(out, "{}", report.header(arguments.rounds))?;
    for &shape in &arguments.shapes {
        for &format in &arguments.formats {
            let path = model(&folder, shape, format)?;
            let memory = Streaming::read(&path)?;
            for &threads in &arguments.threads {
                let work = Work {
                    model: path.clone(),
                    threads,
                    prompt: arguments.prompt,
                    generate: arguments.generate,
                    depth: arguments.depth,
                    parallel: arguments.parallel,
                    cache_type: arguments.cache_type,
                    pack: arguments.pack,
                };
                let round = |_| {
                    beside_busy(arguments.busy, || {
                        let streaming = memory.bytes_per_second(threads);
                        Ok(Round { streaming, ours: ours.measure(&work)?, theirs: theirs.measure(&work)? })
                    })
                };
                let configuration = Configuration {
                    shape: name(&shape),
                    format: name(&format),
                    threads,
                    bytes_per_token: synthetic::bytes_per_token(shape, format),
                    tests: work.tests(),
                    rounds: (0..arguments.rounds).map(round).collect::<Result<_>>()?,
                };
                write!(out, "{}", configuration.speed())?;
                out.flush()?;
                report.configurations.push(configuration);
                // After every configuration: all of them take hours.
                if let Some(file) = &arguments.json {
                    std::fs::write(file, serde_json::to_string_pretty(&report)?)
                        .with_context(|| format!("cannot write {}", file.display()))?;
                }
            }
        }
    }
    write!(out, "\n{}", report.costs())?;
    Ok(())
}

/// Do something while so many threads do nothing but take time.
fn beside_busy<T>(threads: u32, task: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let result = task();
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// The file of a synthetic model, made when absent.
fn model(folder: &Path, shape: ShapeName, format: Format) -> Result<PathBuf> {
    let path = folder.join(format!("{}-{}.gguf", name(&shape), name(&format)));
    if !path.exists() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Under another name until it is whole.
        let unfinished = path.with_extension("unfinished");
        synthetic::write(shape, format, &unfinished, 1)?;
        std::fs::rename(&unfinished, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}

/// A value's name on the command line.
fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &[&str]) -> Result<Arguments, clap::Error> {
        Line::try_parse_from([&["compare"], line].concat()).map(|line| line.arguments)
    }

    #[test]
    fn everything_is_compared_unless_said_otherwise() {
        let arguments = parse(&[]).unwrap();
        assert_eq!(arguments.shapes.iter().map(name).collect::<Vec<_>>(), ["tinyllama-1.1b", "llama-3.2-1b"]);
        let formats = ["Q8_0", "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "F16"];
        assert_eq!(arguments.formats.iter().map(name).collect::<Vec<_>>(), formats);
        assert_eq!(arguments.threads, [1, 2]);
        assert_eq!((arguments.prompt, arguments.generate, arguments.depth), (512, 128, 0));
        assert_eq!((arguments.parallel, arguments.busy), (1, 0));
        assert_eq!((arguments.rounds, name(&arguments.cache_type).as_str()), (5, "f16"));
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let line =
            ["--threads", "2,4", "--formats", "Q6_K,F16", "--shapes", "llama-3.2-1b", "--depth", "8192"];
        let arguments = parse(&line).unwrap();
        assert_eq!(arguments.threads, [2, 4]);
        assert_eq!(arguments.formats.iter().map(name).collect::<Vec<_>>(), ["Q6_K", "F16"]);
        assert_eq!((arguments.shapes.len(), arguments.depth), (1, 8192));
    }

    #[test]
    fn nothing_to_measure_is_refused() {
        assert!(parse(&["--rounds", "0"]).is_err());
        assert!(parse(&["--threads", "0"]).is_err());
        assert!(parse(&["--formats", "Q9_9"]).is_err());
        assert!(run(&parse(&["--prompt", "0", "--generate", "0"]).unwrap()).is_err());
    }
}
