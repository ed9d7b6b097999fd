//! Causal attention over pages of keys and values, without a matrix of scores (Dao et al., FlashAttention).
//!
//! A block is the positions of one page, a chunk four of them. Within a chunk a softmax is carried from block to block; chunks
//! are computed apart and merged in order. Blocks and chunks lie at absolute positions and a query's sums never depend on the queries
//! beside it, so a row's result is the same to the bit in whatever step, on however many threads.
#![expect(unsafe_code, reason = "vector loops over blocks of a cache")]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::isa::Isa;
use super::lanes::{LANES, Lanes};
use super::math::{cap, exp, instantiate};
use super::memory::{HeadBlocks, View, Zeroed};
use crate::cache::{CacheFormat, PAGE};
use crate::device::Error;
use crate::recording::AttentionShape;
use crate::step::{Span, Step};

/// Positions whose softmax is carried along; the results of chunks are merged.
const CHUNK: usize = 4 * PAGE;

/// Queries of one item, about: each block is converted to f32 once for all of them.
const QUERIES: usize = 32;

/// Floats of unmerged results that there is room for.
const PARTIALS: usize = 4 << 20;

/// One attention verb: `out` (heads, value size) from `q` (heads, key size).
pub(super) struct Attention {
    pub(super) out: View,
    pub(super) q: View,
    pub(super) heads: HeadBlocks,
    pub(super) shape: AttentionShape,
}

/// What one item of the stage computes: some query rows of a span on one key head, over some chunks.
struct Piece {
    span: usize,
    /// Rows of the step.
    rows: Range<usize>,
    kv_head: usize,
    chunks: Range<usize>,
    /// Where its results and those of the other chunks of the same rows go; `None` if it has all chunks.
    unit: Option<Unit>,
}

#[derive(Clone, Copy)]
struct Unit {
    number: usize,
    /// First float of its partial results, one set per chunk.
    partials: usize,
    first_chunk: usize,
    pieces: u32,
}

/// The items of one run of an attention verb, and room for partial results; kept from run to run.
pub(super) struct Work {
    pieces: Vec<Piece>,
    /// Pieces done of each unit.
    done: Vec<AtomicU32>,
    partials: Zeroed,
}

impl Work {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self { pieces: Vec::new(), done: Vec::new(), partials: Zeroed::new(PARTIALS * 4)? })
    }

    /// Cut `attention` for `step` into items for `threads`.
    pub(super) fn cut(&mut self, attention: &Attention, step: &Step, threads: usize) {
        self.pieces.clear();
        self.done.clear();
        let shape = &attention.shape;
        let group = shape.heads / shape.kv_heads;
        let rows_at_once = QUERIES.div_ceil(group).max(Step::LIMIT * shape.kv_heads / 32768);
        let units: usize =
            step.spans().iter().map(|span| span.rows().len().div_ceil(rows_at_once) * shape.kv_heads).sum();
        // With few units, their chunks are spread over the threads.
        let wanted = if threads == 1 { 1 } else { (3 * threads).div_ceil(units.max(1)) };
        let mut partials = 0;
        for (number, span) in step.spans().iter().enumerate() {
            for first in span.rows().step_by(rows_at_once) {
                let rows = first..span.rows().end.min(first + rows_at_once);
                let chunks = attention.chunks(span, &rows);
                let size = rows.len() * group * (shape.value_size + 2);
                for kv_head in 0..shape.kv_heads {
                    let room = (PARTIALS - partials) / size;
                    let pieces = if room < chunks.len() { 1 } else { wanted.min(chunks.len()) };
                    let unit = (pieces > 1).then_some(Unit {
                        number: self.done.len(),
                        partials,
                        first_chunk: chunks.start,
                        pieces: pieces as u32,
                    });
                    if unit.is_some() {
                        self.done.push(AtomicU32::new(0));
                        partials += chunks.len() * size;
                    }
                    for piece in 0..pieces {
                        let cut = |piece| chunks.start + chunks.len() * piece / pieces;
                        let chunks = cut(piece)..cut(piece + 1);
                        self.pieces.push(Piece { span: number, rows: rows.clone(), kv_head, chunks, unit });
                    }
                }
            }
        }
    }

    /// Number of items.
    pub(super) fn items(&self) -> usize {
        self.pieces.len()
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Running softmax of `count` queries.
#[derive(Clone, Copy)]
pub(super) struct State {
    /// Largest score of each query.
    largest: *mut f32,
    /// Sum of the weights of each query, relative to the largest score.
    total: *mut f32,
    /// Weighted sums of values, (queries, value size).
    sums: *mut f32,
}

impl State {
    /// In `(value size + 2) * count` floats.
    fn new(floats: *mut f32, count: usize) -> Self {
        Self { largest: floats, total: floats.wrapping_add(count), sums: floats.wrapping_add(2 * count) }
    }

    /// Of the queries from `first` on.
    fn from(self, first: usize, value_size: usize) -> Self {
        Self {
            largest: self.largest.wrapping_add(first),
            total: self.total.wrapping_add(first),
            sums: self.sums.wrapping_add(first * value_size),
        }
    }

    /// Nothing seen.
    ///
    /// # Safety
    /// Nobody else uses it.
    unsafe fn clear(self, count: usize, value_size: usize) {
        // SAFETY: its floats, as laid out in `new`.
        unsafe {
            std::slice::from_raw_parts_mut(self.largest, count).fill(f32::NEG_INFINITY);
            std::slice::from_raw_parts_mut(self.total, count * (value_size + 1)).fill(0.0);
        }
    }
}

impl Attention {
    /// Chunks that some of `rows` sees.
    fn chunks(&self, span: &Span, rows: &Range<usize>) -> Range<usize> {
        let (first, _) = self.visible(span, rows.start);
        let (_, end) = self.visible(span, rows.end - 1);
        first / CHUNK..end.div_ceil(CHUNK)
    }

    /// Positions that `row` sees: first and end.
    fn visible(&self, span: &Span, row: usize) -> (usize, usize) {
        let end = span.start() + (row - span.rows().start) + 1;
        (self.shape.window.map_or(0, |window| end.saturating_sub(window)), end)
    }

    /// Compute an item of `work`, cut for this verb and `step`. `pages[span]` are the addresses of the span's pages.
    ///
    /// # Safety
    /// Keys and values of all positions were appended. Meanwhile nobody writes them or `q`, and nobody else uses the item's part
    /// of `out`.
    pub(super) unsafe fn run(
        &self,
        kernels: &Kernels,
        work: &Work,
        item: usize,
        step: &Step,
        pages: &[Vec<usize>],
    ) {
        let piece = &work.pieces[item];
        let (span, pages) = (&step.spans()[piece.span], &pages[piece.span]);
        let AttentionShape { heads, kv_heads, key_size, value_size, .. } = self.shape;
        let group = heads / kv_heads;
        let count = piece.rows.len() * group;
        let state_size = count * (value_size + 2);
        SCRATCH.with_borrow_mut(|scratch| {
            let sizes = [count * key_size, key_size * PAGE, value_size * PAGE, state_size, state_size]
                .map(|size| size + LANES);
            scratch.resize(scratch.len().max(sizes.iter().sum()), 0.0);
            let mut rest = scratch.as_mut_slice();
            let [queries, key, value, of_chunk, of_all] = sizes.map(|size| {
                let (part, behind) = std::mem::take(&mut rest).split_at_mut(size);
                rest = behind;
                part.as_mut_ptr()
            });
            for (index, row) in piece.rows.clone().enumerate() {
                let from = self.q.at(row, piece.kv_head * group * key_size);
                // SAFETY: the heads of the group lie in the row, one behind the other, and there is room for those of all rows.
                unsafe {
                    queries.add(index * group * key_size).copy_from_nonoverlapping(from, group * key_size);
                }
            }
            // SAFETY: the parts of the scratch memory have the sizes above, partial results that of `cut`; the rest is the
            // caller's promise.
            unsafe {
                let all = State::new(of_all, count);
                all.clear(count, value_size);
                for chunk in piece.chunks.clone() {
                    let floats = piece.unit.map_or(of_chunk, |unit| {
                        work.partials
                            .start()
                            .cast::<f32>()
                            .add(unit.partials + (chunk - unit.first_chunk) * state_size)
                    });
                    let state = State::new(floats, count);
                    state.clear(count, value_size);
                    for block in chunk * CHUNK / PAGE..(chunk + 1) * CHUNK / PAGE {
                        self.block(kernels, span, pages, piece, block, queries, key, value, state);
                    }
                    if piece.unit.is_none() {
                        (kernels.merge)(all, state, count, value_size);
                    }
                }
                if let Some(unit) = piece.unit {
                    // Whoever comes last merges all chunks, in order.
                    if work.done[unit.number].fetch_add(1, Ordering::AcqRel) + 1 < unit.pieces {
                        return;
                    }
                    for chunk in 0..self.chunks(span, &piece.rows).len() {
                        let floats =
                            work.partials.start().cast::<f32>().add(unit.partials + chunk * state_size);
                        (kernels.merge)(all, State::new(floats, count), count, value_size);
                    }
                }
                for (index, row) in piece.rows.clone().enumerate() {
                    let out = self.out.at(row, piece.kv_head * group * value_size);
                    (kernels.finish)(out, all.from(index * group, value_size), group, value_size);
                }
            }
        });
    }

    /// Let the queries of `piece` see a block.
    ///
    /// # Safety
    /// As for `run`; the pointers have the sizes that are made there.
    unsafe fn block(
        &self,
        kernels: &Kernels,
        span: &Span,
        pages: &[usize],
        piece: &Piece,
        block: usize,
        queries: *const f32,
        key: *mut f32,
        value: *mut f32,
        state: State,
    ) {
        let AttentionShape { heads, kv_heads, key_size, value_size, scale, soft_cap, .. } = self.shape;
        let group = heads / kv_heads;
        let seen = |row| {
            let (first, end) = self.visible(span, row);
            let inside = |position: usize| position.saturating_sub(block * PAGE).min(PAGE);
            (inside(first), inside(end))
        };
        let (earliest, latest) = (seen(piece.rows.start), seen(piece.rows.end - 1));
        if earliest.0 >= latest.1 {
            return;
        }
        // SAFETY: the page has a block for each head; the pointers are those of `run`.
        unsafe {
            let page = pages[block] as *const u8;
            let (keys, values) =
                (page.add(self.heads.key(piece.kv_head)), page.add(self.heads.value(piece.kv_head)));
            let (key, value): (*const f32, *const f32) = if self.heads.format == CacheFormat::F32 {
                (keys.cast(), values.cast())
            } else {
                (kernels.key_block)(key, keys, key_size, self.heads.format);
                (kernels.value_block)(value, values, value_size, self.heads.format);
                (key, value)
            };
            let see = |first: usize, count: usize, (start, end): (usize, usize)| {
                if start < end {
                    (kernels.block)(&Block {
                        queries: queries.add(first * key_size),
                        count,
                        key,
                        key_size,
                        value,
                        value_size,
                        visible: (start, end),
                        scale,
                        soft_cap: soft_cap.unwrap_or(f32::INFINITY),
                        state: state.from(first, value_size),
                    });
                }
            };
            if earliest == latest {
                see(0, piece.rows.len() * group, earliest);
            } else {
                for (index, row) in piece.rows.clone().enumerate() {
                    see(index * group, group, seen(row));
                }
            }
        }
    }
}

/// Queries that see the same positions of a block.
pub(super) struct Block {
    /// (queries, key size)
    queries: *const f32,
    count: usize,
    /// (key size, positions)
    key: *const f32,
    key_size: usize,
    /// (positions, value size)
    value: *const f32,
    value_size: usize,
    /// First and end.
    visible: (usize, usize),
    scale: f32,
    /// Infinite if there is none.
    soft_cap: f32,
    state: State,
}

instantiate! {
    /// Attention on one instruction set.
    ///
    /// # Safety
    /// Pointers have the sizes that the shapes say, with room for [`LANES`] more floats where a function writes them. The machine has
    /// the instruction set.
    Kernels of bodies {
        /// The f32 of a key block that is not f32: (key size, positions).
        fn key_block(out: *mut f32, block: *const u8, key_size: usize, format: CacheFormat);
        /// The f32 of a value block that is not f32: (positions, value size).
        fn value_block(out: *mut f32, block: *const u8, value_size: usize, format: CacheFormat);
        /// Let queries see a block.
        fn block(block: &Block);
        /// Add what `chunk` has seen to `all`.
        fn merge(all: State, chunk: State, count: usize, value_size: usize);
        /// Weighted means of values, (count, value size).
        fn finish(out: *mut f32, state: State, count: usize, value_size: usize);
    }
}

/// SAFETY of all bodies: the promises of [`Kernels`].
mod bodies {
    use super::*;

    #[inline(always)]
    pub(super) unsafe fn key_block<L: Lanes>(
        out: *mut f32,
        block: *const u8,
        key_size: usize,
        format: CacheFormat,
    ) {
        // SAFETY: see the module.
        unsafe {
            match format {
                CacheFormat::F32 => out.copy_from_nonoverlapping(block.cast(), key_size * PAGE),
                CacheFormat::F16 => halves::<L>(out, block.cast(), key_size * PAGE),
                CacheFormat::Q8_0 => {
                    let scales = block.add(key_size * PAGE).cast::<u16>();
                    for element in 0..key_size {
                        for position in (0..PAGE).step_by(LANES) {
                            let scale = L::load_f16(scales.add(element / 32 * PAGE + position));
                            let at = element * PAGE + position;
                            L::load_i8(block.add(at).cast()).mul(scale).store(out.add(at));
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn value_block<L: Lanes>(
        out: *mut f32,
        block: *const u8,
        value_size: usize,
        format: CacheFormat,
    ) {
        // SAFETY: see the module.
        unsafe {
            match format {
                CacheFormat::F32 => out.copy_from_nonoverlapping(block.cast(), value_size * PAGE),
                CacheFormat::F16 => halves::<L>(out, block.cast(), value_size * PAGE),
                CacheFormat::Q8_0 => {
                    let scales = block.add(value_size * PAGE).cast::<u16>();
                    for group in 0..value_size / 32 * PAGE {
                        let scale = L::splat(half::f16::from_bits(*scales.add(group)).to_f32());
                        for at in [group * 32, group * 32 + LANES] {
                            L::load_i8(block.add(at).cast()).mul(scale).store(out.add(at));
                        }
                    }
                }
            }
        }
    }

    /// `count` is a multiple of [`LANES`], since [`PAGE`] is.
    #[inline(always)]
    unsafe fn halves<L: Lanes>(out: *mut f32, from: *const u16, count: usize) {
        for at in (0..count).step_by(LANES) {
            // SAFETY: see the module.
            unsafe { L::load_f16(from.add(at)).store(out.add(at)) }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn block<L: Lanes>(block: &Block) {
        let mut query = 0;
        // SAFETY: see the module; tiles lie inside of the queries.
        unsafe {
            if L::REGISTERS >= 16 {
                while query + 4 <= block.count {
                    tile::<L, 4, 4>(block, query);
                    query += 4;
                }
                while query < block.count {
                    tile::<L, 1, 4>(block, query);
                    query += 1;
                }
            } else {
                while query + 4 <= block.count {
                    tile::<L, 4, 1>(block, query);
                    query += 4;
                }
                while query < block.count {
                    tile::<L, 1, 4>(block, query);
                    query += 1;
                }
            }
        }
    }

    /// `QUERIES` queries, with `QUERIES * VECTORS` sums in registers.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const QUERIES: usize, const VECTORS: usize>(block: &Block, first: usize) {
        let Block { key_size, value_size, .. } = *block;
        let mut weights = [[0.0f32; PAGE]; QUERIES];
        // SAFETY: see the module.
        unsafe {
            let queries = block.queries.add(first * key_size);
            let state = block.state.from(first, value_size);
            let mut position = 0;
            while position < PAGE {
                let mut scores = [[L::splat(0.0); VECTORS]; QUERIES];
                for element in 0..key_size {
                    let key = block.key.add(element * PAGE + position);
                    let mut keys = [L::splat(0.0); VECTORS];
                    for vector in 0..VECTORS {
                        keys[vector] = L::load(key.add(vector * LANES));
                    }
                    for query in 0..QUERIES {
                        let q = L::splat(*queries.add(query * key_size + element));
                        for vector in 0..VECTORS {
                            scores[query][vector] = keys[vector].mul_add(q, scores[query][vector]);
                        }
                    }
                }
                for query in 0..QUERIES {
                    for vector in 0..VECTORS {
                        scores[query][vector]
                            .store(weights[query].as_mut_ptr().add(position + vector * LANES));
                    }
                }
                position += VECTORS * LANES;
            }
            let corrections = weigh::<L, QUERIES>(block, &mut weights, state);
            let mut at = 0;
            while at + VECTORS * LANES <= value_size {
                add_values::<L, QUERIES, VECTORS>(block, &weights, &corrections, state.sums, at, LANES);
                at += VECTORS * LANES;
            }
            while at < value_size {
                let count = LANES.min(value_size - at);
                add_values::<L, QUERIES, 1>(block, &weights, &corrections, state.sums, at, count);
                at += LANES;
            }
        }

        /// Values of the elements from `at` on; `count` of the last vector.
        #[inline(always)]
        unsafe fn add_values<L: Lanes, const QUERIES: usize, const VECTORS: usize>(
            block: &Block,
            weights: &[[f32; PAGE]; QUERIES],
            corrections: &[f32; LANES],
            sums: *mut f32,
            at: usize,
            count: usize,
        ) {
            // SAFETY: see the module.
            unsafe {
                let mut carried = [[L::splat(0.0); VECTORS]; QUERIES];
                for query in 0..QUERIES {
                    for vector in 0..VECTORS {
                        let sum = sums.add(query * block.value_size + at + vector * LANES);
                        carried[query][vector] = L::load_first(sum, count).mul(L::splat(corrections[query]));
                    }
                }
                for position in block.visible.0..block.visible.1 {
                    let value = block.value.add(position * block.value_size + at);
                    let mut values = [L::splat(0.0); VECTORS];
                    for vector in 0..VECTORS {
                        values[vector] = L::load_first(value.add(vector * LANES), count);
                    }
                    for query in 0..QUERIES {
                        let weight = L::splat(*weights.get_unchecked(query).get_unchecked(position));
                        for vector in 0..VECTORS {
                            carried[query][vector] = values[vector].mul_add(weight, carried[query][vector]);
                        }
                    }
                }
                for query in 0..QUERIES {
                    for vector in 0..VECTORS {
                        let sum = sums.add(query * block.value_size + at + vector * LANES);
                        carried[query][vector].store_first(sum, count);
                    }
                }
            }
        }
    }

    /// Turn products into weights relative to the largest score so far, of which `state` keeps account: what each query has summed
    /// before is to be multiplied by its element of what is returned.
    #[inline(always)]
    unsafe fn weigh<L: Lanes, const QUERIES: usize>(
        block: &Block,
        weights: &mut [[f32; PAGE]; QUERIES],
        state: State,
    ) -> [f32; LANES] {
        const VECTORS: usize = PAGE / LANES;
        const { assert!(QUERIES <= LANES, "one vector has the corrections of all") };
        // SAFETY: see the module.
        unsafe {
            let mut changes = [0.0f32; LANES];
            for query in 0..QUERIES {
                let mut most = L::splat(f32::NEG_INFINITY);
                for (vector, weights) in weights[query].as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    let score = score::<L>(block, L::load(weights.as_ptr()), vector);
                    score.store(weights.as_mut_ptr());
                    most = most.max(score);
                }
                let largest = state.largest.add(query);
                let most = (*largest).max(most.largest());
                changes[query] = *largest - most;
                *largest = most;
            }
            let corrections = exp(L::load(changes.as_ptr())).to_array();
            for query in 0..QUERIES {
                let largest = L::splat(*state.largest.add(query));
                let mut sums = [L::splat(0.0); VECTORS];
                for (vector, weights) in weights[query].as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    sums[vector] = exp(L::load(weights.as_ptr()).sub(largest));
                    sums[vector].store(weights.as_mut_ptr());
                }
                let total = state.total.add(query);
                *total = *total * corrections[query] + sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum();
            }
            corrections
        }
    }

    /// The scores of vector `vector` of a block's positions from their products: none where the query does not see the position.
    #[inline(always)]
    unsafe fn score<L: Lanes>(block: &Block, products: L, vector: usize) -> L {
        /// The numbers of the positions.
        const NUMBERS: [f32; PAGE] = {
            let mut numbers = [0.0; PAGE];
            let mut position = 0;
            while position < PAGE {
                numbers[position] = position as f32;
                position += 1;
            }
            numbers
        };
        // SAFETY: see the module.
        unsafe {
            let mut score = products.mul(L::splat(block.scale));
            if block.soft_cap.is_finite() {
                score = cap(score, block.soft_cap);
            }
            if block.visible != (0, PAGE) {
                let hidden = L::splat(f32::NEG_INFINITY);
                let position = L::load(NUMBERS[vector * LANES..].as_ptr());
                score = position.select_below(L::splat(block.visible.0 as f32), hidden, score);
                score = position.select_below(L::splat(block.visible.1 as f32), score, hidden);
            }
            score
        }
    }

    #[inline(always)]
    pub(super) unsafe fn merge<L: Lanes>(all: State, chunk: State, count: usize, value_size: usize) {
        // SAFETY: see the module.
        unsafe {
            for query in 0..count {
                let (a, b) = (all.from(query, value_size), chunk.from(query, value_size));
                if *b.largest == f32::NEG_INFINITY && *b.total == 0.0 {
                    continue;
                }
                let most = (*a.largest).max(*b.largest);
                let ours = exp(L::splat(*a.largest - most)).to_array()[0];
                let theirs = exp(L::splat(*b.largest - most)).to_array()[0];
                *a.largest = most;
                *a.total = *a.total * ours + *b.total * theirs;
                for at in (0..value_size).step_by(LANES) {
                    let n = value_size - at;
                    let sum = L::load_first(a.sums.add(at), n).mul(L::splat(ours));
                    let more = L::load_first(b.sums.add(at), n).mul(L::splat(theirs));
                    sum.add(more).store_first(a.sums.add(at), n);
                }
            }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn finish<L: Lanes>(out: *mut f32, state: State, count: usize, value_size: usize) {
        // SAFETY: see the module.
        unsafe {
            for query in 0..count {
                let total = L::splat(*state.total.add(query));
                for at in (0..value_size).step_by(LANES) {
                    let n = value_size - at;
                    let mean = L::load_first(state.sums.add(query * value_size + at), n).div(total);
                    mean.store_first(out.add(query * value_size + at), n);
                }
            }
        }
    }
}
