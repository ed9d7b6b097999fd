//! Many tokens: tiles of weights are unpacked into the L1 cache and multiplied with all of them.
#![expect(unsafe_code, reason = "vector instructions, and activations behind a pointer")]

use std::array;
use std::hint::black_box;
use std::mem::MaybeUninit;

use super::super::activations::Chunk;
use super::super::{BLOCK, CHUNK, Product};
use super::entries::Compiled;
use super::rows::Rows;
use super::unpack::{Quants, offset};
use super::vector::{Floats, Vector};
use super::{Scales, Sums, TILES, add_block, add_total, block_start, store, take_off_minima};
use crate::step::Step;

/// 256 columns of as many rows as there are lanes, unpacked.
#[derive(Clone, Copy)]
pub(in super::super) struct Tile<V: Vector> {
    /// (columns / 4, rows, 4)
    pub(in super::super) quants: [V; CHUNK / 4],
    pub(in super::super) scales: Scales<V>,
}

/// How unpacked tiles are multiplied with tokens.
pub(in super::super) trait Multiplier<V: Vector> {
    /// Bytes of activations that are used for row after row: what may stay in the L2 cache meanwhile.
    const NEAR: usize;

    /// Tokens that are multiplied at once.
    fn tokens<F: Quants>() -> usize;

    /// Add the products of the tiles' `blocks` with chunk `x[t]` to `sums[t]`, for all `sums`. The quants may be changed on the way.
    ///
    /// # Safety
    /// There are as many chunks from `x` on, nobody writes them meanwhile, and the machine has the multiplier's instructions.
    unsafe fn accumulate<F: Quants>(
        tiles: &mut [Tile<V>; TILES],
        blocks: usize,
        x: *const Chunk,
        sums: &mut [Sums<V>],
    );
}

/// By instructions of the vector, with the sums of a few tokens in registers.
pub(in super::super) struct Registers;

impl<V: Compiled> Multiplier<V> for Registers {
    const NEAR: usize = 768 << 10;

    #[inline(always)]
    fn tokens<F: Quants>() -> usize {
        match by_tile::<V, F>() {
            Some(tokens) => tokens,
            None if F::HALVES => V::TOKENS_OF_HALVES,
            None => V::TOKENS,
        }
    }

    #[inline(always)]
    unsafe fn accumulate<F: Quants>(
        tiles: &mut [Tile<V>; TILES],
        blocks: usize,
        x: *const Chunk,
        sums: &mut [Sums<V>],
    ) {
        let group = <Self as Multiplier<V>>::tokens::<F>();
        for (index, sums) in sums.chunks_mut(group).enumerate() {
            // SAFETY: from here on there are as many chunks as `sums`; the rest is the same contract.
            unsafe { accumulate_group::<V, F>(tiles, blocks, x.wrapping_add(index * group), sums) };
        }
    }
}

/// # Safety
/// As [`multiply_quants`](super::multiply_quants), on a machine with the instructions of `M`.
#[inline(always)]
pub(in super::super) unsafe fn multiply_many<V: Compiled, F: Quants, M: Multiplier<V>>(
    product: &Product<'_>,
) {
    let chunks = product.columns.div_ceil(CHUNK);
    // As many tokens as stay in the L2 cache while all rows pass by.
    let most = (M::NEAR / (chunks * size_of::<Chunk>())).max(1).next_multiple_of(M::tokens::<F>());
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
                        rows[tile].prefetch::<V>(index * F::BYTES, F::BYTES);
                        // SAFETY: the rows have a chunk of so many blocks there.
                        V::unpack::<F>(&rows[tile], index * F::BYTES, blocks, &mut tiles[tile]);
                    }
                    // SAFETY: from this token on there are as many chunks as `sums`, and nobody writes them meanwhile.
                    M::accumulate::<F>(&mut tiles, blocks, product.chunks(index).wrapping_add(token), sums);
                }
                for (index, sums) in sums.iter().enumerate() {
                    // SAFETY: the caller may write the elements of `product.rows`.
                    store::<V>(product, token + index, &rows, sums);
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
pub(in super::super) unsafe fn unpack<V: Vector, F: Quants>(
    rows: &Rows,
    offset: usize,
    blocks: usize,
    tile: &mut Tile<V>,
) {
    // SAFETY: as the caller says.
    unsafe {
        F::scales(rows, offset, blocks, &mut tile.scales);
        F::quants(rows, offset, blocks, &mut tile.quants);
    }
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
pub(in super::super) unsafe fn accumulate<V: Vector, F: Quants, const T: usize>(
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
        let mut integers = [[V::splat(0); TILES]; T];
        for block in 0..blocks.min(CHUNK / BLOCK) {
            for part in 0..parts::<F>() {
                add_part::<V, F, T>(tiles, block * parts::<F>() + part, x, &mut integers);
            }
            if !F::NESTED {
                for token in 0..T {
                    for tile in 0..TILES {
                        let (scale, sum) = (tiles[tile].scales.blocks[block], &mut sums[token][tile]);
                        *sum = add_block(integers[token][tile], scale, x[token], block, *sum);
                    }
                }
                integers = [[V::splat(0); TILES]; T];
            }
        }
        if F::NESTED {
            for token in 0..T {
                for tile in 0..TILES {
                    let (scales, sum) = (&tiles[tile].scales, &mut sums[token][tile]);
                    *sum = add_nested::<V, F>(scales, x[token], integers[token][tile], *sum);
                }
            }
        }
    }
}

/// Add the products of part `part` of a chunk, with its scale where scales are nested, to `integers` of each token and tile.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn add_part<V: Vector, F: Quants, const T: usize>(
    tiles: &[Tile<V>; TILES],
    part: usize,
    x: [&Chunk; T],
    integers: &mut [[V; TILES]; T],
) {
    let steps = BLOCK / 4 / parts::<F>();
    // SAFETY: as the caller says.
    unsafe {
        if by_tile::<V, F>().is_some() {
            const { assert!(TILES == 2) }
            // Written out, so that sums stay in registers.
            add_part_of_tile::<V, F, T>(tiles, 0, part, x, integers);
            return add_part_of_tile::<V, F, T>(tiles, 1, part, x, integers);
        }
        for first in (0..steps).step_by(run::<V, F>(steps)) {
            let mut partial = [[V::splat(0); TILES]; T];
            if first == 0 {
                for token in 0..T {
                    partial[token] = [begin::<V, F>(x[token], part); TILES];
                }
            }
            let first = part * steps + first;
            let run = run::<V, F>(steps);
            if run < 8 || !in_pairs::<V, F>() {
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
                    let (sum, partial) = (&mut integers[token][tile], partial[token][tile]);
                    *sum = add_partial::<V, F>(*sum, partial, &tiles[tile].scales, x[token], part);
                }
            }
        }
    }
}

/// [`add_part`] of one tile, for engines that would load the weights of all tiles before they compute anything.
///
/// # Safety
/// As [`add_part`].
#[inline(always)]
unsafe fn add_part_of_tile<V: Vector, F: Quants, const T: usize>(
    tiles: &[Tile<V>; TILES],
    tile: usize,
    part: usize,
    x: [&Chunk; T],
    integers: &mut [[V; TILES]; T],
) {
    let steps = BLOCK / 4 / parts::<F>();
    // SAFETY: as the caller says.
    unsafe {
        let weights = V::opaque(tiles[tile].quants.as_ptr().add(part * steps));
        for first in (0..steps).step_by(run::<V, F>(steps)) {
            let mut sums = [V::splat(0); T];
            if first == 0 {
                for token in 0..T {
                    sums[token] = begin::<V, F>(x[token], part);
                }
            }
            for step in (first..first + run::<V, F>(steps)).step_by(4) {
                let mut quants = [x[0].quants.as_ptr().add(4 * (part * steps + step)); T];
                for token in 1..T {
                    quants[token] = x[token].quants.as_ptr().add(4 * (part * steps + step));
                }
                V::multiply_four(&mut sums, weights.add(step), quants);
            }
            for token in 0..T {
                let sum = &mut integers[token][tile];
                *sum = add_partial::<V, F>(*sum, sums[token], &tiles[tile].scales, x[token], part);
            }
        }
    }
}

/// `sum` and partial sums of part `part`, with its scale where scales are nested.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn add_partial<V: Vector, F: Quants>(
    sum: V,
    partial: V,
    scales: &Scales<V>,
    x: &Chunk,
    part: usize,
) -> V {
    // SAFETY: as the caller says.
    unsafe {
        if F::NESTED {
            V::add_scaled(sum, partial, scales.parts[part], x.multipliers[part / parts::<F>()])
        } else if F::SIGNED {
            V::end::<true>(sum, partial)
        } else {
            V::end::<false>(sum, partial)
        }
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

/// Steps of four columns that partial sums hold, at most `most`: a power of two, so that they fit into parts. What sums come to in the
/// end fits, with what was added to quants taken off; on the way there they may wrap around.
pub(super) const fn run<V: Vector, F: Quants>(most: usize) -> usize {
    if !in_pairs::<V, F>() {
        return most;
    }
    let run = 1 << (V::LARGEST_PAIR / (2 * 127 * F::LARGEST)).ilog2();
    if run < most { run } else { most }
}

/// Whether each lane of partial sums is two sums in 16 bits.
const fn in_pairs<V: Vector, F: Quants>() -> bool {
    V::LARGEST_PAIR < i32::MAX && !(F::SIGNED && V::COMPLEMENTS)
}

/// How many tokens at once, if tiles are multiplied one after the other.
const fn by_tile<V: Vector, F: Quants>() -> Option<usize> {
    if in_pairs::<V, F>() { V::BY_TILE } else { None }
}

/// Where partial sums of part `part` start: at what was added to the weights, taken off again, or at what complements lack.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn begin<V: Vector, F: Quants>(x: &Chunk, part: usize) -> V {
    let in_pairs = in_pairs::<V, F>();
    // SAFETY: as the caller says.
    unsafe {
        match offset::<V, F>() {
            8 if in_pairs => V::splat_pair(x.eight_pair_starts[part]),
            32 if in_pairs => V::splat_pair(x.half_pair_starts[part]),
            32 => V::splat(x.half_starts[part]),
            _ => block_start::<V, F>(x, part),
        }
    }
}

/// Integer sums in every block of 32 columns, each with a scale of its own.
pub(super) const fn parts<F: Quants>() -> usize {
    if F::HALVES { 2 } else { 1 }
}

/// The sum of all chunks so far, with one whose scales are nested: `total` integers, and its minima taken off.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn add_nested<V: Vector, F: Quants>(
    scales: &Scales<V>,
    x: &Chunk,
    total: V,
    sum: V::Floats,
) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe {
        let sum = add_total(total, scales.whole, x, sum);
        if !F::MINIMA {
            return sum;
        }
        take_off_minima::<V>(V::dot_minima(&scales.minima, x), scales.whole_minimum, x, sum)
    }
}

/// The quants of [`Vector::STEPS`] steps, from `step` on.
///
/// # Safety
/// A chunk has these steps, and the instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn broadcast<V: Vector>(x: &Chunk, step: usize) -> V::Broadcast {
    // SAFETY: as the caller says.
    unsafe { V::broadcast(x.quants.as_ptr().add(4 * step)) }
}

/// `partial` and the products of step `STEP` of `x`.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector, F: Quants, const STEP: usize>(
    partial: V,
    weights: V,
    x: V::Broadcast,
) -> V {
    // SAFETY: as the caller says.
    unsafe {
        if F::SIGNED {
            V::multiply::<true, STEP>(partial, weights, x)
        } else {
            V::multiply::<false, STEP>(partial, weights, x)
        }
    }
}
