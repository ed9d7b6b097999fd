//! Unpacking a chunk of weight rows, format by format: a row in every lane for many tokens, columns in lanes for one.
#![expect(unsafe_code, reason = "vector instructions on rows of weights that are read in place")]

use super::super::activations::Chunk;
use super::super::{BLOCK, CHUNK};
use super::Scales;
use super::columns::{Columns, Line};
use super::one::{
    Nested, NestedHalves, Plain, accumulate_halves, accumulate_nested, accumulate_plain, add_blocks,
};
use super::rows::Rows;
use super::vector::Vector;

/// A quantised format: `weight = scale * (quant - offset)` or, where scales are nested,
/// `weight = whole scale * scale * (quant - offset) - whole minimum * minimum`.
pub(in super::super) trait Quants {
    /// Bytes of 256 columns.
    const BYTES: usize;
    /// Whether the scales are of 16 columns, not 32.
    const HALVES: bool;
    /// Whether scales and minima are small integers, times one scale and one minimum of all 256 columns.
    const NESTED: bool;
    /// Whether there are minima; only where [`Self::NESTED`].
    const MINIMA: bool;
    /// What was added to the quants to make them unsigned: a power of two, or 0 if they are unsigned without that or signed.
    const OFFSET: i32;
    /// No quant with its offset taken off is larger, nor its negative.
    const LARGEST: i32;
    /// Whether quants are signed, where vectors do not take whole bytes.
    const SIGNED: bool = !Self::MINIMA && Self::OFFSET == 0;

    /// The scales of the first `blocks` blocks of 32 columns of the chunk at byte `offset` of the rows; all 8 where they are nested.
    ///
    /// # Safety
    /// Of this and all below: the rows have these blocks, and the instructions of the vectors are enabled.
    unsafe fn scales<V: Vector>(rows: &Rows, offset: usize, blocks: usize, scales: &mut Scales<V>);
    /// Their quants, a row in every lane and four columns in each vector.
    unsafe fn quants<V: Vector>(rows: &Rows, offset: usize, blocks: usize, quants: &mut [V; CHUNK / 4]);
}

/// A format whose blocks are multiplied with one token where they lie.
pub(in super::super) trait InPlace: Quants {
    /// `sum` and the products of these blocks with one token: [`accumulate_plain`] or [`accumulate_nested`].
    ///
    /// # Safety
    /// As those of [`Quants`].
    unsafe fn accumulate<V: Columns>(
        rows: &Rows,
        offset: usize,
        blocks: usize,
        x: &Chunk,
        sum: V::Floats,
    ) -> V::Floats;
}

/// What is to be taken off the unpacked quants.
pub(in super::super) const fn offset<V: Vector, F: Quants>() -> i32 {
    if V::WHOLE_BYTES && F::SIGNED { 128 } else { F::OFFSET }
}

/// The fields of four vectors.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn fields<V: Vector>(mut lanes: [V; 4], shift: i32, mask: u8) -> [V; 4] {
    for lanes in &mut lanes {
        // SAFETY: as the caller says.
        *lanes = unsafe { lanes.field(shift, mask) };
    }
    lanes
}

/// The fields of `high` beside those of `low`.
///
/// # Safety
/// The instructions of `V` are enabled.
#[inline(always)]
unsafe fn merged<V: Vector>(
    (low, low_shift, low_mask): (&[V; 4], i32, u8),
    (high, high_shift, high_mask): (&[V; 4], i32, u8),
) -> [V; 4] {
    let mut lanes = *low;
    for i in 0..4 {
        // SAFETY: as the caller says.
        lanes[i] = unsafe { low[i].field(low_shift, low_mask).or(high[i].field(high_shift, high_mask)) };
    }
    lanes
}

/// Columns `16 * unit..16 * unit + 16`.
#[inline(always)]
fn put<V: Vector>(quants: &mut [V; CHUNK / 4], unit: usize, lanes: [V; 4]) {
    quants[4 * unit..4 * unit + 4].copy_from_slice(&lanes);
}

/// Scales and minima of the eight blocks of a chunk of `Q4_K` or `Q5_K`, which has them in 16 bytes in front.
pub(super) struct PackedScales<V: Vector> {
    /// Of blocks 0 to 3, a byte each, and of 4 to 7.
    pub(super) scales: [V; 2],
    pub(super) minima: [V; 2],
    pub(super) whole: V::Floats,
    pub(super) whole_minimum: V::Floats,
}

impl<V: Vector> PackedScales<V> {
    /// # Safety
    /// The rows have these bytes, and the instructions of `V` are enabled.
    #[inline(always)]
    pub(super) unsafe fn load(rows: &Rows, offset: usize) -> Self {
        // SAFETY: as the caller says.
        unsafe { Self::new(V::load_16(rows, offset)) }
    }

    /// Of these 16 bytes of every row.
    ///
    /// # Safety
    /// The instructions of `V` are enabled.
    #[inline(always)]
    pub(super) unsafe fn new([floats, low_scales, low_minima, high]: [V; 4]) -> Self {
        // SAFETY: as the caller says.
        unsafe {
            Self {
                scales: [low_scales.and(63), high.and(15).or(low_scales.field(-2, 0x30))],
                minima: [low_minima.and(63), high.field(-4, 15).or(low_minima.field(-2, 0x30))],
                whole: floats.halves(),
                whole_minimum: floats.shift(-16).halves(),
            }
        }
    }

    /// The scale of a block, as [`Vector::add_scaled`] wants it.
    ///
    /// # Safety
    /// The instructions of `V` are enabled.
    #[inline(always)]
    pub(super) unsafe fn scale(&self, block: usize) -> V {
        // SAFETY: as the caller says.
        unsafe { self.scales[block / 4].scale_byte(block % 4, false) }
    }

    /// # Safety
    /// The instructions of `V` are enabled.
    #[inline(always)]
    pub(super) unsafe fn unpack(&self, to: &mut Scales<V>) {
        (to.whole, to.whole_minimum) = (self.whole, self.whole_minimum);
        // SAFETY: as the caller says.
        to.minima = unsafe { V::minima(self.minima) };
        for block in 0..CHUNK / BLOCK {
            // SAFETY: as the caller says.
            unsafe {
                to.parts[block] = self.scale(block);
            }
        }
    }
}

/// The scales in front of blocks that have their own.
///
/// # Safety
/// The rows have these blocks, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn load_scales<V: Vector, F: Quants>(rows: &Rows, offset: usize, blocks: usize, to: &mut Scales<V>) {
    for block in 0..blocks {
        // SAFETY: as the caller says.
        to.blocks[block] = unsafe { V::load_halves(rows, offset + block * (F::BYTES * BLOCK / CHUNK)) };
    }
}

pub(in super::super) struct Q4_0;

impl Quants for Q4_0 {
    const BYTES: usize = 8 * 18;
    const HALVES: bool = false;
    const NESTED: bool = false;
    const MINIMA: bool = false;
    const OFFSET: i32 = 8;
    const LARGEST: i32 = 8;

    #[inline(always)]
    unsafe fn scales<V: Vector>(rows: &Rows, offset: usize, blocks: usize, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { load_scales::<V, Self>(rows, offset, blocks, scales) }
    }
    #[inline(always)]
    unsafe fn quants<V: Vector>(rows: &Rows, offset: usize, blocks: usize, quants: &mut [V; CHUNK / 4]) {
        for block in 0..blocks {
            // SAFETY: as the caller says.
            unsafe {
                let packed = V::load_16(rows, offset + block * 18 + 2);
                put(quants, 2 * block, fields(packed, 0, 15));
                put(quants, 2 * block + 1, fields(packed, -4, 15));
            }
        }
    }
}

impl InPlace for Q4_0 {
    #[inline(always)]
    unsafe fn accumulate<V: Columns>(
        rows: &Rows,
        offset: usize,
        blocks: usize,
        x: &Chunk,
        sum: V::Floats,
    ) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { accumulate_plain::<V, Self>(rows, offset, blocks, x, sum) }
    }
}

impl Plain for Q4_0 {
    #[inline(always)]
    unsafe fn dot<V: Columns>(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> V {
        // SAFETY: as the caller says.
        unsafe { V::dot_nibbles(rows, offset + 2, x) }
    }
}

pub(in super::super) struct Q8_0;

impl Quants for Q8_0 {
    const BYTES: usize = 8 * 34;
    const HALVES: bool = false;
    const NESTED: bool = false;
    const MINIMA: bool = false;
    const OFFSET: i32 = 0;
    const LARGEST: i32 = 128;

    #[inline(always)]
    unsafe fn scales<V: Vector>(rows: &Rows, offset: usize, blocks: usize, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { load_scales::<V, Self>(rows, offset, blocks, scales) }
    }
    #[inline(always)]
    unsafe fn quants<V: Vector>(rows: &Rows, offset: usize, blocks: usize, quants: &mut [V; CHUNK / 4]) {
        for block in 0..blocks {
            let offset = offset + block * 34;
            for first in (0..2).step_by(V::PARTS) {
                // SAFETY: as the caller says.
                let signed = unsafe { V::load(rows, offset + 2 + 16 * first) };
                for part in 0..V::PARTS {
                    let mut lanes = signed.as_ref()[part];
                    for lanes in &mut lanes {
                        // SAFETY: as the caller says.
                        *lanes = unsafe { lanes.whole_bytes() };
                    }
                    put(quants, 2 * block + first + part, lanes);
                }
            }
        }
    }
}

impl InPlace for Q8_0 {
    #[inline(always)]
    unsafe fn accumulate<V: Columns>(
        rows: &Rows,
        offset: usize,
        blocks: usize,
        x: &Chunk,
        sum: V::Floats,
    ) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { accumulate_plain::<V, Self>(rows, offset, blocks, x, sum) }
    }
}

impl Plain for Q8_0 {
    #[inline(always)]
    unsafe fn dot<V: Columns>(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> V {
        // SAFETY: as the caller says.
        unsafe { V::dot_bytes(rows, offset + 2, x) }
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(in super::super) struct Q4_K;

impl Quants for Q4_K {
    const BYTES: usize = 144;
    const HALVES: bool = false;
    const NESTED: bool = true;
    const MINIMA: bool = true;
    const OFFSET: i32 = 0;
    const LARGEST: i32 = 15;

    #[inline(always)]
    unsafe fn scales<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { PackedScales::load(rows, offset).unpack(scales) }
    }
    #[inline(always)]
    unsafe fn quants<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, quants: &mut [V; CHUNK / 4]) {
        for pair in 0..4 {
            for first in (0..2).step_by(V::PARTS) {
                // SAFETY: as the caller says.
                unsafe {
                    let packed = V::load(rows, offset + 16 + 32 * pair + 16 * first);
                    for part in 0..V::PARTS {
                        let (unit, packed) = (4 * pair + first + part, packed.as_ref()[part]);
                        put(quants, unit, fields(packed, 0, 15));
                        put(quants, unit + 2, fields(packed, -4, 15));
                    }
                }
            }
        }
    }
}

impl InPlace for Q4_K {
    #[inline(always)]
    unsafe fn accumulate<V: Columns>(
        rows: &Rows,
        offset: usize,
        _blocks: usize,
        x: &Chunk,
        sum: V::Floats,
    ) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { accumulate_nested::<V, Self>(rows, offset, x, sum) }
    }
}

impl Nested for Q4_K {
    #[inline(always)]
    unsafe fn line<L: Line>(chunk: *const u8, block: usize) -> L {
        let shift = if block.is_multiple_of(2) { 0 } else { -4 };
        // SAFETY: as the caller says.
        unsafe { L::load(chunk.add(16 + 32 * (block / 2))).field(shift, 15) }
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(in super::super) struct Q5_K;

impl Quants for Q5_K {
    const BYTES: usize = 176;
    const HALVES: bool = false;
    const NESTED: bool = true;
    const MINIMA: bool = true;
    const OFFSET: i32 = 0;
    const LARGEST: i32 = 31;

    #[inline(always)]
    unsafe fn scales<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { PackedScales::load(rows, offset).unpack(scales) }
    }
    #[inline(always)]
    unsafe fn quants<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, quants: &mut [V; CHUNK / 4]) {
        // SAFETY: as the caller says.
        unsafe {
            let high = [V::load(rows, offset + 16), V::load(rows, offset + 16 + 16 * (2 - V::PARTS))];
            // Written out, so that bits are shifted by constants.
            unpack_pair::<V>(rows, offset, 0, &high, quants);
            unpack_pair::<V>(rows, offset, 1, &high, quants);
            unpack_pair::<V>(rows, offset, 2, &high, quants);
            unpack_pair::<V>(rows, offset, 3, &high, quants);
        }
    }
}

impl InPlace for Q5_K {
    #[inline(always)]
    unsafe fn accumulate<V: Columns>(
        rows: &Rows,
        offset: usize,
        _blocks: usize,
        x: &Chunk,
        sum: V::Floats,
    ) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { accumulate_nested::<V, Self>(rows, offset, x, sum) }
    }
}

impl Nested for Q5_K {
    #[inline(always)]
    unsafe fn line<L: Line>(chunk: *const u8, block: usize) -> L {
        let shift = if block.is_multiple_of(2) { 0 } else { -4 };
        // SAFETY: as the caller says.
        unsafe {
            let low = L::load(chunk.add(48 + 32 * (block / 2))).field(shift, 15);
            low.or(L::load(chunk.add(16)).field(4 - block as i32, 0x10))
        }
    }
}

/// Quants of groups `2 * pair` and `2 * pair + 1` of a block of `Q5_K`, whose fifth bits are in `high`.
///
/// # Safety
/// The rows have a block at `offset`, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn unpack_pair<V: Vector>(
    rows: &Rows,
    offset: usize,
    pair: usize,
    high: &[V::Loaded; 2],
    quants: &mut [V; CHUNK / 4],
) {
    // SAFETY: as the caller says.
    unsafe {
        for first in (0..2).step_by(V::PARTS) {
            let low = V::load(rows, offset + 48 + 32 * pair + 16 * first);
            for part in 0..V::PARTS {
                let (low, high) = (&low.as_ref()[part], &high[first].as_ref()[part]);
                let (unit, fifth) = (4 * pair + first + part, 4 - 2 * pair as i32);
                put(quants, unit, merged((low, 0, 15), (high, fifth, 0x10)));
                put(quants, unit + 2, merged((low, -4, 15), (high, fifth - 1, 0x10)));
            }
        }
    }
}

/// The scales of 16 columns of a chunk that has them in signed bytes.
///
/// # Safety
/// The rows have this chunk, and the instructions of `V` are enabled.
#[inline(always)]
pub(in super::super) unsafe fn half_scales<V: Vector, F: NestedHalves>(
    rows: &Rows,
    offset: usize,
    scales: &mut Scales<V>,
) {
    // SAFETY: as the caller says.
    unsafe {
        scales.whole = V::load_halves(rows, offset + F::WHOLE);
        let packed = V::load_16(rows, offset + F::SCALES);
        for four in 0..4 {
            // Written out, so that bytes are moved by constants.
            scales.parts[4 * four] = packed[four].scale_byte(0, true);
            scales.parts[4 * four + 1] = packed[four].scale_byte(1, true);
            scales.parts[4 * four + 2] = packed[four].scale_byte(2, true);
            scales.parts[4 * four + 3] = packed[four].scale_byte(3, true);
        }
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(in super::super) struct Q6_K;

impl Quants for Q6_K {
    const BYTES: usize = 210;
    const HALVES: bool = true;
    const NESTED: bool = true;
    const MINIMA: bool = false;
    const OFFSET: i32 = 32;
    const LARGEST: i32 = 32;

    #[inline(always)]
    unsafe fn scales<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { half_scales::<V, Self>(rows, offset, scales) }
    }
    #[inline(always)]
    unsafe fn quants<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, quants: &mut [V; CHUNK / 4]) {
        // SAFETY: as the caller says.
        unsafe {
            for wide in 0..2 {
                unpack_wide::<V>(rows, offset, wide, 0, quants);
                if V::PARTS == 1 {
                    unpack_wide::<V>(rows, offset, wide, 1, quants);
                }
            }
        }
    }
}

impl InPlace for Q6_K {
    #[inline(always)]
    unsafe fn accumulate<V: Columns>(
        rows: &Rows,
        offset: usize,
        _blocks: usize,
        x: &Chunk,
        sum: V::Floats,
    ) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { accumulate_halves::<V, Self>(rows, offset, x, sum) }
    }
}

impl NestedHalves for Q6_K {
    const SCALES: usize = 192;
    const WHOLE: usize = 208;

    #[inline(always)]
    unsafe fn add_products<L: Line>(
        chunk: *const u8,
        x: &Chunk,
        factors: L::HalfFactors,
        sums: L::Sums,
    ) -> L::Sums {
        // SAFETY: as the caller says.
        unsafe { add_blocks::<L, Self>(chunk, x, factors, sums) }
    }
}

impl Nested for Q6_K {
    #[inline(always)]
    unsafe fn line<L: Line>(chunk: *const u8, block: usize) -> L {
        let (wide, quarter) = (block / 4, block % 4);
        let shift = if quarter < 2 { 0 } else { -4 };
        // SAFETY: as the caller says.
        unsafe {
            let low = L::load(chunk.add(64 * wide + 32 * (quarter % 2))).field(shift, 15);
            low.or(L::load(chunk.add(128 + 32 * wide)).field(4 - 2 * quarter as i32, 0x30))
        }
    }
}

/// Quants of 128 columns of a block of `Q6_K`: 16 or 32 of every 32.
///
/// # Safety
/// The rows have a block at `offset`, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn unpack_wide<V: Vector>(
    rows: &Rows,
    offset: usize,
    wide: usize,
    first: usize,
    quants: &mut [V; CHUNK / 4],
) {
    // SAFETY: as the caller says.
    unsafe {
        let low = offset + 64 * wide + 16 * first;
        let low = [V::load(rows, low), V::load(rows, low + 32)];
        let high = V::load(rows, offset + 128 + 32 * wide + 16 * first);
        for part in 0..V::PARTS {
            let low = [&low[0].as_ref()[part], &low[1].as_ref()[part]];
            let high = &high.as_ref()[part];
            let unit = 8 * wide + first + part;
            put(quants, unit, merged((low[0], 0, 15), (high, 4, 0x30)));
            put(quants, unit + 2, merged((low[1], 0, 15), (high, 2, 0x30)));
            put(quants, unit + 4, merged((low[0], -4, 15), (high, 0, 0x30)));
            put(quants, unit + 6, merged((low[1], -4, 15), (high, -2, 0x30)));
        }
    }
}
