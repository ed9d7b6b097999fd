//! Packed matrices: the quants of weights in an order in which vectors multiply them as they are loaded. Results are those of the weights
//! in place, to the bit.
//!
//! What is packed how depends on the instructions that the crate is compiled for: see `packed/words.rs` for native ones and
//! `packed/bytes.rs` for those of WebAssembly.

#[cfg(target_family = "wasm")]
pub(crate) mod bytes;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod words;

#[cfg(target_family = "wasm")]
use bytes as order;
#[cfg(not(target_family = "wasm"))]
use words as order;

use crate::block::Format;

/// Rows that are packed together.
pub const ROWS: usize = order::ROWS;

/// Columns that are packed together.
const CHUNK: usize = 256;

/// Changes when the order does.
pub const VERSION: u32 = 1;

/// Bytes of a packed matrix, or `None` if it stays as it is: formats without such an order, and what is not whole groups of [`ROWS`] rows
/// or 256 columns.
pub fn size(format: Format, rows: usize, columns: usize) -> Option<usize> {
    let bytes =
        order::bytes(format).filter(|_| rows.is_multiple_of(ROWS) && columns.is_multiple_of(CHUNK))?;
    (columns / CHUNK).checked_mul(bytes)?.checked_mul(rows)
}

/// Pack rows of a matrix.
///
/// # Panics
/// If they are not of `columns` elements of a format that can be packed, or `out` is not as long as [`size`] says.
pub fn pack(format: Format, columns: usize, rows: &[u8], out: &mut [u8]) {
    let row_bytes = format.row_bytes(columns).expect("a row is a whole number of blocks");
    let group_size = size(format, ROWS, columns).expect("a format that can be packed");
    let groups = rows.len() / (ROWS * row_bytes);
    assert!(rows.len() == groups * ROWS * row_bytes && out.len() == groups * group_size, "whole groups");
    let chunks = columns / CHUNK;
    for (rows, out) in rows.chunks_exact(ROWS * row_bytes).zip(out.chunks_exact_mut(group_size)) {
        for (row, bytes) in rows.chunks_exact(row_bytes).enumerate() {
            let chunks_out = out.chunks_exact_mut(group_size / chunks);
            for (bytes, out) in bytes.chunks_exact(row_bytes / chunks).zip(chunks_out) {
                order::pack(format, row, bytes, out);
            }
        }
    }
}
