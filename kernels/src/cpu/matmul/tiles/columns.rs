//! What one token needs of an instruction set: columns in lanes.
#![expect(unsafe_code, reason = "vector instructions and their loads")]

use super::super::activations::Chunk;
use super::super::{BLOCK, CHUNK};
use super::rows::Rows;
use super::vector::Vector;

/// Rows that are multiplied at once: as many streams from memory.
pub(in super::super) const ROWS: usize = 8;

/// A vector that has as many lanes as rows are multiplied at once, and what gets the columns of a row into one lane.
pub(in super::super) trait Columns: Vector {
    /// 32 columns of a row.
    type Line: Line;

    /// Whether to prefetch blocks that have scales of their own. All rows advance by so small a block in turn that the hardware of a
    /// Zen 3 runs ahead of it, and is a tenth faster without the instructions; that of a Sapphire Rapids is a tenth slower.
    const PREFETCH_PLAIN: bool;
    /// Whether blocks of nested scales are multiplied with four rows and then with the other four, since registers are too few for the
    /// sums of eight and what they are made of.
    const FOUR_BY_FOUR: bool;

    /// The products of 32 columns of every row with signed activations: of the lower four bits of 16 bytes at `offset`, then of the upper
    /// ones.
    ///
    /// # Safety
    /// Of this and all below: the instructions are enabled, and the rows have these bytes.
    unsafe fn dot_nibbles(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> Self;
    /// The same of 32 signed bytes, with 128 added to each where [`Vector::WHOLE_BYTES`].
    unsafe fn dot_bytes(rows: &Rows, offset: usize, x: &[i8; BLOCK]) -> Self;

    /// The sums of row `r` in lane `r`.
    unsafe fn collect(sums: [<Self::Line as Line>::Sums; ROWS]) -> Self;
    /// The four bytes of every lane, scales of blocks `4 * four` to `4 * four + 3`, times the multipliers that these have in `x`, as
    /// [`Line::add_scaled`] wants them.
    unsafe fn factors(scales: Self, x: &Chunk, four: usize) -> [Self; 4];
    /// The sums of lanes.
    unsafe fn add(self, other: Self) -> Self;
}

/// 32 bytes of one row, each a column. It may be more than one register. Methods are safe to call as those of [`Vector`].
pub(in super::super) trait Line: Copy {
    /// Integers whose sum counts.
    type Sums: Copy;
    /// The factors of a block of four rows, or where they are.
    type Factors: Copy;
    /// The factors of the halves of the blocks of a chunk.
    type HalfFactors: Copy;

    /// 32 bytes from anywhere.
    unsafe fn load(from: *const u8) -> Self;
    /// The activations of a block.
    #[inline(always)]
    unsafe fn quants(x: &Chunk, block: usize) -> Self {
        // SAFETY: as the caller says; there are 32 bytes.
        unsafe { Self::load(x.quants.as_chunks::<BLOCK>().0[block].as_ptr().cast()) }
    }
    /// The bits of `mask` in every byte, after its bits were shifted left, or right if `shift` is negative. No bits of a neighbour come
    /// in with them.
    unsafe fn field(self, shift: i32, mask: u8) -> Self;
    /// The bits of both.
    unsafe fn or(self, other: Self) -> Self;

    /// No sums.
    unsafe fn zero() -> Self::Sums;
    /// The factors of four rows.
    unsafe fn load_factors(factors: *const [i32; 4]) -> Self::Factors;
    /// `sums` and the products of unsigned weights up to 63 with signed activations `x`, times factor `ROW` of four.
    unsafe fn add_scaled<const ROW: usize>(
        self,
        x: Self,
        factors: Self::Factors,
        sums: Self::Sums,
    ) -> Self::Sums;
    /// The same sums, where engines that compute late must have computed them by now.
    #[inline(always)]
    unsafe fn settle(sums: Self::Sums) -> Self::Sums {
        sums
    }

    /// The factors of the halves of eight blocks: their 16 scales, signed bytes, times the multipliers of all blocks.
    unsafe fn half_factors(scales: *const u8, multipliers: &[[i16; CHUNK / BLOCK]; 2]) -> Self::HalfFactors;
    /// The products of the factors with `x`: of all first halves, and of the second ones.
    unsafe fn dot_factors(factors: Self::HalfFactors, x: &[[i16; CHUNK / BLOCK]; 2]) -> Self::Sums;
    /// `sums` times 2 to the power of `bits`.
    unsafe fn shift_sums(sums: Self::Sums, bits: u32) -> Self::Sums;
    /// As [`Self::add_scaled`], with the factors of the halves of block `B`.
    unsafe fn add_halves_scaled<const B: usize>(
        self,
        x: Self,
        factors: Self::HalfFactors,
        sums: Self::Sums,
    ) -> Self::Sums;
    /// `sums` and the products of a quarter of a chunk of [packed](crate::packed) quants, times the factors of the halves of blocks that it
    /// is of.
    #[cfg(target_feature = "relaxed-simd")]
    unsafe fn add_packed<const QUARTER: usize>(
        quants: *const u8,
        x: &Chunk,
        factors: Self::HalfFactors,
        sums: Self::Sums,
    ) -> Self::Sums;
}
