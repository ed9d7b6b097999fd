//! What one rendering may spend beside the engine's fuel: bytes touched by operations and bytes written.
//!
//! The engine's fuel counts instructions, and one instruction can double a string. Every operation whose cost grows with its
//! operands therefore charges here first, before it allocates.

use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::{Error, ErrorKind};

/// The most that one rendering may write, macros and captured blocks included, in bytes.
pub(super) const OUTPUT_LIMIT: u64 = 16 << 20;

/// Bytes of operands and results that a rendering may touch, whatever the request's size.
const WORK_BASE: u64 = 96 << 20;

/// Bytes that it may touch in addition for each byte of the request.
const WORK_PER_INPUT_BYTE: u64 = 256;

/// Instructions that a rendering may execute, whatever the request's size.
const FUEL_BASE: u64 = 500_000;

/// Instructions that it may execute in addition for each byte of the request.
const FUEL_PER_INPUT_BYTE: u64 = 64;

/// The engine's fuel for a request of so many bytes.
pub(super) fn fuel(input: u64) -> u64 {
    FUEL_BASE + FUEL_PER_INPUT_BYTE.saturating_mul(input).min(u64::from(u32::MAX))
}

/// The accounts of one rendering; shared by all functions of its environment.
#[derive(Debug)]
pub(super) struct Meter {
    work: AtomicU64,
    output: AtomicU64,
}

impl Meter {
    /// Full accounts for a request of so many bytes.
    pub(super) fn new(input: u64) -> Meter {
        Meter {
            work: AtomicU64::new(
                WORK_BASE + WORK_PER_INPUT_BYTE.saturating_mul(input).min(u64::from(u32::MAX)),
            ),
            output: AtomicU64::new(OUTPUT_LIMIT),
        }
    }

    /// Takes the cost of an operation, in bytes; refused when the account is empty.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), Error> {
        take(&self.work, bytes).ok_or_else(|| Error::new(ErrorKind::OutOfFuel, "it works on too much text"))
    }

    /// Takes bytes about to be written; refused when the output would grow beyond [`OUTPUT_LIMIT`].
    pub(super) fn write(&self, bytes: usize) -> Result<(), Error> {
        take(&self.output, bytes).ok_or_else(|| Error::new(ErrorKind::OutOfFuel, "it writes too much text"))
    }
}

fn take(account: &AtomicU64, amount: usize) -> Option<()> {
    let amount = u64::try_from(amount).ok()?;
    account
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(amount))
        .ok()
        .map(|_| ())
}
