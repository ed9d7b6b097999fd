//! [Packed](crate::packed) weights: quants that are whole bytes, beside those of other blocks.

use super::super::CHUNK;
use super::super::activations::Chunk;
use super::super::tiles::Scales;
use super::super::tiles::columns::{Columns, Line};
use super::super::tiles::one::{NestedHalves, accumulate_halves};
use super::super::tiles::rows::Rows;
use super::super::tiles::unpack::{InPlace, Q6_K, Quants, half_scales};
use super::super::tiles::vector::Vector;
use crate::packed::bytes::{BYTES, QUANTS, VECTOR, VECTORS, WHOLE, column};

/// `Q6_K` as it is packed.
pub(super) struct Packed;

impl Quants for Packed {
    const BYTES: usize = BYTES;
    const HALVES: bool = Q6_K::HALVES;
    const NESTED: bool = Q6_K::NESTED;
    const MINIMA: bool = Q6_K::MINIMA;
    const OFFSET: i32 = Q6_K::OFFSET;
    const LARGEST: i32 = Q6_K::LARGEST;

    #[inline(always)]
    unsafe fn scales<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, scales: &mut Scales<V>) {
        // SAFETY: as the caller says.
        unsafe { half_scales::<V, Self>(rows, offset, scales) }
    }
    #[inline(always)]
    unsafe fn quants<V: Vector>(rows: &Rows, offset: usize, _blocks: usize, quants: &mut [V; CHUNK / 4]) {
        for vector in (0..VECTORS).step_by(2) {
            let at = offset + QUANTS + VECTOR * vector;
            // SAFETY: as the caller says.
            unsafe {
                let (first, second) = (V::load_16(rows, at), V::load_16(rows, at + VECTOR));
                for word in 0..4 {
                    // Two columns each of two blocks.
                    let (low, high) = (first[word].shift(16).shift(-16), second[word].shift(16));
                    quants[column(vector, 2 * word) / 4] = low.or(high);
                    let (low, high) = (first[word].shift(-16), second[word].shift(-16).shift(16));
                    quants[column(vector, 2 * word + 1) / 4] = low.or(high);
                }
            }
        }
    }
}

impl InPlace for Packed {
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

impl NestedHalves for Packed {
    const SCALES: usize = 0;
    const WHOLE: usize = WHOLE;

    #[inline(always)]
    unsafe fn add_products<L: Line>(
        chunk: *const u8,
        x: &Chunk,
        factors: L::HalfFactors,
        mut sums: L::Sums,
    ) -> L::Sums {
        // SAFETY: as the caller says.
        unsafe {
            let quants = chunk.add(QUANTS);
            sums = L::add_packed::<0>(quants, x, factors, sums);
            sums = L::add_packed::<1>(quants, x, factors, sums);
            sums = L::add_packed::<2>(quants, x, factors, sums);
            L::add_packed::<3>(quants, x, factors, sums)
        }
    }
}
