//! Golden values are those of the `gguf` Python package (`gguf.quants`) for the same pseudo-random bytes and values.

use super::*;

/// `x = 1664525 x + 1013904223`, and its upper byte.
fn bytes(count: usize) -> Vec<u8> {
    let mut x = 1_u32;
    let next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// 512 elements of a format, their 16-bit floats below infinity.
fn finite_blocks(format: Format) -> Vec<u8> {
    let (elements, size) = format.block();
    let halves: &[usize] = match format {
        Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q6_K => &[208],
        _ => &[0],
    };
    let mut bytes = bytes(512 / elements * size);
    for block in bytes.chunks_exact_mut(size) {
        for half in halves {
            block[half + 1] &= 0xbf;
        }
    }
    bytes
}

/// 512 values in -1..1.
fn values() -> Vec<f32> {
    let mut x = 7_u32;
    let next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / (1 << 24) as f32 * 2.0 - 1.0
    };
    std::iter::repeat_with(next).take(512).collect()
}

fn decoded(format: Format, bytes: &[u8]) -> Vec<f32> {
    let (elements, size) = format.block();
    let mut out = vec![0.0; bytes.len() / size * elements];
    format.decode(bytes, &mut out);
    out
}

fn encoded(format: Format, values: &[f32]) -> Vec<u8> {
    let mut out = Vec::new();
    format.encode(values, &mut out);
    out
}

fn crc32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn decoding_is_bit_exact() {
    for (format, at_0_1_17_100_511, crc) in [
        (Format::F16, [0x3bc78000, 0xbe902000, 0xb98c6000, 0x3bef4000, 0x3e04c000], 0xbd708144),
        (Format::BF16, [0x1e3c0000, 0xb4810000, 0x8c630000, 0x1f7a0000, 0x30260000], 0xb02678c9),
        (Format::Q4_0, [0xbd2e9000, 0xbcc78000, 0x3c95a000, 0x3a3f3000, 0x80000000], 0xce7b1ded),
        (Format::Q8_0, [0xbf45f100, 0xbeece800, 0xbf3b0800, 0x3e1b0000, 0xbf4b3400], 0xd37e4b40),
        (Format::Q4_K, [0x40002c00, 0x3fac2e00, 0x3ff6fe00, 0x415aa0e0, 0x40dc0866], 0xbaa23353),
        (Format::Q5_K, [0x3fd19600, 0x40590300, 0x40545600, 0x414e5ac0, 0xc103aa0e], 0xd608a758),
        (Format::Q6_K, [0xc5030720, 0x4315bf00, 0x4565de90, 0x4595cd9c, 0xbe8e8470], 0xf40a1eb5_u32),
    ] {
        let values = decoded(format, &finite_blocks(format));
        assert_eq!([0, 1, 17, 100, 511].map(|i| values[i].to_bits()), at_0_1_17_100_511, "{format}");
        assert_eq!(crc32(values.iter().flat_map(|value| value.to_le_bytes())), crc, "{format}");
    }
}

#[test]
fn simple_formats_are_encoded_bit_exactly() {
    for (format, start, crc) in [
        (Format::F16, [46, 184, 158, 58, 51, 51, 213, 58], 0xd724131b),
        (Format::BF16, [6, 191, 84, 63, 102, 62, 91, 63], 0xa9e6a847),
        (Format::Q4_0, [190, 175, 60, 145, 134, 33, 175, 130], 0x9d105f10),
        (Format::Q8_0, [206, 31, 187, 109, 30, 112, 138, 93], 0xa7624707_u32),
    ] {
        let bytes = encoded(format, &values());
        assert_eq!(bytes[..8], start, "{format}");
        assert_eq!(crc32(bytes), crc, "{format}");
    }
}

#[test]
fn encoding_comes_near_in_every_format() {
    let values = values();
    for (format, bound) in [
        (Format::F32, 0.0),
        (Format::F16, 3e-4),
        (Format::BF16, 3e-3),
        (Format::Q4_0, 7e-2),
        (Format::Q8_0, 5e-3),
        (Format::Q4_K, 6e-2),
        (Format::Q5_K, 3e-2),
        (Format::Q6_K, 1.6e-2),
    ] {
        let again = decoded(format, &encoded(format, &values));
        let square =
            |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>();
        let error = square(&mut values.iter().zip(&again).map(|(x, y)| x - y));
        let error = (error / square(&mut values.iter().copied())).sqrt();
        assert!(error <= bound, "{format}: {error}");
    }
}

#[test]
fn values_of_one_sign_and_of_one_size_survive() {
    let rows: [fn(usize) -> f32; 4] =
        [|i| 1.0 + i as f32 / 256.0, |i| -1.0 - i as f32 / 256.0, |_| -0.75, |_| 3.0];
    for format in Format::ALL {
        for row in rows {
            let values: Vec<f32> = (0..256).map(row).collect();
            let again = decoded(format, &encoded(format, &values));
            for (x, y) in values.iter().zip(again) {
                assert!((x - y).abs() <= 0.08 * x.abs(), "{format}: {x} became {y}");
            }
        }
    }
}

#[test]
fn zeros_stay_zeros() {
    for format in Format::ALL {
        assert!(decoded(format, &encoded(format, &[0.0; 256])).iter().all(|&value| value == 0.0), "{format}");
    }
}

#[test]
fn groups_of_very_different_size_keep_their_own_scales() {
    let values: Vec<f32> = values()[..256].iter().enumerate().map(|(i, x)| x * (1 + i / 32) as f32).collect();
    for format in [Format::Q4_K, Format::Q5_K, Format::Q6_K] {
        let again = decoded(format, &encoded(format, &values));
        for (i, (x, y)) in values.iter().zip(again).enumerate() {
            assert!((x - y).abs() <= 0.07 * (1 + i / 32) as f32 + 0.2, "{format}: {x} became {y}");
        }
    }
}

#[test]
fn hostile_bits_decode_without_panic() {
    for format in Format::ALL {
        let (_, size) = format.block();
        for bytes in [bytes(size * 64), vec![0xff; size * 64], vec![0x7c; size * 64]] {
            decoded(format, &bytes);
        }
    }
}

#[test]
fn values_that_are_not_finite_encode_without_panic() {
    for format in Format::ALL {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE / 8.0] {
            let mut values = [1.0; 256];
            values[3] = value;
            encoded(format, &values);
            encoded(format, &[value; 256]);
        }
    }
}

#[test]
fn blocks_are_read_at_any_alignment() {
    for format in Format::ALL {
        let bytes = finite_blocks(format);
        let bits = |bytes: &[u8]| decoded(format, bytes).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let expected = bits(&bytes);
        for offset in 1..4 {
            let moved = [&vec![0; offset], &bytes[..]].concat();
            assert_eq!(bits(&moved[offset..]), expected, "{format}");
        }
    }
}

#[test]
fn rows_are_whole_blocks() {
    assert_eq!(Format::Q4_K.row_bytes(512), Some(288));
    assert_eq!(Format::Q4_K.row_bytes(128), None);
    assert_eq!(Format::F32.row_bytes(3), Some(12));
    assert_eq!(Format::F32.row_bytes(usize::MAX), None);
}
