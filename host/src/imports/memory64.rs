//! The interface `memory64`: bounded reads from the model's address space.

use std::time::Instant;

use wasm_chord_space::Role as RegionRole;

use super::View;
use super::contract::memory64::{Error, Host, Region, Role};
use crate::space::AccessError;

/// The longest read, in bytes: half of what Wasmtime lets one call copy.
const READ_LIMIT: u32 = 64 << 20;

impl Host for View<'_> {
    fn regions(&mut self) -> wasmtime::Result<Vec<Region>> {
        let regions = self.context.space.regions().iter().map(|region| Region {
            name: region.name.clone(),
            role: match region.role {
                RegionRole::Model => Role::Model,
                RegionRole::Shard => Role::Shard,
            },
            base: region.base,
            size: region.size,
        });
        Ok(regions.collect())
    }

    fn read_limit(&mut self) -> wasmtime::Result<u32> {
        Ok(READ_LIMIT)
    }

    fn read(&mut self, address: u64, length: u32) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        if length > READ_LIMIT {
            return Ok(Err(Error::TooLong));
        }
        let begun = Instant::now();
        let space = &self.context.space;
        let copy = space.bytes(address, length.into()).map(|bytes| bytes.as_ref().to_vec());
        // A page that vanished shows only after it was read.
        let result = copy.and_then(|copy| space.check().map(|()| copy));
        self.context.work += begun.elapsed();
        Ok(result.map_err(Into::into))
    }
}

impl From<AccessError> for Error {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::OutOfRange(address) => Self::OutOfRange(address),
            AccessError::Damaged(message) => Self::Unreadable(message),
        }
    }
}
