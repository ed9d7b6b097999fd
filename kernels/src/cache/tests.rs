use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Remembers what it was asked, and has memory for `room` pages.
struct Ledger {
    room: AtomicUsize,
    copies: Mutex<Vec<(usize, usize)>>,
}

impl Store for Ledger {
    fn take(&self, _: usize) -> Result<(), Error> {
        let enough = |room: usize| room.checked_sub(1);
        let taken = self.room.try_update(Ordering::Relaxed, Ordering::Relaxed, enough);
        taken.map(|_| ()).map_err(|_| Error::OutOfMemory(1))
    }

    fn copy(&self, from: usize, to: usize) {
        self.copies.lock().unwrap().push((from, to));
    }
}

const SHAPE: CacheShape = CacheShape {
    layers: 2,
    kv_heads: 3,
    key_size: 32,
    value_size: 64,
    positions: 4 * PAGE,
    format: CacheFormat::F16,
};

fn cache() -> (Cache, Arc<Ledger>) {
    let ledger = Arc::new(Ledger { room: AtomicUsize::new(usize::MAX), copies: Mutex::default() });
    (Cache::new(SHAPE, ledger.clone()), ledger)
}

fn numbers(sequence: &Sequence) -> Vec<usize> {
    sequence.pages().iter().map(|page| page.number()).collect()
}

#[test]
fn pages_come_back_when_sequences_drop() {
    let (cache, _) = cache();
    let mut sequence = cache.sequence();
    sequence.grow(PAGE + 1).unwrap();
    assert_eq!(cache.free_positions(), 2 * PAGE);
    let fork = sequence.fork();
    drop(sequence);
    assert_eq!(cache.free_positions(), 2 * PAGE);
    drop(fork);
    assert_eq!(cache.free_positions(), 4 * PAGE);
}

#[test]
fn returned_pages_are_taken_before_fresh_ones() {
    let (cache, _) = cache();
    let (mut first, mut second, mut third) = (cache.sequence(), cache.sequence(), cache.sequence());
    first.grow(1).unwrap();
    second.grow(1).unwrap();
    assert_eq!((numbers(&first), numbers(&second)), (vec![0], vec![1]));
    drop(first);
    third.grow(2 * PAGE).unwrap();
    assert_eq!(numbers(&third), [0, 2]);
}

#[test]
fn a_fork_shares_pages_until_one_writes() {
    let (cache, ledger) = cache();
    let mut sequence = cache.sequence();
    sequence.grow(PAGE + 10).unwrap();
    let mut fork = sequence.fork();
    assert_eq!((fork.length(), numbers(&fork)), (PAGE + 10, vec![0, 1]));
    assert_eq!(cache.free_positions(), 2 * PAGE);

    fork.grow(1).unwrap();
    assert_eq!(numbers(&fork), [0, 2]);
    assert_eq!(*ledger.copies.lock().unwrap(), [(1, 2)]);

    sequence.grow(1).unwrap();
    assert_eq!(numbers(&sequence), [0, 1], "nobody shares its last page any more");
    assert_eq!(ledger.copies.lock().unwrap().len(), 1);
}

#[test]
fn a_fork_of_whole_pages_copies_nothing() {
    let (cache, ledger) = cache();
    let mut sequence = cache.sequence();
    sequence.grow(PAGE).unwrap();
    let mut fork = sequence.fork();
    fork.grow(1).unwrap();
    sequence.grow(1).unwrap();
    assert_eq!((numbers(&sequence), numbers(&fork)), (vec![0, 2], vec![0, 1]));
    assert!(ledger.copies.lock().unwrap().is_empty());
}

#[test]
fn truncation_gives_back_what_it_forgets() {
    let (cache, _) = cache();
    let mut sequence = cache.sequence();
    sequence.grow(3 * PAGE).unwrap();
    sequence.truncate(5 * PAGE);
    assert_eq!(sequence.length(), 3 * PAGE);
    sequence.truncate(PAGE + 1);
    assert_eq!((sequence.length(), numbers(&sequence)), (PAGE + 1, vec![0, 1]));
    sequence.truncate(PAGE);
    assert_eq!(numbers(&sequence), [0]);
    sequence.truncate(0);
    assert_eq!(cache.free_positions(), 4 * PAGE);
}

#[test]
fn regrowth_into_a_shared_page_copies_it() {
    let (cache, ledger) = cache();
    let mut sequence = cache.sequence();
    sequence.grow(2 * PAGE).unwrap();
    let fork = sequence.fork();
    sequence.truncate(PAGE / 2);
    assert_eq!(sequence.pages_to_grow(PAGE / 2), 0);
    assert!(sequence.shared_page().is_some());
    sequence.grow(PAGE / 2).unwrap();
    assert_eq!((numbers(&sequence), numbers(&fork)), (vec![2], vec![0, 1]));
    assert_eq!(*ledger.copies.lock().unwrap(), [(0, 2)]);
}

#[test]
fn a_full_cache_leaves_the_sequence_as_before() {
    let (cache, _) = cache();
    let mut sequence = cache.sequence();
    sequence.grow(PAGE).unwrap();
    assert_eq!(sequence.grow(3 * PAGE + 1), Err(Failure::CacheFull));
    assert_eq!((sequence.length(), numbers(&sequence)), (PAGE, vec![0]));
    assert_eq!(cache.free_positions(), 3 * PAGE);
    sequence.grow(3 * PAGE).unwrap();
}

#[test]
fn a_page_without_memory_is_free_again() {
    let (cache, ledger) = cache();
    ledger.room.store(1, Ordering::Relaxed);
    let mut sequence = cache.sequence();
    assert!(matches!(sequence.grow(2 * PAGE), Err(Failure::Device(_))));
    assert_eq!((sequence.length(), cache.free_positions()), (0, 4 * PAGE));
}

#[test]
fn growing_by_nothing_takes_nothing() {
    let (cache, ledger) = cache();
    let mut sequence = cache.sequence();
    sequence.grow(1).unwrap();
    let mut fork = sequence.fork();
    assert_eq!(fork.pages_to_grow(0), 0);
    fork.grow(0).unwrap();
    assert!(ledger.copies.lock().unwrap().is_empty());
}

#[test]
fn a_page_holds_keys_and_values_of_all_layers() {
    assert_eq!(SHAPE.page_bytes(), Ok(2 * PAGE * 3 * (32 + 64) * 2));
    let quantised = CacheShape { format: CacheFormat::Q8_0, ..SHAPE };
    assert_eq!(quantised.page_bytes(), Ok(2 * PAGE * 3 * 3 * 34));
    assert_eq!(CacheShape { positions: PAGE + 1, ..SHAPE }.pages(), 2);
}

#[test]
fn shapes_that_cannot_be_are_refused() {
    for shape in [
        CacheShape { layers: 0, ..SHAPE },
        CacheShape { kv_heads: 0, ..SHAPE },
        CacheShape { key_size: 0, ..SHAPE },
        CacheShape { value_size: 0, ..SHAPE },
        CacheShape { positions: 0, ..SHAPE },
        CacheShape { positions: usize::MAX, ..SHAPE },
        CacheShape { layers: usize::MAX / 2, ..SHAPE },
        CacheShape { key_size: usize::MAX, ..SHAPE },
        CacheShape { key_size: 48, format: CacheFormat::Q8_0, ..SHAPE },
    ] {
        assert!(matches!(shape.page_bytes(), Err(Error::BadShape(_))), "{shape:?}");
    }
}
