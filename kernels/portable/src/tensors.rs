//! The interface `tensors`: handles for weights, activations, caches and sequences.

use std::cell::RefCell;

use wasm_chord_kernels as kernels;
use wasm_chord_kernels::{Bytes, Device};

use crate::bindings::exports::wasm_chord::inference::memory64;
use crate::bindings::exports::wasm_chord::inference::tensors::{
    Cache, CacheFormat, CacheShape, Error, Format, Guest, GuestCache, GuestSequence, GuestTensor,
    GuestWeight, Sequence, Tensor, Weight,
};
use crate::files::{self, Storage};
use crate::{Component, PORTABLE};

impl Guest for Component {
    type Weight = kernels::Weight;
    type Tensor = kernels::Tensor;
    type Cache = kernels::Cache;
    type Sequence = RefCell<kernels::Sequence>;

    fn supports(format: Format) -> bool {
        known(format).is_some()
    }
}

impl GuestWeight for kernels::Weight {
    fn at(address: u64, format: Format, rows: u64, columns: u64) -> Result<Weight, Error> {
        let known = known(format).ok_or(Error::UnsupportedFormat(format))?;
        let (Ok(rows), Ok(columns)) = (usize::try_from(rows), usize::try_from(columns)) else {
            return Err(Error::BadShape(format!("{rows} x {columns} elements overflow the address space")));
        };
        let size = kernels::Weight::size(known, rows, columns)?;
        let files = files::current();
        let outside = |error| Error::Memory(memory64::Error::from(error));
        let (region, offset) = files.find(address, size as u64).map_err(outside)?;
        let bytes = match &region.bytes {
            Storage::Provided(bytes) => {
                let part = bytes.slice(offset as usize, size);
                part.ok_or(Error::Memory(memory64::Error::OutOfRange(address)))?
            }
            Storage::Opened(file) => Bytes::elsewhere(file.clone(), offset, size),
            Storage::Missing(why) => return Err(Error::Memory(memory64::Error::Unreadable(why.clone()))),
        };
        Ok(Weight::new(kernels::Weight::new(bytes, known, rows, columns)?))
    }
}

impl GuestTensor for kernels::Tensor {
    fn create(columns: u32) -> Result<Tensor, Error> {
        let tensor = PORTABLE.with(|portable| portable.quota.tensor(&portable.device, columns as usize));
        Ok(Tensor::new(tensor?))
    }

    fn view(&self, first: u32, columns: u32) -> Tensor {
        let view = kernels::Tensor::view(self, first as usize, columns as usize);
        Tensor::new(view.unwrap_or_else(|| {
            panic!("view: columns {first} and {columns} more of a tensor of {}", self.columns())
        }))
    }

    fn read(&self, row: u32) -> Vec<f32> {
        kernels::Tensor::read(self, row as usize).unwrap_or_else(|error| panic!("read: {error}"))
    }

    fn top_k(&self, row: u32, count: u32) -> Vec<(u32, f32)> {
        let top = kernels::Tensor::top_k(self, row as usize, count as usize);
        top.unwrap_or_else(|error| panic!("top-k: {error}"))
    }
}

impl GuestCache for kernels::Cache {
    fn create(shape: CacheShape) -> Result<Cache, Error> {
        let shape = kernels::CacheShape {
            layers: shape.layers as usize,
            kv_heads: shape.kv_heads as usize,
            key_size: shape.key_size as usize,
            value_size: shape.value_size as usize,
            positions: shape.positions as usize,
            format: match shape.format {
                CacheFormat::F32 => kernels::CacheFormat::F32,
                CacheFormat::F16 => kernels::CacheFormat::F16,
                CacheFormat::Q80 => kernels::CacheFormat::Q8_0,
            },
        };
        let cache = PORTABLE.with(|portable| portable.quota.cache(&portable.device, shape));
        Ok(Cache::new(cache?))
    }

    fn sequence(&self) -> Sequence {
        Sequence::new(RefCell::new(kernels::Cache::sequence(self)))
    }

    fn free_positions(&self) -> u32 {
        kernels::Cache::free_positions(self).try_into().unwrap_or(u32::MAX)
    }
}

impl GuestSequence for RefCell<kernels::Sequence> {
    fn length(&self) -> u32 {
        self.borrow().length() as u32
    }

    fn fork(&self) -> Sequence {
        Sequence::new(RefCell::new(self.borrow().fork()))
    }

    fn truncate(&self, length: u32) {
        self.borrow_mut().truncate(length as usize);
    }
}

/// The kernels' name of a format, if they have kernels for it.
fn known(format: Format) -> Option<kernels::Format> {
    let known = match format {
        Format::F32 => kernels::Format::F32,
        Format::F16 => kernels::Format::F16,
        Format::Bf16 => kernels::Format::BF16,
        Format::Q40 => kernels::Format::Q4_0,
        Format::Q80 => kernels::Format::Q8_0,
        Format::Q4K => kernels::Format::Q4_K,
        Format::Q5K => kernels::Format::Q5_K,
        Format::Q6K => kernels::Format::Q6_K,
        Format::Q41
        | Format::Q50
        | Format::Q51
        | Format::Q2K
        | Format::Q3K
        | Format::Iq4Nl
        | Format::Iq4Xs
        | Format::Mxfp4 => return None,
    };
    PORTABLE.with(|portable| portable.device.supports(known)).then_some(known)
}

impl From<kernels::Error> for Error {
    fn from(error: kernels::Error) -> Self {
        match error {
            kernels::Error::BadShape(message) => Self::BadShape(message),
            kernels::Error::OutOfMemory(bytes) => Self::OutOfMemory(bytes as u64),
            other => Self::BadShape(other.to_string()),
        }
    }
}
