//! Byte strings, eight bytes at a time.
//!
//! A tokenizer handles half a million strings of a few bytes each once, as it is loaded. A loop over the bytes of one ends
//! where no processor foresees it, which costs more than what such a loop does. So strings are read in words, which reach
//! into what lies behind a string in its buffer.

use std::ops::Range;

/// A byte string.
#[derive(Clone, Copy, Default)]
pub(super) struct Words<'a> {
    /// The string and, better than nothing, what lies behind it.
    bytes: &'a [u8],
    length: usize,
}

impl<'a> From<&'a [u8]> for Words<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self { bytes, length: bytes.len() }
    }
}

impl<'a> Words<'a> {
    /// A part of a buffer.
    #[inline(always)]
    pub(super) fn within(buffer: &'a [u8], range: Range<usize>) -> Self {
        Self { bytes: &buffer[range.start..], length: range.len() }
    }

    /// The bytes alone.
    #[inline(always)]
    pub(super) fn bytes(self) -> &'a [u8] {
        &self.bytes[..self.length]
    }

    /// Number of bytes.
    #[inline(always)]
    pub(super) fn len(self) -> usize {
        self.length
    }

    /// The bytes from one on.
    #[inline(always)]
    pub(super) fn after(self, first: usize) -> Self {
        Self { bytes: &self.bytes[first..], length: self.length - first }
    }

    /// The first bytes.
    #[inline(always)]
    pub(super) fn before(self, length: usize) -> Self {
        Self { length, ..self }
    }

    /// The eight bytes from `first` on, the first one lowest, with whatever is behind the end.
    #[inline(always)]
    fn raw(self, first: usize) -> u64 {
        let rest = &self.bytes[first..];
        rest.first_chunk().map_or_else(|| last_word(rest), |&word| u64::from_le_bytes(word))
    }

    /// The eight bytes from `first` on, the first one lowest, with zeros in place of those behind the end.
    #[inline(always)]
    pub(super) fn word(self, first: usize) -> u64 {
        let left = self.length - first;
        if left < 8 { self.raw(first) & !(u64::MAX << (8 * left)) } else { self.raw(first) }
    }

    /// A hash; different salts give unrelated hashes of the same bytes.
    #[inline(always)]
    pub(super) fn hash(self, salt: u64) -> u64 {
        let mut state = mix(mix(salt ^ (self.length as u64)) ^ self.word(0));
        let mut first = 8;
        while first < self.length {
            state = mix(state ^ self.word(first));
            first += 8;
        }
        state
    }

    /// Where two strings differ first, before the end of the shorter one.
    #[inline(always)]
    pub(super) fn difference(self, other: Self) -> Option<usize> {
        let shorter = self.length.min(other.length);
        let mut first = 0;
        while first < shorter {
            let different = self.raw(first) ^ other.raw(first);
            if different != 0 {
                return Some(first + different.trailing_zeros() as usize / 8)
                    .filter(|&place| place < shorter);
            }
            first += 8;
        }
        None
    }

    /// Whether two strings are the same.
    #[inline(always)]
    pub(super) fn is(self, other: Self) -> bool {
        self.length == other.length && self.difference(other).is_none()
    }

    /// Characters of UTF-8.
    #[inline(always)]
    pub(super) fn characters(self) -> usize {
        let mut behind_first = 0;
        let mut first = 0;
        while first < self.length {
            let word = self.word(first);
            // Bytes with the upmost bit, but not the next.
            behind_first += (word & !(word << 1) & u64::from_le_bytes([0x80; 8])).count_ones();
            first += 8;
        }
        self.length - behind_first as usize
    }
}

/// Fewer than eight bytes, with zeros behind them.
#[inline]
fn last_word(bytes: &[u8]) -> u64 {
    let place = |last: usize| 8 * (bytes.len() - last);
    // First and last ones overlap.
    if let (Some(&first), Some(&last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u64::from(u32::from_le_bytes(first)) | u64::from(u32::from_le_bytes(last)) << place(4)
    } else if let (Some(&first), Some(&last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u64::from(u16::from_le_bytes(first)) | u64::from(u16::from_le_bytes(last)) << place(2)
    } else {
        bytes.first().map_or(0, |&byte| u64::from(byte))
    }
}

/// A bijection that carries every bit into the top half, and the top half into the bottom one.
#[inline]
pub(super) fn mix(state: u64) -> u64 {
    let product = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_behind_a_string_is_no_part_of_it() {
        let buffer: Vec<u8> = (1..=40).collect();
        let other: Vec<u8> = buffer.iter().map(|byte| byte ^ 0x80).collect();
        for length in 0..=20 {
            let alone = Words::from(&buffer[3..3 + length]);
            let within = Words::within(&buffer, 3..3 + length);
            assert_eq!(within.bytes(), alone.bytes());
            assert!(within.is(alone) && within.hash(1) == alone.hash(1) && within.hash(1) != within.hash(2));
            let mut bytes = buffer[3..3 + length].to_vec();
            bytes.extend_from_slice(&other);
            assert!(Words::within(&bytes, 0..length).is(within));
            for place in 0..length {
                bytes[place] ^= 0x40;
                let changed = Words::within(&bytes, 0..length);
                assert_eq!(changed.difference(within), Some(place));
                assert!(!changed.is(alone) && changed.hash(1) != alone.hash(1));
                bytes[place] ^= 0x40;
            }
            assert_eq!(within.difference(alone.before(length / 2)), None);
        }
    }

    #[test]
    fn characters_are_counted_as_the_library_counts_them() {
        let text = "aé漢🚀 ".repeat(4);
        for (length, _) in text.char_indices() {
            let words = Words::within(text.as_bytes(), 0..length);
            assert_eq!(words.characters(), text[..length].chars().count());
            assert_eq!(words.after(0).bytes(), &text.as_bytes()[..length]);
        }
    }
}
