//! The order of native vectors.
//!
//! Sixteen rows are interleaved word by word: a line of 64 bytes has the next four bytes of each of them, so that every row has a lane of
//! its own, nothing is transposed, and each line is read once, in the order of memory. Of 256 columns of a row, the words are
//!
//! - `Q4_0`, `Q8_0`: the scales of eight blocks, then their quants;
//! - `Q4_K`, `Q5_K`: as in the file;
//! - `Q6_K`: the scale of the scales and two bytes of zeros, the scales, then for each four of 32 columns of either half the lower bits
//!   of these and of those 32 columns further, and their upper bits.
//!
//! No bit of a weight changes.

use crate::block::Format;

/// Rows that are interleaved.
pub(crate) const ROWS: usize = 16;

/// Bytes of a word.
const WORD: usize = 4;

/// Words of 256 columns of a row, or `None` for formats that stay as they are.
pub(crate) const fn words(format: Format) -> Option<usize> {
    match format {
        Format::F32 | Format::F16 | Format::BF16 => None,
        Format::Q4_0 | Format::Q4_K => Some(144 / WORD),
        Format::Q8_0 => Some(272 / WORD),
        Format::Q5_K => Some(176 / WORD),
        Format::Q6_K => Some((210 + 2) / WORD),
    }
}

/// Bytes of 256 columns of a row, or `None` for formats that stay as they are.
pub(super) fn bytes(format: Format) -> Option<usize> {
    words(format).map(|words| WORD * words)
}

/// Pack 256 columns of row `row` of a group.
pub(super) fn pack(format: Format, row: usize, bytes: &[u8], out: &mut [u8]) {
    let mut lines = out.as_chunks_mut::<{ ROWS * WORD }>().0.iter_mut();
    let mut put = |bytes: &[u8]| {
        for word in bytes.as_chunks::<WORD>().0 {
            let line = lines.next().expect("as many lines as words");
            line.as_chunks_mut().0[row] = *word;
        }
    };
    match format {
        Format::Q4_0 | Format::Q8_0 => {
            let blocks = bytes.chunks_exact(format.block().1);
            let scales: Vec<u8> = blocks.clone().flat_map(|block| &block[..2]).copied().collect();
            put(&scales);
            blocks.for_each(|block| put(&block[2..]));
        }
        Format::Q6_K => {
            put(&[bytes[208], bytes[209], 0, 0]);
            put(&bytes[192..208]);
            for half in 0..2 {
                let (low, high) = (&bytes[64 * half..][..64], &bytes[128 + 32 * half..][..32]);
                for first in (0..32).step_by(WORD) {
                    put(&low[first..][..WORD]);
                    put(&low[32 + first..][..WORD]);
                    put(&high[first..][..WORD]);
                }
            }
        }
        _ => put(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::{CHUNK, pack, size};

    #[test]
    fn only_whole_groups_of_quantised_rows_are_packed() {
        assert_eq!(size(Format::Q4_K, 32, 512), Some(32 * 2 * 144));
        assert_eq!(size(Format::Q6_K, 16, 256), Some(16 * 212));
        assert_eq!(size(Format::Q4_K, 24, 512), None);
        assert_eq!(size(Format::Q8_0, 32, 96), None);
        assert_eq!(size(Format::F16, 32, 512), None);
        assert_eq!(size(Format::Q8_0, usize::MAX - 15, 512), None);
    }

    #[test]
    fn no_byte_is_lost() {
        for format in Format::ALL.into_iter().filter(|format| format.is_quantised()) {
            let columns = 2 * CHUNK;
            let row_bytes = format.row_bytes(columns).unwrap();
            // Every byte of a row is another, as far as bytes go.
            let rows: Vec<u8> = (0..ROWS * row_bytes).map(|index| (index % row_bytes) as u8 ^ 0x55).collect();
            let mut out = vec![0; size(format, ROWS, columns).unwrap()];
            pack(format, columns, &rows, &mut out);
            let count = |bytes: &[u8]| {
                let mut counts = [0; 256];
                bytes.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
                counts
            };
            let mut expected = count(&rows);
            expected[0] += out.len() - rows.len();
            assert_eq!(count(&out), expected, "{format}");
            // All rows are equal, so all lanes are.
            assert!(out.chunks_exact(64).all(|line| line.chunks_exact(4).all(|word| *word == line[..4])));
        }
    }
}
