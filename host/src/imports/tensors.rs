//! The interface `tensors`: handles for weights, activations, caches and sequences.

#![expect(unreachable_pub, reason = "generated code names the handle types as if they were public")]

use std::cmp::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use wasm_chord_kernels as kernels;
use wasm_chord_kernels::Step;
use wasmtime::component::Resource;
use wasmtime::{Result, bail};

use super::View;
use super::contract::tensors::{
    CacheFormat, CacheShape, Error, Format, Host, HostCache, HostSequence, HostTensor, HostWeight,
};
use super::quota::Charge;

/// Activations with what they cost. Plans that use them hold the charge, too.
#[derive(Clone)]
pub struct OwnedTensor {
    pub(super) tensor: kernels::Tensor,
    pub(super) charge: Arc<Charge>,
}

/// A cache with what it costs when full.
#[derive(Clone)]
pub struct OwnedCache {
    pub(super) cache: kernels::Cache,
    pub(super) charge: Arc<Charge>,
}

/// A sequence with the charge of its cache. Shared, because a step borrows several at once.
#[derive(Clone)]
pub struct OwnedSequence {
    sequence: Arc<Mutex<kernels::Sequence>>,
    charge: Arc<Charge>,
}

impl OwnedSequence {
    pub(super) fn lock(&self) -> MutexGuard<'_, kernels::Sequence> {
        self.sequence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sequence, &other.sequence)
    }

    fn with(&self, sequence: kernels::Sequence) -> Self {
        Self { sequence: Arc::new(Mutex::new(sequence)), charge: self.charge.clone() }
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
        kernels::Weight::new(bytes, format, rows, columns).map_err(made)
    }
}

impl HostTensor for View<'_> {
    fn create(&mut self, columns: u32) -> Result<std::result::Result<Resource<OwnedTensor>, Error>> {
        let bytes = u64::from(columns) * 4 * Step::LIMIT as u64;
        let Some(charge) = self.context.quota.charge(bytes) else {
            return Ok(Err(Error::OutOfMemory(bytes)));
        };
        let tensor = self.context.device.tensor(columns as usize).map_err(made);
        tensor.map(|tensor| Ok(self.table.push(OwnedTensor { tensor, charge })?)).transpose_error()
    }

    fn view(&mut self, of: Resource<OwnedTensor>, first: u32, columns: u32) -> Result<Resource<OwnedTensor>> {
        let OwnedTensor { tensor, charge } = self.table.get(&of)?;
        let Some(view) = tensor.view(first as usize, columns as usize) else {
            bail!("view: columns {first} and {columns} more of a tensor of {}", tensor.columns());
        };
        let view = OwnedTensor { tensor: view, charge: charge.clone() };
        Ok(self.table.push(view)?)
    }

    fn read(&mut self, of: Resource<OwnedTensor>, row: u32) -> Result<Vec<f32>> {
        let begun = Instant::now();
        let numbers = self.table.get(&of)?.tensor.read(row as usize);
        self.context.work += begun.elapsed();
        numbers.map_err(|error| wasmtime::format_err!("read: {error}"))
    }

    fn top_k(&mut self, of: Resource<OwnedTensor>, row: u32, count: u32) -> Result<Vec<(u32, f32)>> {
        let begun = Instant::now();
        let numbers = self.table.get(&of)?.tensor.read(row as usize);
        let numbers = numbers.map_err(|error| wasmtime::format_err!("top-k: {error}"))?;
        let top = largest(&numbers, count as usize);
        self.context.work += begun.elapsed();
        Ok(top)
    }

    fn drop(&mut self, handle: Resource<OwnedTensor>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl HostCache for View<'_> {
    fn create(&mut self, shape: CacheShape) -> Result<std::result::Result<Resource<OwnedCache>, Error>> {
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
        let bytes = match shape.page_bytes() {
            Ok(page) => (page as u64).saturating_mul(shape.pages() as u64),
            Err(error) => return Ok(Err(made(error))),
        };
        let Some(charge) = self.context.quota.charge(bytes) else {
            return Ok(Err(Error::OutOfMemory(bytes)));
        };
        let cache = self.context.device.cache(shape).map_err(made);
        cache.map(|cache| Ok(self.table.push(OwnedCache { cache, charge })?)).transpose_error()
    }

    fn sequence(&mut self, of: Resource<OwnedCache>) -> Result<Resource<OwnedSequence>> {
        let OwnedCache { cache, charge } = self.table.get(&of)?;
        let sequence = Arc::new(Mutex::new(cache.sequence()));
        let sequence = OwnedSequence { sequence, charge: charge.clone() };
        Ok(self.table.push(sequence)?)
    }

    fn free_positions(&mut self, of: Resource<OwnedCache>) -> Result<u32> {
        Ok(self.table.get(&of)?.cache.free_positions().try_into().unwrap_or(u32::MAX))
    }

    fn drop(&mut self, handle: Resource<OwnedCache>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl HostSequence for View<'_> {
    fn length(&mut self, of: Resource<OwnedSequence>) -> Result<u32> {
        Ok(self.table.get(&of)?.lock().length() as u32)
    }

    fn fork(&mut self, of: Resource<OwnedSequence>) -> Result<Resource<OwnedSequence>> {
        let original = self.table.get(&of)?;
        let fork = original.lock().fork();
        let fork = original.with(fork);
        Ok(self.table.push(fork)?)
    }

    fn truncate(&mut self, of: Resource<OwnedSequence>, length: u32) -> Result<()> {
        self.table.get(&of)?.lock().truncate(length as usize);
        Ok(())
    }

    fn drop(&mut self, handle: Resource<OwnedSequence>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

/// The `count` largest numbers with their places: NaN first, then the largest, then the lower place.
fn largest(numbers: &[f32], count: usize) -> Vec<(u32, f32)> {
    let order = |a: &(u32, f32), b: &(u32, f32)| -> Ordering {
        let by_number = match (a.1.is_nan(), b.1.is_nan()) {
            (false, false) => b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal),
            (a, b) => b.cmp(&a),
        };
        by_number.then(a.0.cmp(&b.0))
    };
    if count == 0 {
        return Vec::new();
    }
    // Somewhat more than wanted are collected, then selected from: what is not above the worst of those never enters. Among equals
    // the first places have been seen by then.
    let mut entries: Vec<(u32, f32)> = Vec::new();
    let mut floor = None;
    for (place, &number) in (0..).zip(numbers) {
        if floor.is_some_and(|floor| number <= floor) {
            continue;
        }
        entries.push((place, number));
        if entries.len() >= count.saturating_mul(2).saturating_add(64) {
            entries.select_nth_unstable_by(count - 1, order);
            entries.truncate(count);
            floor = Some(entries[count - 1].1);
        }
    }
    entries.sort_unstable_by(order);
    entries.truncate(count);
    entries
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_in_order_and_ties_by_place() {
        let numbers = [1.0, f32::NAN, 3.0, 3.0, f32::NEG_INFINITY];
        let top = largest(&numbers, 3);
        assert_eq!(top.iter().map(|entry| entry.0).collect::<Vec<_>>(), [1, 2, 3]);
        let all = largest(&numbers, 9);
        assert_eq!(all.iter().map(|entry| entry.0).collect::<Vec<_>>(), [1, 2, 3, 0, 4]);
        assert!(largest(&numbers, 0).is_empty());
    }

    #[test]
    fn the_largest_of_many_are_those_of_a_sort() {
        let numbers: Vec<f32> =
            (0..5000u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 22) as f32).collect();
        let mut sorted: Vec<(u32, f32)> = (0..).zip(numbers.iter().copied()).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for count in [1, 2, 40, 1000, 4999, 5000] {
            assert_eq!(largest(&numbers, count), sorted[..count], "{count}");
        }
    }
}
