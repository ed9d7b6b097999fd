//! Random weights, made directly as blocks of a format: random quants under a scale that gives the weights a mean of
//! about zero and a standard deviation of about [`DEVIATION`].

use half::f16;
use wasm_chord_gguf::Kind;

/// The standard deviation of the weights.
const DEVIATION: f32 = 0.02;

/// A fast generator of numbers that look random (SplitMix64).
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
    }
}

/// Fills `out`, whole blocks of `kind`, with random weights.
///
/// # Panics
/// For a format that no mix of the task uses.
pub(super) fn fill(kind: Kind, random: &mut Random, out: &mut [u8]) {
    let block: fn(&mut Random, &mut [u8]) = match kind {
        Kind::F16 => f16_block,
        Kind::Q8_0 => q8_0,
        Kind::Q4_0 => q4_0,
        Kind::Q4_K => q4_k,
        Kind::Q5_K => q5_k,
        Kind::Q6_K => q6_k,
        other => panic!("no random blocks of {other}"),
    };
    // An f16 is its own block; four are made at once.
    let size = if kind == Kind::F16 { 8 } else { kind.block_bytes() as usize };
    out.chunks_exact_mut(size).for_each(|bytes| block(random, bytes));
}

/// Standard deviation of the numbers from 0 to `count - 1`, each as likely as the others.
fn uniform(count: f32) -> f32 {
    ((count * count - 1.0) / 12.0).sqrt()
}

/// A scale around `mean` (a quarter more or less), as f16 bits in file order.
fn scale(random: &mut Random, mean: f32) -> [u8; 2] {
    let factor = 0.75 + 0.5 * (random.next() >> 40) as f32 / (1u64 << 24) as f32;
    f16::from_f32(mean * factor).to_le_bytes()
}

/// Four weights: the sum of four bytes each, which is close to a normal distribution.
fn f16_block(random: &mut Random, bytes: &mut [u8]) {
    let step = DEVIATION / (2.0 * uniform(256.0));
    let (first, second) = (random.next(), random.next());
    for (index, weight) in bytes.chunks_exact_mut(2).enumerate() {
        let word = if index < 2 { first } else { second } >> (32 * (index % 2));
        let sum: i32 = (0..4).map(|byte| ((word >> (8 * byte)) & 255) as i32).sum();
        weight.copy_from_slice(&f16::from_f32(step * (sum - 510) as f32).to_le_bytes());
    }
}

/// Scale, 32 signed bytes from -127: quantisers never write -128.
fn q8_0(random: &mut Random, bytes: &mut [u8]) {
    bytes[..2].copy_from_slice(&scale(random, DEVIATION / uniform(255.0)));
    random.fill(&mut bytes[2..]);
    bytes[2..].iter_mut().for_each(|byte| *byte = (*byte as i8).max(-127) as u8);
}

/// Scale of either sign, 32 nibbles that count from -8.
fn q4_0(random: &mut Random, bytes: &mut [u8]) {
    let sign = if random.next() & 1 == 0 { 1.0 } else { -1.0 };
    bytes[..2].copy_from_slice(&scale(random, sign * DEVIATION / uniform(16.0)));
    random.fill(&mut bytes[2..]);
}

/// Scale of the scales, scale of the minima, both packed, 256 nibbles.
fn q4_k(random: &mut Random, bytes: &mut [u8]) {
    scales_and_minima(random, bytes, 16.0);
    random.fill(&mut bytes[16..]);
}

/// As Q4_K with 256 fifth bits before the nibbles.
fn q5_k(random: &mut Random, bytes: &mut [u8]) {
    scales_and_minima(random, bytes, 32.0);
    random.fill(&mut bytes[16..]);
}

/// 256 nibbles, 256 pairs of higher bits, 16 signed scales, scale of the scales. Quants count from -32.
fn q6_k(random: &mut Random, bytes: &mut [u8]) {
    random.fill(bytes);
    let mut square = 0.0;
    for byte in &mut bytes[192..208] {
        let size = 32 + (*byte & 63);
        square += f32::from(size) * f32::from(size) / 16.0;
        let signed = if *byte & 64 == 0 { size as i8 } else { -(size as i8) };
        *byte = signed as u8;
    }
    bytes[208..].copy_from_slice(&scale(random, DEVIATION / (square.sqrt() * uniform(64.0))));
}

/// The first 16 bytes of a Q4_K or Q5_K block whose quants are 0 to `count - 1`: eight scales and eight minima of 6 bits
/// and what they are multiplied by. A minimum is about its scale times the middle quant, so that weights centre on zero.
fn scales_and_minima(random: &mut Random, bytes: &mut [u8], count: f32) {
    let bits = random.next();
    let scales: [u8; 8] = std::array::from_fn(|index| 24 + ((bits >> (5 * index)) & 31) as u8);
    let minima: [u8; 8] =
        std::array::from_fn(|index| scales[index] - 1 + 2 * ((bits >> (40 + index)) & 1) as u8);
    let square: f32 = scales.iter().map(|&scale| f32::from(scale) * f32::from(scale) / 8.0).sum();
    let step = DEVIATION / (square.sqrt() * uniform(count));
    bytes[..2].copy_from_slice(&f16::from_f32(step).to_le_bytes());
    bytes[2..4].copy_from_slice(&f16::from_f32(step * (count - 1.0) / 2.0).to_le_bytes());
    for index in 0..4 {
        bytes[4 + index] = scales[index] | (scales[index + 4] >> 4) << 6;
        bytes[8 + index] = minima[index] | (minima[index + 4] >> 4) << 6;
        bytes[12 + index] = scales[index + 4] & 15 | (minima[index + 4] & 15) << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and standard deviation of the weights that `decode` finds in random blocks.
    fn check(kind: Kind, decode: fn(&[u8]) -> Vec<f32>) {
        let mut bytes = vec![0; kind.block_bytes() as usize * 4096];
        fill(kind, &mut Random::new(7), &mut bytes);
        let weights: Vec<f32> = bytes.chunks(kind.block_bytes() as usize).flat_map(decode).collect();
        let mean = weights.iter().sum::<f32>() / weights.len() as f32;
        let square = weights.iter().map(|weight| weight * weight).sum::<f32>() / weights.len() as f32;
        assert!(mean.abs() < 0.002, "{kind}: mean {mean}");
        assert!((0.018..0.022).contains(&square.sqrt()), "{kind}: deviation {}", square.sqrt());
    }

    fn half(bytes: &[u8]) -> f32 {
        f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }

    #[test]
    fn weights_have_the_wanted_deviation() {
        check(Kind::F16, |block| vec![half(block)]);
        check(Kind::Q8_0, |block| {
            block[2..].iter().map(|&quant| half(block) * f32::from(quant as i8)).collect()
        });
        check(Kind::Q4_0, |block| {
            let quants = block[2..].iter().flat_map(|&pair| [pair & 15, pair >> 4]);
            quants.map(|quant| half(block) * (f32::from(quant) - 8.0)).collect()
        });
        check(Kind::Q4_K, |block| {
            (0..256)
                .map(|index| {
                    let (group, byte) = (index / 32, block[16 + index / 64 * 32 + index % 32]);
                    let quant = if group % 2 == 0 { byte & 15 } else { byte >> 4 };
                    k_weight(block, group, quant)
                })
                .collect()
        });
        check(Kind::Q5_K, |block| {
            (0..256)
                .map(|index| {
                    let (group, byte) = (index / 32, block[48 + index / 64 * 32 + index % 32]);
                    let low = if group % 2 == 0 { byte & 15 } else { byte >> 4 };
                    let high = block[16 + index % 32] >> group & 1;
                    k_weight(block, group, low | high << 4)
                })
                .collect()
        });
        check(Kind::Q6_K, |block| {
            (0..256)
                .map(|index| {
                    let (low, high) = (block[index / 2] >> (index % 2 * 4) & 15, block[128 + index / 4]);
                    let quant = low | (high >> (index % 4 * 2) & 3) << 4;
                    let scale = f32::from(block[192 + index / 16] as i8);
                    half(&block[208..]) * scale * (f32::from(quant) - 32.0)
                })
                .collect()
        });
    }

    /// A weight of a Q4_K or Q5_K block.
    fn k_weight(block: &[u8], group: usize, quant: u8) -> f32 {
        let packed = &block[4..16];
        let (scale, minimum) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            (
                packed[group + 4] & 15 | packed[group - 4] >> 6 << 4,
                packed[group + 4] >> 4 | packed[group] >> 6 << 4,
            )
        };
        half(block) * f32::from(scale) * f32::from(quant) - half(&block[2..]) * f32::from(minimum)
    }
}
