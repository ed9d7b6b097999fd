//! How much device memory one caller may hold, for callers who are not trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::{Cache, CacheShape};
use crate::device::{Device, Error};
use crate::step::Step;
use crate::tensor::Tensor;

/// An account with a limit in bytes. Clones are the same account.
#[derive(Clone)]
pub struct Quota(Arc<Account>);

struct Account {
    limit: u64,
    used: AtomicU64,
}

/// Bytes taken from a quota, given back when dropped.
pub struct Charge {
    quota: Quota,
    bytes: u64,
}

impl Quota {
    /// An account of so many bytes.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Account { limit, used: AtomicU64::new(0) }))
    }

    /// Take `bytes`, or none if that would exceed the limit.
    pub fn charge(&self, bytes: u64) -> Option<Charge> {
        let take = |used: u64| used.checked_add(bytes).filter(|&total| total <= self.0.limit);
        self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Charge { quota: self.clone(), bytes })
    }

    /// Bytes that could be taken.
    pub fn free(&self) -> u64 {
        self.0.limit - self.0.used.load(Ordering::Relaxed)
    }

    /// [`Device::tensor`], charged until the last view and recording of it is dropped.
    ///
    /// # Errors
    /// The device's, and [`Error::OutOfMemory`] if it would exceed the limit.
    pub fn tensor(&self, device: &dyn Device, columns: usize) -> Result<Tensor, Error> {
        let charge = self.charge_size(columns.checked_mul(4 * Step::LIMIT))?;
        Ok(device.tensor(columns)?.charged(charge))
    }

    /// [`Device::cache`], charged as if it were full until the last sequence and recording of it is dropped.
    ///
    /// # Errors
    /// The device's, and [`Error::OutOfMemory`] if it would exceed the limit.
    pub fn cache(&self, device: &dyn Device, shape: CacheShape) -> Result<Cache, Error> {
        let charge = self.charge_size(shape.page_bytes()?.checked_mul(shape.pages()))?;
        Ok(device.cache(shape)?.charged(charge))
    }

    fn charge_size(&self, bytes: Option<usize>) -> Result<Arc<Charge>, Error> {
        let bytes = bytes.unwrap_or(usize::MAX);
        self.charge(bytes as u64).map(Arc::new).ok_or(Error::OutOfMemory(bytes))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.quota.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheFormat;
    use crate::reference::Reference;

    #[test]
    fn charges_count_until_they_are_dropped() {
        let quota = Quota::new(100);
        let first = quota.charge(60).unwrap();
        assert!(quota.charge(41).is_none());
        assert!(quota.charge(u64::MAX).is_none());
        drop(first);
        assert!(quota.charge(100).is_some());
    }

    #[test]
    fn what_uses_a_tensor_or_a_cache_keeps_its_charge() {
        let row = 4 * Step::LIMIT;
        let quota = Quota::new(row as u64);
        let view = quota.tensor(&Reference, 1).unwrap().view(0, 1).unwrap();
        assert_eq!(quota.tensor(&Reference, 1).err(), Some(Error::OutOfMemory(row)));
        drop(view);
        assert!(quota.tensor(&Reference, 1).is_ok());

        let shape = CacheShape {
            layers: 1,
            kv_heads: 1,
            key_size: 1,
            value_size: 1,
            positions: 64,
            format: CacheFormat::F32,
        };
        let sequence = quota.cache(&Reference, shape).unwrap().sequence();
        assert!(quota.charge(row as u64 - 511).is_none());
        drop(sequence);
        assert!(quota.charge(row as u64).is_some());
    }
}
