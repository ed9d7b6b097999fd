//! How much device memory one guest holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An account with a limit in bytes. Clones are the same account.
#[derive(Clone)]
pub(super) struct Quota(Arc<Account>);

struct Account {
    limit: u64,
    used: AtomicU64,
}

/// Bytes taken from a quota, given back when dropped.
pub(super) struct Charge {
    quota: Quota,
    bytes: u64,
}

impl Quota {
    pub(super) fn new(limit: u64) -> Self {
        Self(Arc::new(Account { limit, used: AtomicU64::new(0) }))
    }

    /// Take `bytes`, or none if that would exceed the limit.
    pub(super) fn charge(&self, bytes: u64) -> Option<Arc<Charge>> {
        let take = |used: u64| used.checked_add(bytes).filter(|&total| total <= self.0.limit);
        self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Arc::new(Charge { quota: self.clone(), bytes }))
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

    #[test]
    fn charges_count_until_they_are_dropped() {
        let quota = Quota::new(100);
        let first = quota.charge(60).unwrap();
        assert!(quota.charge(41).is_none());
        assert!(quota.charge(u64::MAX).is_none());
        drop(first);
        assert!(quota.charge(100).is_some());
    }
}
