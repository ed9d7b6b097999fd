//! `bench`: the speed of a model, in the columns and fields of llama-bench, and what the sandbox costs of it.
//!
//! `pp` runs a prompt of random tokens in one go, `tg` makes tokens one by one, of one sequence or of several side by side. Unlike
//! llama-bench's, both include the choice of the token, since the guest does it. What guest and boundary cost is measured in a pass
//! of its own: measuring takes time, too.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;
use wasm_chord::kernels::cpu::Cpu;
use wasm_chord::{Meter, Model, Sampling, Session, Stop};

use super::failure::{Failure, Result};
use super::options::{self, CacheType, ModelOptions};
use super::output::Text;
use super::progress::Progress;
use super::statistics::{parameters, size};

#[derive(Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    model: ModelOptions,
    /// Tokens of the prompts; 0 for none.
    #[arg(short = 'p', long, value_name = "N,...", value_delimiter = ',', default_value = "512")]
    n_prompt: Vec<u32>,
    /// Tokens to be made; 0 for none.
    #[arg(short = 'n', long, value_name = "N,...", value_delimiter = ',', default_value = "128")]
    n_gen: Vec<u32>,
    /// Tokens that are in the context already.
    #[arg(short = 'd', long, value_name = "N,...", value_delimiter = ',', default_value = "0")]
    n_depth: Vec<u32>,
    /// Sequences that make tokens side by side, each as many as -n says.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u32).range(1..=512))]
    n_parallel: Vec<u32>,
    /// How often each test runs, after once to warm up.
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// A table or a JSON array.
    #[arg(short, long, value_name = "FORMAT", default_value = "md")]
    output: Format,
}

impl CacheType {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Md,
    Json,
}

/// One row: `prompt` tokens in one go or `generate` tokens one by one, after `depth` others, in `parallel` sequences.
#[derive(Clone, Copy)]
struct Test {
    prompt: u32,
    generate: u32,
    depth: u32,
    parallel: u32,
}

impl Test {
    /// As llama-bench writes it.
    fn name(self) -> String {
        let mut name =
            if self.prompt > 0 { format!("pp{}", self.prompt) } else { format!("tg{}", self.generate) };
        if self.parallel > 1 {
            name += &format!(" x{}", self.parallel);
        }
        if self.depth > 0 {
            name += &format!(" @ d{}", self.depth);
        }
        name
    }

    /// Of all sequences.
    fn tokens(self) -> u64 {
        u64::from(self.parallel) * (u64::from(self.prompt) + u64::from(self.generate))
    }

    /// Positions that all sequences need: one more each than is asked for, since making tokens begins with one.
    fn positions(self) -> u64 {
        u64::from(self.parallel) * (u64::from(self.depth) + 1) + self.tokens()
    }

    /// Bring sessions to their depth, then run the test once. Sessions beyond those of the test are emptied.
    fn run(self, model: &Model, sessions: &mut [Session], tokens: &[u32]) -> wasm_chord::Result<Duration> {
        let depth = self.depth as usize;
        let (sessions, others) = sessions.split_at_mut(self.parallel as usize);
        others.iter_mut().try_for_each(|session| session.rewind(0))?;
        for session in &mut *sessions {
            if session.tokens()?.len() < depth {
                session.rewind(0)?;
                session.append_tokens(&tokens[..depth])?;
                session.advance()?;
            }
            session.rewind(depth)?;
        }
        let (new, steps) = if self.prompt > 0 { (self.prompt, 1) } else { (1, self.generate) };
        let begun = Instant::now();
        for (index, session) in sessions.iter_mut().enumerate() {
            session.append_tokens(&tokens[depth + index..][..new as usize])?;
        }
        let mut sessions: Vec<&mut Session> = sessions.iter_mut().collect();
        for _ in 0..steps {
            model.advance(&mut sessions)?;
        }
        Ok(begun.elapsed())
    }
}

/// What was measured, with the fields of llama-bench that mean something here, and our own at the end.
#[derive(Serialize)]
struct Row {
    build_version: &'static str,
    cpu_info: String,
    gpu_info: &'static str,
    backends: &'static str,
    model_filename: String,
    model_type: String,
    model_size: u64,
    model_n_params: u64,
    n_threads: usize,
    type_k: &'static str,
    type_v: &'static str,
    n_prompt: u32,
    n_gen: u32,
    n_depth: u32,
    n_parallel: u32,
    avg_ns: u64,
    stddev_ns: u64,
    avg_ts: f64,
    stddev_ts: f64,
    samples_ns: Vec<u64>,
    samples_ts: Vec<f64>,
    guest_ns_per_token: u64,
    boundary_ns_per_token: u64,
    host_ns_per_token: u64,
    host_calls_per_token: f64,
}

impl Bench {
    pub(crate) fn execute(self) -> Result<()> {
        let tests = self.tests();
        if tests.is_empty() {
            return Err(Failure::usage("there is nothing to measure", "give -p or -n a number above 0"));
        }
        let positions = tests.iter().map(|test| test.positions()).max().unwrap_or(1);
        let positions = u32::try_from(positions)
            .map_err(|_| Failure::usage("the tests are longer than any context", "use smaller numbers"))?;

        let progress = Progress::start("loading");
        let cpu = Cpu::new(self.model.host.machine.threads);
        let threads = cpu.threads();
        let builder = self.model.host.builder()?.context(positions).device(Arc::new(cpu));
        let model = options::open(builder, self.model.model.as_deref())?;
        drop(progress);

        let stop = Stop { ignore_end: true, ..Stop::default() };
        let most = tests.iter().map(|test| test.parallel).max().unwrap_or(1);
        let mut sessions = (0..most)
            .map(|_| model.session(&Sampling::greedy(), &stop))
            .collect::<wasm_chord::Result<Vec<Session>>>()?;
        let tokens = random_tokens(positions as usize, model.information().vocabulary);
        let mut out = Text::to_stdout();
        if self.output == Format::Md {
            out.line("| model | size | params | backend | threads | test | t/s |")?;
            out.line("| --- | ---: | ---: | --- | ---: | ---: | ---: |")?;
        }
        let mut rows = Vec::new();
        for &test in &tests {
            let progress = Progress::start(test.name());
            let mut run = || test.run(&model, &mut sessions, &tokens);
            run()?;
            let samples: wasm_chord::Result<Vec<Duration>> = (0..self.repetitions).map(|_| run()).collect();
            drop(progress);
            let row = self.row(&model, threads, test, &samples?);
            if self.output == Format::Md {
                out.line(&row.speed(test))?;
            }
            rows.push(row);
        }
        for (row, &test) in rows.iter_mut().zip(&tests) {
            // To its depth first: that is not part of the test.
            Test { prompt: 1, generate: 0, ..test }.run(&model, &mut sessions, &tokens)?;
            model.start_meter();
            test.run(&model, &mut sessions, &tokens)?;
            row.add(&model.meter(), test);
        }
        match self.output {
            Format::Md => {
                out.line(
                    "\n| test | guest µs/token | boundary µs/token | kernels µs/token | host calls/token |",
                )?;
                out.line("| ---: | ---: | ---: | ---: | ---: |")?;
                rows.iter().zip(&tests).try_for_each(|(row, &test)| out.line(&row.cost(test)))
            }
            Format::Json => out
                .line(&serde_json::to_string_pretty(&rows).expect("numbers and text can be written as JSON")),
        }
    }

    fn tests(&self) -> Vec<Test> {
        let mut tests = Vec::new();
        for &depth in &self.n_depth {
            tests.extend(self.n_prompt.iter().map(|&prompt| Test {
                prompt,
                generate: 0,
                depth,
                parallel: 1,
            }));
            for &parallel in &self.n_parallel {
                tests.extend(self.n_gen.iter().map(|&generate| Test {
                    prompt: 0,
                    generate,
                    depth,
                    parallel,
                }));
            }
        }
        tests.retain(|test| test.tokens() > 0);
        tests
    }

    fn row(&self, model: &Model, threads: usize, test: Test, samples: &[Duration]) -> Row {
        let information = model.information();
        let nanoseconds: Vec<f64> = samples.iter().map(|time| time.as_nanos() as f64).collect();
        let speeds: Vec<f64> =
            nanoseconds.iter().map(|time| test.tokens() as f64 * 1e9 / time.max(1.0)).collect();
        let ((avg_ns, stddev_ns), (avg_ts, stddev_ts)) =
            (mean_and_deviation(&nanoseconds), mean_and_deviation(&speeds));
        let file = self.model.model.clone().unwrap_or_else(|| PathBuf::from("default.gguf"));
        let cache = self.model.host.cache_type.name();
        let size = parameters(information.parameters).replace(' ', "");
        Row {
            build_version: env!("CARGO_PKG_VERSION"),
            cpu_info: processor(),
            gpu_info: "",
            backends: "CPU",
            model_filename: file.display().to_string(),
            model_type: format!("{} {size} {}", information.architecture, information.format),
            model_size: information.bytes,
            model_n_params: information.parameters,
            n_threads: threads,
            type_k: cache,
            type_v: cache,
            n_prompt: test.prompt,
            n_gen: test.generate,
            n_depth: test.depth,
            n_parallel: test.parallel,
            avg_ns: avg_ns as u64,
            stddev_ns: stddev_ns as u64,
            avg_ts,
            stddev_ts,
            samples_ns: nanoseconds.iter().map(|&time| time as u64).collect(),
            samples_ts: speeds,
            guest_ns_per_token: 0,
            boundary_ns_per_token: 0,
            host_ns_per_token: 0,
            host_calls_per_token: 0.0,
        }
    }
}

impl Row {
    fn add(&mut self, meter: &Meter, test: Test) {
        let each = |time: Duration| (time.as_nanos() / u128::from(test.tokens())) as u64;
        self.guest_ns_per_token = each(meter.guest);
        self.boundary_ns_per_token = each(meter.boundary);
        self.host_ns_per_token = each(meter.host);
        self.host_calls_per_token = meter.calls as f64 / test.tokens() as f64;
    }

    fn speed(&self, test: Test) -> String {
        let (size, params) = (size(self.model_size), parameters(self.model_n_params));
        let speed = format!("{:.2} ± {:.2}", self.avg_ts, self.stddev_ts);
        let (model, backend, threads) = (&self.model_type, self.backends, self.n_threads);
        format!("| {model} | {size} | {params} | {backend} | {threads} | {} | {speed} |", test.name())
    }

    fn cost(&self, test: Test) -> String {
        let [guest, boundary, host] =
            [self.guest_ns_per_token, self.boundary_ns_per_token, self.host_ns_per_token]
                .map(|nanoseconds| format!("{:.1}", nanoseconds as f64 / 1e3));
        format!("| {} | {guest} | {boundary} | {host} | {:.1} |", test.name(), self.host_calls_per_token)
    }
}

/// Mean and standard deviation of a sample.
fn mean_and_deviation(samples: &[f64]) -> (f64, f64) {
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    if samples.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

/// Tokens that mean nothing, the same every time.
fn random_tokens(count: usize, vocabulary: u32) -> Vec<u32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % u64::from(vocabulary.max(1))) as u32
    };
    (0..count).map(|_| next()).collect()
}

/// The processor's name, where the system tells it.
fn processor() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviation_is_of_a_sample() {
        assert_eq!(mean_and_deviation(&[1.0, 2.0, 3.0]), (2.0, 1.0));
        assert_eq!(mean_and_deviation(&[4.0]), (4.0, 0.0));
    }

    #[test]
    fn tests_are_named_as_llama_bench_does() {
        assert_eq!(Test { prompt: 512, generate: 0, depth: 0, parallel: 1 }.name(), "pp512");
        assert_eq!(Test { prompt: 0, generate: 128, depth: 64, parallel: 1 }.name(), "tg128 @ d64");
        assert_eq!(Test { prompt: 0, generate: 128, depth: 0, parallel: 8 }.name(), "tg128 x8");
    }

    #[test]
    fn random_tokens_are_in_the_vocabulary() {
        let tokens = random_tokens(100, 10);
        assert!(tokens.iter().all(|&token| token < 10));
        assert!((0..10).all(|token| tokens.contains(&token)));
    }
}
