//! The order of WebAssembly, whose vectors have 16 bytes: `Q6_K` with a whole byte for every quant, so that none is put together of two
//! parts for every token. Engines of WebAssembly read weights from memory of their own, which they are copied to anyway; the other
//! formats gain nothing by it.
//!
//! Of 256 columns a row has
//!
//! - 16 scales and 16 times 16 quants, in which the halves of all blocks of 32 columns lie beside each other, with two columns each, see
//!   [`column`]: so partial sums of all blocks are multiplied with their scales by one instruction;
//! - the scale of the scales.

use crate::block::{BlockQ6_K, Format, blocks};

/// Rows that are packed together.
pub(crate) const ROWS: usize = 1;

/// Bytes of a vector.
pub(crate) const VECTOR: usize = 16;

/// Vectors of quants.
pub(crate) const VECTORS: usize = 256 / VECTOR;

/// Where the quants of 256 columns are, and the scale of their scales.
pub(crate) const QUANTS: usize = 16;
pub(crate) const WHOLE: usize = QUANTS + 256;

/// Bytes of 256 columns of `Q6_K`.
pub(crate) const BYTES: usize = WHOLE + 2;

/// The same of any format, or `None` if it stays as it is.
pub(super) fn bytes(format: Format) -> Option<usize> {
    (format == Format::Q6_K).then_some(BYTES)
}

/// The first of the two columns that pair `pair` of vector `vector` is of: there are first halves in the first eight.
pub(crate) const fn column(vector: usize, pair: usize) -> usize {
    32 * pair + 2 * vector
}

/// Put 256 columns in the order of quants.
#[inline(always)]
pub(crate) fn order<T: Copy>(columns: &[T; 256], ordered: &mut [T; 256]) {
    let (columns, ordered) = (columns.as_chunks::<2>().0, ordered.as_chunks_mut::<2>().0);
    for vector in 0..VECTORS {
        for pair in 0..VECTOR / 2 {
            ordered[VECTOR / 2 * vector + pair] = columns[column(vector, pair) / 2];
        }
    }
}

/// Pack 256 columns of a row.
pub(super) fn pack(_: Format, _: usize, bytes: &[u8], out: &mut [u8]) {
    let block = &blocks::<BlockQ6_K>(bytes)[0];
    let mut quants = [0; 256];
    order(&block.quants(), &mut quants);
    out[..QUANTS].copy_from_slice(&block.scales.map(|scale| scale as u8));
    out[QUANTS..WHOLE].copy_from_slice(&quants);
    out[WHOLE..].copy_from_slice(&block.scale);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::size;

    #[test]
    fn only_six_bits_are_packed() {
        assert_eq!(size(Format::Q6_K, 3, 512), Some(3 * 2 * 274));
        assert_eq!(size(Format::Q4_K, 3, 512), None);
    }
}
