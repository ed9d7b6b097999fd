//! Where the time went, for `--profile`: a table on standard error, and a trace in a file.
//!
//! The device tells when its stages begin and end; a stage is one verb or several that the device runs together. The meter tells
//! how the rest is divided. Both take some time themselves, as long as somebody asks for a profile.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use wasm_chord::kernels::cpu::{Cpu, profile::Timing};
use wasm_chord::{Builder, Meter, Model};

use super::failure::{Failure, Result};
use super::machine::MachineOptions;
use super::output::note;

/// Whether to make a profile.
#[derive(Args)]
pub(crate) struct ProfileOptions {
    /// Say at the end which kernels took how long, and how much of the time guest and boundary had; with a file, also write there
    /// when every kernel ran, for Perfetto or chrome://tracing.
    #[arg(long, value_name = "TRACE.json", num_args = 0..=1, require_equals = true)]
    profile: Option<Option<PathBuf>>,
}

impl ProfileOptions {
    /// Settings that make the model one that can be watched, if somebody wants to.
    pub(crate) fn begin(
        self,
        machine: &MachineOptions,
        builder: Builder,
    ) -> Result<(Builder, Option<Profile>)> {
        let Some(trace) = self.profile else { return Ok((builder, None)) };
        let profile = Profile::new(machine.threads, trace)?;
        Ok((builder.device(profile.cpu.clone()), Some(profile)))
    }
}

/// A profile in the making.
pub(crate) struct Profile {
    cpu: Arc<Cpu>,
    trace: Option<(PathBuf, File)>,
    begun: Instant,
}

impl Profile {
    /// For a model on a device of so many threads. The trace, if one is wanted, goes to the file `trace`, created here.
    fn new(threads: Option<NonZeroUsize>, trace: Option<PathBuf>) -> Result<Self> {
        let create = |path: PathBuf| match File::create(&path) {
            Ok(file) => Ok((path, file)),
            Err(error) => Err(Failure::file("write", &path, &error)),
        };
        let trace = trace.map(create).transpose()?;
        Ok(Self { cpu: Arc::new(Cpu::new(threads)), trace, begun: Instant::now() })
    }

    /// What happens from now on counts.
    pub(crate) fn start(&mut self, model: &Model) {
        self.cpu.start_profile();
        model.start_meter();
        self.begun = Instant::now();
    }

    /// Say what happened since it was started.
    pub(crate) fn report(self, model: &Model) -> Result<()> {
        let whole = self.begun.elapsed();
        let (timings, meter) = (self.cpu.take_profile(), model.meter());
        table(&timings, &meter, whole).iter().for_each(|line| note(line));
        let Some((path, file)) = self.trace else { return Ok(()) };
        let mut out = BufWriter::new(file);
        let written = serde_json::to_writer(&mut out, &Trace::new(&timings, self.begun))
            .map_err(io::Error::from)
            .and_then(|()| out.flush());
        written.map_err(|error| Failure::file("write", &path, &error))
    }
}

/// All runs of stages that are alike and had one row, or more.
struct Row<'a> {
    name: &'a str,
    calls: usize,
    rows: usize,
    time: Duration,
    bytes: u64,
    multiply_adds: u64,
}

/// What the profile looks like: who had the time, then the stages, the longest first.
fn table(timings: &[Timing], meter: &Meter, whole: Duration) -> Vec<String> {
    let kernels: Duration = timings.iter().map(|timing| timing.end - timing.begin).sum();
    let host = meter.host.saturating_sub(kernels);
    let rest = whole.saturating_sub(meter.guest + meter.boundary + meter.host);
    let share = |time: Duration| 100.0 * time.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;

    let mut lines = vec![format!("{:<12}{:>10}{:>8}", "who", "total ms", "%")];
    for (who, time) in [
        ("guest", meter.guest),
        ("boundary", meter.boundary),
        ("kernels", kernels),
        ("other host", host),
        ("program", rest),
        ("all", whole),
    ] {
        lines.push(format!("{who:<12}{:>10.1}{:>8.1}", milliseconds(time), share(time)));
    }

    let mut rows: Vec<Row<'_>> = Vec::new();
    for timing in timings {
        let alike =
            |row: &&mut Row<'_>| row.name == &*timing.name && (row.rows == row.calls) == (timing.rows == 1);
        let row = match rows.iter_mut().find(alike) {
            Some(row) => row,
            None => {
                rows.push(Row {
                    name: &timing.name,
                    calls: 0,
                    rows: 0,
                    time: Duration::ZERO,
                    bytes: 0,
                    multiply_adds: 0,
                });
                rows.last_mut().expect("just pushed")
            }
        };
        row.calls += 1;
        row.rows += timing.rows;
        row.time += timing.end - timing.begin;
        row.bytes += timing.bytes;
        row.multiply_adds += timing.multiply_adds;
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.time));

    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max("verbs".len());
    lines.push(String::new());
    lines.push(format!(
        "{:<width$}{:>8}{:>8}{:>10}{:>8}{:>8}{:>10}",
        "verbs", "rows", "calls", "total ms", "%", "GB/s", "GFLOP/s"
    ));
    for row in rows {
        let speed = |count: u64| match count {
            0 => "-".to_owned(),
            _ => format!("{:.1}", count as f64 / row.time.as_secs_f64().max(1e-9) / 1e9),
        };
        lines.push(format!(
            "{:<width$}{:>8.0}{:>8}{:>10.1}{:>8.1}{:>8}{:>10}",
            row.name,
            row.rows as f64 / row.calls as f64,
            row.calls,
            milliseconds(row.time),
            share(row.time),
            speed(row.bytes),
            speed(2 * row.multiply_adds),
        ));
    }
    lines
}

/// A file in the Trace Event Format, which Perfetto and `chrome://tracing` open.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trace<'a> {
    display_time_unit: &'static str,
    trace_events: Vec<Event<'a>>,
}

/// A stretch of time, in microseconds since the profile was started.
#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    cat: &'static str,
    ph: &'static str,
    pid: u32,
    tid: u32,
    ts: f64,
    dur: f64,
    args: Arguments,
}

#[derive(Serialize)]
struct Arguments {
    rows: usize,
    bytes: u64,
    multiply_adds: u64,
}

impl<'a> Trace<'a> {
    fn new(timings: &'a [Timing], begun: Instant) -> Self {
        let microseconds = |time: Duration| time.as_nanos() as f64 / 1e3;
        let event = |timing: &'a Timing| Event {
            name: &timing.name,
            cat: "kernels",
            ph: "X",
            pid: 1,
            tid: 1,
            ts: microseconds(timing.begin.saturating_duration_since(begun)),
            dur: microseconds(timing.end - timing.begin),
            args: Arguments { rows: timing.rows, bytes: timing.bytes, multiply_adds: timing.multiply_adds },
        };
        Self { display_time_unit: "ms", trace_events: timings.iter().map(event).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stage of `rows` that began `begin` milliseconds after `begun` and took one.
    fn timing(name: &str, begun: Instant, begin: u64, rows: usize) -> Timing {
        let begin = begun + Duration::from_millis(begin);
        let end = begin + Duration::from_millis(1);
        Timing {
            name: name.into(),
            begin,
            end,
            rows,
            bytes: 3_000_000,
            multiply_adds: 5_000_000 * rows as u64,
        }
    }

    #[test]
    fn stages_that_are_alike_share_a_line_of_the_table() {
        let begun = Instant::now();
        let timings = [("a", 0, 8), ("b", 1, 1), ("a", 2, 1), ("a", 3, 1), ("a", 4, 6), ("a", 5, 1)]
            .map(|(name, begin, rows)| timing(name, begun, begin, rows));
        let mut meter = Meter::default();
        (meter.guest, meter.host) = (Duration::from_millis(1), Duration::from_millis(7));
        let lines = table(&timings, &meter, Duration::from_millis(10));
        let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
        for line in [
            &["guest", "1.0", "10.0"][..],
            &["boundary", "0.0", "0.0"],
            &["kernels", "6.0", "60.0"],
            &["other", "host", "1.0", "10.0"],
            &["program", "2.0", "20.0"],
        ] {
            assert!(words.iter().any(|words| words == line), "{lines:#?}");
        }
        let verbs = words.iter().position(|words| words.first() == Some(&"verbs")).unwrap();
        assert_eq!(words[verbs + 1], ["a", "1", "3", "3.0", "30.0", "3.0", "10.0"]);
        assert_eq!(words[verbs + 2], ["a", "7", "2", "2.0", "20.0", "3.0", "70.0"]);
        assert_eq!(words[verbs + 3], ["b", "1", "1", "1.0", "10.0", "3.0", "10.0"]);
        assert_eq!(words.len(), verbs + 4);
    }

    #[test]
    fn traces_count_microseconds_from_the_start() {
        let begun = Instant::now();
        let trace = serde_json::to_value(Trace::new(&[timing("a", begun, 2, 1)], begun)).unwrap();
        let event = &trace["traceEvents"][0];
        assert_eq!((event["ph"].as_str(), event["ts"].as_f64()), (Some("X"), Some(2000.0)));
        assert_eq!((event["name"].as_str(), event["dur"].as_f64()), (Some("a"), Some(1000.0)));
    }
}
