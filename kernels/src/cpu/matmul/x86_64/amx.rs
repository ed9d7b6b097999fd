//! AMX: 16 tokens times 16 rows of a block are multiplied by one instruction. AVX-512 gets the integers that it has by itself, too, and adds
//! them up in the same order, so outputs are the same to the bit.
//!
//! That is for formats whose blocks have scales of their own. Where scales are nested, the integer of every block is multiplied with
//! integers, which is most of the work and stays that of AVX-512.
#![expect(unsafe_code, reason = "instructions on tiles, and activations behind a pointer")]

use std::arch::asm;
use std::arch::x86_64::{_mm512_set1_epi8, _mm512_sub_epi8};
use std::mem::MaybeUninit;

use super::super::activations::{Chunk, READ_BEHIND};
use super::super::tiles::many::{Multiplier, Tile, multiply_many};
use super::super::tiles::packed::{Pack, Packed};
use super::super::tiles::unpack::{InPlace, Q4_0, Q8_0, Quants, offset};
use super::super::tiles::vector::Vector;
use super::super::tiles::{Sums, TILES, add_block};
use super::super::{BLOCK, CHUNK, Kernels, Product};
use super::avx512::{self, Avx512};
use super::packed;
use crate::block::Format;

/// Rows of a tile.
const ROWS: usize = 16;

/// Bytes of a row of sums and of four columns of 16 rows of weights.
const LINE: usize = 64;

const _: () = assert!(ROWS == Avx512::LANES && ROWS == READ_BEHIND + 1, "rows of weights, and of tokens");

/// Overwrite the slots that AMX improves, and the others as AVX-512 does.
pub(super) fn plug(kernels: &mut Kernels) {
    avx512::plug(kernels);
    kernels.q4_0 = multiply_quants::<Q4_0>;
    kernels.q8_0 = multiply_quants::<Q8_0>;
    kernels.packed = |format| match format {
        Format::Q4_0 => Some(multiply_packed::<Q4_0>),
        Format::Q8_0 => Some(multiply_packed::<Q8_0>),
        _ => packed::avx512::kernel(format),
    };
}

/// # Safety
/// As [`Kernels::multiply`], with the sizes checked, on a machine with AMX.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply_quants<F: InPlace>(product: &Product<'_>) {
    // SAFETY: the same contract.
    unsafe {
        if product.tokens < ROWS {
            avx512::multiply_quants::<F>(product)
        } else {
            multiply_tiles::<F>(product)
        }
    }
}

/// The same of a packed matrix.
///
/// # Safety
/// As [`multiply_quants`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply_packed<F: Pack>(product: &Product<'_>) {
    // SAFETY: the same contract.
    unsafe {
        if product.tokens < ROWS {
            packed::avx512::multiply::<F>(product)
        } else {
            multiply_tiles::<Packed<F>>(product)
        }
    }
}

/// # Safety
/// As [`multiply_quants`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply_tiles<F: Quants>(product: &Product<'_>) {
    // SAFETY: the same contract; between the first and the last instruction, tiles have the shapes that `Amx` wants.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &SHAPES, options(nostack, readonly, preserves_flags));
        multiply_many::<Avx512, F, Amx>(product);
        asm!("tilerelease", options(nostack, nomem, preserves_flags));
    }
}

/// What `ldtilecfg` loads.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row of each tile.
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Tile 0 for a block of 16 tokens, 1 and 2 for one of 16 rows of weights, of which four columns lie together, 3 and 4 for their sums.
static SHAPES: Shapes = {
    let mut shapes =
        Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    (shapes.rows[0], shapes.row_bytes[0]) = (ROWS as u8, BLOCK as u16);
    let mut tile = 1;
    while tile < 5 {
        shapes.rows[tile] = if tile < 3 { BLOCK as u8 / 4 } else { ROWS as u8 };
        shapes.row_bytes[tile] = LINE as u16;
        tile += 1;
    }
    shapes
};

/// Sums of products, (tokens, rows).
type Integers = [Avx512; ROWS];

struct Amx;

impl Multiplier<Avx512> for Amx {
    /// Processors with AMX have L2 caches of 2 MiB.
    const NEAR: usize = 1536 << 10;

    #[inline(always)]
    fn tokens<F: Quants>() -> usize {
        ROWS
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn accumulate<F: Quants>(
        tiles: &mut [Tile<Avx512>; TILES],
        blocks: usize,
        x: *const Chunk,
        sums: &mut [Sums<Avx512>],
    ) {
        const { assert!(!F::NESTED, "every block has a scale") };
        let mut integers = [const { MaybeUninit::<[Integers; TILES]>::uninit() }; CHUNK / BLOCK];
        let integers = &mut integers[..blocks];
        for tile in &mut *tiles {
            for quants in &mut tile.quants {
                // Signed bytes.
                quants.0 = _mm512_sub_epi8(quants.0, _mm512_set1_epi8(offset::<Avx512, F>() as i8));
            }
        }
        for (group, sums) in sums.chunks_mut(ROWS).enumerate() {
            let x = x.wrapping_add(group * ROWS);
            // SAFETY: there are as many chunks as sums and READ_BEHIND more, and all `integers` are written.
            unsafe {
                multiply(tiles, x, integers);
                add(tiles, integers.assume_init_ref(), x, sums);
            }
        }
    }
}

/// Write the sums of products of every block of the tiles with 16 chunks.
///
/// # Safety
/// The machine has AMX, with its tiles in their shapes, and there are 16 chunks, of which some may be anything.
#[inline(always)]
unsafe fn multiply(
    tiles: &[Tile<Avx512>; TILES],
    x: *const Chunk,
    integers: &mut [MaybeUninit<[Integers; TILES]>],
) {
    for (block, integers) in integers.iter_mut().enumerate() {
        let weights = tiles.each_ref().map(|tile| tile.quants[block * BLOCK / 4..].as_ptr());
        let to = integers.as_mut_ptr().cast::<Integers>();
        // SAFETY: the bytes of a block of 16 chunks, of both tiles, and of their sums, in rows that are so far apart.
        unsafe {
            asm!(
                "tileloadd tmm0, [{x} + {chunk}]",
                "tileloadd tmm1, [{first} + {line}]",
                "tileloadd tmm2, [{second} + {line}]",
                "tilezero tmm3",
                "tilezero tmm4",
                "tdpbssd tmm3, tmm0, tmm1",
                "tdpbssd tmm4, tmm0, tmm2",
                "tilestored [{to_first} + {line}], tmm3",
                "tilestored [{to_second} + {line}], tmm4",
                x = in(reg) x.cast::<u8>().wrapping_add(block * BLOCK),
                chunk = in(reg) size_of::<Chunk>(),
                line = in(reg) LINE,
                first = in(reg) weights[0],
                second = in(reg) weights[1],
                to_first = in(reg) to,
                to_second = in(reg) to.wrapping_add(1),
                options(nostack, preserves_flags)
            );
        }
    }
}

/// Add these sums of products, times their scales, to `sums`.
///
/// # Safety
/// There are as many chunks as `sums`, and AVX-512 is enabled.
#[inline(always)]
unsafe fn add(
    tiles: &[Tile<Avx512>; TILES],
    integers: &[[Integers; TILES]],
    x: *const Chunk,
    sums: &mut [Sums<Avx512>],
) {
    for tile in 0..TILES {
        for (token, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as the caller says.
            unsafe {
                let x = &*x.wrapping_add(token);
                for (block, integers) in integers.iter().enumerate() {
                    let scale = tiles[tile].scales.blocks[block];
                    sums[tile] = add_block(integers[tile][token], scale, x, block, sums[tile]);
                }
            }
        }
    }
}
