//! The interface `tensors`: handles for weights, activations, caches and sequences.

#![expect(unreachable_pub, reason = "generated code names the handle types as if they were public")]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use wasm_chord_kernels as kernels;
use wasm_chord_kernels::{Cache, Tensor};
use wasmtime::component::Resource;
use wasmtime::{Result, bail};

use super::View;
use super::contract::tensors::{
    CacheFormat, CacheShape, Error, Format, Host, HostCache, HostSequence, HostTensor, HostWeight,
};

/// A sequence; behind a lock, because a step changes several at once.
pub struct LockedSequence(Mutex<kernels::Sequence>);

impl LockedSequence {
    fn new(sequence: kernels::Sequence) -> Self {
        Self(Mutex::new(sequence))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, kernels::Sequence> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for View<'_> {
    fn supports(&mut self, format: Format) -> Result<bool> {
        Ok(known(format).is_some_and(|format| self.context.device.supports(format)))
    }
}

impl HostWeight for View<'_> {
    fn at(
        &mut self,
        address: u64,
        format: Format,
        rows: u64,
        columns: u64,
    ) -> Result<std::result::Result<Resource<kernels::Weight>, Error>> {
        let Some(known) = known(format).filter(|&known| self.context.device.supports(known)) else {
            return Ok(Err(Error::UnsupportedFormat(format)));
        };
        let weight = self.weight(address, known, rows, columns);
        weight.map(|weight| Ok(self.table.push(weight)?)).transpose_error()
    }

    fn drop(&mut self, handle: Resource<kernels::Weight>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl View<'_> {
    fn weight(
        &self,
        address: u64,
        format: kernels::Format,
        rows: u64,
        columns: u64,
    ) -> std::result::Result<kernels::Weight, Error> {
        let (Ok(rows), Ok(columns)) = (usize::try_from(rows), usize::try_from(columns)) else {
            return Err(Error::BadShape(format!("{rows} x {columns} elements overflow the address space")));
        };
        let size = kernels::Weight::size(format, rows, columns).map_err(made)?;
        let bytes =
            self.context.space.bytes(address, size as u64).map_err(|error| Error::Memory(error.into()))?;
        let weight = kernels::Weight::new(bytes, format, rows, columns).map_err(made)?;
        match self.context.space.packed(address, format, rows, columns) {
            Some(packed) => weight.with_packed(packed).map_err(made),
            None => Ok(weight),
        }
    }
}

impl HostTensor for View<'_> {
    fn create(&mut self, columns: u32) -> Result<std::result::Result<Resource<Tensor>, Error>> {
        let tensor = self.context.quota.tensor(&*self.context.device, columns as usize).map_err(made);
        tensor.map(|tensor| Ok(self.table.push(tensor)?)).transpose_error()
    }

    fn view(&mut self, of: Resource<Tensor>, first: u32, columns: u32) -> Result<Resource<Tensor>> {
        let tensor = self.table.get(&of)?;
        let Some(view) = tensor.view(first as usize, columns as usize) else {
            bail!("view: columns {first} and {columns} more of a tensor of {}", tensor.columns());
        };
        Ok(self.table.push(view)?)
    }

    fn read(&mut self, of: Resource<Tensor>, row: u32) -> Result<Vec<f32>> {
        let begun = Instant::now();
        let numbers = self.table.get(&of)?.read(row as usize);
        self.context.work += begun.elapsed();
        numbers.map_err(|error| wasmtime::format_err!("read: {error}"))
    }

    fn top_k(&mut self, of: Resource<Tensor>, row: u32, count: u32) -> Result<Vec<(u32, f32)>> {
        let begun = Instant::now();
        let top = self.table.get(&of)?.top_k(row as usize, count as usize);
        self.context.work += begun.elapsed();
        top.map_err(|error| wasmtime::format_err!("top-k: {error}"))
    }

    fn drop(&mut self, handle: Resource<Tensor>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl HostCache for View<'_> {
    fn create(&mut self, shape: CacheShape) -> Result<std::result::Result<Resource<Cache>, Error>> {
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
        let cache = self.context.quota.cache(&*self.context.device, shape).map_err(made);
        cache.map(|cache| Ok(self.table.push(cache)?)).transpose_error()
    }

    fn sequence(&mut self, of: Resource<Cache>) -> Result<Resource<LockedSequence>> {
        let sequence = self.table.get(&of)?.sequence();
        Ok(self.table.push(LockedSequence::new(sequence))?)
    }

    fn free_positions(&mut self, of: Resource<Cache>) -> Result<u32> {
        Ok(self.table.get(&of)?.free_positions().try_into().unwrap_or(u32::MAX))
    }

    fn drop(&mut self, handle: Resource<Cache>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl HostSequence for View<'_> {
    fn length(&mut self, of: Resource<LockedSequence>) -> Result<u32> {
        Ok(self.table.get(&of)?.lock().length() as u32)
    }

    fn fork(&mut self, of: Resource<LockedSequence>) -> Result<Resource<LockedSequence>> {
        let fork = self.table.get(&of)?.lock().fork();
        Ok(self.table.push(LockedSequence::new(fork))?)
    }

    fn truncate(&mut self, of: Resource<LockedSequence>, length: u32) -> Result<()> {
        self.table.get(&of)?.lock().truncate(length as usize);
        Ok(())
    }

    fn drop(&mut self, handle: Resource<LockedSequence>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

/// The kernels' name of a format, if they know it at all.
fn known(format: Format) -> Option<kernels::Format> {
    Some(match format {
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
    })
}

/// Why the kernels could not make something, in the contract's words.
fn made(error: kernels::Error) -> Error {
    match error {
        kernels::Error::BadShape(message) => Error::BadShape(message),
        kernels::Error::OutOfMemory(bytes) => Error::OutOfMemory(bytes as u64),
        other => Error::BadShape(other.to_string()),
    }
}

/// `Result<Result<T, trap>, E>` to `Result<Result<T, E>, trap>`.
trait TransposeError<T, E> {
    fn transpose_error(self) -> Result<std::result::Result<T, E>>;
}

impl<T, E> TransposeError<T, E> for std::result::Result<Result<T>, E> {
    fn transpose_error(self) -> Result<std::result::Result<T, E>> {
        match self {
            Ok(done) => done.map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }
}
