//! Compiling the algorithms for an instruction set.
#![expect(unsafe_code, reason = "functions that need an instruction set")]

use std::ops::Range;

use super::super::Product;
use super::super::activations::Chunk;
use super::columns::Columns;
use super::many::Tile;
use super::rows::Rows;
use super::unpack::{InPlace, Quants};
use super::vector::Vector;
use super::{Sums, TILES, floats};

/// The parts of the algorithms that are functions of their own, compiled with the instructions of the vector: as parts of one large
/// function their loops are unrolled too far, and sums do not stay in registers. `compiled!` makes them of the generic functions.
pub(in super::super) trait Compiled: Vector {
    /// The vector for one token, where memory is slower than a shorter one.
    type One: CompiledOne;

    /// See [`many::unpack`](super::many::unpack()).
    unsafe fn unpack<F: Quants>(rows: &Rows, offset: usize, blocks: usize, tile: &mut Tile<Self>);
    /// See [`many::accumulate`](super::many::accumulate).
    unsafe fn accumulate<F: Quants, const T: usize>(
        tiles: &[Tile<Self>; TILES],
        blocks: usize,
        x: *const Chunk,
        sums: &mut [Sums<Self>],
    );
    /// See [`floats::streams`].
    unsafe fn float_streams<F: floats::Format, const PARTS: usize, const R: usize>(
        product: &Product<'_>,
        first: usize,
        apart: usize,
    );
    /// See [`floats::tiles`].
    unsafe fn float_tiles<F: floats::Format, const R: usize, const T: usize>(
        product: &Product<'_>,
        rows: &Range<usize>,
        token: usize,
    );
}

/// The same for one token.
pub(in super::super) trait CompiledOne: Compiled + Columns {
    /// See [`InPlace::accumulate`].
    unsafe fn accumulate_one<F: InPlace>(
        rows: &Rows,
        offset: usize,
        blocks: usize,
        x: &Chunk,
        sum: &mut Self::Floats,
    );
}

/// Compile the functions of `$vector` with `$features`, which `$one` has too, its vector for one token.
macro_rules! compiled {
    ($vector:ty, $one:ty, $features:literal) => {
        const _: () = {
            use std::ops::Range;

            use $crate::cpu::matmul::Product;
            use $crate::cpu::matmul::activations::Chunk;
            use $crate::cpu::matmul::tiles::{
                Sums, TILES, entries::Compiled, floats, many, many::Tile, rows::Rows, unpack::Quants,
            };

            impl Compiled for $vector {
                type One = $one;

                #[inline]
                #[target_feature(enable = $features)]
                unsafe fn unpack<F: Quants>(
                    rows: &Rows,
                    offset: usize,
                    blocks: usize,
                    tile: &mut Tile<Self>,
                ) {
                    // SAFETY: the same contract.
                    unsafe { many::unpack::<Self, F>(rows, offset, blocks, tile) }
                }
                #[inline]
                #[target_feature(enable = $features)]
                unsafe fn accumulate<F: Quants, const T: usize>(
                    tiles: &[Tile<Self>; TILES],
                    blocks: usize,
                    x: *const Chunk,
                    sums: &mut [Sums<Self>],
                ) {
                    // SAFETY: the same contract.
                    unsafe { many::accumulate::<Self, F, T>(tiles, blocks, x, sums) }
                }
                #[inline]
                #[target_feature(enable = $features)]
                unsafe fn float_streams<F: floats::Format, const PARTS: usize, const R: usize>(
                    product: &Product<'_>,
                    first: usize,
                    apart: usize,
                ) {
                    // SAFETY: the same contract.
                    unsafe { floats::streams::<Self, F, PARTS, R>(product, first, apart) }
                }
                #[inline]
                #[target_feature(enable = $features)]
                unsafe fn float_tiles<F: floats::Format, const R: usize, const T: usize>(
                    product: &Product<'_>,
                    rows: &Range<usize>,
                    token: usize,
                ) {
                    // SAFETY: the same contract.
                    unsafe { floats::tiles::<Self, F, R, T>(product, rows, token) }
                }
            }
        };
    };
}
pub(in super::super) use compiled;

/// Compile those of `$vector` for one token.
macro_rules! compiled_one {
    ($vector:ty, $features:literal) => {
        const _: () = {
            use $crate::cpu::matmul::activations::Chunk;
            use $crate::cpu::matmul::tiles::{entries::CompiledOne, rows::Rows, unpack::InPlace};

            impl CompiledOne for $vector {
                // As a part of its caller, which has registers of its own to keep, it may compute addresses again and again. The
                // compiler heeds this for calls from functions with the same instructions only, and inlines small ones elsewhere.
                #[inline(never)]
                #[target_feature(enable = $features)]
                unsafe fn accumulate_one<F: InPlace>(
                    rows: &Rows,
                    offset: usize,
                    blocks: usize,
                    x: &Chunk,
                    sum: &mut Self::Floats,
                ) {
                    // SAFETY: the same contract.
                    unsafe { *sum = F::accumulate::<Self>(rows, offset, blocks, x, *sum) }
                }
            }
        };
    };
}
pub(in super::super) use compiled_one;

/// `plug`, which fills the slots of a table with functions for vectors `$vector`, compiled with `$features`.
macro_rules! entries {
    ($vector:ty, $features:literal) => {
        /// Overwrite all slots of `kernels`, whose instruction set has these features.
        pub(in $crate::cpu::matmul) fn plug(kernels: &mut $crate::cpu::matmul::Kernels) {
            use $crate::cpu::matmul::tiles::{floats, unpack};
            kernels.quantise = quantise;
            kernels.f32 = multiply_floats::<floats::F32>;
            kernels.f16 = multiply_floats::<floats::F16>;
            kernels.bf16 = multiply_floats::<floats::BF16>;
            kernels.q4_0 = multiply_quants::<unpack::Q4_0>;
            kernels.q8_0 = multiply_quants::<unpack::Q8_0>;
            kernels.q4_k = multiply_quants::<unpack::Q4_K>;
            kernels.q5_k = multiply_quants::<unpack::Q5_K>;
            kernels.q6_k = multiply_quants::<unpack::Q6_K>;
        }

        /// # Safety
        /// As [`Kernels::multiply`](crate::cpu::matmul::Kernels::multiply), with the sizes checked, on a machine with these features.
        #[target_feature(enable = $features)]
        pub(in $crate::cpu::matmul) unsafe fn multiply_quants<
            F: $crate::cpu::matmul::tiles::unpack::InPlace,
        >(
            product: &$crate::cpu::matmul::Product<'_>,
        ) {
            // SAFETY: the same contract.
            unsafe { $crate::cpu::matmul::tiles::multiply_quants::<$vector, F>(product) }
        }

        /// # Safety
        /// As [`multiply_quants`].
        #[target_feature(enable = $features)]
        unsafe fn multiply_floats<F: $crate::cpu::matmul::tiles::floats::Format>(
            product: &$crate::cpu::matmul::Product<'_>,
        ) {
            use $crate::cpu::matmul::tiles::{entries::Compiled, floats, vector::Vector};
            type One = <$vector as Compiled>::One;
            const PARTS_OF_ONE: usize = <$vector>::LANES / One::LANES;
            const STREAMS: usize = One::FLOAT_STREAMS;
            const ROWS: usize = <$vector>::FLOAT_ROWS;
            const TOKENS: usize = <$vector>::FLOAT_TOKENS;
            // SAFETY: the same contract.
            unsafe {
                if product.tokens == 1 {
                    floats::multiply_one::<One, F, PARTS_OF_ONE, STREAMS>(product)
                } else {
                    floats::multiply_many::<$vector, F, ROWS, TOKENS>(product)
                }
            }
        }

        /// As the portable one, compiled for these instructions.
        ///
        /// # Safety
        /// As [`Kernels::prepare`](crate::cpu::matmul::Kernels::prepare), with the sizes checked, on a machine with these features.
        #[target_feature(enable = $features)]
        unsafe fn quantise(
            activations: &$crate::cpu::matmul::Activations,
            preparation: $crate::cpu::matmul::Preparation,
            row: usize,
            tokens: usize,
            x: &[f32],
        ) {
            // SAFETY: the same contract.
            unsafe { $crate::cpu::matmul::portable::quantise(activations, preparation, row, tokens, x) }
        }
    };
}
pub(in super::super) use entries;
