//! The merging of byte pair encoding, common to both tokenizers: of all neighbours that may join, those with the lowest
//! key join first, the leftmost of equals before the others.
//!
//! A short word is merged by looking for the lowest key again and again; a long one with a heap over a linked list,
//! in O(n log n) for any text. Which parts may join, and with which key, is the business of [`Rules`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::index::hash_bytes;

/// What may join.
pub(super) trait Rules {
    /// The key and the token of two neighbours if they may join: `left` and `right` are their tokens ([`NONE`] for
    /// what is none), `joined` the bytes of both. Keys are below [`NONE`].
    fn join(&self, left: u32, right: u32, joined: &[u8]) -> Option<(u32, u32)>;
}

/// In place of a token, a key or a position.
pub(super) const NONE: u32 = u32::MAX;

/// Parts up to which looking for the lowest key beats the heap.
const SHORT: usize = 32;

/// The memory of merging, reused from word to word, and the words met before.
pub(super) struct Merger {
    short: Vec<ShortPart>,
    long: Vec<LongPart>,
    queue: Vec<Reverse<u64>>,
    cache: Vec<CachedWord>,
}

struct ShortPart {
    /// Where its bytes begin in the word.
    start: u32,
    token: u32,
    /// Of joining with the next part, [`NONE`] if they may not.
    key: u32,
    /// What they become.
    joint: u32,
}

struct LongPart {
    start: u32,
    token: u32,
    /// Of joining with the next part, [`NONE`] if they may not or this part has joined the one before.
    key: u32,
    previous: u32,
    next: u32,
}

impl Merger {
    /// For a text of `length` bytes. Only a text long enough to repeat its words gets a cache of them.
    pub(super) fn new(length: usize) -> Self {
        const WORTH_CACHING: usize = 4096;
        let cache =
            if length < WORTH_CACHING { Vec::new() } else { vec![CachedWord::default(); CACHED_WORDS] };
        Self { short: Vec::new(), long: Vec::new(), queue: Vec::new(), cache }
    }

    /// Appends to `tokens` what `word` becomes. `parts` are its smallest parts in order, as where they begin and their
    /// tokens; `fall_back` appends what stands for the bytes of a part that is no token.
    pub(super) fn merge(
        &mut self,
        rules: &impl Rules,
        word: &str,
        parts: impl Iterator<Item = (u32, u32)>,
        fall_back: impl Fn(&[u8], &mut Vec<u32>),
        tokens: &mut Vec<u32>,
    ) {
        let word = word.as_bytes();
        let slot = self.slot(word);
        if let Some(known) = slot.and_then(|slot| self.cache[slot].get(word)) {
            tokens.extend_from_slice(known);
            return;
        }
        let first = tokens.len();
        let mut append = |token, bytes: &[u8]| match token {
            NONE => fall_back(bytes, tokens),
            token => tokens.push(token),
        };
        self.short.clear();
        let mut parts = parts.map(|(start, token)| ShortPart { start, token, key: NONE, joint: NONE });
        self.short.extend(parts.by_ref().take(SHORT + 1));
        if self.short.len() <= SHORT {
            self.merge_short(rules, word, &mut append);
        } else {
            let parts = std::mem::take(&mut self.short).into_iter().chain(parts);
            self.merge_long(rules, word, parts, &mut append);
        }
        if let Some(slot) = slot {
            self.cache[slot].set(word, &tokens[first..]);
        }
    }

    fn merge_short(&mut self, rules: &impl Rules, word: &[u8], append: &mut impl FnMut(u32, &[u8])) {
        let parts = &mut self.short;
        for at in 0..parts.len() {
            key_short(rules, word, parts, at);
        }
        while let Some((at, lowest)) = parts.iter().enumerate().min_by_key(|(_, part)| part.key)
            && lowest.key != NONE
        {
            parts[at].token = lowest.joint;
            parts.remove(at + 1);
            key_short(rules, word, parts, at);
            if at > 0 {
                key_short(rules, word, parts, at - 1);
            }
        }
        for (at, part) in parts.iter().enumerate() {
            let end = parts.get(at + 1).map_or(word.len(), |next| next.start as usize);
            append(part.token, &word[part.start as usize..end]);
        }
    }

    fn merge_long(
        &mut self,
        rules: &impl Rules,
        word: &[u8],
        parts: impl Iterator<Item = ShortPart>,
        append: &mut impl FnMut(u32, &[u8]),
    ) {
        let list = &mut self.long;
        list.clear();
        for (at, part) in (0..).zip(parts) {
            let (previous, next) = (if at == 0 { NONE } else { at - 1 }, at + 1);
            list.push(LongPart { start: part.start, token: part.token, key: NONE, previous, next });
        }
        if let Some(last) = list.last_mut() {
            last.next = NONE;
        }
        let mut queue = std::mem::take(&mut self.queue);
        queue.clear();
        queue.extend((0..list.len() as u32).filter_map(|at| key_long(rules, word, list, at)));
        let mut queue = BinaryHeap::from(queue);
        while let Some(Reverse(entry)) = queue.pop() {
            let (key, at) = ((entry >> 32) as u32, entry as u32);
            let part = &list[at as usize];
            // Neighbours that have joined others meanwhile have another key, or none.
            if part.key != key {
                continue;
            }
            let (token, previous, right) = (part.token, part.previous, part.next);
            let after = list[right as usize].next;
            let joined = &word[part.start as usize..start_of(list, after, word)];
            let Some((_, joint)) = rules.join(token, list[right as usize].token, joined) else { continue };
            list[right as usize].key = NONE;
            list[at as usize].token = joint;
            list[at as usize].next = after;
            if after != NONE {
                list[after as usize].previous = at;
            }
            queue.extend(key_long(rules, word, list, at));
            if previous != NONE {
                queue.extend(key_long(rules, word, list, previous));
            }
        }
        self.queue = queue.into_vec();
        let mut at = 0;
        while at != NONE {
            let part = &list[at as usize];
            append(part.token, &word[part.start as usize..start_of(list, part.next, word)]);
            at = part.next;
        }
    }

    /// The place of a word in the cache, if it is one that the cache takes.
    fn slot(&self, word: &[u8]) -> Option<usize> {
        (!self.cache.is_empty() && word.len() <= CACHED_BYTES)
            .then(|| hash_bytes(word, 0) as usize % CACHED_WORDS)
    }
}

/// Sets the key of the part at `at`.
fn key_short(rules: &impl Rules, word: &[u8], parts: &mut [ShortPart], at: usize) {
    let end = parts.get(at + 2).map_or(word.len(), |after| after.start as usize);
    let joint = parts.get(at + 1).and_then(|right| {
        let left = &parts[at];
        rules.join(left.token, right.token, &word[left.start as usize..end])
    });
    (parts[at].key, parts[at].joint) = joint.unwrap_or((NONE, NONE));
}

/// Sets the key of the part at `at`; returns its entry in the queue if it may join the next.
fn key_long(rules: &impl Rules, word: &[u8], list: &mut [LongPart], at: u32) -> Option<Reverse<u64>> {
    let left = &list[at as usize];
    let key = list.get(left.next as usize).and_then(|right| {
        let joined = &word[left.start as usize..start_of(list, right.next, word)];
        rules.join(left.token, right.token, joined).map(|(key, _)| key)
    });
    list[at as usize].key = key.unwrap_or(NONE);
    key.map(|key| Reverse(u64::from(key) << 32 | u64::from(at)))
}

/// Where the part at `at` begins, or the word ends.
fn start_of(list: &[LongPart], at: u32, word: &[u8]) -> usize {
    list.get(at as usize).map_or(word.len(), |part| part.start as usize)
}

/// Words in the cache, bytes and tokens of one: 160 KiB, which hold nine of ten words of a natural text.
const CACHED_WORDS: usize = 4096;
const CACHED_BYTES: usize = 15;
const CACHED_TOKENS: usize = 5;

/// A word met before. Each has one place in the cache; the newest stays.
#[derive(Clone, Default)]
struct CachedWord {
    length: u8,
    count: u8,
    bytes: [u8; CACHED_BYTES],
    tokens: [u32; CACHED_TOKENS],
}

impl CachedWord {
    fn get(&self, word: &[u8]) -> Option<&[u32]> {
        (self.count > 0 && &self.bytes[..usize::from(self.length)] == word)
            .then(|| &self.tokens[..usize::from(self.count)])
    }

    fn set(&mut self, word: &[u8], tokens: &[u32]) {
        if tokens.len() <= CACHED_TOKENS {
            (self.length, self.count) = (word.len() as u8, tokens.len() as u8);
            self.bytes[..word.len()].copy_from_slice(word);
            self.tokens[..tokens.len()].copy_from_slice(tokens);
        }
    }
}
