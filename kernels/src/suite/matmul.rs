//! `matmul` in every format, from one row to many, and with weights that try the formats' limits.

use super::Case;
use super::data::{input, matrix, random, weight};
use super::nearness::Nearness;
use super::rows::case;
use crate::block::Format;
use crate::tensor::Weight;

/// Rows and outputs; the columns of a format take turns.
const SHAPES: [(usize, usize); 13] = [
    (1, 1),
    (1, 3),
    (1, 65),
    (2, 7),
    (2, 66),
    (3, 65),
    (4, 32),
    (5, 3),
    (16, 65),
    (17, 64),
    (33, 65),
    (512, 3),
    (1, 4097),
];

pub(super) fn cases() -> Vec<Case> {
    Format::ALL
        .into_iter()
        .flat_map(|format| [shapes(format), places(format), limits(format)].into_iter().flatten())
        .collect()
}

fn shapes(format: Format) -> Vec<Case> {
    let columns: &[usize] = match format.block().0 {
        1 => &[256, 1, 100, 33, 512, 3, 257],
        32 => &[256, 32, 96, 288, 1056],
        _ => &[256, 512, 768],
    };
    let shape = |((rows, outputs), &columns): ((usize, usize), &usize)| {
        let name = format!("matmul/{format}/{rows}x{columns}->{outputs}");
        // A third of the squares of both, uniform in -1..1, for every column.
        let nearness = Nearness::matmul(format).typical((columns as f64).sqrt() / 3.0);
        let weight = matrix(format, outputs, columns, 7, 1.0);
        case(name, format, rows, nearness, move |device, recorder| {
            let x = input(device, recorder, columns, 1)?;
            let out = device.tensor(outputs)?;
            recorder.matmul(&out, &x, &weight, None)?;
            Ok(out)
        })
    };
    SHAPES.into_iter().zip(columns.iter().cycle()).map(shape).collect()
}

/// Biases, views of wider tensors, and several weights for one input.
fn places(format: Format) -> Vec<Case> {
    let typical = Nearness::matmul(format).typical(256_f64.sqrt() / 3.0);
    let mut cases = Vec::new();
    for rows in [1, 5, 33] {
        let wide = matrix(format, 65, 256, 3, 1.0);
        let narrow = matrix(format, 7, 256, 4, 1.0);
        cases.push(case(
            format!("matmul/{format}/views/{rows}"),
            format,
            rows,
            typical,
            move |device, recorder| {
                let inputs = input(device, recorder, 300, 1)?;
                let x = inputs.view(17, 256).ok_or("a view that fits")?;
                let out = device.tensor(100)?;
                recorder.embed(&out, &super::data::table(100, 2))?;
                recorder.matmul(
                    &out.view(5, 65).ok_or("a view that fits")?,
                    &x,
                    &wide,
                    Some(&matrix(Format::F32, 1, 65, 5, 4.0)),
                )?;
                recorder.matmul(
                    &out.view(71, 7).ok_or("a view that fits")?,
                    &x,
                    &narrow,
                    Some(&matrix(Format::F16, 1, 7, 6, 4.0)),
                )?;
                Ok(out)
            },
        ));
        let [q, k, v] =
            [(128, 11), (33, 12), (32, 13)].map(|(rows, seed)| matrix(format, rows, 256, seed, 1.0));
        cases.push(case(
            format!("matmul/{format}/three/{rows}"),
            format,
            rows,
            typical,
            move |device, recorder| {
                let x = input(device, recorder, 256, 1)?;
                let out = device.tensor(193)?;
                for (first, weight) in [(0, &q), (128, &k), (161, &v)] {
                    recorder.matmul(
                        &out.view(first, weight.rows()).ok_or("a view that fits")?,
                        &x,
                        weight,
                        None,
                    )?;
                }
                Ok(out)
            },
        ));
    }
    cases
}

/// Tiny, large and zero weights; blocks with and without a scale; every bit of a block in use.
fn limits(format: Format) -> Vec<Case> {
    let values = |factor: fn(usize) -> f32| -> Vec<f32> {
        random(8, 33 * 512).iter().enumerate().map(|(i, value)| value * factor(i)).collect()
    };
    let made = |factor| weight(format, 33, 512, &values(factor));
    let weights: [(&str, Weight); 6] = [
        ("tiny", made(|_| 1e-4)),
        ("large", made(|_| 1e3)),
        ("zero", made(|_| 0.0)),
        ("zero-blocks", made(|i| (i / 32 % 3 != 0) as u8 as f32)),
        ("uneven-blocks", made(|i| 4_f32.powi((i / 16 % 8) as i32 - 4))),
        ("any-bits", any_bits(format)),
    ];
    weights
        .into_iter()
        .flat_map(|(name, weight)| [1, 9].map(|rows| (name, weight.clone(), rows)))
        .map(|(name, weight, rows)| {
            case(
                format!("matmul/{format}/{name}/{rows}"),
                format,
                rows,
                Nearness::matmul(format),
                move |device, recorder| {
                    let x = input(device, recorder, 512, 1)?;
                    let out = device.tensor(33)?;
                    recorder.matmul(&out, &x, &weight, None)?;
                    Ok(out)
                },
            )
        })
        .collect()
}

/// Random bytes: quants, scales and minima that no encoder makes. Only the floats in them are tamed.
fn any_bits(format: Format) -> Weight {
    let (elements, size) = format.block();
    let mut bytes: Vec<u8> =
        random(9, 33 * 512 / elements * size).iter().map(|value| (value * 128.0) as i8 as u8).collect();
    for block in bytes.chunks_exact_mut(size) {
        let floats: &[usize] = match format {
            Format::Q4_K | Format::Q5_K => &[0, 2],
            Format::Q6_K => &[208],
            Format::Q4_0 | Format::Q8_0 | Format::F16 => &[0],
            Format::BF16 | Format::F32 => {
                // Exponents of 2^-16 to 2^16, either sign.
                block[size - 1] = block[size - 1] & 0x80 | if block[size - 1] & 8 > 0 { 0x40 } else { 0x3f };
                block[size - 2] &= 0xbf;
                &[]
            }
        };
        for &float in floats {
            // f16 of 2^-3 to 2^5, either sign.
            block[float + 1] = (block[float + 1] & 0x83) | (0x30 + (block[float + 1] & 0x1c));
        }
    }
    Weight::new(crate::tensor::Bytes::new(std::sync::Arc::new(bytes)), format, 33, 512).expect("whole blocks")
}
