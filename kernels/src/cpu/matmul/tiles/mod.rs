//! Matmul in tiles, written once over a [`Vector`] and compiled for every instruction set that has one.
//!
//! Quantised weights go through tiles with a row in every lane: a chunk of 256 columns is unpacked and transposed into the L1 cache,
//! with four consecutive columns of a row in its 32-bit lane, and then multiplied with all tokens, whose activations are broadcast as
//! they are loaded. Decode is the same with one token, without the tile between.
//!
//! Instruction sets multiply bytes in different ways ([`Vector::WHOLE_BYTES`], [`Vector::LARGEST_PAIR`]). What was added to weights
//! for that is paid back by where the integer sum starts. All of them arrive at the same integers.
#![expect(
    unsafe_code,
    reason = "rows of weights, activations and the output are read and written through pointers"
)]

pub(super) mod entries;
pub(super) mod floats;
pub(super) mod rows;
pub(super) mod unpack;
pub(super) mod vector;

use std::array;
use std::hint::black_box;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::activations::Chunk;
use super::{BLOCK, CHUNK, Product};
use crate::step::Step;
use entries::Compiled;
use rows::Rows;
use unpack::{Quants, Take, lower};
use vector::{Floats, Vector};

/// Tiles that share a load of activations.
pub(super) const TILES: usize = 2;

/// Bytes of activations that are used for row after row: what may stay in the L2 cache meanwhile.
const NEAR: usize = 768 << 10;

/// A one in both halves of a lane: the factor that leaves integer sums as they are.
const ONES: i32 = 0x0001_0001;

/// Most lanes of a vector.
const MOST_LANES: usize = 16;

/// The sums of one token: (tiles, rows).
pub(super) type Sums<V> = [<V as Vector>::Floats; TILES];

/// 256 columns of as many rows as there are lanes, unpacked.
#[derive(Clone, Copy)]
pub(super) struct Tile<V: Vector> {
    /// (columns / 4, rows, 4)
    quants: [V; CHUNK / 4],
    scales: Scales<V>,
}

/// Scales of 256 columns of as many rows as there are lanes.
#[derive(Clone, Copy)]
struct Scales<V: Vector> {
    /// (columns / 16 or 32, rows)
    parts: [V::Floats; CHUNK / BLOCK * 2],
    /// (columns / 32, rows)
    minima: [V::Floats; CHUNK / BLOCK],
    /// (rows)
    whole: V::Floats,
    /// (rows)
    whole_minimum: V::Floats,
}

impl<V: Vector> Scales<V> {
    /// # Safety
    /// The instructions of `V` are enabled.
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as the caller says.
        let zero = unsafe { V::Floats::splat(0.0) };
        Self { parts: [zero; _], minima: [zero; _], whole: zero, whole_minimum: zero }
    }

    /// The scale of a part, the unsigned byte `byte` of the lanes, for quants that are lifted by `lift` bits.
    ///
    /// # Safety
    /// The instructions of `V` are enabled.
    #[inline(always)]
    unsafe fn integer(&mut self, part: usize, lanes: V, byte: usize, lift: i32) {
        // SAFETY: as the caller says.
        unsafe {
            let scale = lanes.unsigned_byte(byte);
            self.parts[part] = if lift == 0 { scale } else { scale.mul(V::Floats::splat(lower(lift))) };
        }
    }
}

// Everything below is inlined into what `entries!` makes, where the instruction set is enabled: hence no closures around vectors.

/// # Safety
/// As [`Kernels::multiply`](super::Kernels::multiply), with the sizes checked, inlined where the instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn multiply_quants<V: Compiled, F: Quants>(product: &Product<'_>) {
    // SAFETY: the same contract.
    unsafe {
        if product.tokens == 1 { multiply_one::<V::One, F>(product) } else { multiply_many::<V, F>(product) }
    }
}

/// # Safety
/// As [`multiply_quants`], with one token.
#[inline(always)]
unsafe fn multiply_one<V: Compiled, F: Quants>(product: &Product<'_>) {
    let mut rest = product.rows.clone();
    if V::APART {
        let mut apart = rest.len() / V::LANES;
        // Where lines of all rows would compete for the same places of the L1 cache.
        if apart > 1 && (apart * product.row_bytes).is_multiple_of(4096) {
            apart -= 1;
        }
        for first in rest.start..rest.start + apart {
            // SAFETY: the same contract.
            unsafe { multiply_tiles::<V, F, 1>(product, [Rows::apart(product, V::LANES, first, apart)]) }
        }
        rest.start += V::LANES * apart;
    }
    while !rest.is_empty() {
        let next = |_| Rows::next(product, V::LANES, &mut rest);
        // SAFETY: the same contract.
        unsafe {
            if V::APART {
                multiply_tiles::<V, F, 1>(product, array::from_fn(next));
            } else {
                multiply_tiles::<V, F, TILES>(product, array::from_fn(next));
            }
        }
    }
}

/// The same of the rows of `N` tiles.
///
/// # Safety
/// As [`multiply_quants`], with one token.
#[inline(always)]
unsafe fn multiply_tiles<V: Compiled, F: Quants, const N: usize>(product: &Product<'_>, rows: [Rows; N]) {
    // SAFETY: of all below, the instructions are enabled.
    unsafe {
        let mut sums = [V::Floats::splat(0.0); N];
        for index in 0..product.columns.div_ceil(CHUNK) {
            let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
            // SAFETY: nobody writes the activations meanwhile.
            let x = &*product.activations.chunks(index, 1);
            for tile in 0..N {
                // SAFETY: the rows have a chunk of so many blocks there.
                V::accumulate_one::<F>(&rows[tile], index * F::BYTES, blocks, x, &mut sums[tile]);
            }
        }
        // SAFETY: the caller may write the elements of `product.rows`.
        store::<V>(product, 0, &rows, &sums);
    }
}

/// # Safety
/// As [`multiply_quants`].
#[inline(always)]
unsafe fn multiply_many<V: Compiled, F: Quants>(product: &Product<'_>) {
    let group = if F::HALVES { V::TOKENS_OF_HALVES } else { V::TOKENS };
    let chunks = product.columns.div_ceil(CHUNK);
    // As many tokens as stay in the L2 cache while all rows pass by.
    let most = (NEAR / (chunks * size_of::<Chunk>())).max(1).next_multiple_of(V::TOKENS);
    // SAFETY: of all below, the instructions are enabled.
    unsafe {
        let mut tiles = [Tile { quants: [V::splat(0); _], scales: Scales::zero() }; TILES];
        let mut sums = [const { MaybeUninit::<Sums<V>>::uninit() }; Step::LIMIT];
        for token in (0..product.tokens).step_by(most) {
            let sums = &mut sums[..most.min(product.tokens - token)];
            let mut rest = product.rows.clone();
            while !rest.is_empty() {
                sums.fill(MaybeUninit::new([V::Floats::splat(0.0); TILES]));
                // SAFETY: just written.
                let sums = sums.assume_init_mut();
                let rows: [Rows; TILES] = array::from_fn(|_| Rows::next(product, V::LANES, &mut rest));
                for index in 0..chunks {
                    let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
                    for tile in 0..TILES {
                        if V::APART {
                            // Here they lie behind each other after all.
                            rows[tile].prefetch::<V>(index * F::BYTES, F::BYTES);
                        }
                        // SAFETY: the rows have a chunk of so many blocks there.
                        V::unpack::<F>(&rows[tile], index * F::BYTES, blocks, &mut tiles[tile]);
                    }
                    let x = product.activations.chunks(index, product.tokens).wrapping_add(token);
                    for (part, sums) in sums.chunks_mut(group).enumerate() {
                        // SAFETY: from here on there are as many chunks as `sums`, and nobody writes them meanwhile.
                        accumulate_group::<V, F>(&tiles, blocks, x.wrapping_add(part * group), sums);
                    }
                }
                for (index, sums) in sums.iter().enumerate() {
                    // SAFETY: the caller may write the elements of `product.rows`.
                    store::<V>(product, token + index, &rows, sums);
                }
            }
        }
    }
}

/// Write the sums of one token where the wanted ones of `rows` belong.
///
/// # Safety
/// These elements may be written, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn store<V: Vector>(product: &Product<'_>, token: usize, rows: &[Rows], sums: &[V::Floats]) {
    for tile in 0..rows.len() {
        let Rows { first, apart, wanted, .. } = &rows[tile];
        let out = product.out.wrapping_add(token * product.out_stride + first);
        // SAFETY: as the caller says; of the lanes, as many as a vector has, only the wanted ones are copied.
        unsafe {
            if *apart == 1 && wanted.len() == V::LANES {
                sums[tile].store(out);
            } else {
                let mut lanes = [0.0; MOST_LANES];
                sums[tile].store(lanes.as_mut_ptr());
                for lane in wanted.clone() {
                    *out.wrapping_add(lane * apart) = lanes[lane];
                }
            }
        }
    }
}

/// Unpack `blocks` blocks of a chunk.
///
/// # Safety
/// The rows have a chunk of so many blocks at `offset`, and the instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn unpack<V: Vector, F: Quants>(
    rows: &Rows,
    offset: usize,
    blocks: usize,
    tile: &mut Tile<V>,
) {
    // SAFETY: as the caller says.
    unsafe { F::unpack(rows, offset, blocks, tile) }
}

/// Add the products of the tiles' `blocks` with chunk `x[t]` to `sums[t]`, for all of the few `sums`.
///
/// # Safety
/// There are as many chunks from `x` on, nobody writes them meanwhile, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn accumulate_group<V: Compiled, F: Quants>(
    tiles: &[Tile<V>; TILES],
    blocks: usize,
    x: *const Chunk,
    sums: &mut [Sums<V>],
) {
    // SAFETY: as the caller says.
    unsafe {
        match sums.len() {
            1 => V::accumulate::<F, 1>(tiles, blocks, x, sums),
            2 => V::accumulate::<F, 2>(tiles, blocks, x, sums),
            3 => V::accumulate::<F, 3>(tiles, blocks, x, sums),
            4 if V::TOKENS >= 4 => V::accumulate::<F, 4>(tiles, blocks, x, sums),
            5 if V::TOKENS >= 5 => V::accumulate::<F, 5>(tiles, blocks, x, sums),
            6 if V::TOKENS >= 6 => V::accumulate::<F, 6>(tiles, blocks, x, sums),
            tokens => unreachable!("{tokens} tokens at once"),
        }
    }
}

/// The same for `T` tokens.
///
/// # Safety
/// As [`accumulate_group`].
#[inline(always)]
pub(super) unsafe fn accumulate<V: Vector, F: Quants, const T: usize>(
    tiles: &[Tile<V>; TILES],
    blocks: usize,
    x: *const Chunk,
    sums: &mut [Sums<V>],
) {
    // SAFETY: as the caller says.
    let x: [&Chunk; T] = array::from_fn(|token| unsafe { &*x.add(token) });
    let sums: &mut [Sums<V>; T] = (&mut sums[..T]).try_into().expect("as many sums as tokens");
    // SAFETY: as the caller says.
    unsafe {
        let mut totals = if F::NESTED { [[V::Floats::splat(0.0); TILES]; T] } else { *sums };
        for block in 0..blocks.min(CHUNK / BLOCK) {
            let mut products = [[V::Floats::splat(0.0); TILES]; T];
            for part in 0..parts::<F>() {
                let part = block * parts::<F>() + part;
                let integers = dot::<V, F, T>(tiles, part, x);
                for token in 0..T {
                    for tile in 0..TILES {
                        let product = &mut products[token][tile];
                        let (integers, parts) = (integers[token][tile], &tiles[tile].scales.parts);
                        *product = scale::<V, F>(part, integers, parts[part], *product);
                    }
                }
            }
            for token in 0..T {
                for tile in 0..TILES {
                    let total = &mut totals[token][tile];
                    *total = products[token][tile].mul_add(V::Floats::splat(x[token].scales[block]), *total);
                }
            }
        }
        if !F::NESTED {
            *sums = totals;
            return;
        }
        let mut minima = [[V::Floats::splat(0.0); TILES]; T];
        if F::MINIMA {
            for block in 0..CHUNK / BLOCK {
                for token in 0..T {
                    for tile in 0..TILES {
                        let (scales, minimum) = (&tiles[tile].scales, &mut minima[token][tile]);
                        *minimum = add_minimum(scales, x[token], block, *minimum);
                    }
                }
            }
        }
        for token in 0..T {
            for tile in 0..TILES {
                let (scales, sum) = (&tiles[tile].scales, &mut sums[token][tile]);
                *sum = add_whole::<V, F>(scales, totals[token][tile], minima[token][tile], *sum);
            }
        }
    }
}

/// The same for one token, without a tile between unpacking and multiplying.
///
/// # Safety
/// The rows have a chunk of so many blocks at `offset`, and the instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn accumulate_one<V: Vector, F: Quants>(
    rows: &Rows,
    offset: usize,
    blocks: usize,
    x: &Chunk,
    sum: &mut V::Floats,
) {
    // SAFETY: as the caller says.
    unsafe {
        let (zero, float) = (V::splat(0), V::Floats::splat(0.0));
        let total = if F::NESTED { float } else { *sum };
        let (scales, sums, partials) = (Scales::zero(), [zero; _], [zero; _]);
        let factors = [zero; _];
        let mut dot = Dot::<V, F> { x, scales, factors, sums, partials, total, format: PhantomData };
        if V::APART {
            rows.prefetch_lanes::<V>(offset, F::BYTES);
        }
        F::unpack(rows, offset, blocks, &mut dot);
        if !F::ORDERED {
            for block in 0..CHUNK / BLOCK {
                dot.add_block(block);
            }
        }
        if !F::NESTED {
            *sum = dot.total;
            return;
        }
        let mut minimum = float;
        if F::MINIMA {
            for block in 0..CHUNK / BLOCK {
                minimum = add_minimum(&dot.scales, x, block, minimum);
            }
        }
        *sum = add_whole::<V, F>(&dot.scales, dot.total, minimum, *sum);
    }
}

/// Integer sums in every block of 32 columns, each with a scale of its own.
const fn parts<F: Quants>() -> usize {
    if F::HALVES { 2 } else { 1 }
}

/// Steps of four columns that partial sums hold, at most `most`: a power of two, so that they fit into parts.
const fn run<V: Vector, F: Quants>(most: usize) -> usize {
    let run = 1 << (V::LARGEST_PAIR / (2 * 127 * F::LARGEST)).ilog2();
    if run < most { run } else { most }
}

/// Where the integer sum of part `part` starts: at what was added to the weights, taken off again, or at what complements lack.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn start<V: Vector, F: Quants>(x: &Chunk, part: usize) -> V {
    let start = if F::HALVES { x.half_starts[part] } else { x.starts[part % x.starts.len()] };
    // SAFETY: as the caller says.
    unsafe {
        match unpack::offset::<V, F>() {
            0 if F::SIGNED && V::COMPLEMENTS => V::splat(x.negatives[part % x.negatives.len()]),
            0 => V::splat(0),
            offset => V::splat(start).shift_signed(7 - offset.ilog2()),
        }
    }
}

/// Whether integer sums are multiplied with their scales as they are made, with one token.
const fn scaled<V: Vector, F: Quants>() -> bool {
    V::FACTORS && F::MINIMA
}

/// The products of a block so far, with part `part` of the chunk. Where scales are nested all of this is below 2^24 and so exact, and
/// the same as if the integers had been multiplied.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn scale<V: Vector, F: Quants>(
    part: usize,
    integers: V,
    scale: V::Floats,
    products: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe {
        let floats = integers.to_floats();
        if part.is_multiple_of(parts::<F>()) { floats.mul(scale) } else { floats.mul_add(scale, products) }
    }
}

/// What minima of the blocks so far take off, with those of `block`.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn add_minimum<V: Vector>(
    scales: &Scales<V>,
    x: &Chunk,
    block: usize,
    minimum: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe { scales.minima[block].mul_add(V::Floats::splat(x.sums[block]), minimum) }
}

/// The sum of all chunks so far, with one whose scales are nested.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn add_whole<V: Vector, F: Quants>(
    scales: &Scales<V>,
    total: V::Floats,
    minimum: V::Floats,
    sum: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe {
        let sum = total.mul_add(scales.whole, sum);
        if F::MINIMA { minimum.mul_sub_from(scales.whole_minimum, sum) } else { sum }
    }
}

/// The quants of [`Vector::STEPS`] steps, from `step` on.
///
/// # Safety
/// A chunk has these steps, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn broadcast<V: Vector>(x: &Chunk, step: usize) -> V::Broadcast {
    // SAFETY: as the caller says.
    unsafe { V::broadcast(x.quants.as_ptr().add(4 * step)) }
}

/// Integer sums of part `part` of a chunk, for each token and tile.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn dot<V: Vector, F: Quants, const T: usize>(
    tiles: &[Tile<V>; TILES],
    part: usize,
    x: [&Chunk; T],
) -> [[V; TILES]; T] {
    let steps = BLOCK / 4 / parts::<F>();
    // SAFETY: as the caller says.
    unsafe {
        let mut sums = [[V::splat(0); TILES]; T];
        for token in 0..T {
            sums[token] = [start::<V, F>(x[token], part); TILES];
        }
        for first in 0..steps / run::<V, F>(steps) {
            let first = part * steps + first * run::<V, F>(steps);
            let mut partial = sums;
            for token in 0..T {
                for tile in 0..TILES {
                    partial[token][tile] = V::begin(sums[token][tile]);
                }
            }
            let run = run::<V, F>(steps);
            if run < 8 || V::LARGEST_PAIR == i32::MAX {
                for step in (0..run).step_by(V::STEPS) {
                    multiply_steps::<V, F, T>(&mut partial, tiles, first + step, x);
                }
            } else {
                // All steps in a row, the compiler would take token by token, with weights on the stack.
                let end = first + black_box(run);
                let mut step = first;
                while step < end {
                    multiply_steps::<V, F, T>(&mut partial, tiles, step, x);
                    multiply_steps::<V, F, T>(&mut partial, tiles, step + 1, x);
                    step += 2;
                }
            }
            for token in 0..T {
                for tile in 0..TILES {
                    sums[token][tile] = V::end(sums[token][tile], partial[token][tile], V::splat(ONES));
                }
            }
        }
        sums
    }
}

/// Add to `partial` the products of as many steps as a broadcast has, from `step` on.
///
/// # Safety
/// As [`multiply_step`].
#[inline(always)]
unsafe fn multiply_steps<V: Vector, F: Quants, const T: usize>(
    partial: &mut [[V; TILES]; T],
    tiles: &[Tile<V>; TILES],
    step: usize,
    x: [&Chunk; T],
) {
    // SAFETY: as the caller says.
    unsafe {
        let mut quants = [broadcast::<V>(x[0], step); T];
        for token in 1..T {
            quants[token] = broadcast::<V>(x[token], step);
        }
        multiply_step::<V, F, T, 0>(partial, tiles, step, quants);
        if V::STEPS == 4 {
            multiply_step::<V, F, T, 1>(partial, tiles, step, quants);
            multiply_step::<V, F, T, 2>(partial, tiles, step, quants);
            multiply_step::<V, F, T, 3>(partial, tiles, step, quants);
        }
    }
}

/// Add to `partial` the products of step `STEP` of `x`, whose first one is `step` of the tiles.
///
/// # Safety
/// The tiles have that step, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn multiply_step<V: Vector, F: Quants, const T: usize, const STEP: usize>(
    partial: &mut [[V; TILES]; T],
    tiles: &[Tile<V>; TILES],
    step: usize,
    x: [V::Broadcast; T],
) {
    for token in 0..T {
        for tile in 0..TILES {
            let partial = &mut partial[token][tile];
            // SAFETY: as the caller says.
            unsafe {
                let weights = *tiles[tile].quants.get_unchecked(step + STEP);
                *partial = multiply::<V, F, STEP>(*partial, weights, x[token]);
            }
        }
    }
}

/// `partial` and the products of step `STEP` of `x`.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn multiply<V: Vector, F: Quants, const STEP: usize>(partial: V, weights: V, x: V::Broadcast) -> V {
    // SAFETY: as the caller says.
    unsafe {
        if F::SIGNED {
            V::multiply::<true, STEP>(partial, weights, x)
        } else {
            V::multiply::<false, STEP>(partial, weights, x)
        }
    }
}

impl<V: Vector> Take<V> for Tile<V> {
    #[inline(always)]
    unsafe fn scale(&mut self, part: usize, scale: V::Floats) {
        self.scales.parts[part] = scale;
    }
    #[inline(always)]
    unsafe fn integer_scale(&mut self, part: usize, lanes: V, byte: usize, lift: i32) {
        // SAFETY: as the caller says.
        unsafe { self.scales.integer(part, lanes, byte, lift) }
    }
    #[inline(always)]
    unsafe fn minimum(&mut self, block: usize, lanes: V, byte: usize) {
        // SAFETY: as the caller says.
        self.scales.minima[block] = unsafe { lanes.unsigned_byte(byte) };
    }
    #[inline(always)]
    unsafe fn whole(&mut self, scale: V::Floats, minimum: V::Floats) {
        (self.scales.whole, self.scales.whole_minimum) = (scale, minimum);
    }
    #[inline(always)]
    unsafe fn quants(&mut self, unit: usize, quants: [V; 4]) {
        self.quants[4 * unit..4 * unit + 4].copy_from_slice(&quants);
    }
}

/// Multiplies quants at once, for one token. Where blocks come in their order they are summed up as they end, and what was kept of
/// one is not needed for those after the next.
struct Dot<'a, V: Vector, F> {
    x: &'a Chunk,
    scales: Scales<V>,
    /// Integer scales, if `end` multiplies with them.
    factors: [V; CHUNK / BLOCK],
    /// Of parts.
    sums: [V; CHUNK / BLOCK * 2],
    /// Of blocks of which one unit of two was multiplied, where partial sums hold both.
    partials: [V; CHUNK / BLOCK],
    /// Of the blocks that were added.
    total: V::Floats,
    format: PhantomData<F>,
}

impl<V: Vector, F: Quants> Dot<'_, V, F> {
    /// Where something of part `part` of the chunk is kept.
    #[inline(always)]
    const fn slot(part: usize) -> usize {
        if F::ORDERED { part % 2 } else { part }
    }

    /// Add a block whose quants are all multiplied.
    ///
    /// # Safety
    /// The instructions of `V` are enabled.
    #[inline(always)]
    unsafe fn add_block(&mut self, block: usize) {
        // SAFETY: as the caller says.
        unsafe {
            let mut product = V::Floats::splat(0.0);
            for part in 0..parts::<F>() {
                let part = block * parts::<F>() + part;
                let sum = self.sums[Self::slot(part)];
                product = if scaled::<V, F>() {
                    sum.to_floats()
                } else {
                    let kept = if F::NESTED { part } else { Self::slot(part) };
                    scale::<V, F>(part, sum, self.scales.parts[kept], product)
                };
            }
            self.total = product.mul_add(V::Floats::splat(self.x.scales[block]), self.total);
        }
    }
}

impl<V: Vector, F: Quants> Take<V> for Dot<'_, V, F> {
    #[inline(always)]
    unsafe fn scale(&mut self, part: usize, scale: V::Floats) {
        self.scales.parts[if F::NESTED { part } else { Self::slot(part) }] = scale;
    }
    #[inline(always)]
    unsafe fn integer_scale(&mut self, part: usize, lanes: V, byte: usize, lift: i32) {
        // SAFETY: as the caller says.
        unsafe {
            if scaled::<V, F>() {
                self.factors[part] = lanes.factor(byte);
            } else {
                self.scales.integer(part, lanes, byte, lift);
            }
        }
    }
    #[inline(always)]
    unsafe fn minimum(&mut self, block: usize, lanes: V, byte: usize) {
        // SAFETY: as the caller says.
        self.scales.minima[block] = unsafe { lanes.unsigned_byte(byte) };
    }
    #[inline(always)]
    unsafe fn whole(&mut self, scale: V::Floats, minimum: V::Floats) {
        (self.scales.whole, self.scales.whole_minimum) = (scale, minimum);
    }
    #[inline(always)]
    unsafe fn quants(&mut self, unit: usize, quants: [V; 4]) {
        let part = unit * parts::<F>() / 2;
        let steps = BLOCK / 4 / parts::<F>();
        let (begins, ends) = (F::HALVES || unit.is_multiple_of(2), !unit.is_multiple_of(2));
        // SAFETY: as the caller says.
        unsafe {
            let factor = if scaled::<V, F>() { self.factors[part] } else { V::splat(ONES) };
            let slot = Self::slot(part);
            let mut sum = if begins { start::<V, F>(self.x, part) } else { self.sums[slot] };
            if run::<V, F>(steps) == 8 {
                let partial = if begins { V::begin(sum) } else { self.partials[slot] };
                let partial = multiply_unit::<V, F>(partial, 4 * unit, &quants, self.x);
                self.partials[slot] = partial;
                if ends {
                    sum = V::end(sum, partial, factor);
                }
            } else {
                for first in 0..4 / run::<V, F>(4) {
                    let first = first * run::<V, F>(4);
                    let run = &quants[first..first + run::<V, F>(4)];
                    let partial = multiply_unit::<V, F>(V::begin(sum), 4 * unit + first, run, self.x);
                    sum = V::end(sum, partial, factor);
                }
            }
            self.sums[slot] = sum;
            if F::ORDERED && ends {
                self.add_block(unit / 2);
            }
        }
    }
}

/// `partial` and the products of `quants` with the activations from step `first` on.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn multiply_unit<V: Vector, F: Quants>(mut partial: V, first: usize, quants: &[V], x: &Chunk) -> V {
    for step in (0..quants.len()).step_by(V::STEPS) {
        // SAFETY: as the caller says.
        unsafe {
            let x = broadcast::<V>(x, first + step);
            partial = multiply::<V, F, 0>(partial, quants[step], x);
            if V::STEPS == 4 {
                partial = multiply::<V, F, 1>(partial, quants[step + 1], x);
                partial = multiply::<V, F, 2>(partial, quants[step + 2], x);
                partial = multiply::<V, F, 3>(partial, quants[step + 3], x);
            }
        }
    }
    partial
}
