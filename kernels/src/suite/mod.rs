//! What every device is held to: verbs, formats and shapes, compared with the [`Reference`](crate::reference::Reference).
//!
//! A test of a device is one line, `suite::run(&device)`, or one test for each of [`cases`]. Beside nearness, cases demand equal
//! bits: a row gives the same numbers alone, among other rows and at any place among them, and whenever it is run again. Formats
//! that a device does not support are passed over.

use std::error;
use std::sync::OnceLock;

use crate::device::Device;

mod attention;
mod contract;
mod data;
mod layer;
mod matmul;
mod nearness;
mod rig;
mod rows;

/// One sentence about devices.
pub struct Case {
    name: String,
    check: Check,
}

type Check = Box<dyn Fn(&dyn Device) -> Outcome<()> + Send + Sync>;

/// What checks return; what goes wrong on the way is a failure of the device.
type Outcome<T> = Result<T, Box<dyn error::Error>>;

impl Case {
    fn new(name: String, check: impl Fn(&dyn Device) -> Outcome<()> + Send + Sync + 'static) -> Self {
        Self { name, check: Box::new(check) }
    }

    /// The verb, then what is special: `matmul/Q4_K/33x512->65`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Try it on `device`.
    ///
    /// # Errors
    /// A sentence that says how the device differs from the reference.
    pub fn run(&self, device: &dyn Device) -> Result<(), String> {
        (self.check)(device).map_err(|problem| format!("{}: {problem}", self.name))
    }
}

/// What the reference makes of a case, computed once for all devices of a process.
#[derive(Default)]
struct Expected(OnceLock<Rows>);

/// What a device makes of a case: rows of numbers.
type Rows = Vec<Vec<f32>>;

impl Expected {
    fn get(&self, compute: impl FnOnce() -> Outcome<Rows>) -> Outcome<&Rows> {
        if let Some(rows) = self.0.get() {
            return Ok(rows);
        }
        let rows = compute()?;
        Ok(self.0.get_or_init(|| rows))
    }
}

/// All cases, from the simplest on.
pub fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        [contract::cases(), rows::cases(), matmul::cases(), attention::cases(), layer::cases()]
            .into_iter()
            .flatten()
            .collect()
    })
}

/// Try all cases on `device`.
///
/// # Panics
/// If some fail; the message names each and says why.
pub fn run(device: &dyn Device) {
    let cases = cases();
    let failures: Vec<String> = cases.iter().filter_map(|case| case.run(device).err()).collect();
    assert!(
        failures.is_empty(),
        "{}: {} of {} cases fail\n{}",
        device.name(),
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

#[cfg(test)]
mod tests;
