//! How long it took and how much it needed, for `--verbose`.

use std::time::Duration;

use wasm_chord::Session;

use super::failure::Result;
use super::output::note;

/// Say on standard error what a session did. `load` is the time to open its model, `first` until the first piece of text.
pub(crate) fn report(session: &Session, load: Duration, first: Option<Duration>) -> Result<()> {
    let statistics = session.statistics();
    note(&format!("load:    {}", milliseconds(load)));
    if let Some(first) = first {
        note(&format!("start:   {} until the first text", milliseconds(first)));
    }
    note(&format!("prompt:  {}", speed(statistics.prompt_tokens, statistics.prompt_time)));
    note(&format!("decode:  {}", speed(statistics.tokens, statistics.time)));
    note(&format!(
        "context: {} of {} positions",
        session.tokens()?.len(),
        session.model().information().context
    ));
    if let Some(bytes) = peak_memory() {
        note(&format!("memory:  {} at most", size(bytes)));
    }
    note(&format!("device:  {}", session.model().device()));
    Ok(())
}

fn speed(tokens: usize, time: Duration) -> String {
    let mut text = format!("{tokens} tokens in {}", milliseconds(time));
    if tokens > 0 && !time.is_zero() {
        text += &format!(", {:.1} tokens/s", tokens as f64 / time.as_secs_f64());
    }
    text
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Bytes as people read them.
pub(crate) fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    let gibibytes = bytes / f64::from(1 << 30);
    if gibibytes >= 1.0 {
        format!("{gibibytes:.2} GiB")
    } else {
        format!("{:.2} MiB", bytes / f64::from(1 << 20))
    }
}

/// A number of parameters as people read it.
pub(crate) fn parameters(count: u64) -> String {
    let count = count as f64;
    if count >= 1e9 { format!("{:.2} B", count / 1e9) } else { format!("{:.2} M", count / 1e6) }
}

/// Most memory that this process ever had, mapped files included; only some systems tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_have_readable_units() {
        assert_eq!(size(3 << 29), "1.50 GiB");
        assert_eq!(size(1 << 19), "0.50 MiB");
        assert_eq!(parameters(1_100_048_384), "1.10 B");
        assert_eq!(parameters(8_126_464), "8.13 M");
    }
}
