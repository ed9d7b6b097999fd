//! One batch of tokens through a model, of one or many sequences.

use std::ops::Range;
use std::sync::Arc;

use crate::cache::{Cache, Page, Sequence};
use crate::device::Failure;

/// Tokens that continue one sequence.
pub struct Continuation<'a> {
    /// What they continue.
    pub sequence: &'a mut Sequence,
    /// The tokens, in order.
    pub tokens: &'a [u32],
    /// How many of the last tokens are wanted by `select`.
    pub outputs: usize,
}

/// Rows of tokens with their positions. Plans run for it one after the other.
pub struct Step {
    tokens: Vec<u32>,
    positions: Vec<u32>,
    outputs: Vec<u32>,
    spans: Vec<Span>,
}

/// The rows of one sequence in a step.
pub struct Span {
    rows: Range<usize>,
    start: usize,
    pages: Vec<Arc<Page>>,
}

impl Step {
    /// Most tokens a step can have; tensors have room for as many rows.
    pub const LIMIT: usize = 512;

    /// Take the positions: every sequence grows by its tokens, or none does.
    ///
    /// # Errors
    /// [`Failure::CacheFull`] if they do not fit, [`Failure::Misuse`] if there are no tokens, more than [`Step::LIMIT`], a
    /// continuation without any, or more outputs than tokens.
    pub fn begin(continuations: &mut [Continuation<'_>]) -> Result<Self, Failure> {
        let misuse = |message: String| Err(Failure::Misuse(message));
        let total: usize = continuations.iter().map(|continuation| continuation.tokens.len()).sum();
        if total == 0 || total > Self::LIMIT {
            return misuse(format!("step: {total} tokens, not 1 to {}", Self::LIMIT));
        }
        for continuation in continuations.iter() {
            let (tokens, outputs) = (continuation.tokens.len(), continuation.outputs);
            if tokens == 0 || outputs > tokens {
                return misuse(format!("step: {outputs} outputs of a continuation of {tokens} tokens"));
            }
            if u32::try_from(continuation.sequence.length() + tokens).is_err() {
                return Err(Failure::CacheFull);
            }
        }

        // Several sequences may share one cache: count before anything is taken.
        for (index, continuation) in continuations.iter().enumerate() {
            let cache = continuation.sequence.cache();
            if continuations[..index].iter().any(|earlier| earlier.sequence.cache().is(cache)) {
                continue;
            }
            let same = || continuations.iter().filter(|other| other.sequence.cache().is(cache));
            let new: usize = same().map(|other| other.sequence.pages_to_grow(other.tokens.len())).sum();
            let shared: Vec<_> = same().filter_map(|other| other.sequence.shared_page()).collect();
            if (new + copies(&shared)) * crate::cache::PAGE > cache.free_positions() {
                return Err(Failure::CacheFull);
            }
        }

        let mut step = Self {
            tokens: Vec::with_capacity(total),
            positions: Vec::new(),
            outputs: Vec::new(),
            spans: Vec::new(),
        };
        let before: Vec<usize> =
            continuations.iter().map(|continuation| continuation.sequence.length()).collect();
        for index in 0..continuations.len() {
            let Continuation { sequence, tokens, outputs } = &mut continuations[index];
            let start = sequence.length();
            if let Err(failure) = sequence.grow(tokens.len()) {
                for (continuation, length) in continuations.iter_mut().zip(before) {
                    continuation.sequence.truncate(length);
                }
                return Err(failure);
            }
            let rows = step.tokens.len()..step.tokens.len() + tokens.len();
            step.outputs.extend((rows.end - *outputs..rows.end).map(|row| row as u32));
            step.positions.extend((start..start + tokens.len()).map(|position| position as u32));
            step.tokens.extend_from_slice(tokens);
            step.spans.push(Span { rows, start, pages: sequence.pages().to_vec() });
        }
        Ok(step)
    }

    /// Token of every row.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Position of every row in its sequence.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// The rows that `select` keeps, ascending.
    pub fn outputs(&self) -> &[u32] {
        &self.outputs
    }

    /// The sequences' rows, in order, without gaps.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }
}

impl Span {
    /// Its rows of the step.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Position of its first row; the sequence has positions `0 .. start + rows` in the end.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Number of the page that holds position `index * PAGE` and those after it.
    pub fn page(&self, index: usize) -> usize {
        self.pages[index].number()
    }

    /// Whether its pages lie in `cache`.
    pub fn belongs_to(&self, cache: &Cache) -> bool {
        self.pages.iter().all(|page| page.cache().is(cache))
    }
}

/// How many copies are made when each of these pages is written by its own sequence: the last holder of one needs none.
fn copies(shared: &[&Arc<Page>]) -> usize {
    let without_copy = |(index, page): (usize, &&Arc<Page>)| {
        let writers = shared.iter().filter(|other| Arc::ptr_eq(page, other)).count();
        let is_last = !shared[index + 1..].iter().any(|later| Arc::ptr_eq(page, later));
        is_last && writers == Arc::strong_count(page)
    };
    shared.len() - shared.iter().enumerate().filter(|&entry| without_copy(entry)).count()
}

#[cfg(test)]
mod tests;
