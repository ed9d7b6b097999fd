//! Measuring the matmuls of one thread, for `examples/matmul_speed.rs` and `tests/speed.rs`.
#![expect(unsafe_code, reason = "kernels write through a pointer")]

use std::hint::black_box;
use std::time::Instant;

use super::super::isa::{self, Isa};
use super::{Activations, Kernels, Matrix, Preparation};
use crate::block::Format;
use crate::packed;
use crate::step::Step;

/// Matmuls of one row length with one number of tokens.
pub struct Speed {
    kernels: Kernels,
    columns: usize,
    tokens: usize,
    activations: Activations,
    out: Vec<f32>,
}

impl Speed {
    /// Activations for matmuls of up to `rows` rows of `columns` elements with `tokens` tokens, on this process's instruction set.
    ///
    /// # Panics
    /// If there is no room for them, or there are more tokens than a step can have.
    pub fn new(rows: usize, columns: usize, tokens: usize) -> Self {
        Self::on(Kernels::new(isa::detect()), rows, columns, tokens)
    }

    /// The same with the portable kernels.
    ///
    /// # Panics
    /// As [`Speed::new`].
    pub fn portable(rows: usize, columns: usize, tokens: usize) -> Self {
        Self::on(Kernels::new(Isa::Portable), rows, columns, tokens)
    }

    fn on(kernels: Kernels, rows: usize, columns: usize, tokens: usize) -> Self {
        assert!(tokens <= Step::LIMIT, "tokens of a step");
        let activations =
            Activations::new(columns, &[Preparation::Floats, Preparation::Quants, Preparation::NestedQuants])
                .expect("room for activations");
        for row in 0..tokens {
            let x: Vec<f32> = (0..columns).map(|k| ((k * 7 + row * 13) % 17) as f32 - 8.0).collect();
            // SAFETY: nobody else knows `activations`.
            unsafe { kernels.prepare(&activations, row, tokens, &x) };
        }
        Self { kernels, columns, tokens, activations, out: vec![0.0; rows * tokens] }
    }

    /// The instruction set that is measured.
    pub fn instruction_set(&self) -> String {
        self.kernels.isa().to_string()
    }

    /// Whether packed weights can be measured.
    pub fn reads_packed(&self) -> bool {
        self.kernels.read_packed()
    }

    /// Seconds of one matmul with `weight`, whole rows of `columns` elements.
    ///
    /// # Panics
    /// If it is something else, or has more rows than there is room for.
    pub fn matmul(&mut self, format: Format, weight: &[u8]) -> f64 {
        let row_bytes = format.row_bytes(self.columns).expect("a row is a whole number of blocks");
        self.measure(format, weight, false, weight.len() / row_bytes)
    }

    /// The same with packed weights, whole groups of rows.
    ///
    /// # Panics
    /// As [`Speed::matmul`], and where nothing [reads](Self::reads_packed) them.
    pub fn matmul_packed(&mut self, format: Format, weight: &[u8]) -> f64 {
        let group = packed::size(format, packed::ROWS, self.columns).expect("rows that can be packed");
        self.measure(format, weight, true, weight.len() / group * packed::ROWS)
    }

    fn measure(&mut self, format: Format, bytes: &[u8], packed: bool, rows: usize) -> f64 {
        assert!(rows * self.tokens <= self.out.len(), "room for the rows");
        let matrix = Matrix { format, columns: self.columns, bytes, packed };
        let start = Instant::now();
        let (activations, out) = (&self.activations, self.out.as_mut_ptr());
        // SAFETY: `out` is as large as it takes, and ours.
        unsafe { self.kernels.multiply(&matrix, 0..rows, activations, self.tokens, out, rows) };
        black_box(&mut self.out);
        start.elapsed().as_secs_f64()
    }
}

/// Places at which [`read`] reads at once, so that the prefetchers are kept busy.
const STREAMS: usize = 8;

/// Seconds of a plain read of `bytes`, but for a rest that is no line for each stream.
pub fn read(bytes: &[u8]) -> f64 {
    let start = Instant::now();
    let (lines, _) = bytes.as_chunks::<64>();
    let length = lines.len() / STREAMS;
    let streams: [&[[u8; 64]]; STREAMS] = std::array::from_fn(|stream| &lines[stream * length..][..length]);
    let mut sums = [0_u64; 8];
    for index in 0..length {
        for stream in streams {
            for (sum, word) in sums.iter_mut().zip(stream[index].as_chunks::<8>().0) {
                *sum ^= u64::from_le_bytes(*word);
            }
        }
    }
    black_box(sums);
    start.elapsed().as_secs_f64()
}
