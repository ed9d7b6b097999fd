//! Where the time went: what the kernels do in a component of their own cannot be seen.

use clap::Args;
use wasm_chord::{Builder, Model};

use super::failure::Result;
use super::machine::MachineOptions;

/// There is no profile to be wanted.
#[derive(Args)]
pub(crate) struct ProfileOptions {}

impl ProfileOptions {
    pub(crate) fn begin(self, _: &MachineOptions, builder: Builder) -> Result<(Builder, Option<Profile>)> {
        Ok((builder, None))
    }
}

/// No profile.
pub(crate) enum Profile {}

impl Profile {
    pub(crate) fn start(&mut self, _: &Model) {
        match *self {}
    }

    pub(crate) fn report(self, _: &Model) -> Result<()> {
        match self {}
    }
}
