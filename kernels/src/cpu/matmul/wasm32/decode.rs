//! Matmul of quantised weights with one token: four rows at a time, with columns in lanes.
//!
//! A register has room for four rows only, and then it takes less to add up lanes after the multiplication than to transpose weights
//! before it. The integers of every block, and what is computed with them, are those of the tiles.
//!
//! The form is what engines make fast code of. The blocks of a chunk are written out in a function of their own, so that weights are
//! at constant distances from pointers. And there is a [`settle`] after each, because Cranelift loads in the order of the program but
//! computes as late as it can: it would load a whole chunk, more than there are registers, before it multiplies.
#![expect(unsafe_code, reason = "weights, activations and the output are read and written through pointers")]

use std::arch::wasm32::*;
use std::array;

use super::super::activations::Chunk;
use super::super::tiles::rows::distance;
use super::super::tiles::unpack::{Q4_0, Q4_K, Q5_K, Q6_K, Q8_0, Quants};
use super::super::{BLOCK, CHUNK, Product};
use super::products::{self, Signed};
use super::{from_halves, multiply_add, multiply_sub, transposed};

/// Rows at once: as many streams from memory, and lanes with a sum.
const ROWS: usize = 4;

/// Where a chunk of each row starts, or one block of it.
type Rows = [*const u8; ROWS];

/// A quantised format, unpacked with columns in lanes.
pub(super) trait Columns: Quants {
    /// Bytes from block to block if each has a scale of its own, else 0.
    const APART: usize;
    /// What the blocks of a chunk share.
    type Shared;

    /// # Safety
    /// The rows have a whole chunk if blocks share anything.
    unsafe fn share(rows: &Rows) -> Self::Shared;

    /// `total` and the products of a block, which is number `block` of `x` and `place` of the rows.
    ///
    /// # Safety
    /// The rows have this block.
    unsafe fn add(
        rows: &Rows,
        place: usize,
        shared: &Self::Shared,
        x: &Chunk,
        block: usize,
        total: v128,
    ) -> v128;

    /// `sum` and the total of a chunk, where scales are nested.
    fn add_whole(shared: &Self::Shared, x: &Chunk, total: v128, sum: v128) -> v128;
}

/// # Safety
/// As [`Kernels::multiply`](super::super::Kernels::multiply), with the sizes checked, and one token.
pub(super) unsafe fn multiply<F: Columns>(product: &Product<'_>) {
    let rows = product.rows.clone();
    let apart = distance(product, ROWS);
    // SAFETY: the same contract; the first row is one of those to compute.
    unsafe {
        for first in rows.start..rows.start + apart {
            multiply_rows::<F>(product, first, apart);
        }
        for first in (rows.start + ROWS * apart..rows.end).step_by(ROWS) {
            multiply_rows::<F>(product, first, 1);
        }
    }
}

/// Four rows, `apart` from each other, from `first` on; the last row again instead of those behind it.
///
/// # Safety
/// As [`multiply`], and `first` is one of the rows to compute.
#[inline(always)]
unsafe fn multiply_rows<F: Columns>(product: &Product<'_>, first: usize, apart: usize) {
    let numbers: [usize; ROWS] = array::from_fn(|row| (first + row * apart).min(product.rows.end - 1));
    let starts = numbers.map(|row| product.weight.as_ptr().wrapping_add(row * product.row_bytes));
    let mut sum = f32x4_splat(0.0);
    for index in 0..product.columns.div_ceil(CHUNK) {
        let blocks = (product.columns - index * CHUNK).min(CHUNK) / BLOCK;
        let [a, b, c, d] = starts.map(|start| start.wrapping_add(index * F::BYTES));
        // SAFETY: the rows have so many blocks there, and nobody writes the activations meanwhile.
        unsafe {
            let x = &*product.activations.chunks(index, 1);
            if blocks == CHUNK / BLOCK {
                add_chunk::<F>(a, b, c, d, x, &raw mut sum);
            } else {
                add_blocks::<F>([a, b, c, d], blocks, x, &mut sum);
            }
        }
    }
    let mut lanes = [0.0_f32; ROWS];
    // SAFETY: there are as many lanes as rows, and the caller may write the elements of `product.rows`.
    unsafe {
        v128_store(lanes.as_mut_ptr().cast(), sum);
        for row in 0..ROWS {
            *product.out.wrapping_add(numbers[row]) = lanes[row];
        }
    }
}

/// Add to `sum` the products of a chunk. Pointers are parameters so that they are in registers.
///
/// # Safety
/// The rows have a chunk, and `sum` is the caller's.
#[inline(never)]
unsafe fn add_chunk<F: Columns>(
    a: *const u8,
    b: *const u8,
    c: *const u8,
    d: *const u8,
    x: &Chunk,
    sum: *mut v128,
) {
    let rows = [a, b, c, d];
    // SAFETY: as the caller says.
    unsafe {
        let (shared, before) = (F::share(&rows), *sum);
        let total = if F::NESTED { f32x4_splat(0.0) } else { before };
        let total = settle(F::add(&rows, 0, &shared, x, 0, total), sum);
        let total = settle(F::add(&rows, 1, &shared, x, 1, total), sum);
        let total = settle(F::add(&rows, 2, &shared, x, 2, total), sum);
        let total = settle(F::add(&rows, 3, &shared, x, 3, total), sum);
        let total = settle(F::add(&rows, 4, &shared, x, 4, total), sum);
        let total = settle(F::add(&rows, 5, &shared, x, 5, total), sum);
        let total = settle(F::add(&rows, 6, &shared, x, 6, total), sum);
        let total = settle(F::add(&rows, 7, &shared, x, 7, total), sum);
        if F::NESTED {
            *sum = F::add_whole(&shared, x, total, before);
        }
    }
}

/// Add to `sum` the products of some blocks at the end of the rows, of a format whose blocks share nothing.
///
/// # Safety
/// The rows have these blocks.
#[inline(never)]
unsafe fn add_blocks<F: Columns>(rows: Rows, blocks: usize, x: &Chunk, sum: &mut v128) {
    for block in 0..blocks.min(CHUNK / BLOCK) {
        let rows = rows.map(|row| row.wrapping_add(block * F::APART));
        // SAFETY: as the caller says.
        unsafe { *sum = F::add(&rows, 0, &F::share(&rows), x, block, *sum) }
    }
}

/// Store `value` now, so that it is computed before anything behind this is loaded.
///
/// # Safety
/// It may be stored there.
#[inline(always)]
unsafe fn settle(value: v128, to: *mut v128) -> v128 {
    // SAFETY: as the caller says.
    unsafe { to.write_volatile(value) };
    value
}

/// 16 bytes of a row.
///
/// # Safety
/// The row has them.
#[inline(always)]
unsafe fn load(row: *const u8, offset: usize) -> v128 {
    // SAFETY: as the caller says.
    unsafe { v128_load(row.add(offset).cast()) }
}

/// 16 quants of the activations.
#[inline(always)]
fn quants(x: &Chunk, unit: usize) -> v128 {
    let quants = &x.quants[16 * unit..16 * unit + 16];
    // SAFETY: so many are loaded.
    unsafe { v128_load(quants.as_ptr().cast()) }
}

/// The quants of a block of 32 columns.
#[inline(always)]
fn block_quants(x: &Chunk, block: usize) -> [v128; 2] {
    [quants(x, 2 * block), quants(x, 2 * block + 1)]
}

/// Number `index` of some in all lanes: loaded with its neighbours and spread, since engines load one by way of another register.
#[inline(always)]
fn spread<T, const N: usize>(numbers: &[T; N], index: usize) -> v128 {
    const { assert!(size_of::<T>() == 4 && N.is_multiple_of(4)) }
    let four = &numbers[index / 4 * 4..index / 4 * 4 + 4];
    // SAFETY: four lanes are loaded.
    let lanes = unsafe { v128_load(four.as_ptr().cast()) };
    match index % 4 {
        0 => i32x4_shuffle::<0, 0, 0, 0>(lanes, lanes),
        1 => i32x4_shuffle::<1, 1, 1, 1>(lanes, lanes),
        2 => i32x4_shuffle::<2, 2, 2, 2>(lanes, lanes),
        _ => i32x4_shuffle::<3, 3, 3, 3>(lanes, lanes),
    }
}

/// The bits of `mask` in every byte.
#[inline(always)]
fn and(bytes: v128, mask: u8) -> v128 {
    v128_and(bytes, u8x16_splat(mask))
}

/// The same after a shift to the left, or to the right if `shift` is negative.
#[inline(always)]
fn field(bytes: v128, shift: i32, mask: u8) -> v128 {
    let count = shift.unsigned_abs();
    and(if shift < 0 { u16x8_shr(bytes, count) } else { u16x8_shl(bytes, count) }, mask)
}

/// Signed byte `index` of each lane.
#[inline(always)]
fn signed_byte(lanes: v128, index: usize) -> v128 {
    f32x4_convert_i32x4(i32x4_shr(i32x4_shl(lanes, 24 - 8 * index as u32), 24))
}

/// The half-precision float at `offset` of every row.
///
/// # Safety
/// The rows have it.
#[inline(always)]
unsafe fn halves(rows: &Rows, offset: usize) -> v128 {
    // SAFETY: as the caller says.
    unsafe {
        let half = |row: usize| rows[row].add(offset).cast();
        let halves = v128_load16_lane::<0>(i16x8_splat(0), half(0));
        let halves = v128_load16_lane::<1>(halves, half(1));
        let halves = v128_load16_lane::<2>(halves, half(2));
        let halves = v128_load16_lane::<3>(halves, half(3));
        from_halves(i32x4_extend_low_i16x8(halves))
    }
}

/// 16 bytes of every row: lane `r` of vector `i` holds bytes `4 * i..4 * i + 4` of row `r`.
///
/// # Safety
/// The rows have them.
#[inline(always)]
unsafe fn load_transposed(rows: &Rows, offset: usize) -> [v128; 4] {
    // SAFETY: as the caller says.
    transposed(rows.map(|row| unsafe { load(row, offset) }))
}

/// `total` and a block of these integers.
#[inline(always)]
fn scaled(integers: v128, scale: v128, x: &Chunk, block: usize, total: v128) -> v128 {
    multiply_add(f32x4_mul(f32x4_convert_i32x4(integers), scale), spread(&x.scales, block), total)
}

impl Columns for Q4_0 {
    const APART: usize = 18;
    type Shared = ();

    #[inline(always)]
    unsafe fn share(_: &Rows) {}

    #[inline(always)]
    unsafe fn add(rows: &Rows, place: usize, (): &(), x: &Chunk, block: usize, total: v128) -> v128 {
        let offset = place * Self::APART;
        let quants = block_quants(x, block);
        // SAFETY: as the caller says.
        unsafe {
            let mut parts = [i32x4_splat(0); ROWS];
            for row in 0..ROWS {
                let packed = load(rows[row], offset + 2);
                parts[row] = products::dot_two(quants, [field(packed, 0, 15), field(packed, -4, 15)]);
            }
            let start = i32x4_shr(spread(&x.starts, block), 4);
            let integers = i32x4_add(products::total::<15, 4>(parts), start);
            scaled(integers, halves(rows, offset), x, block, total)
        }
    }

    #[inline(always)]
    fn add_whole((): &(), _: &Chunk, total: v128, _: v128) -> v128 {
        total
    }
}

impl Columns for Q8_0 {
    const APART: usize = 34;
    type Shared = ();

    #[inline(always)]
    unsafe fn share(_: &Rows) {}

    #[inline(always)]
    unsafe fn add(rows: &Rows, place: usize, (): &(), x: &Chunk, block: usize, total: v128) -> v128 {
        let offset = place * Self::APART;
        let [first, second] = block_quants(x, block).map(Signed::new);
        // SAFETY: as the caller says.
        unsafe {
            let mut parts = [i32x4_splat(0); ROWS];
            for row in 0..ROWS {
                let [low, high] = [load(rows[row], offset + 2), load(rows[row], offset + 18)];
                parts[row] = i32x4_add(first.dot(low), second.dot(high));
            }
            let mut integers = products::add_lanes(parts);
            if products::COMPLEMENTS {
                integers = i32x4_add(integers, spread(&x.negatives, block));
            }
            scaled(integers, halves(rows, offset), x, block, total)
        }
    }

    #[inline(always)]
    fn add_whole((): &(), _: &Chunk, total: v128, _: v128) -> v128 {
        total
    }
}

/// Scales and minima of a chunk of `Q4_K` or `Q5_K`.
pub(super) struct Scales {
    /// Of the chunk.
    scale: v128,
    minimum: v128,
    /// Of the blocks, as integers: byte `b` of each lane belongs to block `b` in the first vector, to block `4 + b` in the second.
    scales: [v128; 2],
    minima: [v128; 2],
}

impl Scales {
    /// # Safety
    /// The rows have the 16 bytes in front of the quants.
    #[inline(always)]
    unsafe fn load(rows: &Rows) -> Self {
        // SAFETY: as the caller says.
        let [floats, low_scales, low_minima, high] = unsafe { load_transposed(rows, 0) };
        Self {
            scale: from_halves(i32x4_shr(i32x4_shl(floats, 16), 16)),
            minimum: from_halves(i32x4_shr(floats, 16)),
            scales: [and(low_scales, 63), v128_or(and(high, 15), field(low_scales, -2, 0x30))],
            minima: [and(low_minima, 63), v128_or(field(high, -4, 15), field(low_minima, -2, 0x30))],
        }
    }

    /// `total` and a block whose products are `parts`, of weights up to `LARGEST`.
    #[inline(always)]
    fn add<const LARGEST: i32>(&self, parts: [v128; ROWS], x: &Chunk, block: usize, total: v128) -> v128 {
        let integers = products::scaled::<LARGEST>(parts, self.scales[block / 4], block % 4);
        multiply_add(f32x4_convert_i32x4(integers), spread(&x.scales, block), total)
    }

    /// `sum` and the total of the chunk, less its minima.
    #[inline(always)]
    fn add_whole(&self, x: &Chunk, total: v128, sum: v128) -> v128 {
        let mut minimum = f32x4_splat(0.0);
        for block in 0..CHUNK / BLOCK {
            let factor = products::unsigned_byte(self.minima[block / 4], block % 4);
            minimum = multiply_add(f32x4_convert_i32x4(factor), spread(&x.sums, block), minimum);
        }
        multiply_sub(minimum, self.minimum, multiply_add(total, self.scale, sum))
    }
}

impl Columns for Q4_K {
    const APART: usize = 0;
    type Shared = Scales;

    #[inline(always)]
    unsafe fn share(rows: &Rows) -> Scales {
        // SAFETY: as the caller says.
        unsafe { Scales::load(rows) }
    }

    #[inline(always)]
    unsafe fn add(rows: &Rows, place: usize, shared: &Scales, x: &Chunk, block: usize, total: v128) -> v128 {
        let quants = block_quants(x, block);
        let shift = if place.is_multiple_of(2) { 0 } else { -4 };
        let offset = 16 + 32 * (place / 2);
        let mut parts = [i32x4_splat(0); ROWS];
        for row in 0..ROWS {
            // SAFETY: as the caller says.
            let packed = unsafe { [load(rows[row], offset), load(rows[row], offset + 16)] };
            let nibbles = [field(packed[0], shift, 15), field(packed[1], shift, 15)];
            parts[row] = products::dot_two(quants, nibbles);
        }
        shared.add::<15>(parts, x, block, total)
    }

    #[inline(always)]
    fn add_whole(shared: &Scales, x: &Chunk, total: v128, sum: v128) -> v128 {
        shared.add_whole(x, total, sum)
    }
}

impl Columns for Q5_K {
    const APART: usize = 0;
    type Shared = Scales;

    #[inline(always)]
    unsafe fn share(rows: &Rows) -> Scales {
        // SAFETY: as the caller says.
        unsafe { Scales::load(rows) }
    }

    #[inline(always)]
    unsafe fn add(rows: &Rows, place: usize, shared: &Scales, x: &Chunk, block: usize, total: v128) -> v128 {
        let quants = block_quants(x, block);
        let shift = if place.is_multiple_of(2) { 0 } else { -4 };
        let offset = 48 + 32 * (place / 2);
        let mut parts = [i32x4_splat(0); ROWS];
        for row in 0..ROWS {
            // SAFETY: as the caller says.
            let (low, high) = unsafe {
                let low = [load(rows[row], offset), load(rows[row], offset + 16)];
                (low, [load(rows[row], 16), load(rows[row], 32)])
            };
            let fifth = 4 - place as i32;
            let first = v128_or(field(low[0], shift, 15), field(high[0], fifth, 0x10));
            let second = v128_or(field(low[1], shift, 15), field(high[1], fifth, 0x10));
            parts[row] = products::dot_two(quants, [first, second]);
        }
        shared.add::<31>(parts, x, block, total)
    }

    #[inline(always)]
    fn add_whole(shared: &Scales, x: &Chunk, total: v128, sum: v128) -> v128 {
        shared.add_whole(x, total, sum)
    }
}

/// The scales of a chunk of `Q6_K`: the whole one, and those of 16 columns each as integers in the bytes of the lanes.
type HalfScales = (v128, [v128; 4]);

impl Columns for Q6_K {
    const APART: usize = 0;
    type Shared = HalfScales;

    #[inline(always)]
    unsafe fn share(rows: &Rows) -> HalfScales {
        // SAFETY: as the caller says.
        unsafe { (halves(rows, 208), load_transposed(rows, 192)) }
    }

    #[inline(always)]
    unsafe fn add(
        rows: &Rows,
        place: usize,
        (_, scales): &HalfScales,
        x: &Chunk,
        block: usize,
        total: v128,
    ) -> v128 {
        let mut halves = [(i32x4_splat(0), i32x4_splat(0)); 2];
        for half in 0..2 {
            let (wide, quarter, unit) = (place / 4, place % 4, 2 * block + half);
            let mut parts = [i32x4_splat(0); ROWS];
            for row in 0..ROWS {
                // SAFETY: as the caller says.
                let (low, high) = unsafe {
                    let low = load(rows[row], 64 * wide + 32 * (quarter % 2) + 16 * half);
                    (low, load(rows[row], 128 + 32 * wide + 16 * half))
                };
                let low = field(low, if quarter < 2 { 0 } else { -4 }, 15);
                let weights = v128_or(low, field(high, 4 - 2 * quarter as i32, 0x30));
                parts[row] = products::dot(quants(x, unit), weights);
            }
            let start = i32x4_shr(spread(&x.half_starts, unit), 2);
            let integers = i32x4_add(products::total::<63, 2>(parts), start);
            halves[half] = (f32x4_convert_i32x4(integers), signed_byte(scales[unit / 4], unit % 4));
        }
        let [(first, first_scale), (second, second_scale)] = halves;
        let product = multiply_add(second, second_scale, f32x4_mul(first, first_scale));
        multiply_add(product, spread(&x.scales, block), total)
    }

    #[inline(always)]
    fn add_whole((scale, _): &HalfScales, _: &Chunk, total: v128, sum: v128) -> v128 {
        multiply_add(total, *scale, sum)
    }
}
