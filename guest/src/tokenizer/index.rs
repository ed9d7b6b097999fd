//! Hash index for tables that hold their keys themselves: it maps a hash to the number of an entry and asks the table
//! whether that entry is the one meant.
//!
//! A sandboxed guest has no randomness to salt a hash with, so a hostile file can choose keys that collide. The index
//! answers with a bound: a key that does not fit within [`PROBES`] slots of its place refuses the whole table, which
//! also bounds every later lookup. At the load it keeps, honest keys stay far below the bound.

/// Slots looked at for one key.
const PROBES: usize = 256;

/// Entries that an index can number.
pub(super) const ENTRIES: usize = (1 << 21) - 1;

/// More keys fell on one place than honest keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowded;

/// Open addressing over entry numbers, sized once for the number of entries.
pub(super) struct Index {
    /// Zero where free, else 11 bits of the hash above the 21 of the entry number plus one.
    slots: Vec<u32>,
    shift: u32,
}

impl Index {
    /// An empty index with room for `count` entries, at most [`ENTRIES`]; then it is 4/7 full at most.
    pub(super) fn with_room(count: usize) -> Self {
        let size = (count / 4 * 7).next_power_of_two().max(64);
        Self { slots: vec![0; size], shift: u64::BITS - size.trailing_zeros() }
    }

    /// The entry with this hash that `same` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        match self.probe(hash, same) {
            Probe::Taken(entry) => Some(entry),
            Probe::Free(_) | Probe::Crowded => None,
        }
    }

    /// Adds `entry` unless an entry that `same` accepts is there already, which is returned.
    #[inline]
    pub(super) fn insert(
        &mut self,
        hash: u64,
        entry: u32,
        same: impl Fn(u32) -> bool,
    ) -> Result<Option<u32>, Crowded> {
        match self.probe(hash, same) {
            Probe::Taken(present) => Ok(Some(present)),
            Probe::Free(at) => {
                self.slots[at] = tag(hash) | (entry + 1);
                Ok(None)
            }
            Probe::Crowded => Err(Crowded),
        }
    }

    #[inline]
    fn probe(&self, hash: u64, same: impl Fn(u32) -> bool) -> Probe {
        let mask = self.slots.len() - 1;
        let start = (hash >> self.shift) as usize;
        for step in 0..PROBES.min(self.slots.len()) {
            let at = (start + step) & mask;
            let slot = self.slots[at];
            if slot == 0 {
                return Probe::Free(at);
            }
            if slot & TAG == tag(hash) {
                let entry = (slot & !TAG) - 1;
                if same(entry) {
                    return Probe::Taken(entry);
                }
            }
        }
        Probe::Crowded
    }
}

enum Probe {
    Taken(u32),
    Free(usize),
    Crowded,
}

/// The bits of a slot that hold a part of the hash: its lowest, as the topmost chose the place.
const TAG: u32 = !(ENTRIES as u32);

fn tag(hash: u64) -> u32 {
    (hash as u32) << TAG.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::super::words::mix;
    use super::*;

    #[test]
    fn entries_are_found_and_strangers_are_not() {
        let mut index = Index::with_room(10_000);
        for entry in 0..10_000 {
            assert_eq!(index.insert(mix(entry.into()), entry, |_| false), Ok(None));
        }
        for entry in 0..10_000 {
            assert_eq!(index.find(mix(entry.into()), |other| other == entry), Some(entry));
            assert_eq!(index.find(mix(u64::from(entry) + 10_000), |_| false), None);
        }
        assert_eq!(index.insert(mix(5), 1, |other| other == 5), Ok(Some(5)));
    }

    #[test]
    fn colliding_keys_are_refused_instead_of_searched() {
        let mut index = Index::with_room(10_000);
        let refused = (0..10_000).position(|entry| index.insert(42, entry, |_| false) == Err(Crowded));
        assert_eq!(refused, Some(PROBES));
    }
}
