//! The far memory: beside the 32-bit memory of this component a second one with 64-bit addresses, for weights that the first has no
//! room for. Bytes are copied there and back, which is faster than to read them from a file through WASI.
//!
//! `far/` has the two forms of the module that it is in, with and without such a memory; `cargo xtask dist` chooses.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many bytes of the far memory.
pub(crate) struct Far {
    free: Mutex<Free>,
}

/// Bytes in the far memory, which are free again when this is dropped.
pub(crate) struct Stored {
    far: Arc<Far>,
    at: u64,
    length: usize,
}

impl Far {
    /// Take `bytes` from the sandbox. Until something is stored there, they are addresses only.
    ///
    /// # Errors
    /// A sentence, if the sandbox does not give them.
    pub(crate) fn new(bytes: u64) -> Result<Self, String> {
        let first = module::grow(bytes).ok_or_else(|| {
            format!(
                "this sandbox has no 64-bit memory of {} MiB, as WASM_CHORD_FAR_MEMORY wants it",
                bytes >> 20
            )
        })?;
        Ok(Self { free: Mutex::new(Free(BTreeMap::from([(first, first + bytes)]))) })
    }

    /// A copy of `bytes`, if there is room for it.
    pub(crate) fn store(self: &Arc<Self>, bytes: &[u8]) -> Option<Stored> {
        let at = self.free().take(bytes.len() as u64)?;
        module::store(at, bytes);
        Some(Stored { far: self.clone(), at, length: bytes.len() })
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    /// Copy them back.
    ///
    /// # Panics
    /// If `out` is not as long as they are.
    pub(crate) fn load(&self, out: &mut [u8]) {
        assert_eq!(out.len(), self.length);
        module::load(self.at, out);
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.far.free().give(self.at..self.at + self.length as u64);
    }
}

/// Addresses that are free: where ranges begin, and where they end. None touches another.
struct Free(BTreeMap<u64, u64>);

impl Free {
    /// The first address of so many bytes.
    fn take(&mut self, bytes: u64) -> Option<u64> {
        let (&first, &end) = self.0.iter().find(|&(first, end)| end - first >= bytes)?;
        self.0.remove(&first);
        if end - first > bytes {
            self.0.insert(first + bytes, end);
        }
        Some(first)
    }

    /// A range that was taken is free again.
    fn give(&mut self, range: Range<u64>) {
        let end = self.0.remove(&range.end).unwrap_or(range.end);
        match self.0.range_mut(..range.start).next_back() {
            Some((_, before)) if *before == range.start => *before = end,
            _ => drop(self.0.insert(range.start, end)),
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod module {
    //! What the module in `far/` exports.

    #![expect(unsafe_code, reason = "functions of another module, on addresses in this memory")]

    #[link(wasm_import_module = "far")]
    unsafe extern "C" {
        #[link_name = "grow"]
        safe fn far_grow(pages: u64) -> u64;
        #[link_name = "store"]
        fn far_store(to: u64, from: *const u8, length: usize);
        #[link_name = "load"]
        fn far_load(to: *mut u8, from: u64, length: usize);
    }

    /// The address of so many bytes more.
    pub(super) fn grow(bytes: u64) -> Option<u64> {
        let page = far_grow(bytes.div_ceil(1 << 16));
        (page != u64::MAX).then(|| page << 16)
    }

    pub(super) fn store(to: u64, from: &[u8]) {
        // SAFETY: exactly the slice is read; addresses of the far memory are checked by the engine.
        unsafe { far_store(to, from.as_ptr(), from.len()) }
    }

    pub(super) fn load(from: u64, to: &mut [u8]) {
        // SAFETY: exactly the slice is written, and any bytes are valid there.
        unsafe { far_load(to.as_mut_ptr(), from, to.len()) }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod module {
    //! As `far/none.wat`.

    pub(super) fn grow(_: u64) -> Option<u64> {
        None
    }

    pub(super) fn store(_: u64, _: &[u8]) {
        unreachable!("there is no far memory")
    }

    pub(super) fn load(_: u64, _: &mut [u8]) {
        unreachable!("there is no far memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_one_piece_again() {
        let mut free = Free(BTreeMap::from([(100, 200)]));
        let taken: Vec<_> = [30, 30, 40].map(|bytes| free.take(bytes)).into();
        assert_eq!(taken, [Some(100), Some(130), Some(160)]);
        assert_eq!(free.take(1), None);

        free.give(130..160);
        free.give(100..130);
        assert_eq!(free.take(61), None);
        assert_eq!(free.take(60), Some(100));
        for range in [100..130, 160..200, 130..160] {
            free.give(range);
        }
        assert_eq!(free.0, BTreeMap::from([(100, 200)]));
    }
}
