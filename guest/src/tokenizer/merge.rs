//! The merging of byte pair encoding, common to both tokenizers: of all neighbours that may join, those with the lowest
//! key join first, the leftmost of equals before the others.
//!
//! A short word is merged by looking for the lowest key again and again; a long one in segments that fit a processor's
//! cache, each with a heap over a linked list, in O(n log n) for any text. What joins is the business of [`Rules`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::words::Words;

/// What a word consists of and what may join.
pub(super) trait Rules {
    /// The smallest part that begins at byte `start` of a word: where it ends, and its token or [`NONE`].
    fn part(&self, word: &[u8], start: usize) -> (usize, u32);

    /// The key and the token of two neighbours if they may join: `sides` are their tokens, `joined` the bytes of both,
    /// `border` those of the left one. Keys are below [`NONE`]. The answer depends on nothing but the bytes of each.
    fn join(&self, sides: [u32; 2], joined: Words<'_>, border: usize) -> Option<(u32, u32)>;

    /// Appends what stands for the bytes of a part that is no token.
    fn fall_back(&self, bytes: &[u8], tokens: &mut Vec<u32>);
}

/// In place of a token, a key or a position.
pub(super) const NONE: u32 = u32::MAX;

/// Parts up to which looking for the lowest key beats the heap.
const SHORT: usize = 32;

/// Parts that a segment of a long word adds. Its list and its heap then take 112 KiB.
const SEGMENT: usize = 4096;

/// Merged parts that a segment takes up again from the segment before: at first, and at most.
const TAIL: usize = 16;
const LONGEST_TAIL: usize = 1024;

/// The memory of merging, reused from word to word, and the words met before.
pub(super) struct Merger {
    short: Vec<ShortPart>,
    long: Vec<LongPart>,
    queue: Vec<Reverse<u64>>,
    /// Merged parts of a long word whose tokens are not appended yet, as where they begin and their tokens.
    settled: Vec<(u32, u32)>,
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
        Self { short: Vec::new(), long: Vec::new(), queue: Vec::new(), settled: Vec::new(), cache }
    }

    /// Appends to `tokens` what `word`, which is shorter than 4 GiB, becomes.
    pub(super) fn merge(&mut self, rules: &impl Rules, word: &[u8], tokens: &mut Vec<u32>) {
        let slot = self.slot(word);
        if let Some(known) = slot.and_then(|slot| self.cache[slot].get(word)) {
            tokens.extend_from_slice(known);
            return;
        }
        let first = tokens.len();
        if self.fill_short(rules, word) {
            self.merge_short(rules, word, tokens);
        } else if !self.merge_in_segments(rules, word, tokens) {
            tokens.truncate(first);
            self.merge_segment(rules, word, 0..word.len(), usize::MAX);
            self.append_long(rules, word, tokens);
        }
        if let Some(slot) = slot {
            self.cache[slot].set(word, &tokens[first..]);
        }
    }

    /// Splits a word into its smallest parts; false if they are too many for a short word.
    fn fill_short(&mut self, rules: &impl Rules, word: &[u8]) -> bool {
        self.short.clear();
        let mut start = 0;
        while start < word.len() && self.short.len() < SHORT {
            let (end, token) = rules.part(word, start);
            self.short.push(ShortPart { start: start as u32, token, key: NONE, joint: NONE });
            start = end;
        }
        start == word.len()
    }

    fn merge_short(&mut self, rules: &impl Rules, word: &[u8], tokens: &mut Vec<u32>) {
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
            append(rules, part.token, &word[part.start as usize..end], tokens);
        }
    }

    /// Merges a long word segment by segment; false, with a part of the tokens appended, if that did not work out.
    ///
    /// Parts are what merging makes of a text exactly if every two neighbours are what merging makes of their bytes
    /// alone: before the first joint across a border of parts, nothing outside of the two has touched them. So a
    /// segment begins with the last parts of the one before, in pieces again, and if the first of them comes out
    /// as it was, all before it stands. If not, it takes up more of them; a vocabulary has to be made for this to
    /// go on beyond [`LONGEST_TAIL`].
    fn merge_in_segments(&mut self, rules: &impl Rules, word: &[u8], tokens: &mut Vec<u32>) -> bool {
        self.settled.clear();
        let mut done = 0;
        while done < word.len() {
            let mut tail = TAIL;
            loop {
                let kept = self.settled.len().saturating_sub(tail);
                let border =
                    |at: usize, settled: &[(u32, u32)]| settled.get(at).map_or(done, |part| part.0 as usize);
                let start = border(kept, &self.settled);
                let end = self.merge_segment(rules, word, start..done, SEGMENT);
                let first =
                    self.long.first().map_or(end, |part| start_of(&self.long, part.next, &word[..end]));
                if start == 0 || first == border(kept + 1, &self.settled) {
                    self.settled.truncate(kept);
                    self.settle_long();
                    done = end;
                    break;
                }
                if tail == LONGEST_TAIL {
                    return false;
                }
                tail *= 4;
            }
            let finished = if done == word.len() {
                self.settled.len()
            } else {
                self.settled.len().saturating_sub(LONGEST_TAIL + 1)
            };
            for at in 0..finished {
                let (start, token) = self.settled[at];
                let end = self.settled.get(at + 1).map_or(word.len(), |next| next.0 as usize);
                append(rules, token, &word[start as usize..end], tokens);
            }
            self.settled.drain(..finished);
        }
        true
    }

    /// Merges the bytes `again` of `word` and `more` of the smallest parts after them; returns where those end.
    fn merge_segment(&mut self, rules: &impl Rules, word: &[u8], again: Range<usize>, more: usize) -> usize {
        let list = &mut self.long;
        list.clear();
        let (mut end, mut added) = (again.start, 0);
        while end < word.len() && added < more {
            let start = end;
            let token;
            (end, token) = rules.part(word, start);
            added += usize::from(start >= again.end);
            let at = list.len() as u32;
            list.push(LongPart {
                start: start as u32,
                token,
                key: NONE,
                previous: at.wrapping_sub(1),
                next: at + 1,
            });
        }
        if let Some(last) = list.last_mut() {
            last.next = NONE;
        }
        let word = &word[..end];
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
            let (start, border) = (part.start, list[right as usize].start - part.start);
            let joined = Words::within(word, start as usize..start_of(list, after, word));
            let sides = [token, list[right as usize].token];
            let Some((_, joint)) = rules.join(sides, joined, border as usize) else { continue };
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
        end
    }

    /// Moves the merged parts of a segment behind those settled.
    fn settle_long(&mut self) {
        let mut next = self.long.first();
        while let Some(part) = next {
            self.settled.push((part.start, part.token));
            next = self.long.get(part.next as usize);
        }
    }

    /// Appends the tokens of a word that was merged as one segment.
    fn append_long(&self, rules: &impl Rules, word: &[u8], tokens: &mut Vec<u32>) {
        let mut next = self.long.first();
        while let Some(part) = next {
            let end = start_of(&self.long, part.next, word);
            append(rules, part.token, &word[part.start as usize..end], tokens);
            next = self.long.get(part.next as usize);
        }
    }

    /// The place of a word in the cache, if it is one that the cache takes.
    fn slot(&self, word: &[u8]) -> Option<usize> {
        (!self.cache.is_empty() && word.len() <= CACHED_BYTES)
            .then(|| Words::from(word).hash(0) as usize % CACHED_WORDS)
    }
}

/// Appends the token of a part, or what stands for its bytes.
fn append(rules: &impl Rules, token: u32, bytes: &[u8], tokens: &mut Vec<u32>) {
    match token {
        NONE => rules.fall_back(bytes, tokens),
        token => tokens.push(token),
    }
}

/// Sets the key of the part at `at`.
fn key_short(rules: &impl Rules, word: &[u8], parts: &mut [ShortPart], at: usize) {
    let end = parts.get(at + 2).map_or(word.len(), |after| after.start as usize);
    let joint = parts.get(at + 1).and_then(|right| {
        let left = &parts[at];
        let joined = Words::within(word, left.start as usize..end);
        let border = right.start - left.start;
        rules.join([left.token, right.token], joined, border as usize)
    });
    (parts[at].key, parts[at].joint) = joint.unwrap_or((NONE, NONE));
}

/// Sets the key of the part at `at`; returns its entry in the queue if it may join the next.
fn key_long(rules: &impl Rules, word: &[u8], list: &mut [LongPart], at: u32) -> Option<Reverse<u64>> {
    let left = &list[at as usize];
    let key = list.get(left.next as usize).and_then(|right| {
        let joined = Words::within(word, left.start as usize..start_of(list, right.next, word));
        let border = (right.start - left.start) as usize;
        rules.join([left.token, right.token], joined, border).map(|(key, _)| key)
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
