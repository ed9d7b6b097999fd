//! When numbers of a device count as those of the reference.

use super::Outcome;
use crate::block::Format;

/// How far a device may be from the reference, relative to the root mean square of a row.
///
/// The root mean square of all differences is held to it, single differences to six times as much: a wrong element, row or head
/// is off by about 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nearness {
    pub(super) relative: f64,
    /// Rows count as at least this large, for those of few elements that may cancel.
    pub(super) typical: f64,
}

impl Nearness {
    /// No arithmetic at all.
    pub(super) const EXACT: Self = Self { relative: 0.0, typical: 0.0 };

    /// Arithmetic in f32, in whatever order.
    pub(super) const F32: Self = Self { relative: 1e-5, typical: 0.0 };

    /// A matmul: devices may round activations to 8 bits when weights are quantised, which costs about 0.6 %.
    pub(super) fn matmul(format: Format) -> Self {
        Self { relative: if format.is_quantised() { 1e-2 } else { 1e-5 }, typical: 0.0 }
    }

    pub(super) fn typical(self, typical: f64) -> Self {
        Self { typical, ..self }
    }

    /// Compare rows.
    pub(super) fn check(self, actual: &[Vec<f32>], expected: &[Vec<f32>]) -> Outcome<()> {
        if actual.len() != expected.len() {
            return Err(format!("{} rows instead of {}", actual.len(), expected.len()).into());
        }
        let (mut sum, mut count) = (0.0, 0);
        for (row, (actual, expected)) in actual.iter().zip(expected).enumerate() {
            let squares = expected.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
            let size = (squares / expected.len() as f64).sqrt().max(self.typical);
            for (column, (&x, &y)) in actual.iter().zip(expected).enumerate() {
                let difference = (f64::from(x) - f64::from(y)).abs();
                if difference.is_nan() || difference > 6.0 * self.relative * size {
                    return Err(format!(
                        "row {row}, column {column} is {x}, not {y}, in a row of size {size:.3e}"
                    )
                    .into());
                }
                sum += if difference > 0.0 { (difference / size).powi(2) } else { 0.0 };
                count += 1;
            }
        }
        let error = (sum / f64::from(count.max(1))).sqrt();
        // Of few numbers, the mean says nothing.
        if count >= 64 && error > self.relative {
            return Err(format!("the relative error is {error:.2e}, more than {:.0e}", self.relative).into());
        }
        Ok(())
    }
}

/// Demand the same bits in all rows.
pub(super) fn same_bits(what: &str, actual: &[Vec<f32>], expected: &[Vec<f32>]) -> Outcome<()> {
    if actual.len() != expected.len() {
        return Err(format!("{what}: {} rows instead of {}", actual.len(), expected.len()).into());
    }
    for (row, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let difference = (0..expected.len()).find(|&i| actual[i].to_bits() != expected[i].to_bits());
        if let Some(i) = difference {
            let (x, y) = (actual[i], expected[i]);
            return Err(format!("{what}: other bits in row {row}, column {i}: {x:e} and {y:e}").into());
        }
    }
    Ok(())
}
