//! The 64-bit address space of one model, on mapped files.

use std::path::Path;
use std::sync::Arc;

use wasm_chord_kernels::Bytes;
use wasm_chord_space::{OutOfRange, Region, Space};

use crate::error::{Error, Result};
use crate::mapping::Mapping;

/// The files of one model side by side, in memory. Models may share one, so that each file is mapped once.
pub struct AddressSpace(Space<Storage>);

/// What holds the bytes of a region.
pub(crate) struct Storage {
    bytes: Bytes,
    /// The mapped file behind `bytes`; none if they are part of the program.
    mapping: Option<Arc<Mapping>>,
}

/// Why bytes could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessError {
    /// The first address outside.
    OutOfRange(u64),
    /// What happened to the file.
    Damaged(String),
}

impl AddressSpace {
    /// A model that is part of the program.
    pub fn of_static(name: &str, bytes: &'static [u8]) -> Self {
        let storage = Storage { bytes: Bytes::new(Arc::new(bytes)), mapping: None };
        Self(Space::new(name.into(), bytes.len() as u64, storage))
    }

    /// Map a model file; if its name says that it is one of several shards, all of them.
    ///
    /// # Errors
    /// [`Error::Open`] for a file that cannot be mapped.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let map = |path: &Path| {
            let mapping = Mapping::open(path).map_err(|cause| Error::Open { path: path.into(), cause })?;
            let bytes = Bytes::new(mapping.clone());
            Ok((bytes.len() as u64, Storage { bytes, mapping: Some(mapping) }))
        };
        Space::open(path.as_ref(), map).map(Self)
    }

    pub(crate) fn regions(&self) -> &[Region<Storage>] {
        self.0.regions()
    }

    /// The bytes of a range, in place.
    pub(crate) fn bytes(&self, address: u64, length: u64) -> std::result::Result<Bytes, AccessError> {
        let (region, offset) = self.0.find(address, length)?;
        // Both fit: they are at most the length of a slice.
        let bytes = region.bytes.bytes.slice(offset as usize, length as usize);
        bytes.ok_or(AccessError::OutOfRange(address))
    }

    /// Fails if a file was found shortened since it was mapped.
    pub(crate) fn check(&self) -> std::result::Result<(), AccessError> {
        let damaged = |region: &&Region<Storage>| {
            region.bytes.mapping.as_ref().is_some_and(|mapping| !mapping.intact())
        };
        match self.regions().iter().find(damaged) {
            Some(region) => Err(AccessError::Damaged(format!(
                "the file {} was shortened while it was in use",
                region.name
            ))),
            None => Ok(()),
        }
    }
}

impl From<OutOfRange> for AccessError {
    fn from(OutOfRange(address): OutOfRange) -> Self {
        Self::OutOfRange(address)
    }
}
