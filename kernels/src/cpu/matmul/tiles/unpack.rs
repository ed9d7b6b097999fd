//! Unpacking a chunk of weight rows into 32-bit lanes, format by format.
#![expect(unsafe_code, reason = "vector instructions on rows of weights that are read in place")]

use super::Scales;
use super::rows::Rows;
use super::vector::{Floats, Vector};

/// A quantised format.
pub(in super::super) trait Quants {
    /// Bytes of 256 columns.
    const BYTES: usize;
    /// Whether the scales are of 16 columns, not 32.
    const HALVES: bool;
    /// Whether scales and minima are small integers, times one scale and one minimum of all 256 columns.
    const NESTED: bool;
    /// Whether there are minima; only where [`Self::NESTED`].
    const MINIMA: bool;
    /// Whether blocks end in their order, at most two of them are begun at once, and their scales come before their quants.
    const ORDERED: bool;
    /// What was added to the quants to make them unsigned: a power of two, or 0 if they are unsigned without that or signed. Where
    /// vectors take whole bytes, quants are lifted such that it becomes 128.
    const OFFSET: i32;
    /// No quant is larger, nor its negative.
    const LARGEST: i32;
    /// Whether quants are signed, where vectors do not take whole bytes.
    const SIGNED: bool = !Self::MINIMA && Self::OFFSET == 0;

    /// Unpack the first `blocks` blocks of 32 columns of the chunk at byte `offset` of the rows; all 8 where a block of the
    /// format is longer.
    ///
    /// # Safety
    /// The rows have these blocks, and the instructions of `V` are enabled.
    unsafe fn unpack<V: Vector>(rows: &Rows, offset: usize, blocks: usize, take: &mut impl Take<V>);
}

/// What becomes of unpacked rows: `weight = scale * (quant - offset)` or, where scales are nested,
/// `weight = whole scale * scale * (quant - offset) - whole minimum * minimum`.
pub(in super::super) trait Take<V: Vector> {
    /// Where scales and minima are kept.
    fn scales(&mut self) -> &mut Scales<V>;
    /// Columns `16 * unit..16 * unit + 16` of rows, a row in every lane: four columns in each vector. Each unit comes once, and those
    /// of a block in their order; integer scales come before.
    ///
    /// # Safety
    /// Of this and all below: the instructions of `V` are enabled.
    unsafe fn quants(&mut self, unit: usize, quants: [V; 4]);

    /// The scale of part `part` of the chunk: of 16 columns or 32.
    #[inline(always)]
    unsafe fn scale(&mut self, part: usize, scale: V::Floats) {
        self.scales().parts[part] = scale;
    }
    /// The same where it is the unsigned byte `byte` of the lanes. The quants of the part are lifted by `lift` bits.
    #[inline(always)]
    unsafe fn integer_scale(&mut self, part: usize, lanes: V, byte: usize, lift: i32) {
        // SAFETY: as the caller says.
        unsafe { self.scales().integer(part, lanes, byte, lift) }
    }
    /// The minimum of block `block`, the unsigned byte `byte` of the lanes.
    #[inline(always)]
    unsafe fn minimum(&mut self, block: usize, lanes: V, byte: usize) {
        // SAFETY: as the caller says.
        self.scales().minima[block] = unsafe { lanes.unsigned_byte(byte) };
    }
    /// What scales and minima of all parts are multiplied with.
    #[inline(always)]
    unsafe fn whole(&mut self, scale: V::Floats, minimum: V::Floats) {
        let scales = self.scales();
        (scales.whole, scales.whole_minimum) = (scale, minimum);
    }
}

/// What is to be taken off the unpacked quants.
pub(super) const fn offset<V: Vector, F: Quants>() -> i32 {
    if V::WHOLE_BYTES && !F::MINIMA { 128 } else { F::OFFSET }
}

/// How far quants of `bits` are lifted: to the top of their bytes where vectors take whole bytes, which spares moving some of them.
const fn lift<V: Vector>(bits: i32) -> i32 {
    if V::WHOLE_BYTES { 8 - bits } else { 0 }
}

/// What scales are multiplied with if quants are lifted so far: no result is rounded differently.
pub(super) const fn lower(lift: i32) -> f32 {
    1.0 / (1 << lift) as f32
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

/// Scales and minima of the eight groups of `Q4_K` and `Q5_K`, from the 16 bytes in front of a block. Quants of odd groups
/// are lifted by `odd` bits.
///
/// # Safety
/// The rows have these bytes, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn unpack_scales<V: Vector>(rows: &Rows, offset: usize, odd: i32, take: &mut impl Take<V>) {
    // SAFETY: as the caller says.
    unsafe {
        let [floats, low_scales, low_minima, high] = V::load_16(rows, offset);
        take.whole(floats.halves(), floats.shift(-16).halves());
        let scales = [low_scales.and(63), high.and(15).or(low_scales.field(-2, 0x30))];
        let minima = [low_minima.and(63), high.field(-4, 15).or(low_minima.field(-2, 0x30))];
        for group in 0..8 {
            take.integer_scale(group, scales[group / 4], group % 4, odd * (group % 2) as i32);
            take.minimum(group, minima[group / 4], group % 4);
        }
    }
}

pub(in super::super) struct Q4_0;

impl Quants for Q4_0 {
    const BYTES: usize = 8 * 18;
    const HALVES: bool = false;
    const NESTED: bool = false;
    const MINIMA: bool = false;
    const ORDERED: bool = true;
    const OFFSET: i32 = 8;
    const LARGEST: i32 = 15;

    #[inline(always)]
    unsafe fn unpack<V: Vector>(rows: &Rows, offset: usize, blocks: usize, take: &mut impl Take<V>) {
        let lift = lift::<V>(4);
        for block in 0..blocks {
            let offset = offset + block * 18;
            // SAFETY: as the caller says.
            unsafe {
                let (scale, packed) = (V::load_halves(rows, offset), V::load_16(rows, offset + 2));
                take.scale(block, scale.mul(V::Floats::splat(lower(lift))));
                take.quants(2 * block, fields(packed, lift, 15 << lift));
                take.quants(2 * block + 1, fields(packed, lift - 4, 15 << lift));
            }
        }
    }
}

pub(in super::super) struct Q8_0;

impl Quants for Q8_0 {
    const BYTES: usize = 8 * 34;
    const HALVES: bool = false;
    const NESTED: bool = false;
    const MINIMA: bool = false;
    const ORDERED: bool = true;
    const OFFSET: i32 = 0;
    const LARGEST: i32 = 128;

    #[inline(always)]
    unsafe fn unpack<V: Vector>(rows: &Rows, offset: usize, blocks: usize, take: &mut impl Take<V>) {
        for block in 0..blocks {
            let offset = offset + block * 34;
            // SAFETY: as the caller says.
            unsafe {
                take.scale(block, V::load_halves(rows, offset));
                for first in (0..2).step_by(V::PARTS) {
                    let signed = V::load(rows, offset + 2 + 16 * first);
                    for part in 0..V::PARTS {
                        let mut quants = signed.as_ref()[part];
                        if V::WHOLE_BYTES {
                            for quants in &mut quants {
                                *quants = quants.flip(0x80);
                            }
                        }
                        take.quants(2 * block + first + part, quants);
                    }
                }
            }
        }
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(in super::super) struct Q4_K;

impl Quants for Q4_K {
    const BYTES: usize = 144;
    const HALVES: bool = false;
    const NESTED: bool = true;
    const MINIMA: bool = true;
    const ORDERED: bool = true;
    const OFFSET: i32 = 0;
    const LARGEST: i32 = 15;

    #[inline(always)]
    unsafe fn unpack<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, take: &mut impl Take<V>) {
        let odd = lift::<V>(4);
        // SAFETY: as the caller says.
        unsafe {
            unpack_scales(rows, offset, odd, take);
            // Written out, so that what is kept of a group stays in registers.
            unpack_nibbles::<V>(rows, offset, 0, take);
            unpack_nibbles::<V>(rows, offset, 1, take);
            unpack_nibbles::<V>(rows, offset, 2, take);
            unpack_nibbles::<V>(rows, offset, 3, take);
        }
    }
}

/// Quants of groups `2 * pair` and `2 * pair + 1` of a block of `Q4_K`.
///
/// # Safety
/// The rows have a block at `offset`, and the instructions of `V` are enabled.
#[inline(always)]
unsafe fn unpack_nibbles<V: Vector>(rows: &Rows, offset: usize, pair: usize, take: &mut impl Take<V>) {
    let odd = lift::<V>(4);
    // SAFETY: as the caller says.
    unsafe {
        for first in (0..2).step_by(V::PARTS) {
            let packed = V::load(rows, offset + 16 + 32 * pair + 16 * first);
            for part in 0..V::PARTS {
                let (unit, packed) = (4 * pair + first + part, packed.as_ref()[part]);
                take.quants(unit, fields(packed, 0, 15));
                take.quants(unit + 2, fields(packed, odd - 4, 15 << odd));
            }
        }
    }
}

#[expect(non_camel_case_types, reason = "the field's names")]
pub(in super::super) struct Q5_K;

impl Quants for Q5_K {
    const BYTES: usize = 176;
    const HALVES: bool = false;
    const NESTED: bool = true;
    const MINIMA: bool = true;
    const ORDERED: bool = true;
    const OFFSET: i32 = 0;
    const LARGEST: i32 = 31;

    #[inline(always)]
    unsafe fn unpack<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, take: &mut impl Take<V>) {
        // SAFETY: as the caller says.
        unsafe {
            unpack_scales(rows, offset, 0, take);
            let high = [V::load(rows, offset + 16), V::load(rows, offset + 16 + 16 * (2 - V::PARTS))];
            // Written out, so that bits are shifted by constants.
            unpack_pair::<V>(rows, offset, 0, &high, take);
            unpack_pair::<V>(rows, offset, 1, &high, take);
            unpack_pair::<V>(rows, offset, 2, &high, take);
            unpack_pair::<V>(rows, offset, 3, &high, take);
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
    take: &mut impl Take<V>,
) {
    // SAFETY: as the caller says.
    unsafe {
        for first in (0..2).step_by(V::PARTS) {
            let low = V::load(rows, offset + 48 + 32 * pair + 16 * first);
            for part in 0..V::PARTS {
                let (low, high) = (&low.as_ref()[part], &high[first].as_ref()[part]);
                let (unit, fifth) = (4 * pair + first + part, 4 - 2 * pair as i32);
                take.quants(unit, merged((low, 0, 15), (high, fifth, 0x10)));
                take.quants(unit + 2, merged((low, -4, 15), (high, fifth - 1, 0x10)));
            }
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
    const ORDERED: bool = false;
    const OFFSET: i32 = 32;
    const LARGEST: i32 = 63;

    #[inline(always)]
    unsafe fn unpack<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, take: &mut impl Take<V>) {
        let lift = lift::<V>(6);
        // SAFETY: as the caller says.
        unsafe {
            // Written out, so that what is kept of a part stays in registers.
            unpack_wide::<V>(rows, offset, 0, 0, take);
            if V::PARTS == 1 {
                unpack_wide::<V>(rows, offset, 0, 1, take);
            }
            unpack_wide::<V>(rows, offset, 1, 0, take);
            if V::PARTS == 1 {
                unpack_wide::<V>(rows, offset, 1, 1, take);
            }
            // Behind the quants also here, so that memory is read in its order.
            let (scale, packed) = (V::load_halves(rows, offset + 208), V::load_16(rows, offset + 192));
            take.whole(scale.mul(V::Floats::splat(lower(lift))), V::Floats::splat(0.0));
            for unit in 0..16 {
                take.scale(unit, packed[unit / 4].signed_byte(unit % 4));
            }
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
    take: &mut impl Take<V>,
) {
    let lift = lift::<V>(6);
    let (mask, top) = (15 << lift, 0x30 << lift);
    // SAFETY: as the caller says.
    unsafe {
        let low = offset + 64 * wide + 16 * first;
        let low = [V::load(rows, low), V::load(rows, low + 32)];
        let high = V::load(rows, offset + 128 + 32 * wide + 16 * first);
        for part in 0..V::PARTS {
            let low = [&low[0].as_ref()[part], &low[1].as_ref()[part]];
            let high = &high.as_ref()[part];
            let unit = 8 * wide + first + part;
            take.quants(unit, merged((low[0], lift, mask), (high, lift + 4, top)));
            take.quants(unit + 2, merged((low[1], lift, mask), (high, lift + 2, top)));
            take.quants(unit + 4, merged((low[0], lift - 4, mask), (high, lift, top)));
            take.quants(unit + 6, merged((low[1], lift - 4, mask), (high, lift - 2, top)));
        }
    }
}
