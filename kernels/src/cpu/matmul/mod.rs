//! Matmul of weights in place with prepared activations: the arithmetic heart of the CPU device.
//!
//! [`Activations`] holds the rows of one tensor as weights want them ([`wants`]); [`Kernels`] is a table of functions, filled
//! tier by tier for the instruction set of the machine. Nothing here knows threads: callers give every thread its own rows.
//!
//! **The value of an output depends on its weight row and its activation row only**: not on the number of tokens, their
//! order, the range of rows, or the thread. So decode and prefill agree to the bit on one instruction set. Every kernel of
//! quantised weights computes, with exact integers `I` of 32 products,
//! `sum = fma(I * weight scale, activation scale, sum)` block after block. Where the scales of blocks are integers times a scale of
//! 256 columns (nested), so are those of the activations, and the sum of `I * weight integer * activation integer` over all 256 columns
//! is an exact integer, which is multiplied with both scales and added to the row's sum; the sum of
//! `minimum * (activation integer * sum of 32 quants / 2)`, in which what is in parentheses is rounded to an integer, is exact, too, and
//! taken off the row's sum times both scales. Kernels of float weights keep as many sums as a vector has lanes, `n` = 8 and with
//! AVX-512 16, `sum[k % n] = fma(w[k], x[k], sum[k % n])`, and add them up in one order at the end of the row. On WebAssembly, where `n`
//! is 8, the engine decides whether an fma rounds once; under wasmtime on a machine that can it does, and the bits are those of native
//! code with as many sums.
//! The portable kernels, which are not for speed, add up block after block in all formats.
#![expect(unsafe_code, reason = "kernels write disjoint rows of one output through a pointer")]

mod activations;
mod portable;
#[cfg(feature = "suite")]
pub mod speed;
#[cfg(test)]
mod tests;
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_arch = "wasm32", target_feature = "simd128")
))]
mod tiles;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm32;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::ops::Range;

use super::isa::Isa;
use crate::block::Format;
use crate::packed;
use crate::step::Step;

pub(crate) use activations::Activations;
use activations::{Chunk, SLAB};

#[cfg(target_arch = "aarch64")]
use aarch64::plug;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use wasm32::plug;
#[cfg(target_arch = "x86_64")]
use x86_64::plug;
/// Elsewhere the portable kernels stay.
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_arch = "wasm32", target_feature = "simd128")
)))]
fn plug(_: &mut Kernels) {}

/// Columns that are unpacked together; activations are stored in chunks of so many.
const CHUNK: usize = 256;

/// Columns that share a scale of the activations.
const BLOCK: usize = 32;

/// What a weight format multiplies with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// f32 as they are.
    Floats,
    /// 8-bit quants with a scale for every 32 columns.
    Quants,
    /// The same, where all scales of 256 columns are small multiples of one.
    NestedQuants,
}

/// What prepared activations a weight of `format` wants.
pub(crate) fn wants(format: Format) -> Preparation {
    match format {
        Format::F32 | Format::F16 | Format::BF16 => Preparation::Floats,
        Format::Q4_0 | Format::Q8_0 => Preparation::Quants,
        Format::Q4_K | Format::Q5_K | Format::Q6_K => Preparation::NestedQuants,
    }
}

/// A matrix as it lies in memory.
pub(crate) struct Matrix<'a> {
    pub(crate) format: Format,
    pub(crate) columns: usize,
    /// All of its rows, at any address.
    pub(crate) bytes: &'a [u8],
    /// Whether they are [packed](crate::packed), for kernels that [read](Kernels::read_packed) them.
    pub(crate) packed: bool,
}

/// One matmul, or a thread's part of it, with its sizes checked.
struct Product<'a> {
    /// The whole matrix, in place, at any address.
    weight: &'a [u8],
    /// Bytes of a row of it; of packed rows, which lie among others, on average.
    row_bytes: usize,
    columns: usize,
    /// Rows to compute.
    rows: Range<usize>,
    /// (tokens, columns)
    activations: &'a Activations,
    /// In which way they are prepared.
    preparation: Preparation,
    tokens: usize,
    /// (tokens, rows), element `row` of token `t` at `t * out_stride + row`.
    out: *mut f32,
    out_stride: usize,
}

impl Product<'_> {
    /// The chunks `index` of the activations of all tokens, one after the other. Nobody writes them meanwhile.
    fn chunks(&self, index: usize) -> *const Chunk {
        self.activations.chunks(self.preparation, index, self.tokens)
    }

    /// The floats of a token from `column` on: those of the same slab, and with one token all. Nobody writes them meanwhile.
    fn floats(&self, token: usize, column: usize) -> *const f32 {
        let slab = self.activations.slabs(column / SLAB, self.tokens).wrapping_add(token);
        slab.cast_const().cast::<f32>().wrapping_add(column % SLAB)
    }
}

/// A function that computes a product. The caller has the instruction set and may write all of its output.
type Multiply = unsafe fn(&Product<'_>);

/// A function that writes the quants of `x` as row `row` of `tokens` rows; see [`Kernels::prepare`].
type Quantise = unsafe fn(&Activations, Preparation, row: usize, tokens: usize, x: &[f32]);

/// The functions of one instruction set.
pub(crate) struct Kernels {
    #[cfg_attr(
        all(target_arch = "wasm32", not(target_feature = "simd128"), not(feature = "suite")),
        expect(dead_code, reason = "there is one instruction set")
    )]
    isa: Isa,
    quantise: Quantise,
    f32: Multiply,
    f16: Multiply,
    bf16: Multiply,
    q4_0: Multiply,
    q8_0: Multiply,
    q4_k: Multiply,
    q5_k: Multiply,
    q6_k: Multiply,
    /// For packed weights of a format, if that is faster.
    packed: fn(Format) -> Option<Multiply>,
}

impl Kernels {
    /// Kernels for `isa`.
    ///
    /// # Panics
    /// If the machine does not have it.
    pub(crate) fn new(isa: Isa) -> Self {
        assert!(isa.is_available(), "this machine has no {isa}");
        let mut kernels = Self {
            isa,
            quantise: portable::quantise,
            f32: portable::multiply_floats::<portable::F32>,
            f16: portable::multiply_floats::<portable::F16>,
            bf16: portable::multiply_floats::<portable::BF16>,
            q4_0: portable::multiply_quants::<portable::Q4_0>,
            q8_0: portable::multiply_quants::<portable::Q8_0>,
            q4_k: portable::multiply_quants::<portable::Q4_K>,
            q5_k: portable::multiply_quants::<portable::Q5_K>,
            q6_k: portable::multiply_quants::<portable::Q6_K>,
            packed: |_| None,
        };
        plug(&mut kernels);
        kernels
    }

    /// The instruction set that they were made for.
    #[cfg(feature = "suite")]
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Whether they multiply packed weights, of all formats that can be packed.
    pub(crate) fn read_packed(&self) -> bool {
        Format::ALL.into_iter().any(|format| (self.packed)(format).is_some())
    }

    /// Make `x` (columns) row `row` of `tokens` rows of `activations`, in the preparations that it has room for.
    /// Rows may be prepared by different threads at once. `tokens` says where the row lies: it must be the same for
    /// all rows and for the matmuls that read them.
    ///
    /// # Panics
    /// If `x` is longer than the columns that `activations` has room for, or `row >= tokens`, or `tokens > Step::LIMIT`.
    ///
    /// # Safety
    /// Meanwhile nobody else prepares this row, prepares with other `tokens` or columns, or multiplies with `activations`.
    pub(crate) unsafe fn prepare(&self, activations: &Activations, row: usize, tokens: usize, x: &[f32]) {
        assert!(x.len() <= activations.columns() && row < tokens && tokens <= Step::LIMIT);
        // SAFETY: the sizes are checked above, the machine has the instruction set (`new`), the rest is the caller's.
        unsafe {
            activations.copy_floats(row, tokens, x);
            for preparation in [Preparation::Quants, Preparation::NestedQuants] {
                if activations.has(preparation) {
                    (self.quantise)(activations, preparation, row, tokens, x);
                }
            }
        }
    }

    /// `out[t * out_stride + r] = matrix row r . activation row t` for `r` in `rows` and `t` in `0..tokens`.
    ///
    /// `activations` were prepared as rows of as many columns with the same `tokens`. Threads may call this at once with disjoint `rows`;
    /// it is fastest with multiples of 32 rows.
    ///
    /// # Panics
    /// If `rows` are not in `matrix`, a row is not a whole number of blocks, there are more than `Step::LIMIT` tokens, or
    /// `activations` has no room for `columns` in the preparation that `format` wants. If `matrix` is packed and these kernels do not
    /// read that, or `rows` are not whole groups.
    ///
    /// # Safety
    /// The elements named above may be written, and nobody else reads or writes them meanwhile. Nobody prepares
    /// `activations` meanwhile.
    pub(crate) unsafe fn multiply(
        &self,
        matrix: &Matrix<'_>,
        rows: Range<usize>,
        activations: &Activations,
        tokens: usize,
        out: *mut f32,
        out_stride: usize,
    ) {
        let &Matrix { format, columns, bytes: weight, packed } = matrix;
        let row_bytes = if packed {
            assert!(rows.start.is_multiple_of(packed::ROWS) && rows.end.is_multiple_of(packed::ROWS));
            packed::size(format, packed::ROWS, columns).map(|size| size / packed::ROWS)
        } else {
            format.row_bytes(columns)
        };
        let row_bytes = row_bytes.expect("a row is a whole number of blocks");
        assert!(
            rows.end.checked_mul(row_bytes).is_some_and(|size| size <= weight.len()),
            "rows of the matrix"
        );
        let preparation = wants(format);
        assert!(columns <= activations.columns() && activations.has(preparation), "room for the columns");
        assert!(tokens <= Step::LIMIT, "tokens of a step");
        if rows.is_empty() || columns == 0 {
            return;
        }
        let multiply = match format {
            _ if packed => (self.packed)(format).expect("kernels that read packed weights"),
            Format::F32 => self.f32,
            Format::F16 => self.f16,
            Format::BF16 => self.bf16,
            Format::Q4_0 => self.q4_0,
            Format::Q8_0 => self.q8_0,
            Format::Q4_K => self.q4_k,
            Format::Q5_K => self.q5_k,
            Format::Q6_K => self.q6_k,
        };
        let product =
            Product { weight, row_bytes, columns, rows, activations, preparation, tokens, out, out_stride };
        // SAFETY: the sizes are checked above, the machine has the instruction set (`new`), the output is the caller's.
        unsafe { multiply(&product) }
    }
}
