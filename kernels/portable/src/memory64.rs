//! The interface `memory64`: bounded reads from the model's files.

use wasm_chord_kernels::Source;
use wasm_chord_space::{OutOfRange, Role as RegionRole};

use crate::Component;
use crate::bindings::exports::wasm_chord::inference::memory64::{Error, Guest, Region, Role};
use crate::files::{self, Storage};

/// The longest read, in bytes.
const READ_LIMIT: u32 = 64 << 20;

impl Guest for Component {
    fn regions() -> Vec<Region> {
        let files = files::current();
        let regions = files.regions().iter().map(|region| Region {
            name: region.name.clone(),
            role: match region.role {
                RegionRole::Model => Role::Model,
                RegionRole::Shard => Role::Shard,
            },
            base: region.base,
            size: region.size,
        });
        regions.collect()
    }

    fn read_limit() -> u32 {
        READ_LIMIT
    }

    fn read(address: u64, length: u32) -> Result<Vec<u8>, Error> {
        if length > READ_LIMIT {
            return Err(Error::TooLong);
        }
        let files = files::current();
        let (region, offset) = files.find(address, length.into())?;
        match &region.bytes {
            Storage::Provided(bytes) => {
                let part = bytes.slice(offset as usize, length as usize);
                Ok(part.ok_or(Error::OutOfRange(address))?.as_ref().to_vec())
            }
            Storage::Opened(file) => {
                let mut bytes = vec![0; length as usize];
                file.read(offset, &mut bytes).map_err(Error::Unreadable)?;
                Ok(bytes)
            }
            Storage::Missing(why) => Err(Error::Unreadable(why.clone())),
        }
    }
}

impl From<OutOfRange> for Error {
    fn from(OutOfRange(address): OutOfRange) -> Self {
        Self::OutOfRange(address)
    }
}
