//! `cargo xtask synthetic`: writes large models of random weights.

use anyhow::Result;

/// Arguments of `cargo xtask synthetic`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the task.
pub(crate) fn run(_: &Arguments) -> Result<()> {
    anyhow::bail!("not there")
}
