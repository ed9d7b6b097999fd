//! The 64-bit address space of one model, on mapped files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use wasm_chord_kernels::{Bytes, Format, Weight};
use wasm_chord_space::{OutOfRange, Region, Space};

use crate::error::{Error, Result};
use crate::mapping::Mapping;
use crate::packed::Packed;

/// What follows the name of a model file in that of its packed copy.
const PACKED: &str = ".wcpack";

/// The files of one model side by side, in memory. Models may share one, so that each file is mapped once.
pub struct AddressSpace {
    files: Space<Storage>,
    /// The first file, of a model that is not part of the program.
    path: Option<PathBuf>,
    packed: OnceLock<Packed>,
}

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
        let files = Space::new(name.into(), bytes.len() as u64, storage);
        Self { files, path: None, packed: OnceLock::new() }
    }

    /// Map a model file; if its name says that it is one of several shards, all of them.
    ///
    /// # Errors
    /// [`Error::Open`] for a file that cannot be mapped.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let mut first = None;
        let map = |path: &Path| -> Result<(u64, Storage)> {
            first.get_or_insert_with(|| path.to_owned());
            let mapping = Mapping::open(path).map_err(|cause| Error::Open { path: path.into(), cause })?;
            let bytes = Bytes::new(mapping.clone());
            Ok((bytes.len() as u64, Storage { bytes, mapping: Some(mapping) }))
        };
        let files = Space::open(path.as_ref(), map)?;
        Ok(Self { files, path: first, packed: OnceLock::new() })
    }

    /// Use the packed copy of the matrices that `multiplied` names, in a file beside the model: `multiplied` is called, and the file
    /// written, if there is none or the model has changed.
    ///
    /// # Errors
    /// Those of `multiplied`, [`Error::InvalidRequest`] for a model without a file, and [`Error::Failed`] if the file of the copy cannot be
    /// written or read.
    pub(crate) fn pack(&self, multiplied: impl FnOnce() -> Result<Vec<Weight>>) -> Result<()> {
        if self.packed.get().is_some() {
            return Ok(());
        }
        let Some(path) = &self.path else {
            let reason = "a packed copy lies beside a model file, and this model is part of the program";
            return Err(Error::InvalidRequest(reason.into()));
        };
        let mut path = path.clone().into_os_string();
        path.push(PACKED);
        let path = PathBuf::from(path);
        let failed = |what: &str, cause: io::Error| {
            Error::Failed(format!("cannot {what} {}: {cause}", path.display()))
        };
        let model: Vec<_> = self.regions().iter().filter_map(|region| region.bytes.mapping.clone()).collect();
        let open = || Packed::open(&path, &model).map_err(|cause| failed("open", cause));
        let packed = match open()? {
            Some(packed) => Some(packed),
            None => {
                let multiplied = multiplied()?;
                let matrices: Vec<_> =
                    multiplied.iter().filter_map(|weight| Some((self.address(weight)?, weight))).collect();
                Packed::write(&path, &model, &matrices).map_err(|cause| failed("write", cause))?;
                open()?
            }
        };
        let Some(packed) = packed else {
            return Err(failed("use", io::Error::other("the model was changed meanwhile")));
        };
        // Another model that shares this space may have come first.
        let _ = self.packed.set(packed);
        Ok(())
    }

    /// Where a weight of this model is.
    fn address(&self, weight: &Weight) -> Option<u64> {
        let wanted = weight.bytes().as_ptr_range();
        self.regions().iter().find_map(|region| {
            let bytes = region.bytes.bytes.as_ref().as_ptr_range();
            let inside = bytes.start <= wanted.start && wanted.end <= bytes.end;
            inside.then(|| region.base + (wanted.start as usize - bytes.start as usize) as u64)
        })
    }

    /// The packed copy of a matrix, if there is one.
    pub(crate) fn packed(&self, address: u64, format: Format, rows: usize, columns: usize) -> Option<Bytes> {
        self.packed.get()?.find(address, format, rows, columns)
    }

    pub(crate) fn regions(&self) -> &[Region<Storage>] {
        self.files.regions()
    }

    /// The bytes of a range, in place.
    pub(crate) fn bytes(&self, address: u64, length: u64) -> std::result::Result<Bytes, AccessError> {
        let (region, offset) = self.files.find(address, length)?;
        // Both fit: they are at most the length of a slice.
        let bytes = region.bytes.bytes.slice(offset as usize, length as usize);
        bytes.ok_or(AccessError::OutOfRange(address))
    }

    /// Fails if a file was found shortened since it was mapped.
    pub(crate) fn check(&self) -> std::result::Result<(), AccessError> {
        let damaged = |region: &&Region<Storage>| {
            region.bytes.mapping.as_ref().is_some_and(|mapping| !mapping.intact())
        };
        let shortened = match self.regions().iter().find(damaged) {
            Some(region) => region.name.clone(),
            None if self.packed.get().is_some_and(|packed| !packed.intact()) => {
                self.regions()[0].name.clone() + PACKED
            }
            None => return Ok(()),
        };
        Err(AccessError::Damaged(format!("the file {shortened} was shortened while it was in use")))
    }
}

impl From<OutOfRange> for AccessError {
    fn from(OutOfRange(address): OutOfRange) -> Self {
        Self::OutOfRange(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn a_packed_copy_is_found_by_address_and_shape_and_reported_when_cut_short() {
        let folder = std::env::temp_dir().join(format!("wasm-chord-space-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let size = 16 * 144;
        fs::write(folder.join("model"), vec![0x21; 100 + size]).unwrap();

        let space = AddressSpace::open(folder.join("model")).unwrap();
        let bytes = space.bytes(100, size as u64).unwrap();
        let weight = Weight::new(bytes, Format::Q4_K, 16, 256).unwrap();
        // The same matrix again, and one that shares bytes with it.
        let other = Weight::new(space.bytes(99, 16 * 144).unwrap(), Format::Q4_0, 16, 256).unwrap();
        space.pack(|| Ok(vec![weight.clone(), other, weight])).unwrap();
        assert!(space.packed(100, Format::Q4_K, 16, 256).is_none());
        let packed = space.packed(99, Format::Q4_0, 16, 256).unwrap();
        assert_eq!(packed.len(), size);
        for (address, rows, columns) in [(101, 16, 256), (99, 32, 256), (99, 16, 512)] {
            assert!(space.packed(address, Format::Q4_0, rows, columns).is_none());
        }
        assert_eq!(space.check(), Ok(()));

        let file = File::options().write(true).open(folder.join("model.wcpack")).unwrap();
        file.set_len(4096).unwrap();
        assert_eq!(packed.as_ref()[0], 0);
        let Err(AccessError::Damaged(message)) = space.check() else { panic!("it was cut short") };
        assert!(message.contains("model.wcpack was shortened"), "{message}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
