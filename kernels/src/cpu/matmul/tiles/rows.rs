//! The rows of a weight that a tile is made of.
#![expect(unsafe_code, reason = "vector instructions")]

use std::ops::Range;

use super::super::Product;
use super::TILES;
use super::columns::Columns;
use super::vector::Vector;
#[cfg(not(target_family = "wasm"))]
use crate::packed;

/// How far ahead a row is brought near: five lines are on their way while two chunks of `Q4_K` are multiplied, and eight rows of them
/// leave room for others in the L1 cache.
const NEXT: usize = 320;

/// How far apart rows lie of which `lanes` are read at once, each as a stream of its own through the matrix; 0 if there are too few.
pub(super) fn distance(product: &Product<'_>, lanes: usize) -> usize {
    let apart = product.rows.len() / lanes;
    // Where lines of all rows would compete for the same places of the L1 cache.
    let compete = apart > 1 && (apart * product.row_bytes).is_multiple_of(4096);
    apart - usize::from(compete)
}

/// As many rows of a weight as a vector has lanes, at equal distances. Some may be computed for nothing.
pub(in super::super) struct Rows {
    /// Number of the first row, and where it starts.
    pub(super) first: usize,
    start: *const u8,
    /// From a row to the next one.
    pub(super) apart: usize,
    /// Bytes from row to row; 0 if all are the first one.
    stride: usize,
    /// Those that are wanted.
    pub(super) wanted: Range<usize>,
    /// From a row to the one that loads of this one bring near.
    ahead: usize,
}

impl Rows {
    /// Take up to `lanes` rows off the front of `rest`. Near the end of the matrix they begin earlier, and a matrix of fewer rows is
    /// taken row by row.
    pub(super) fn next(product: &Product<'_>, lanes: usize, rest: &mut Range<usize>) -> Self {
        let total = product.weight.len() / product.row_bytes;
        let (first, stride, most) = match total.checked_sub(lanes) {
            Some(last) => (rest.start.min(last), product.row_bytes, lanes),
            None => (rest.start.min(total - 1), 0, 1),
        };
        let skipped = rest.start - first;
        let count = rest.len().min(most);
        rest.start += count;
        let start = product.weight.as_ptr().wrapping_add(first * product.row_bytes);
        Self {
            first,
            apart: 1,
            start,
            stride,
            wanted: skipped..skipped + count,
            ahead: TILES * lanes * product.row_bytes,
        }
    }

    /// Rows `apart` from each other, from row `first` on, all of them wanted.
    pub(super) fn apart(product: &Product<'_>, lanes: usize, first: usize, apart: usize) -> Self {
        let start = product.weight.as_ptr().wrapping_add(first * product.row_bytes);
        Self { first, apart, start, stride: apart * product.row_bytes, wanted: 0..lanes, ahead: 0 }
    }

    /// Where a row has `offset`. Rows are addressed from every fourth one, which x86 does without further registers.
    #[inline(always)]
    pub(in super::super) fn row(&self, lane: usize, offset: usize) -> *const u8 {
        let four = self.start.wrapping_add(lane / 4 * 4 * self.stride);
        four.wrapping_add(offset).wrapping_add(lane % 4 * self.stride)
    }

    /// These rows from `offset` on, as if they began there; none of them are wanted.
    #[inline(always)]
    pub(super) fn starting_at<V: Columns>(&self, offset: usize) -> Self {
        Self { start: V::opaque(self.start.wrapping_add(offset)), wanted: 0..0, ..*self }
    }

    /// The same for a loop over the lanes, where a register moves from row to row.
    #[inline(always)]
    pub(in super::super) fn row_in_turn<V: Columns>(&self, lane: usize, offset: usize) -> *const u8 {
        V::opaque(self.start.wrapping_add(offset).wrapping_add(lane * self.stride))
    }

    /// Where the lines begin that packed rows have at `offset`: those before it are the bytes before it of a group of rows.
    #[cfg(not(target_family = "wasm"))]
    #[inline(always)]
    pub(super) fn packed<V: Vector>(&self, offset: usize) -> *const V {
        let number = self.first % packed::ROWS;
        let group = self.start.wrapping_sub(number * self.stride);
        group.wrapping_add(packed::ROWS * offset).cast::<V>().wrapping_add(number / V::LANES)
    }

    /// Bring the next rows near, by as many bytes as are read of these. Four rows lie behind each other, so this walks through a part
    /// of memory for every four lanes in its order, although the loads do not, and the hardware runs ahead of it.
    ///
    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn prefetch<V: Vector>(&self, offset: usize, bytes: usize) {
        for four in (0..V::LANES).step_by(4) {
            let ahead = self.row(four, 4 * offset).wrapping_add(self.ahead);
            for line in (0..4 * bytes).step_by(64) {
                // SAFETY: as the caller says.
                unsafe { V::prefetch(ahead.wrapping_add(line)) };
            }
        }
    }

    /// Bring near what follows in every row, by as many bytes as are read of them.
    ///
    /// # Safety
    /// As [`Self::prefetch`].
    #[inline(always)]
    pub(super) unsafe fn prefetch_lanes<V: Vector>(&self, offset: usize, bytes: usize) {
        for lane in 0..V::LANES {
            // SAFETY: as the caller says.
            unsafe { prefetch_next::<V>(self.row(lane, offset), bytes) };
        }
    }
}

/// Bring near what follows behind `read`, by as many bytes as are read there.
///
/// # Safety
/// As [`Rows::prefetch`].
#[inline(always)]
pub(super) unsafe fn prefetch_next<V: Vector>(read: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        // SAFETY: as the caller says.
        unsafe { V::prefetch(read.wrapping_add(NEXT + line)) };
    }
}
