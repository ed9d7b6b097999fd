//! Element formats of weights: the layout of a block, once, and what it decodes to.

use std::fmt;

/// How the elements of a weight are stored, named as the field names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(non_camel_case_types, reason = "the field's names")]
pub enum Format {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// Upper half of a 32-bit float.
    BF16,
    /// 32 elements: f16 scale, 4-bit quants offset by 8.
    Q4_0,
    /// 32 elements: f16 scale, signed 8-bit quants.
    Q8_0,
    /// 256 elements: eight groups of 4-bit quants with 6-bit scales and minima.
    Q4_K,
    /// As `Q4_K` with 5-bit quants.
    Q5_K,
    /// 256 elements: sixteen groups of 6-bit quants with 8-bit scales.
    Q6_K,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 8] =
        [Self::F32, Self::F16, Self::BF16, Self::Q4_0, Self::Q8_0, Self::Q4_K, Self::Q5_K, Self::Q6_K];

    /// Elements and bytes of one block.
    pub const fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q8_0 => (32, 34),
            Self::Q4_K => (256, 144),
            Self::Q5_K => (256, 176),
            Self::Q6_K => (256, 210),
        }
    }

    /// Bytes of a row of `columns` elements, or `None` if that is not a whole number of blocks or overflows.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        let (elements, bytes) = self.block();
        columns.is_multiple_of(elements).then(|| columns / elements)?.checked_mul(bytes)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
