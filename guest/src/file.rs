//! The model's file as the host laid it out: its header parsed, its tensors as weights.

use std::cell::RefCell;

use wasm_chord_gguf::{Kind, Metadata, Shards, Source, TensorInfo};

use crate::bindings::wasm_chord::inference::memory64::{self, Region, Role};
use crate::bindings::wasm_chord::inference::tensors::{self, Format, Weight};
use crate::error::{Error, Result};
use crate::host::{not_made, not_read};

/// The file of a model with all its shards.
pub struct File {
    regions: Vec<Region>,
    shards: Shards,
    /// Which tensors were taken, in the order of `shards.tensors`.
    taken: RefCell<Vec<bool>>,
}

impl File {
    /// Parse the headers of the model's regions.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn open() -> Result<Self> {
        let regions: Vec<Region> = memory64::regions()
            .into_iter()
            .filter(|region| matches!(region.role, Role::Model | Role::Shard))
            .collect();
        let sources: Vec<Mapped<'_>> = regions.iter().map(Mapped).collect();
        let sources: Vec<&dyn Source> = sources.iter().map(|source| source as &dyn Source).collect();
        let shards = Shards::read(&sources)?;
        let taken = RefCell::new(vec![false; shards.tensors.len()]);
        Ok(Self { regions, shards, taken })
    }

    /// The metadata of the first shard.
    pub fn metadata(&self) -> &Metadata {
        &self.shards.metadata
    }

    /// All tensors.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.shards.tensors.iter().map(|(_, tensor)| tensor)
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.shards.tensor(name).is_some()
    }

    /// The matrix `name`, `(rows, columns)`.
    ///
    /// # Errors
    /// If there is none, it has another shape, or the host cannot use it.
    pub fn matrix(&self, name: &str, rows: u32, columns: u32) -> Result<Weight> {
        let (address, tensor) = self.take(name, &[u64::from(columns), u64::from(rows)])?;
        let format = format(tensor.kind).filter(|&format| tensors::supports(format)).ok_or_else(|| {
            Error::Unsupported(format!(
                "tensor {name:?} is stored as {}, which is not supported",
                tensor.kind
            ))
        })?;
        Weight::at(address, format, rows.into(), columns.into()).map_err(|error| in_tensor(name, error))
    }

    /// The vector `name` of `length` elements.
    ///
    /// # Errors
    /// As [`File::matrix`].
    pub fn vector(&self, name: &str, length: u32) -> Result<Weight> {
        let (address, tensor) = self.take(name, &[u64::from(length)])?;
        let format = format(tensor.kind).ok_or_else(|| {
            Error::Unsupported(format!(
                "tensor {name:?} is stored as {}, which is not supported",
                tensor.kind
            ))
        })?;
        Weight::at(address, format, 1, length.into()).map_err(|error| in_tensor(name, error))
    }

    /// The vector `name`, if the file has it.
    ///
    /// # Errors
    /// As [`File::matrix`] for one that is there.
    pub fn optional_vector(&self, name: &str, length: u32) -> Result<Option<Weight>> {
        if self.has(name) { self.vector(name, length).map(Some) } else { Ok(None) }
    }

    /// The numbers of the F32 vector `name`, if the file has it.
    ///
    /// # Errors
    /// If it has another shape or format, or cannot be read.
    pub fn optional_numbers(&self, name: &str, length: u32) -> Result<Option<Vec<f32>>> {
        if !self.has(name) {
            return Ok(None);
        }
        let (address, tensor) = self.take(name, &[u64::from(length)])?;
        if tensor.kind != Kind::F32 {
            return Err(Error::Unsupported(format!(
                "tensor {name:?} is stored as {}, not as F32",
                tensor.kind
            )));
        }
        let bytes = memory64::read(address, length * 4).map_err(|error| Error::Failed(not_read(&error)))?;
        Ok(Some(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()))
    }

    /// The name of a tensor that nobody took: a part of the model that this guest does not know.
    pub fn unknown_tensor(&self) -> Option<&str> {
        let taken = self.taken.borrow();
        let position = taken.iter().position(|&taken| !taken)?;
        Some(&self.shards.tensors[position].1.name)
    }

    /// Find a tensor of this shape (ggml's order), and its address.
    fn take(&self, name: &str, dimensions: &[u64]) -> Result<(u64, &TensorInfo)> {
        let position = self.shards.tensors.iter().position(|(_, tensor)| tensor.name == name);
        let Some(position) = position else {
            return Err(Error::Malformed(format!("the model has no tensor {name:?}")));
        };
        let (shard, tensor) = &self.shards.tensors[position];
        // Trailing dimensions of 1 are the same shape.
        let meaningful =
            |dimensions: &[u64]| dimensions.iter().rposition(|&size| size != 1).map_or(0, |last| last + 1);
        let (found, wanted) = (&tensor.dimensions[..], dimensions);
        if found[..meaningful(found)] != wanted[..meaningful(wanted)] {
            return Err(Error::Malformed(format!("tensor {name:?} has shape {found:?}, not {wanted:?}")));
        }
        self.taken.borrow_mut()[position] = true;
        Ok((self.regions[*shard].base + tensor.offset, tensor))
    }
}

/// A region as a file.
struct Mapped<'a>(&'a Region);

impl Source for Mapped<'_> {
    fn size(&self) -> u64 {
        self.0.size
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::result::Result<(), String> {
        let length = u32::try_from(out.len()).map_err(|_| "too long a read".to_owned())?;
        let address = self.0.base.checked_add(offset).ok_or("an address past the end of memory")?;
        let bytes = memory64::read(address, length).map_err(|error| not_read(&error))?;
        out.copy_from_slice(&bytes);
        Ok(())
    }
}

/// The contract's name for a format of the file, if it has one.
fn format(kind: Kind) -> Option<Format> {
    Some(match kind {
        Kind::F32 => Format::F32,
        Kind::F16 => Format::F16,
        Kind::BF16 => Format::Bf16,
        Kind::Q4_0 => Format::Q40,
        Kind::Q4_1 => Format::Q41,
        Kind::Q5_0 => Format::Q50,
        Kind::Q5_1 => Format::Q51,
        Kind::Q8_0 => Format::Q80,
        Kind::Q2_K => Format::Q2K,
        Kind::Q3_K => Format::Q3K,
        Kind::Q4_K => Format::Q4K,
        Kind::Q5_K => Format::Q5K,
        Kind::Q6_K => Format::Q6K,
        Kind::IQ4_NL => Format::Iq4Nl,
        Kind::IQ4_XS => Format::Iq4Xs,
        Kind::MXFP4 => Format::Mxfp4,
        _ => return None,
    })
}

fn in_tensor(name: &str, error: tensors::Error) -> Error {
    not_made(&format!("tensor {name:?}"), error)
}
