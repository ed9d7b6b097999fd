//! Element formats of weights: the layout of a block, once, and what it decodes to.
//!
//! Every block is a struct of bytes, so it can be read in place from a mapped file at any alignment. Decoding does the
//! arithmetic of the formats' definition in f32 and in its order; encoding rounds to the nearest. Fast paths belong to devices.

#![expect(unsafe_code, reason = "blocks are read in place: one cast from bytes to structs of bytes")]

use std::fmt;

use half::{bf16, f16};

mod k;
mod legacy;

pub use k::{BlockQ4_K, BlockQ5_K, BlockQ6_K};
pub use legacy::{BlockQ4_0, BlockQ8_0};

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
            Self::Q4_0 => (32, size_of::<BlockQ4_0>()),
            Self::Q8_0 => (32, size_of::<BlockQ8_0>()),
            Self::Q4_K => (256, size_of::<BlockQ4_K>()),
            Self::Q5_K => (256, size_of::<BlockQ5_K>()),
            Self::Q6_K => (256, size_of::<BlockQ6_K>()),
        }
    }

    /// Bytes of a row of `columns` elements, or `None` if that is not a whole number of blocks or overflows.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        let (elements, bytes) = self.block();
        columns.is_multiple_of(elements).then(|| columns / elements)?.checked_mul(bytes)
    }

    /// Whether a block holds more than one element: kernels may then use integer arithmetic.
    pub const fn is_quantised(self) -> bool {
        self.block().0 > 1
    }

    /// The elements of `bytes`. Scales that are NaN or infinite give what the arithmetic gives.
    ///
    /// # Panics
    /// If `bytes` are not the [`Format::row_bytes`] of `out.len()` columns.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        self.check(bytes.len(), out.len());
        match self {
            Self::F32 => decode_each(bytes, out, f32::from_le_bytes),
            Self::F16 => decode_each(bytes, out, |element| f16::from_le_bytes(element).to_f32()),
            Self::BF16 => decode_each(bytes, out, |element| bf16::from_le_bytes(element).to_f32()),
            Self::Q4_0 => decode_blocks::<BlockQ4_0>(bytes, out),
            Self::Q8_0 => decode_blocks::<BlockQ8_0>(bytes, out),
            Self::Q4_K => decode_blocks::<BlockQ4_K>(bytes, out),
            Self::Q5_K => decode_blocks::<BlockQ5_K>(bytes, out),
            Self::Q6_K => decode_blocks::<BlockQ6_K>(bytes, out),
        }
    }

    /// Append the blocks that come nearest to `values`. Values that are not finite give blocks without meaning.
    ///
    /// # Panics
    /// If `values` are not a whole number of blocks.
    pub fn encode(self, values: &[f32], out: &mut Vec<u8>) {
        assert!(self.row_bytes(values.len()).is_some(), "{} elements are not blocks of {self}", values.len());
        match self {
            Self::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::F16 => out.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes())),
            Self::BF16 => out.extend(values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes())),
            Self::Q4_0 => encode_blocks::<BlockQ4_0>(values, out),
            Self::Q8_0 => encode_blocks::<BlockQ8_0>(values, out),
            Self::Q4_K => encode_blocks::<BlockQ4_K>(values, out),
            Self::Q5_K => encode_blocks::<BlockQ5_K>(values, out),
            Self::Q6_K => encode_blocks::<BlockQ6_K>(values, out),
        }
    }

    fn check(self, bytes: usize, columns: usize) {
        assert!(self.row_bytes(columns) == Some(bytes), "{bytes} bytes for {columns} elements of {self}");
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A block of a quantised format.
///
/// # Safety
/// The type is `repr(C)`, has alignment 1, no padding, and every pattern of bits is a value of it.
pub unsafe trait Block: Copy + Send + Sync + 'static {
    /// The format whose blocks these are.
    const FORMAT: Format;

    /// The elements, into a slice that is exactly as long.
    fn decode(&self, out: &mut [f32]);

    /// The block nearest to `values`, which are exactly its elements.
    fn encode(values: &[f32]) -> Self;
}

/// `bytes` as the blocks that they are, in place.
///
/// # Panics
/// If they are not a whole number of blocks.
pub fn blocks<B: Block>(bytes: &[u8]) -> &[B] {
    const { assert!(align_of::<B>() == 1 && size_of::<B>() == B::FORMAT.block().1) };
    let count = bytes.len() / size_of::<B>();
    assert!(count * size_of::<B>() == bytes.len(), "{} bytes are not blocks of {}", bytes.len(), B::FORMAT);
    // SAFETY: a `Block` has alignment 1 and no invalid values; the length was checked, and the lifetime is that of `bytes`.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<B>(), count) }
}

/// The bytes of one block.
fn bytes_of<B: Block>(block: &B) -> &[u8] {
    // SAFETY: a `Block` has no padding, so all its bytes are initialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(block).cast::<u8>(), size_of::<B>()) }
}

fn decode_blocks<B: Block>(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in blocks::<B>(bytes).iter().zip(out.chunks_exact_mut(B::FORMAT.block().0)) {
        block.decode(out);
    }
}

fn encode_blocks<B: Block>(values: &[f32], out: &mut Vec<u8>) {
    for values in values.chunks_exact(B::FORMAT.block().0) {
        out.extend_from_slice(bytes_of(&B::encode(values)));
    }
}

fn decode_each<const N: usize>(bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    for (&element, out) in bytes.as_chunks::<N>().0.iter().zip(out) {
        *out = decode(element);
    }
}

/// An f16 in a block, as f32.
fn half_to_f32(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

fn f32_to_half(value: f32) -> [u8; 2] {
    f16::from_f32(value).to_le_bytes()
}

#[cfg(test)]
mod tests;
