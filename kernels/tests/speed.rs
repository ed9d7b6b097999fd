//! Kernels that became slow, found on machines that are busy: by how much the best instruction set beats the portable kernels.
//!
//! Both compute the same product from the cache, in slices of about a millisecond in turn, and the fast quarter of the slices is
//! believed. So neighbours slow both down or neither, and the clock of the processor does not matter. The limits lie a third or more below
//! what was measured with AVX2; higher instruction sets must reach them, too.
#![cfg(target_arch = "x86_64")]
#![expect(clippy::print_stderr, reason = "with `--nocapture`, for whoever sets the limits")]

use wasm_chord_kernels::Format;
use wasm_chord_kernels::cpu::matmul::speed::Speed;

const ROWS: usize = 32;
const COLUMNS: usize = 2048;

/// How many times as fast as the portable kernels, with one token and with 64.
const LIMITS: [(Format, [f64; 2]); 8] = [
    (Format::F32, [7.0, 11.0]),
    (Format::F16, [30.0, 13.0]),
    (Format::BF16, [12.0, 12.0]),
    (Format::Q4_0, [4.0, 6.0]),
    (Format::Q8_0, [4.0, 4.0]),
    (Format::Q4_K, [4.5, 5.3]),
    (Format::Q5_K, [3.8, 5.4]),
    (Format::Q6_K, [3.2, 5.4]),
];

/// Tries of each, of which the best one counts: a busy neighbour may slow vectors down more than plain code.
const TRIES: usize = 3;

#[test]
#[cfg_attr(debug_assertions, ignore = "only optimised code is measured")]
fn vector_kernels_beat_portable_ones() {
    if Speed::new(1, COLUMNS, 1).instruction_set() == "portable" {
        return;
    }
    let slow: Vec<String> = LIMITS
        .into_iter()
        .flat_map(|(format, limits)| [(format, 1, limits[0]), (format, 64, limits[1])])
        .filter_map(|(format, tokens, limit)| {
            let ratios = (0..TRIES).map(|_| ratio(format, tokens));
            let ratio = ratios.fold(0.0, f64::max);
            eprintln!("{format}, {tokens} tokens: {ratio:.1} times as fast, at least {limit}");
            (ratio < limit).then(|| format!("{format} with {tokens} tokens: {ratio:.1} < {limit}"))
        })
        .collect();
    assert!(slow.is_empty(), "slower than they were: {slow:?}");
}

/// Seconds of the portable kernels for each second of the best ones.
fn ratio(format: Format, tokens: usize) -> f64 {
    let bytes = ROWS * format.row_bytes(COLUMNS).expect("a row is a whole number of blocks");
    // Small normal numbers in every format.
    let weight: Vec<u8> = (0..bytes).map(|index| (index as u8).wrapping_mul(37) & 0x1f | 0x20).collect();
    let mut best = Speed::new(ROWS, COLUMNS, tokens);
    let mut portable = Speed::portable(ROWS, COLUMNS, tokens);
    // As much work in a slice of one token as in one of many.
    let repetitions = 64 / tokens;
    let slice = |speed: &mut Speed| (0..repetitions).map(|_| speed.matmul(format, &weight)).sum::<f64>();
    let (mut fast, mut plain): (Vec<f64>, Vec<f64>) =
        (0..20).map(|_| (slice(&mut best), slice(&mut portable))).unzip();
    quarter(&mut plain) / quarter(&mut fast)
}

/// What a quarter of the values is below.
fn quarter(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 4]
}
