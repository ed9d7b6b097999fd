//! What the tiles need of an instruction set.
#![expect(unsafe_code, reason = "vector instructions and their loads and stores")]

use super::super::activations::Chunk;
use super::rows::Rows;

/// A vector of 32-bit lanes, each with an integer or four bytes. It may be more than one register.
///
/// Methods are inlined into a function that has the instruction set enabled (`entries!`), and are safe to call only there. What reads
/// `rows` needs rows that have the bytes it names.
pub(in super::super) trait Vector: Copy {
    /// As many f32.
    type Floats: Floats;
    /// What [`Self::load`] returns: one or two parts.
    type Loaded: AsRef<[[Self; 4]]>;
    /// The minima of a chunk of as many rows as there are lanes.
    type Minima: Copy;
    /// Quants of the activations that [`Self::multiply`] takes for all lanes.
    type Broadcast: Copy;

    /// Lanes: the rows of a tile, a multiple of four.
    const LANES: usize;
    /// Parts of 16 bytes that [`Self::load`] loads: 1 or 2.
    const PARTS: usize;
    /// Steps of four columns that [`Self::broadcast`] loads: 1, or 4 if partial sums hold as many.
    const STEPS: usize;

    /// Tokens that share a load of weights: at most 6. Their sums should stay in registers.
    const TOKENS: usize;
    /// The same where scales are of 16 columns.
    const TOKENS_OF_HALVES: usize;
    /// With floats and one token, rows at once: so many streams from memory.
    const FLOAT_STREAMS: usize;
    /// With floats and many tokens, rows and tokens (at most 6) at once, whose sums should stay in registers.
    const FLOAT_ROWS: usize;
    /// See [`Self::FLOAT_ROWS`].
    const FLOAT_TOKENS: usize;
    /// Bytes of floats that are used for token after token: what may stay in the L2 cache meanwhile.
    const FLOATS_NEAR: usize = 192 << 10;

    /// Whether [`Self::multiply`] wants weights as unsigned bytes and takes all of them. If not, it wants unsigned bytes up to 127,
    /// and also takes signed bytes.
    const WHOLE_BYTES: bool;
    /// Whether [`Self::multiply`] takes the complement of a signed weight, which is one less than its negative, where an activation is
    /// negative; sums of such products have 32 bits.
    const COMPLEMENTS: bool = false;
    /// The largest sum of two products that partial sums hold: below `i32::MAX`, each lane of them is two sums in 16 bits.
    const LARGEST_PAIR: i32;

    /// Where partial sums are pairs, how many tokens at once if tiles are multiplied one after the other, by [`Self::multiply_four`].
    const BY_TILE: Option<usize> = None;

    /// All lanes `value`.
    unsafe fn splat(value: i32) -> Self;
    /// The low and the high halves of all lanes.
    #[inline(always)]
    unsafe fn splat_pair([low, high]: [i16; 2]) -> Self {
        // SAFETY: as the trait says.
        unsafe { Self::splat(i32::from(low) & 0xffff | i32::from(high) << 16) }
    }
    /// The same address, of which compilers may not know what it was made of: they would compute those near it from that, each anew.
    #[inline(always)]
    fn opaque<T>(address: *const T) -> *const T {
        address
    }

    /// The bits of both.
    unsafe fn or(self, other: Self) -> Self;
    /// The bits of `mask` in every byte.
    unsafe fn and(self, mask: u8) -> Self;
    /// The bits of `mask` in every byte, flipped.
    unsafe fn flip(self, mask: u8) -> Self;
    /// Each lane shifted left, or right if `bits` are negative, with zeros shifted in.
    unsafe fn shift(self, bits: i32) -> Self;
    /// The integers as f32.
    unsafe fn to_floats(self) -> Self::Floats;
    /// The half-precision floats in the low halves of the lanes.
    unsafe fn halves(self) -> Self::Floats;

    /// The bits of `mask` in every byte, after its bits were shifted left, or right if `shift` is negative. No bits of a neighbour come
    /// in with them.
    #[inline(always)]
    unsafe fn field(self, shift: i32, mask: u8) -> Self {
        // SAFETY: as the trait says.
        unsafe { self.shift(shift).and(mask) }
    }
    /// Signed bytes as [`Self::multiply`] wants them: with 128 added where [`Self::WHOLE_BYTES`].
    #[inline(always)]
    unsafe fn whole_bytes(self) -> Self {
        // SAFETY: as the trait says.
        if Self::WHOLE_BYTES { unsafe { self.flip(0x80) } } else { self }
    }
    /// Minima of every lane, unsigned bytes of 8 blocks, as [`Self::dot_minima`] wants them.
    unsafe fn minima(bytes: [Self; 2]) -> Self::Minima;
    /// In each lane, the products of its minima with [`Chunk::sums`].
    unsafe fn dot_minima(minima: &Self::Minima, x: &Chunk) -> Self;
    /// The byte `index` of each lane, which is signed or not, as [`Self::add_scaled`] wants scales.
    unsafe fn scale_byte(self, index: usize, signed: bool) -> Self;

    /// 16 bytes at `offset` of every row, transposed: lane `r` of vector `i` holds bytes `4 * i..4 * i + 4` of row `r`.
    unsafe fn load_16(rows: &Rows, offset: usize) -> [Self; 4];
    /// The same of [`Self::PARTS`] times 16 bytes.
    unsafe fn load(rows: &Rows, offset: usize) -> Self::Loaded;
    /// The half-precision float at `offset` of every row, and no other byte.
    unsafe fn load_halves(rows: &Rows, offset: usize) -> Self::Floats;
    /// Advice that a line of memory will be read, which need not exist; nothing where no instruction gives it.
    unsafe fn prefetch(line: *const u8);

    /// The quants of [`Self::STEPS`] steps.
    unsafe fn broadcast(quants: *const i8) -> Self::Broadcast;
    /// `partial` and, in each lane, four products of weights with the activations of step `STEP` of `x`, which are signed. The weights
    /// are signed too if `SIGNED` and not [`Self::WHOLE_BYTES`].
    unsafe fn multiply<const SIGNED: bool, const STEP: usize>(
        partial: Self,
        weights: Self,
        x: Self::Broadcast,
    ) -> Self;
    /// Add to `sums` the products of four vectors of weights with 16 activations of each token; only where [`Self::BY_TILE`].
    unsafe fn multiply_four<const T: usize>(
        _sums: &mut [Self; T],
        _weights: *const Self,
        _x: [*const i8; T],
    ) {
        unreachable!("tiles share activations")
    }
    /// `sum` and these partial sums, of products with weights that are signed, as [`Self::multiply`] takes them, or not.
    unsafe fn end<const SIGNED: bool>(sum: Self, partial: Self) -> Self;
    /// `sum` and these partial sums times `scale` times `multiplier`, which comes twice; the product of both fits into 16 bits.
    unsafe fn add_scaled(sum: Self, partial: Self, scale: Self, multiplier: [i16; 2]) -> Self;
}

/// A vector of f32. Methods are safe to call as those of [`Vector`]; pointers need room for all lanes and may be unaligned.
pub(in super::super) trait Floats: Copy {
    /// Elements as they are.
    unsafe fn load(from: *const f32) -> Self;
    /// Half-precision elements.
    unsafe fn load_f16(from: *const u16) -> Self;
    /// Elements that are the upper halves of f32.
    unsafe fn load_bf16(from: *const u16) -> Self;
    /// All lanes `value`.
    unsafe fn splat(value: f32) -> Self;
    /// `self + other`
    unsafe fn add(self, other: Self) -> Self;
    /// `self * other`
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * factor + addend`
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// The same, known before anything is loaded that the code loads later: for loops that need all registers.
    #[inline(always)]
    unsafe fn now(self) -> Self {
        self
    }
    /// `minuend - self * factor`
    unsafe fn mul_sub_from(self, factor: Self, minuend: Self) -> Self;
    /// Sum of all lanes: halves are added to halves.
    unsafe fn sum(self) -> f32;
    /// Store all lanes.
    unsafe fn store(self, to: *mut f32);
}
