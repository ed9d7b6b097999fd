//! Rows of activations, prepared for weights: made once, read by all matmuls that share them.
#![expect(unsafe_code, reason = "threads write different rows of one buffer at once")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use super::{BLOCK, CHUNK, Preparation};
use crate::device::Error;
use crate::step::Step;

/// Room for [`Step::LIMIT`] rows of activations in one or several preparations. Written by
/// [`Kernels::prepare`](super::Kernels::prepare); memory is taken from the system as it is first written.
pub(crate) struct Activations {
    columns: usize,
    /// (slabs, tokens), or empty.
    floats: Buffer<[f32; SLAB]>,
    /// (chunks, tokens), or empty: so a matmul that holds one chunk of weights reads its tokens one after the other.
    chunks: Buffer<Chunk>,
    /// The same with nested scales.
    nested_chunks: Buffer<Chunk>,
}

/// Floats of so many columns are multiplied at once: the last ones of a row are padded with zeros.
pub(super) const LANES: usize = 16;

/// Columns of floats that lie one behind the other, before those of the next token: few enough that a tile's tokens stay in the L1 cache
/// while rows of weights pass by, whatever the length of a row.
pub(super) const SLAB: usize = 1024;

const _: () = assert!(SLAB.is_multiple_of(CHUNK) && SLAB.is_multiple_of(LANES), "neither lies in two slabs");

/// Rows behind those of a matmul that kernels may read, for nothing.
pub(super) const READ_BEHIND: usize = 15;

/// The quants of 256 columns of one row: `x ~ scale * quant`. Columns beyond the row are zero.
#[repr(C, align(64))]
pub(super) struct Chunk {
    /// -127 to 127.
    pub(super) quants: [i8; CHUNK],
    /// Where scales are nested, the same in the order of [packed](crate::packed) weights.
    #[cfg(target_feature = "relaxed-simd")]
    pub(super) ordered: [i8; CHUNK],
    /// Of every 32 columns.
    pub(super) scales: [f32; CHUNK / BLOCK],
    /// Where scales are nested, what they are multiples of.
    pub(super) unit: f32,
    /// Where they are, how many times that, each twice: 1 to [`MOST`](Self::MOST).
    pub(super) multipliers: [[i16; 2]; CHUNK / BLOCK],
    /// The same, all of them twice.
    pub(super) all_multipliers: [[i16; CHUNK / BLOCK]; 2],
    /// Where scales are nested, half the sum of every 32 quants times their multiplier, rounded towards zero: what minima of weights
    /// multiply with, in integers that 16 bits hold. Sums of products with them are exact in f32, too:
    /// `8 * 63 * 16 * 32 * 127 / 2 < 2^24`.
    pub(super) sums: [i16; CHUNK / BLOCK],
    /// Where sums of 32 products start if 8 was added to the weights, as `Q4_0` has it: at the sum of the quants, times -8.
    pub(super) eight_starts: [i32; CHUNK / BLOCK],
    /// The same in two parts: of the first two of every four quants, and of the other two.
    pub(super) eight_pair_starts: [[i16; 2]; CHUNK / BLOCK],
    /// As [`eight_starts`](Self::eight_starts), if 128 was added, which makes signed bytes unsigned ones.
    pub(super) byte_starts: [i32; CHUNK / BLOCK],
    /// The same of sums of 16 products, if 32 was added, as `Q6_K` has it.
    pub(super) half_starts: [i32; CHUNK / BLOCK * 2],
    /// The same in two parts.
    pub(super) half_pair_starts: [[i16; 2]; CHUNK / BLOCK * 2],
    /// Where scales are nested, sum of every 16 quants, negated: those of the first halves of all blocks, then of the second ones.
    pub(super) halves: [[i16; CHUNK / BLOCK]; 2],
    /// Sum of the magnitudes of the negative ones of every 32 quants.
    pub(super) negatives: [i32; CHUNK / BLOCK],
}

impl Chunk {
    /// The largest multiplier. With it the sum of 256 products fits into an i32, whatever the weights: `Q6_K` has quants down to -32
    /// and scales down to -128, and `32 * 127 * 128 * 16 * 256 < 2^31`.
    pub(super) const MOST: i32 = 16;
}

impl Activations {
    /// Room for rows of up to `columns`, prepared in all the given ways.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if there is no room for them.
    pub(crate) fn new(columns: usize, preparations: &[Preparation]) -> Result<Self, Error> {
        let room = |preparation, size: usize| {
            if !preparations.contains(&preparation) {
                return Ok(0);
            }
            let rows = size.checked_mul(Step::LIMIT).and_then(|rows| rows.checked_add(READ_BEHIND));
            rows.ok_or(Error::OutOfMemory(usize::MAX))
        };
        Ok(Self {
            columns,
            floats: Buffer::new(room(Preparation::Floats, columns.div_ceil(SLAB))?)?,
            chunks: Buffer::new(room(Preparation::Quants, columns.div_ceil(CHUNK))?)?,
            nested_chunks: Buffer::new(room(Preparation::NestedQuants, columns.div_ceil(CHUNK))?)?,
        })
    }

    /// Longest row that there is room for.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Whether rows are prepared in this way.
    pub(crate) fn has(&self, preparation: Preparation) -> bool {
        match preparation {
            Preparation::Floats => self.floats.length > 0,
            Preparation::Quants => self.chunks.length > 0,
            Preparation::NestedQuants => self.nested_chunks.length > 0,
        }
    }

    /// The slabs `index` of all `tokens` rows of floats, one after the other. Only their address: another thread may be writing a row.
    pub(super) fn slabs(&self, index: usize, tokens: usize) -> *mut [f32; SLAB] {
        assert!((index + 1) * tokens <= self.floats.length, "slab {index} of {tokens} rows");
        self.floats.start.as_ptr().wrapping_add(index * tokens)
    }

    /// The chunks `index` of all `tokens` rows of quants, one after the other. Only their address: another thread may be writing a row.
    pub(super) fn chunks(&self, preparation: Preparation, index: usize, tokens: usize) -> *mut Chunk {
        let chunks = match preparation {
            Preparation::NestedQuants => &self.nested_chunks,
            _ => &self.chunks,
        };
        assert!((index + 1) * tokens <= chunks.length, "chunk {index} of {tokens} rows");
        chunks.start.as_ptr().wrapping_add(index * tokens)
    }

    /// Write row `row` of `tokens` rows of floats, if there is room for floats.
    ///
    /// # Safety
    /// Nobody else uses this row meanwhile.
    pub(super) unsafe fn copy_floats(&self, row: usize, tokens: usize, x: &[f32]) {
        if !self.has(Preparation::Floats) {
            return;
        }
        for (index, x) in x.chunks(SLAB).enumerate() {
            // SAFETY: there are `tokens` slabs; nobody else uses this one.
            let slab = unsafe { &mut *self.slabs(index, tokens).add(row) };
            slab[..x.len()].copy_from_slice(x);
            slab[x.len()..x.len().next_multiple_of(LANES)].fill(0.0);
        }
    }
}

/// Zeroed memory of plain numbers that fails instead of aborting when there is none. The system gives its pages as they are first
/// written.
struct Buffer<T> {
    /// At a whole cache line of `memory`.
    start: NonNull<T>,
    length: usize,
    memory: NonNull<u8>,
    layout: Layout,
}

/// Bytes that elements are aligned to.
const LINE: usize = 64;

impl<T> Buffer<T> {
    fn new(length: usize) -> Result<Self, Error> {
        // Not aligned memory, which Rust's allocator zeroes by writing it.
        let layout = Layout::array::<T>(length)
            .and_then(|elements| Layout::array::<u8>(elements.size() + LINE))
            .map_err(|_| Error::OutOfMemory(usize::MAX))?;
        if length == 0 {
            return Ok(Self { start: NonNull::dangling(), length, memory: NonNull::dangling(), layout });
        }
        // SAFETY: the layout is not empty.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) });
        let memory = memory.ok_or(Error::OutOfMemory(layout.size()))?;
        // SAFETY: less than a line further, behind which there are as many bytes as the elements take.
        let start = unsafe { memory.add(memory.align_offset(LINE)) }.cast();
        Ok(Self { start, length, memory, layout })
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(self.memory.as_ptr(), self.layout) }
        }
    }
}

// SAFETY: it owns plain numbers; access is by pointers whose users answer for it.
unsafe impl<T> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Buffer<T> {}
