//! Blocks of 256 elements whose groups have quantised scales: `Q4_K`, `Q5_K`, `Q6_K`.

#![expect(unsafe_code, reason = "promises that the structs are plain bytes")]

use super::{Block, Format, f32_to_half, half_to_f32};

/// 256 elements in eight groups of 32: `scale * scales[group] * quant - minimum * minima[group]`, quants of 4 bits.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct BlockQ4_K {
    /// f16, of the scales.
    pub scale: [u8; 2],
    /// f16, of the minima.
    pub minimum: [u8; 2],
    /// Eight scales and eight minima of 6 bits: unpacked by [`Self::scales`].
    pub scales: [u8; 12],
    /// Byte `32 p + i` has element `i` of group `2 p` in its low half and of group `2 p + 1` in its high half.
    pub quants: [u8; 128],
}

/// As [`BlockQ4_K`], quants of 5 bits.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct BlockQ5_K {
    /// f16, of the scales.
    pub scale: [u8; 2],
    /// f16, of the minima.
    pub minimum: [u8; 2],
    /// Eight scales and eight minima of 6 bits: unpacked by [`Self::scales`].
    pub scales: [u8; 12],
    /// Bit `group` of byte `i` is the fifth bit of element `i` of that group.
    pub high: [u8; 32],
    /// The low four bits, as in [`BlockQ4_K`].
    pub quants: [u8; 128],
}

/// 256 elements in sixteen groups of 16: `scale * scales[group] * (quant - 32)`, quants of 6 bits.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct BlockQ6_K {
    /// Low four bits. Of each half of 128 elements, byte `i < 64` has element `i` in its low half, `i + 64` in its high half.
    pub low: [u8; 128],
    /// High two bits. Of each half, byte `i < 32` has elements `i`, `i + 32`, `i + 64`, `i + 96`, from the low bits up.
    pub high: [u8; 64],
    /// One for each group.
    pub scales: [i8; 16],
    /// f16, of the scales.
    pub scale: [u8; 2],
}

const _: () = assert!(size_of::<BlockQ4_K>() == 144 && align_of::<BlockQ4_K>() == 1);
const _: () = assert!(size_of::<BlockQ5_K>() == 176 && align_of::<BlockQ5_K>() == 1);
const _: () = assert!(size_of::<BlockQ6_K>() == 210 && align_of::<BlockQ6_K>() == 1);

/// The 6-bit scales and minima of eight groups.
///
/// Bytes 0..4 have scales 0..4 in their low six bits, bytes 4..8 minima 0..4. Byte `8 + i` has the low four bits of scale
/// `4 + i` and, above them, of minimum `4 + i`; their high two bits are on top of bytes `i` and `4 + i`.
pub(super) fn unpack_scales(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut minima) = ([0; 8], [0; 8]);
    for i in 0..4 {
        scales[i] = packed[i] & 63;
        minima[i] = packed[4 + i] & 63;
        scales[4 + i] = packed[8 + i] & 15 | packed[i] >> 6 << 4;
        minima[4 + i] = packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4;
    }
    (scales, minima)
}

fn pack_scales(scales: &[u8; 8], minima: &[u8; 8]) -> [u8; 12] {
    let mut packed = [0; 12];
    for i in 0..4 {
        packed[i] = scales[i] | scales[4 + i] >> 4 << 6;
        packed[4 + i] = minima[i] | minima[4 + i] >> 4 << 6;
        packed[8 + i] = scales[4 + i] & 15 | minima[4 + i] << 4;
    }
    packed
}

impl BlockQ4_K {
    /// Scale of the scales, as f32.
    pub fn scale(&self) -> f32 {
        half_to_f32(self.scale)
    }

    /// Scale of the minima, as f32.
    pub fn minimum(&self) -> f32 {
        half_to_f32(self.minimum)
    }

    /// Scales and minima of the groups.
    pub fn scales(&self) -> ([u8; 8], [u8; 8]) {
        unpack_scales(&self.scales)
    }
}

impl BlockQ5_K {
    /// Scale of the scales, as f32.
    pub fn scale(&self) -> f32 {
        half_to_f32(self.scale)
    }

    /// Scale of the minima, as f32.
    pub fn minimum(&self) -> f32 {
        half_to_f32(self.minimum)
    }

    /// Scales and minima of the groups.
    pub fn scales(&self) -> ([u8; 8], [u8; 8]) {
        unpack_scales(&self.scales)
    }
}

impl BlockQ6_K {
    /// Scale of the scales, as f32.
    pub fn scale(&self) -> f32 {
        half_to_f32(self.scale)
    }

    /// The quants, from 0 to 63.
    pub fn quants(&self) -> [u8; 256] {
        let mut quants = [0; 256];
        for (half, quants) in quants.as_chunks_mut::<128>().0.iter_mut().enumerate() {
            let (low, high) = (&self.low[64 * half..][..64], &self.high[32 * half..][..32]);
            for i in 0..32 {
                quants[i] = low[i] & 15 | (high[i] & 3) << 4;
                quants[32 + i] = low[32 + i] & 15 | (high[i] >> 2 & 3) << 4;
                quants[64 + i] = low[i] >> 4 | (high[i] >> 4 & 3) << 4;
                quants[96 + i] = low[32 + i] >> 4 | high[i] >> 6 << 4;
            }
        }
        quants
    }
}

// SAFETY: repr(C) of byte arrays only.
unsafe impl Block for BlockQ4_K {
    const FORMAT: Format = Format::Q4_K;

    fn decode(&self, out: &mut [f32]) {
        let (scales, minima) = self.scales();
        for (group, out) in out.chunks_exact_mut(32).enumerate() {
            let scale = self.scale() * f32::from(scales[group]);
            let minimum = self.minimum() * f32::from(minima[group]);
            for (i, out) in out.iter_mut().enumerate() {
                let quant = self.quants[group / 2 * 32 + i] >> (group % 2 * 4) & 15;
                *out = scale * f32::from(quant) - minimum;
            }
        }
    }

    fn encode(values: &[f32]) -> Self {
        let Affine { scale, minimum, scales, quants } = Affine::fit(values, 15);
        let quants = pack_halves(&quants);
        Self { scale, minimum, scales, quants }
    }
}

// SAFETY: repr(C) of byte arrays only.
unsafe impl Block for BlockQ5_K {
    const FORMAT: Format = Format::Q5_K;

    fn decode(&self, out: &mut [f32]) {
        let (scales, minima) = self.scales();
        for (group, out) in out.chunks_exact_mut(32).enumerate() {
            let scale = self.scale() * f32::from(scales[group]);
            let minimum = self.minimum() * f32::from(minima[group]);
            for (i, out) in out.iter_mut().enumerate() {
                let low = self.quants[group / 2 * 32 + i] >> (group % 2 * 4) & 15;
                let quant = low | (self.high[i] >> group & 1) << 4;
                *out = scale * f32::from(quant) - minimum;
            }
        }
    }

    fn encode(values: &[f32]) -> Self {
        let Affine { scale, minimum, scales, quants } = Affine::fit(values, 31);
        let high = std::array::from_fn(|i| {
            (0..8).fold(0, |byte, group| byte | quants[group * 32 + i] >> 4 << group)
        });
        let quants = pack_halves(&quants);
        Self { scale, minimum, scales, high, quants }
    }
}

// SAFETY: repr(C) of byte arrays only.
unsafe impl Block for BlockQ6_K {
    const FORMAT: Format = Format::Q6_K;

    fn decode(&self, out: &mut [f32]) {
        let quants = self.quants();
        let groups = quants.as_chunks::<16>().0.iter().zip(self.scales);
        for ((quants, group_scale), out) in groups.zip(out.chunks_exact_mut(16)) {
            let scale = self.scale() * f32::from(group_scale);
            for (out, &quant) in out.iter_mut().zip(quants) {
                *out = scale * f32::from(quant as i8 - 32);
            }
        }
    }

    fn encode(values: &[f32]) -> Self {
        let mut fitted = [0.0; 16];
        for (fitted, group) in fitted.iter_mut().zip(values.chunks_exact(16)) {
            *fitted = fit_symmetric(group);
        }
        let farthest = fitted.iter().fold(0.0_f32, |max, &x| if x.abs() > max.abs() { x } else { max });
        let scale = f32_to_half(farthest / -128.0);
        let mut block = Self { low: [0; 128], high: [0; 64], scales: [0; 16], scale };
        for (group, values) in values.chunks_exact(16).enumerate() {
            block.scales[group] = divide(fitted[group], block.scale()).round() as i8;
            let scale = block.scale() * f32::from(block.scales[group]);
            for (i, &value) in values.iter().enumerate() {
                let quant = (divide(value, scale).round().clamp(-32.0, 31.0) + 32.0) as u8;
                let (half, place) = (group / 8, group % 8 * 16 + i);
                block.low[half * 64 + place % 64] |= (quant & 15) << (place / 64 * 4);
                block.high[half * 32 + place % 32] |= quant >> 4 << (place / 32 * 2);
            }
        }
        block
    }
}

/// What `Q4_K` and `Q5_K` have in common before quants are packed.
struct Affine {
    scale: [u8; 2],
    minimum: [u8; 2],
    scales: [u8; 12],
    quants: [u8; 256],
}

impl Affine {
    /// Fit each group, quantise its scale and minimum, then round the elements to what these can express.
    fn fit(values: &[f32], top: u8) -> Self {
        let mut fitted = [(0.0, 0.0); 8];
        for (fitted, group) in fitted.iter_mut().zip(values.chunks_exact(32)) {
            *fitted = fit_affine(group, f32::from(top));
        }
        let largest = |part: fn(&(f32, f32)) -> f32| fitted.iter().map(part).fold(0.0, f32::max) / 63.0;
        let (scale, minimum) = (f32_to_half(largest(|fit| fit.0)), f32_to_half(largest(|fit| fit.1)));
        let (unit, minimum_unit) = (half_to_f32(scale), half_to_f32(minimum));
        let scales = fitted.map(|fit| divide(fit.0, unit).round().min(63.0) as u8);
        let minima = fitted.map(|fit| divide(fit.1, minimum_unit).round().min(63.0) as u8);
        let mut quants = [0; 256];
        for (i, quant) in quants.iter_mut().enumerate() {
            let group = i / 32;
            let above = values[i] + minimum_unit * f32::from(minima[group]);
            *quant = divide(above, unit * f32::from(scales[group])).round().clamp(0.0, f32::from(top)) as u8;
        }
        Self { scale, minimum, scales: pack_scales(&scales, &minima), quants }
    }
}

/// Scale and minimum, both at least 0, such that `scale * quant - minimum` with quants of `0..=top` comes near to `values`.
///
/// Tries ranges a little narrower and wider than that of the values, fits a line to the quants of each by least squares, and
/// keeps the line with the smallest squared error.
fn fit_affine(values: &[f32], top: f32) -> (f32, f32) {
    let low = values.iter().copied().fold(0.0, f32::min);
    let high = values.iter().copied().fold(low, f32::max);
    let mut best = ((high - low) / top, -low);
    let error = |(scale, minimum): (f32, f32)| -> f32 {
        values
            .iter()
            .map(|&x| {
                let quant = divide(x + minimum, scale).round().clamp(0.0, top);
                (scale * quant - minimum - x).powi(2)
            })
            .sum()
    };
    let mut least = error(best);
    for step in -10..=5 {
        let width = (high - low) / (top - 0.1 * step as f32);
        let (mut count, mut q1, mut q2, mut x1, mut xq) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &x in values {
            let quant = divide(x - low, width).round().clamp(0.0, top);
            count += 1.0;
            q1 += quant;
            q2 += quant * quant;
            x1 += x;
            xq += x * quant;
        }
        let mut line = (divide(count * xq - q1 * x1, count * q2 - q1 * q1), 0.0);
        line.1 = (line.0 * q1 - x1) / count;
        if line.1 < 0.0 {
            line = (divide(xq, q2), 0.0);
        }
        let candidate = error(line);
        if line.0 > 0.0 && candidate < least {
            (best, least) = (line, candidate);
        }
    }
    best
}

/// A scale, of either sign, such that `scale * quant` with quants of `-32..=31` comes near to `values`: as [`fit_affine`], with
/// the value farthest from zero near quant -32.
fn fit_symmetric(values: &[f32]) -> f32 {
    let farthest = values.iter().fold(0.0_f32, |max, &x| if x.abs() > max.abs() { x } else { max });
    let (mut best, mut least) = (0.0, f32::INFINITY);
    for step in -9..=9 {
        let width = farthest / (-32.0 + 0.1 * step as f32);
        let (mut q2, mut xq) = (0.0, 0.0);
        for &x in values {
            let quant = divide(x, width).round().clamp(-32.0, 31.0);
            q2 += quant * quant;
            xq += x * quant;
        }
        let scale = divide(xq, q2);
        let error: f32 =
            values.iter().map(|&x| (scale * divide(x, scale).round().clamp(-32.0, 31.0) - x).powi(2)).sum();
        if error < least {
            (best, least) = (scale, error);
        }
    }
    best
}

/// Low four bits of the quants, as both affine formats pack them.
fn pack_halves(quants: &[u8; 256]) -> [u8; 128] {
    std::array::from_fn(|byte| {
        let first = byte / 32 * 64 + byte % 32;
        quants[first] & 15 | quants[first + 32] << 4
    })
}

/// `x / y`, or 0 where nothing can be scaled.
fn divide(x: f32, y: f32) -> f32 {
    if y == 0.0 { 0.0 } else { x / y }
}
