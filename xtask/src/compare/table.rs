//! From samples to Markdown and JSON.

use std::fmt::Write;

use serde::Serialize;

use super::machine::Machine;
use super::programs::{Measured, Test};

/// Everything that was measured, as `--json` writes it.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// Version of llama.cpp's package and what it was built for.
    pub(super) theirs: String,
    /// How both keep keys and values.
    pub(super) cache_type: String,
    /// Threads that were busy meanwhile.
    pub(super) busy: u32,
    /// Whether wasm-chord multiplied with packed weights.
    pub(super) packed: bool,
    pub(super) configurations: Vec<Configuration>,
}

/// One model with one number of threads.
#[derive(Serialize)]
pub(super) struct Configuration {
    pub(super) shape: String,
    pub(super) format: String,
    pub(super) threads: u32,
    /// Bytes of weights that a token passes through.
    pub(super) bytes_per_token: u64,
    pub(super) tests: Vec<Test>,
    pub(super) rounds: Vec<Round>,
}

/// What was measured one after the other.
#[derive(Serialize)]
pub(super) struct Round {
    /// Bytes per second of plain reads.
    pub(super) streaming: f64,
    pub(super) ours: Measured,
    pub(super) theirs: Measured,
}

impl Report {
    /// What it was measured on, and the head of the table of speeds.
    pub(super) fn header(&self, rounds: u32) -> String {
        let Machine { processor, cores, instructions, date } = &self.machine;
        let (instructions, theirs, cache) = (instructions.join(" "), &self.theirs, &self.cache_type);
        let busy = if self.busy > 0 { format!("{} busy threads beside; ", self.busy) } else { String::new() };
        let packed = if self.packed { "weights of wasm-chord packed; " } else { "" };
        format!(
            "{processor}, {cores} cores, {instructions}; {date}; {theirs}; \
             keys and values in {cache}; {packed}{busy}medians of {rounds} rounds.\n\n\
             | shape | format | threads | test | wasm-chord t/s | llama.cpp t/s | ratio | weights GB/s | of streaming |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )
    }

    /// The table of what else it takes.
    pub(super) fn costs(&self) -> String {
        let mut text = String::from(
            "| shape | format | threads | guest and boundary µs/token | ready ms | llama.cpp | private MB | llama.cpp |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        self.configurations.iter().for_each(|configuration| text.push_str(&configuration.cost()));
        text
    }
}

impl Configuration {
    /// The rows of the table of speeds, one for each test.
    pub(super) fn speed(&self) -> String {
        let mut text = String::new();
        for (index, test) in self.tests.iter().enumerate() {
            let speed = |measured: &Measured| measured.tokens_per_second.get(index).copied();
            let ours = self.median(|round| speed(&round.ours));
            let theirs = self.median(|round| speed(&round.theirs));
            let ratio = self.median(|round| Some(speed(&round.ours)? / speed(&round.theirs)?));
            let weights = |round: &Round| {
                Some(speed(&round.ours)? / f64::from(test.tokens_per_pass?) * self.bytes_per_token as f64)
            };
            let share = self.median(|round| Some(weights(round)? / round.streaming));
            let Self { shape, format, threads, .. } = self;
            let Test { name, .. } = test;
            let _ = writeln!(
                text,
                "| {shape} | {format} | {threads} | {name} | {} | {} | {} | {} | {} |",
                number(ours, 1.0, 2, ""),
                number(theirs, 1.0, 2, ""),
                number(ratio, 1.0, 2, "x"),
                number(self.median(weights), 1e-9, 1, ""),
                number(share, 100.0, 0, " %"),
            );
        }
        text
    }

    /// The row of the table of costs.
    fn cost(&self) -> String {
        let decode = self.tests.iter().position(|test| test.tokens_per_pass.is_some());
        let sandbox = self.median(|round| round.ours.sandbox_ns_per_token.get(decode?).copied());
        let ready = |of: fn(&Round) -> &Measured| self.median(|round| Some(of(round).ready_seconds));
        let private = |of: fn(&Round) -> &Measured| {
            self.median(|round| of(round).private_bytes.map(|bytes| bytes as f64))
        };
        let Self { shape, format, threads, .. } = self;
        format!(
            "| {shape} | {format} | {threads} | {} | {} | {} | {} | {} |\n",
            number(sandbox, 1e-3, 1, ""),
            number(ready(|round| &round.ours), 1e3, 0, ""),
            number(ready(|round| &round.theirs), 1e3, 0, ""),
            number(private(|round| &round.ours), 1e-6, 0, ""),
            number(private(|round| &round.theirs), 1e-6, 0, ""),
        )
    }

    /// The median of the rounds that have a value.
    fn median(&self, value: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        median(self.rounds.iter().filter_map(value).collect())
    }
}

/// The one in the middle, or the mean of both that are; none of nothing.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[values.len() / 2 - 1] + upper) / 2.0 })
}

/// In a unit, or a dash.
fn number(value: Option<f64>, scale: f64, digits: usize, unit: &str) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{:.digits$}{unit}", value * scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(prompt: f64, decode: f64, sandbox: Option<f64>) -> Measured {
        Measured {
            tokens_per_second: vec![prompt, decode],
            sandbox_ns_per_token: sandbox.map_or_else(Vec::new, |decode| vec![1.0, decode]),
            ready_seconds: decode / 1000.0,
            private_bytes: sandbox.map(|_| 20_000_000),
        }
    }

    /// Three rounds, of which the second had half of the machine.
    fn report() -> Report {
        let round = |speed: f64, ratio: f64| Round {
            streaming: 20e9 * speed,
            ours: measured(300.0 * speed, 18.0 * speed, Some(40_000.0 / speed)),
            theirs: measured(300.0 * speed / ratio, 18.0 * speed / ratio, None),
        };
        let configuration = Configuration {
            shape: "tinyllama-1.1b".into(),
            format: "Q8_0".into(),
            threads: 2,
            bytes_per_token: 1_000_000_000,
            tests: vec![
                Test { name: "pp512".into(), tokens_per_pass: None },
                Test { name: "tg128".into(), tokens_per_pass: Some(1) },
            ],
            rounds: vec![round(1.0, 2.0), round(0.5, 1.5), round(1.1, 1.0)],
        };
        let machine = Machine {
            processor: "A processor".into(),
            cores: 2,
            instructions: vec!["avx2", "fma"],
            date: "2026-01-31".into(),
        };
        Report {
            machine,
            theirs: "llama.cpp 1".into(),
            cache_type: "f16".into(),
            busy: 0,
            packed: false,
            configurations: vec![configuration],
        }
    }

    #[test]
    fn ratios_are_made_within_a_round() {
        let report = report();
        assert_eq!(
            report.configurations[0].speed(),
            "| tinyllama-1.1b | Q8_0 | 2 | pp512 | 300.00 | 150.00 | 1.50x | - | - |\n\
             | tinyllama-1.1b | Q8_0 | 2 | tg128 | 18.00 | 9.00 | 1.50x | 18.0 | 90 % |\n"
        );
    }

    #[test]
    fn costs_are_those_of_decoding_and_a_dash_where_unknown() {
        let row = report().costs().lines().last().map(str::to_owned);
        assert_eq!(row.as_deref(), Some("| tinyllama-1.1b | Q8_0 | 2 | 40.0 | 18 | 9 | 20 | - |"));
    }

    #[test]
    fn the_header_says_machine_and_date() {
        let header = report().header(3);
        let machine = "A processor, 2 cores, avx2 fma; 2026-01-31; llama.cpp 1; keys and values in f16; medians of 3 rounds.";
        assert_eq!(header.lines().next(), Some(machine));
        let columns: Vec<usize> = header.lines().skip(2).map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [10, 10]);
    }

    #[test]
    fn every_sample_is_in_the_json() {
        let json = serde_json::to_value(report()).unwrap();
        let rounds = &json["configurations"][0]["rounds"];
        assert_eq!(rounds[1]["ours"]["tokens_per_second"][1], 9.0);
        assert_eq!(rounds[2]["theirs"]["tokens_per_second"][0], 330.0);
        assert_eq!(rounds[0]["streaming"], 20e9);
    }

    #[test]
    fn a_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
