use super::*;
use crate::cache::{CacheFormat, CacheShape, PAGE};
use crate::device::Device;
use crate::reference::Reference;

fn cache(pages: usize) -> Cache {
    let shape = CacheShape {
        layers: 1,
        kv_heads: 1,
        key_size: 1,
        value_size: 1,
        positions: pages * PAGE,
        format: CacheFormat::F32,
    };
    Reference.cache(shape).unwrap()
}

fn begin(sequence: &mut Sequence, tokens: &[u32]) -> Result<Step, Failure> {
    Step::begin(&mut [Continuation { sequence, tokens, outputs: 0 }])
}

#[test]
fn rows_are_the_tokens_of_all_sequences_in_order() {
    let cache = cache(4);
    let (mut first, mut second) = (cache.sequence(), cache.sequence());
    begin(&mut first, &[7; 70]).unwrap();
    let step = Step::begin(&mut [
        Continuation { sequence: &mut first, tokens: &[1, 2], outputs: 1 },
        Continuation { sequence: &mut second, tokens: &[3, 4, 5], outputs: 2 },
    ])
    .unwrap();
    assert_eq!(step.tokens(), [1, 2, 3, 4, 5]);
    assert_eq!(step.positions(), [70, 71, 0, 1, 2]);
    assert_eq!(step.outputs(), [1, 3, 4]);
    let spans: Vec<_> = step.spans().iter().map(|span| (span.rows(), span.start())).collect();
    assert_eq!(spans, [(0..2, 70), (2..5, 0)]);
    assert_eq!((step.spans()[0].page(0), step.spans()[0].page(1), step.spans()[1].page(0)), (0, 1, 2));
    assert_eq!((first.length(), second.length()), (72, 3));
}

#[test]
fn a_full_cache_leaves_all_sequences_as_before() {
    let cache = cache(2);
    let (mut first, mut second) = (cache.sequence(), cache.sequence());
    begin(&mut first, &[0; 60]).unwrap();
    let mut continuations = [
        Continuation { sequence: &mut first, tokens: &[0; 5], outputs: 1 },
        Continuation { sequence: &mut second, tokens: &[0], outputs: 1 },
    ];
    assert_eq!(Step::begin(&mut continuations).err(), Some(Failure::CacheFull));
    assert_eq!((first.length(), second.length(), cache.free_positions()), (60, 0, PAGE));
}

#[test]
fn the_last_owner_of_a_shared_page_needs_no_copy() {
    let cache = cache(2);
    let mut sequence = cache.sequence();
    begin(&mut sequence, &[0; 10]).unwrap();
    let mut fork = sequence.fork();
    let step = Step::begin(&mut [
        Continuation { sequence: &mut sequence, tokens: &[1], outputs: 1 },
        Continuation { sequence: &mut fork, tokens: &[2], outputs: 1 },
    ])
    .unwrap();
    assert_ne!(step.spans()[0].page(0), step.spans()[1].page(0));
}

#[test]
fn a_step_keeps_its_pages_from_others() {
    let cache = cache(1);
    let mut sequence = cache.sequence();
    let step = begin(&mut sequence, &[0]).unwrap();
    drop(sequence);
    assert_eq!(cache.free_positions(), 0);
    drop(step);
    assert_eq!(cache.free_positions(), PAGE);
}

#[test]
fn steps_that_make_no_sense_are_misuse() {
    let cache = cache(16);
    let mut sequence = cache.sequence();
    let outputs = [Continuation { sequence: &mut sequence, tokens: &[1, 2], outputs: 3 }];
    let Err(Failure::Misuse(message)) = Step::begin(&mut { outputs }) else {
        panic!("3 outputs of 2 tokens")
    };
    assert!(message.contains("3 outputs"), "{message}");
    assert!(matches!(Step::begin(&mut []), Err(Failure::Misuse(_))));
    assert!(matches!(begin(&mut sequence, &[]), Err(Failure::Misuse(_))));
    assert!(matches!(begin(&mut sequence, &[0; Step::LIMIT + 1]), Err(Failure::Misuse(_))));
    assert_eq!(sequence.length(), 0);
    assert_eq!(begin(&mut sequence, &[0; Step::LIMIT]).unwrap().tokens().len(), Step::LIMIT);
}

#[test]
fn spans_know_their_cache() {
    let (ours, other) = (cache(1), cache(1));
    let mut sequence = ours.sequence();
    let step = begin(&mut sequence, &[0]).unwrap();
    assert!(step.spans()[0].belongs_to(&ours));
    assert!(!step.spans()[0].belongs_to(&other));
}

#[test]
fn sequences_of_several_caches_count_their_own_pages() {
    let (one, two) = (cache(1), cache(1));
    let (mut first, mut second) = (one.sequence(), two.sequence());
    let step = Step::begin(&mut [
        Continuation { sequence: &mut first, tokens: &[0; PAGE], outputs: 0 },
        Continuation { sequence: &mut second, tokens: &[0; PAGE], outputs: 0 },
    ]);
    assert!(step.is_ok());
}
