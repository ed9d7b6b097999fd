//! Measuring the matmuls of one thread, for `examples/matmul_speed.rs`.
#![expect(unsafe_code, reason = "kernels write through a pointer")]

use std::hint::black_box;
use std::time::Instant;

use super::super::isa;
use super::{Activations, Kernels, Preparation};
use crate::block::Format;

/// The instruction set that is measured.
pub fn instruction_set() -> String {
    isa::detect().to_string()
}

/// Seconds of the fastest of `repeats` matmuls of `weight` (rows, columns) with `tokens` rows of activations, on this thread.
///
/// # Panics
/// If `weight` is not a matrix of whole rows of `columns` elements, or there are more tokens than a step can have.
pub fn matmul(format: Format, weight: &[u8], columns: usize, tokens: usize, repeats: usize) -> f64 {
    let rows = weight.len() / format.row_bytes(columns).expect("a row is a whole number of blocks");
    let kernels = Kernels::new(isa::detect());
    let activations =
        Activations::new(columns, &[Preparation::Floats, Preparation::Quants]).expect("room for activations");
    for row in 0..tokens {
        let x: Vec<f32> = (0..columns).map(|k| ((k * 7 + row * 13) % 17) as f32 - 8.0).collect();
        // SAFETY: nobody else knows `activations`.
        unsafe { kernels.prepare(&activations, row, tokens, &x) };
    }
    let mut out = vec![0.0_f32; rows * tokens];
    fastest(repeats, || {
        // SAFETY: `out` is as large as it takes, and ours.
        unsafe {
            kernels.multiply(format, weight, columns, 0..rows, &activations, tokens, out.as_mut_ptr(), rows);
        }
        black_box(&mut out);
    })
}

/// Seconds of the fastest of `repeats` plain reads of `bytes`, on this thread.
pub fn read(bytes: &[u8], repeats: usize) -> f64 {
    // SAFETY: all bits are numbers.
    let (_, words, _) = unsafe { bytes.align_to::<[u64; 32]>() };
    fastest(repeats, || {
        let mut sums = [0_u64; 32];
        for words in words {
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum ^= word;
            }
        }
        black_box(sums);
    })
}

fn fastest(repeats: usize, mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..repeats {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}
