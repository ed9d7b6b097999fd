//! Blocks of 32 elements with one scale: `Q4_0`, `Q8_0`.

#![expect(unsafe_code, reason = "promises that the structs are plain bytes")]

use super::{Block, Format, f32_to_half, half_to_f32};

/// 32 elements `scale * (quant - 8)`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct BlockQ4_0 {
    /// f16.
    pub scale: [u8; 2],
    /// Byte `i` has element `i` in its low half and element `i + 16` in its high half.
    pub quants: [u8; 16],
}

/// 32 elements `scale * quant`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct BlockQ8_0 {
    /// f16.
    pub scale: [u8; 2],
    /// One for each element, in order.
    pub quants: [i8; 32],
}

const _: () = assert!(size_of::<BlockQ4_0>() == 18 && align_of::<BlockQ4_0>() == 1);
const _: () = assert!(size_of::<BlockQ8_0>() == 34 && align_of::<BlockQ8_0>() == 1);

impl BlockQ4_0 {
    /// The scale as f32.
    pub fn scale(&self) -> f32 {
        half_to_f32(self.scale)
    }
}

impl BlockQ8_0 {
    /// The scale as f32.
    pub fn scale(&self) -> f32 {
        half_to_f32(self.scale)
    }
}

// SAFETY: repr(C) of byte arrays only.
unsafe impl Block for BlockQ4_0 {
    const FORMAT: Format = Format::Q4_0;

    fn decode(&self, out: &mut [f32]) {
        let scale = self.scale();
        let (low, high) = out.split_at_mut(16);
        for (quant, (low, high)) in self.quants.iter().zip(low.iter_mut().zip(high)) {
            *low = f32::from((quant & 15) as i8 - 8) * scale;
            *high = f32::from((quant >> 4) as i8 - 8) * scale;
        }
    }

    /// The element farthest from zero, with its sign, becomes quant 0 and so is exact but for the scale's rounding.
    fn encode(values: &[f32]) -> Self {
        let farthest = values.iter().fold(0.0_f32, |max, &x| if x.abs() > max.abs() { x } else { max });
        let scale = farthest / -8.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let quant = |x: f32| ((x * inverse + 8.5) as u8).min(15);
        let (low, high) = values.split_at(16);
        let quants = std::array::from_fn(|i| quant(low[i]) | quant(high[i]) << 4);
        Self { scale: f32_to_half(scale), quants }
    }
}

// SAFETY: repr(C) of byte arrays only.
unsafe impl Block for BlockQ8_0 {
    const FORMAT: Format = Format::Q8_0;

    fn decode(&self, out: &mut [f32]) {
        let scale = self.scale();
        for (&quant, out) in self.quants.iter().zip(out) {
            *out = f32::from(quant) * scale;
        }
    }

    fn encode(values: &[f32]) -> Self {
        let scale = values.iter().fold(0.0_f32, |max, x| max.max(x.abs())) / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let quants = std::array::from_fn(|i| (values[i] * inverse).round() as i8);
        Self { scale: f32_to_half(scale), quants }
    }
}
