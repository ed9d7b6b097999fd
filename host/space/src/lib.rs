//! The 64-bit address space of one model: its files side by side.
//!
//! Whoever offers `memory64` to a guest lays out regions here, on top of whatever holds their bytes. Nothing is read.

use std::path::{Path, PathBuf};

/// Regions begin at multiples of this, with at least as much between them that belongs to none.
const ALIGNMENT: u64 = 1 << 16;

/// What a region is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The model itself, or its first shard.
    Model,
    /// A further shard of the model.
    Shard,
}

/// The regions of one model, in address order; `B` is what holds the bytes of one.
pub struct Space<B> {
    regions: Vec<Region<B>>,
}

/// One file in the address space.
pub struct Region<B> {
    /// File name without folders.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// First address.
    pub base: u64,
    /// Length in bytes.
    pub size: u64,
    /// What holds its bytes.
    pub bytes: B,
}

/// The first address of a range that lies outside of every region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange(pub u64);

impl<B> Space<B> {
    /// A model of one file, or the first of its shards.
    pub fn new(name: String, size: u64, bytes: B) -> Self {
        Self { regions: vec![Region { name, role: Role::Model, base: 0, size, bytes }] }
    }

    /// A model that may be in several files: `open` returns the size of one and what holds its bytes.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn open<E>(path: &Path, mut open: impl FnMut(&Path) -> Result<(u64, B), E>) -> Result<Self, E> {
        let mut space = Self { regions: Vec::new() };
        for path in shard_paths(path).unwrap_or_else(|| vec![path.to_owned()]) {
            let (size, bytes) = open(&path)?;
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            space.add(name, size, bytes);
        }
        Ok(space)
    }

    /// One more shard behind the others.
    fn add(&mut self, name: String, size: u64, bytes: B) {
        let (role, base) = match self.regions.last() {
            None => (Role::Model, 0),
            Some(last) => (Role::Shard, (last.base + last.size).next_multiple_of(ALIGNMENT) + ALIGNMENT),
        };
        self.regions.push(Region { name, role, base, size, bytes });
    }

    /// The regions, in address order.
    pub fn regions(&self) -> &[Region<B>] {
        &self.regions
    }

    /// The region that a range lies in, and the offset of its first byte there.
    ///
    /// # Errors
    /// [`OutOfRange`] if it does not lie in one region.
    pub fn find(&self, address: u64, length: u64) -> Result<(&Region<B>, u64), OutOfRange> {
        let region = self.regions.iter().rfind(|region| region.base <= address).ok_or(OutOfRange(address))?;
        let offset = address - region.base;
        if offset > region.size {
            return Err(OutOfRange(address));
        }
        if length > region.size - offset {
            return Err(OutOfRange(region.base + region.size));
        }
        Ok((region, offset))
    }
}

/// `name-00002-of-00003.ext` names one of three shards: the paths of all. This convention for names is the only thing that is known
/// of model files here.
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
        let mut space = Space::new("a".into(), 100, ());
        space.add("b".into(), 50, ());
        let base = space.regions()[1].base;
        assert!(base >= 2 * ALIGNMENT && base.is_multiple_of(ALIGNMENT));

        let found = |address, length| {
            space.find(address, length).map(|(region, offset)| (region.name.as_str(), offset))
        };
        assert_eq!(found(90, 10), Ok(("a", 90)));
        assert_eq!(found(100, 0), Ok(("a", 100)));
        assert_eq!(found(base + 49, 1), Ok(("b", 49)));
        for (address, length, outside) in [
            (90, 11, 100),
            (101, 0, 101),
            (u64::MAX, 1, u64::MAX),
            (0, u64::MAX, 100),
            (base + 40, 11, base + 50),
            (base - 1, 2, base - 1),
        ] {
            assert_eq!(found(address, length), Err(OutOfRange(outside)), "{length} bytes at {address}");
        }
    }
}
