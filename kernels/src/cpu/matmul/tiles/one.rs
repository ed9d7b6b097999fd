//! One token: quants are multiplied as they are unpacked.
#![expect(unsafe_code, reason = "vector instructions, and activations behind a pointer")]

use std::array;
use std::marker::PhantomData;

use super::super::activations::Chunk;
use super::super::{BLOCK, CHUNK, Product};
use super::entries::Compiled;
use super::rows::{Rows, distance};
use super::unpack::{Quants, Take};
use super::vector::{Floats, Vector};
use super::{
    ONES, Scales, TILES, add_minimum, add_whole, broadcast, multiply, parts, run, scale, start, store,
};

/// # Safety
/// As [`multiply_quants`](super::multiply_quants), with one token.
#[inline(always)]
pub(super) unsafe fn multiply_one<V: Compiled, F: Quants>(product: &Product<'_>) {
    let mut rest = product.rows.clone();
    if V::APART {
        let apart = distance(product, V::LANES);
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
/// As [`multiply_quants`](super::multiply_quants), with one token.
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

/// Add to `sum` the products of the rows' `blocks` with chunk `x`, without a tile between unpacking and multiplying.
///
/// # Safety
/// The rows have a chunk of so many blocks at `offset`, and the instructions of `V` are enabled.
#[inline(always)]
pub(in super::super) unsafe fn accumulate<V: Vector, F: Quants>(
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

/// Whether integer sums are multiplied with their scales as they are made, with one token.
const fn scaled<V: Vector, F: Quants>() -> bool {
    V::FACTORS && F::MINIMA
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

    /// Where its scale is kept: nested ones come all at once.
    #[inline(always)]
    const fn scale_slot(part: usize) -> usize {
        if F::NESTED { part } else { Self::slot(part) }
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
                    scale::<V, F>(part, sum, self.scales.parts[Self::scale_slot(part)], product)
                };
            }
            self.total = product.mul_add(V::Floats::splat(self.x.scales[block]), self.total);
        }
    }
}

impl<V: Vector, F: Quants> Take<V> for Dot<'_, V, F> {
    #[inline(always)]
    fn scales(&mut self) -> &mut Scales<V> {
        &mut self.scales
    }
    #[inline(always)]
    unsafe fn scale(&mut self, part: usize, scale: V::Floats) {
        self.scales.parts[Self::scale_slot(part)] = scale;
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
