//! The 64-bit address space of one model: its files side by side.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasm_chord_kernels::Bytes;

use crate::error::{Error, Result};
use crate::mapping::Mapping;

/// Regions begin at multiples of this, with at least as much between them that belongs to none.
const ALIGNMENT: u64 = 1 << 16;

/// What a region is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The model itself, or its first shard.
    Model,
    /// A further shard of the model.
    Shard,
}

/// The regions of one model, in address order.
#[derive(Default)]
pub struct AddressSpace {
    regions: Vec<Region>,
}

/// One file in the address space.
pub struct Region {
    name: String,
    role: Role,
    base: u64,
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
        let mut space = Self::default();
        space.add(name.into(), Role::Model, Bytes::new(Arc::new(bytes)), None);
        space
    }

    /// Map a model file; if its name says that it is one of several shards, all of them.
    ///
    /// # Errors
    /// [`Error::Open`] for a file that cannot be mapped.
    pub fn open(path: &Path) -> Result<Self> {
        let mut space = Self::default();
        for (index, path) in
            shard_paths(path).unwrap_or_else(|| vec![path.to_owned()]).into_iter().enumerate()
        {
            let mapping = Mapping::open(&path).map_err(|cause| Error::Open { path: path.clone(), cause })?;
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let role = if index == 0 { Role::Model } else { Role::Shard };
            space.add(name, role, Bytes::new(mapping.clone()), Some(mapping));
        }
        Ok(space)
    }

    fn add(&mut self, name: String, role: Role, bytes: Bytes, mapping: Option<Arc<Mapping>>) {
        let base = self
            .regions
            .last()
            .map_or(0, |last| (last.base + last.size()).next_multiple_of(ALIGNMENT) + ALIGNMENT);
        self.regions.push(Region { name, role, base, bytes, mapping });
    }

    /// The regions, in address order.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The bytes of a range, in place.
    pub(crate) fn bytes(&self, address: u64, length: u64) -> std::result::Result<Bytes, AccessError> {
        let region = self.regions.iter().rfind(|region| region.base <= address);
        let region = region.ok_or(AccessError::OutOfRange(address))?;
        let offset = address - region.base;
        if offset > region.size() {
            return Err(AccessError::OutOfRange(address));
        }
        if length > region.size() - offset {
            return Err(AccessError::OutOfRange(region.base + region.size()));
        }
        // Both fit: they are at most the length of a slice.
        region.bytes.slice(offset as usize, length as usize).ok_or(AccessError::OutOfRange(address))
    }

    /// Fails if a file was found shortened since it was mapped.
    pub(crate) fn check(&self) -> std::result::Result<(), AccessError> {
        let damaged = |region: &&Region| region.mapping.as_ref().is_some_and(|mapping| !mapping.intact());
        match self.regions.iter().find(damaged) {
            Some(region) => Err(AccessError::Damaged(format!(
                "the file {} was shortened while it was in use",
                region.name
            ))),
            None => Ok(()),
        }
    }
}

impl Region {
    /// File name without folders.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// First address.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.as_ref().len() as u64
    }
}

/// `name-00002-of-00003.ext` names one of three shards: the paths of all. The only thing the host knows of model files is this
/// convention for their names.
fn shard_paths(path: &Path) -> Option<Vec<PathBuf>> {
    let name = path.file_name()?.to_str()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (prefix, number) = rest.rsplit_once('-')?;
    let parse = |digits: &str| (digits.len() == 5).then(|| digits.parse::<u32>().ok()).flatten();
    let (number, count) = (parse(number)?, parse(count)?);
    if number == 0 || number > count {
        return None;
    }
    Some(
        (1..=count)
            .map(|shard| path.with_file_name(format!("{prefix}-{shard:05}-of-{count:05}.{extension}")))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_names_all_shards() {
        let paths = shard_paths(Path::new("dir/big-00002-of-00003.gguf")).unwrap();
        assert_eq!(paths.len(), 3);
        assert_eq!(paths[0], Path::new("dir/big-00001-of-00003.gguf"));
        assert_eq!(paths[2], Path::new("dir/big-00003-of-00003.gguf"));
    }

    #[test]
    fn other_names_are_files_of_their_own() {
        for name in
            ["model.gguf", "a-of-b.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-1-of-2.gguf"]
        {
            assert_eq!(shard_paths(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn ranges_outside_every_region_are_refused_at_their_first_address() {
        let mut space = AddressSpace::of_static("a", &[1; 100]);
        space.add("b".into(), Role::Shard, Bytes::new(Arc::new(&[2u8; 50] as &'static [u8])), None);
        let base = space.regions()[1].base();
        assert!(base >= 2 * ALIGNMENT && base.is_multiple_of(ALIGNMENT));

        assert_eq!(space.bytes(90, 10).unwrap().as_ref(), [1; 10]);
        assert_eq!(space.bytes(100, 0).unwrap().as_ref(), [0u8; 0]);
        assert_eq!(space.bytes(base + 49, 1).unwrap().as_ref(), [2]);
        for (address, length, outside) in [
            (90, 11, 100),
            (101, 0, 101),
            (u64::MAX, 1, u64::MAX),
            (0, u64::MAX, 100),
            (base + 40, 11, base + 50),
            (base - 1, 2, base - 1),
        ] {
            let refused = space.bytes(address, length).map(|_| ());
            assert_eq!(refused, Err(AccessError::OutOfRange(outside)), "{length} bytes at {address}");
        }
    }
}
