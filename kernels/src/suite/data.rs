//! Numbers that are the same in every run, and weights made of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Outcome;
use crate::block::Format;
use crate::device::Device;
use crate::recording::Recorder;
use crate::tensor::{Bytes, Tensor, Weight};

/// Rows of an input table: tokens are below it. The last [`SPECIAL`] are extreme.
pub(super) const TOKENS: u32 = 37;

/// Tokens from here on have rows that are tiny, all zero, and large.
pub(super) const SPECIAL: u32 = 34;

/// Uniform numbers in -1..1 (Marsaglia, xorshift).
pub(super) fn random(seed: usize, count: usize) -> Vec<f32> {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// A weight of these values, as near as `format` comes.
pub(super) fn weight(format: Format, rows: usize, columns: usize, values: &[f32]) -> Weight {
    let mut bytes = Vec::new();
    format.encode(values, &mut bytes);
    Weight::new(Bytes::new(Arc::new(bytes)), format, rows, columns).expect("shapes of the suite fit")
}

/// Weights by format, shape, seed and bits of their size: many cases use the same, and encoding takes longer than running.
type Made = HashMap<(Format, usize, usize, usize, u32), Weight>;

/// A weight of random values up to `size`.
pub(super) fn matrix(format: Format, rows: usize, columns: usize, seed: usize, size: f32) -> Weight {
    static MADE: Mutex<Option<Made>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = made.get_or_insert_default().entry((format, rows, columns, seed, size.to_bits()));
    let values = || -> Vec<f32> { random(seed, rows * columns).iter().map(|value| value * size).collect() };
    entry.or_insert_with(|| weight(format, rows, columns, &values())).clone()
}

/// A vector of scales around 1.
pub(super) fn scales(format: Format, columns: usize, seed: usize) -> Weight {
    let values: Vec<f32> = random(seed, columns).iter().map(|value| 1.0 + value / 2.0).collect();
    weight(format, 1, columns, &values)
}

/// The table that [`input`] embeds from.
pub(super) fn table(columns: usize, seed: usize) -> Weight {
    let mut values = random(seed, TOKENS as usize * columns);
    for (token, factor) in (SPECIAL..).zip([1e-4, 0.0, 64.0]) {
        let row = &mut values[token as usize * columns..][..columns];
        row.iter_mut().for_each(|value| *value *= factor);
    }
    weight(Format::F32, TOKENS as usize, columns, &values)
}

/// A new tensor whose rows depend on the token and on `seed` alone.
pub(super) fn input(
    device: &dyn Device,
    recorder: &mut Recorder,
    columns: usize,
    seed: usize,
) -> Outcome<Tensor> {
    let tensor = device.tensor(columns)?;
    recorder.embed(&tensor, &table(columns, seed))?;
    Ok(tensor)
}
