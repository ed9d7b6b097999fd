//! What and when it was measured on.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// A machine on a day.
#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: usize,
    /// Extensions of the instruction set that matrix multiplications use.
    pub(super) instructions: Vec<&'static str>,
    /// Year, month and day, as 2026-01-31.
    pub(super) date: String,
}

impl Machine {
    /// This one, today.
    pub(super) fn describe() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Self {
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            instructions: instructions(),
            date: date(now / 86_400),
        }
    }
}

/// The processor's name, where the system tells it.
fn processor() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}

/// Names of those extensions that are there.
macro_rules! present {
    ($detected:ident: $($name:tt)*) => {
        [$(($name, std::arch::$detected!($name))),*].into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    };
}

#[cfg(target_arch = "x86_64")]
fn instructions() -> Vec<&'static str> {
    present!(is_x86_feature_detected: "avx2" "fma" "f16c" "avxvnni" "avx512f" "avx512bw" "avx512vnni" "avx512bf16" "avx512fp16")
}

#[cfg(target_arch = "aarch64")]
fn instructions() -> Vec<&'static str> {
    present!(is_aarch64_feature_detected: "neon" "dotprod" "i8mm" "fp16" "bf16" "sve")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instructions() -> Vec<&'static str> {
    Vec::new()
}

/// The date of a day counted from 1970-01-01.
fn date(mut day: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    let days = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while day >= days[month] {
        day -= days[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_know_leap_years() {
        let dates = [(0, "1970-01-01"), (58, "1970-02-28"), (59, "1970-03-01"), (365, "1971-01-01")];
        let leap =
            [(11_015, "2000-02-28"), (11_016, "2000-02-29"), (11_017, "2000-03-01"), (20_819, "2027-01-01")];
        for (day, text) in dates.into_iter().chain(leap) {
            assert_eq!(date(day), text);
        }
    }
}
