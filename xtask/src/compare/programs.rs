//! The two programs: where they are, how they are called, what they say.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::name;
use crate::python;

/// How keys and values are kept.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum CacheType {
    #[value(name = "f32")]
    F32,
    #[value(name = "f16")]
    F16,
    #[value(name = "q8_0")]
    Q8_0,
}

/// What both are given to do.
pub(super) struct Work {
    pub(super) model: PathBuf,
    pub(super) threads: u32,
    /// Tokens of a prompt, tokens to make, tokens before either.
    pub(super) prompt: u32,
    pub(super) generate: u32,
    pub(super) depth: u32,
    /// Sequences that make tokens side by side.
    pub(super) parallel: u32,
    pub(super) cache_type: CacheType,
    /// Whether wasm-chord packs weights.
    pub(super) pack: bool,
}

/// What one program did in one round.
#[derive(Serialize, Deserialize)]
pub(super) struct Measured {
    /// One for each test, as all lists here.
    pub(super) tokens_per_second: Vec<f64>,
    /// What guest and boundary take of it; nothing where there are none.
    #[serde(default)]
    pub(super) sandbox_ns_per_token: Vec<f64>,
    /// Until the first token was there: ours from the start of the process to its end, theirs from the loading of the
    /// model, since Python's start is none of llama.cpp's.
    pub(super) ready_seconds: f64,
    /// Most memory that was not of a file, where the system tells it; theirs with Python's.
    #[serde(default)]
    pub(super) private_bytes: Option<u64>,
}

/// One test.
#[derive(Serialize)]
pub(super) struct Test {
    /// As llama-bench writes it.
    pub(super) name: String,
    /// Tokens that pass through all the weights together, if they are few.
    pub(super) tokens_per_pass: Option<u32>,
}

impl Work {
    /// The tests in the order of both programs.
    pub(super) fn tests(&self) -> Vec<Test> {
        let parallel = if self.parallel > 1 { format!(" x{}", self.parallel) } else { String::new() };
        let depth = if self.depth > 0 { format!(" @ d{}", self.depth) } else { String::new() };
        [
            (self.prompt, Test { name: format!("pp{}{depth}", self.prompt), tokens_per_pass: None }),
            (
                self.generate,
                Test {
                    name: format!("tg{}{parallel}{depth}", self.generate),
                    tokens_per_pass: Some(self.parallel),
                },
            ),
        ]
        .into_iter()
        .filter(|(tokens, _)| *tokens > 0)
        .map(|(_, test)| test)
        .collect()
    }
}

/// wasm-chord's command line.
pub(super) struct Ours {
    program: PathBuf,
}

/// What is needed of a row of `wasm-chord bench -o json`.
#[derive(Deserialize)]
struct Row {
    avg_ts: f64,
    guest_ns_per_token: u64,
    boundary_ns_per_token: u64,
}

impl Ours {
    /// `program`, or what cargo builds.
    pub(super) fn find(program: Option<&Path>) -> Result<Self> {
        if let Some(program) = program {
            return Ok(Self { program: program.to_owned() });
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "--package", "wasm-chord"]).current_dir(python::root()?);
        // Relative to where this runs, not to the root.
        let target = std::path::absolute(python::target()?)?;
        python::finish(build.env("CARGO_TARGET_DIR", &target))?;
        let program = format!("wasm-chord{}", std::env::consts::EXE_SUFFIX);
        Ok(Self { program: target.join("release").join(program) })
    }

    pub(super) fn measure(&self, work: &Work) -> Result<Measured> {
        let command = |task: &str| {
            let mut command = Command::new(&self.program);
            command.arg(task).arg("--model").arg(&work.model).args(["--threads", &work.threads.to_string()]);
            command.args(["--cache-type", &name(&work.cache_type)]);
            command.args(work.pack.then_some("--pack"));
            command
        };
        let mut first = command("run");
        first.args(["--predict", "1", "--no-chat", "--ignore-eos", "a"]);
        let begun = Instant::now();
        output(&mut first)?;
        let ready_seconds = begun.elapsed().as_secs_f64();

        let mut bench = command("bench");
        bench.args(["--repetitions", "1", "--output", "json"]);
        for (option, tokens) in [
            ("--n-prompt", work.prompt),
            ("--n-gen", work.generate),
            ("--n-depth", work.depth),
            ("--n-parallel", work.parallel),
        ] {
            bench.args([option, &tokens.to_string()]);
        }
        let (text, private_bytes) = watch(&mut bench)?;
        let rows: Vec<Row> =
            serde_json::from_str(&text).context("wasm-chord bench says something unexpected")?;
        ensure!(rows.len() == work.tests().len(), "wasm-chord bench measured something else");
        Ok(Measured {
            tokens_per_second: rows.iter().map(|row| row.avg_ts).collect(),
            sandbox_ns_per_token: rows
                .iter()
                .map(|row| (row.guest_ns_per_token + row.boundary_ns_per_token) as f64)
                .collect(),
            ready_seconds,
            private_bytes,
        })
    }
}

/// llama.cpp, driven by xtask/compare/llama.py.
pub(super) struct Theirs {
    python: PathBuf,
    script: PathBuf,
}

impl Theirs {
    /// In `python`, or in an environment made for it.
    pub(super) fn find(python: Option<&Path>) -> Result<Self> {
        let folder = python::root()?.join("xtask/compare");
        let python = match python {
            Some(python) => python.to_owned(),
            None => python::environment("compare-python", &folder.join("requirements.txt"))?,
        };
        Ok(Self { python, script: folder.join("llama.py") })
    }

    /// Version and what it was built for.
    pub(super) fn describe(&self) -> Result<String> {
        let text = output(Command::new(&self.python).arg(&self.script).arg("--describe"))?;
        Ok(text.trim().to_owned())
    }

    pub(super) fn measure(&self, work: &Work) -> Result<Measured> {
        let mut command = Command::new(&self.python);
        command.arg(&self.script).arg("--model").arg(&work.model);
        command.args(["--cache-type", &name(&work.cache_type)]);
        for (option, number) in [
            ("--threads", work.threads),
            ("--prompt", work.prompt),
            ("--generate", work.generate),
            ("--depth", work.depth),
            ("--parallel", work.parallel),
        ] {
            command.args([option, &number.to_string()]);
        }
        let (text, private_bytes) = watch(&mut command)?;
        let measured: Measured =
            serde_json::from_str(&text).context("xtask/compare/llama.py says something unexpected")?;
        ensure!(measured.tokens_per_second.len() == work.tests().len(), "llama.py measured something else");
        Ok(Measured { private_bytes, ..measured })
    }
}

/// What a command writes.
fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    ensure!(output.status.success(), "{name} ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a command writes, and the most private memory that it was seen to have.
fn watch(command: &mut Command) -> Result<(String, Option<u64>)> {
    let name = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut stdout = child.stdout.take().context("standard output is piped")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let mut most = None;
    let status = loop {
        most = most.max(private_bytes(child.id()));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // Seldom enough to take nothing from what is measured.
        std::thread::sleep(Duration::from_millis(50));
    };
    ensure!(status.success(), "{name} ended with {status}");
    let text = reader.join().ok().context("the reader of a pipe does not panic")??;
    Ok((text, most))
}

/// Memory of a process that is of no file, where the system tells it.
fn private_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.strip_suffix("kB"))?;
    kilobytes.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_named_as_llama_bench_does() {
        let mut work = Work {
            model: PathBuf::new(),
            threads: 1,
            prompt: 512,
            generate: 128,
            depth: 0,
            parallel: 1,
            cache_type: CacheType::F16,
            pack: false,
        };
        let names = |work: &Work| work.tests().into_iter().map(|test| test.name).collect::<Vec<_>>();
        assert_eq!(names(&work), ["pp512", "tg128"]);
        (work.prompt, work.depth) = (0, 8192);
        assert_eq!(names(&work), ["tg128 @ d8192"]);
        (work.parallel, work.depth) = (8, 0);
        assert_eq!(names(&work), ["tg128 x8"]);
    }

    #[test]
    fn what_llama_says_needs_no_fields_of_ours() {
        let text = r#"{"tokens_per_second": [12.5], "ready_seconds": 0.25}"#;
        let measured: Measured = serde_json::from_str(text).unwrap();
        assert_eq!((measured.tokens_per_second, measured.private_bytes), (vec![12.5], None));
        assert!(measured.sandbox_ns_per_token.is_empty());
    }
}
