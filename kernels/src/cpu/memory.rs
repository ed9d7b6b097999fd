//! Where activations, keys and values lie, and the lock that every run of a device holds.
//!
//! Memory comes zeroed from the system, which gives pages as they are first written: 512 rows of room cost nothing until used.
#![expect(unsafe_code, reason = "plain memory that the threads of a run write in parts")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::{CacheFormat, CacheShape, PAGE, Store};
use crate::device::Error;
use crate::step::Step;
use crate::tensor::{Buffer, Tensor};

/// Held by every run, and by everybody else who touches the memory of tensors and caches.
#[derive(Default)]
pub(super) struct Gate(Mutex<()>);

impl Gate {
    pub(super) fn close(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Zeroed bytes at a multiple of 64.
pub(super) struct Zeroed {
    memory: NonNull<u8>,
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns plain bytes; whoever goes through `start` answers for the access.
unsafe impl Send for Zeroed {}
// SAFETY: as above.
unsafe impl Sync for Zeroed {}

impl Zeroed {
    /// `size` bytes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the system has not so many.
    pub(super) fn new(size: usize) -> Result<Self, Error> {
        // The alignment is made here: asked for a large one, the allocator would write the zeros itself.
        let full = Error::OutOfMemory(size);
        let padded = size.checked_add(64).ok_or(full.clone())?;
        let layout = Layout::from_size_align(padded, 16).map_err(|_| full.clone())?;
        // SAFETY: the layout is not empty.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(full)?;
        let offset = memory.as_ptr().align_offset(64);
        // SAFETY: at most 63 bytes on, of 64 more than `size`.
        let start = unsafe { memory.add(offset) };
        Ok(Self { memory, start, layout })
    }

    pub(super) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for Zeroed {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// Activations: [`Step::LIMIT`] rows of `columns` f32.
pub(super) struct Rows {
    memory: Zeroed,
    columns: usize,
    /// Elements from one row to the next: an odd number of cache lines, so that a few columns of many rows, which is what an item of a
    /// matmul writes, do not all fall into the same sets of a cache.
    stride: usize,
    gate: Arc<Gate>,
}

/// f32 in a cache line.
const LINE: usize = 16;

impl Rows {
    pub(super) fn new(columns: usize, gate: Arc<Gate>) -> Result<Self, Error> {
        if columns == 0 {
            return Err(Error::BadShape("a tensor of 0 columns".into()));
        }
        let stride = (columns.div_ceil(LINE) | 1).checked_mul(LINE).ok_or(Error::OutOfMemory(usize::MAX))?;
        let size = stride.checked_mul(Step::LIMIT * 4).ok_or(Error::OutOfMemory(usize::MAX))?;
        Ok(Self { memory: Zeroed::new(size)?, columns, stride, gate })
    }
}

impl Buffer for Rows {
    fn read(&self, row: usize, first: usize, out: &mut [f32]) -> Result<(), Error> {
        let inside = first.checked_add(out.len()).is_some_and(|end| end <= self.columns);
        if row >= Step::LIMIT || !inside {
            return Err(Error::BadShape(format!(
                "row {row} of {}, {} columns from {first} of {}",
                Step::LIMIT,
                out.len(),
                self.columns
            )));
        }
        let _closed = self.gate.close();
        // SAFETY: inside, as checked; runs hold the gate, so nobody writes.
        unsafe {
            let start = self.memory.start().cast::<f32>().add(row * self.stride + first);
            out.copy_from_slice(std::slice::from_raw_parts(start, out.len()));
        }
        Ok(())
    }
}

/// A tensor of this device, as runs see it: element `column` of row `row` is at `start + row * stride + column`.
#[derive(Clone, Copy)]
pub(super) struct View {
    start: *mut f32,
    pub(super) stride: usize,
    pub(super) columns: usize,
}

// SAFETY: an address; whoever goes through it answers for the access.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// Where `tensor` lies, which must outlive the view; `None` if it belongs to another device than the one of `gate`.
    pub(super) fn new(tensor: &Tensor, gate: &Arc<Gate>) -> Option<Self> {
        let rows = (&**tensor.buffer() as &dyn Any).downcast_ref::<Rows>()?;
        let inside = tensor.first().checked_add(tensor.columns())? <= rows.columns;
        (Arc::ptr_eq(&rows.gate, gate) && inside).then(|| Self {
            start: rows.memory.start().cast::<f32>().wrapping_add(tensor.first()),
            stride: rows.stride,
            columns: tensor.columns(),
        })
    }

    /// Address of an element.
    ///
    /// # Panics
    /// If there is no such row or column; one column behind the last is an address too.
    pub(super) fn at(&self, row: usize, column: usize) -> *mut f32 {
        assert!(
            row < Step::LIMIT && column <= self.columns,
            "row {row}, column {column} of {}",
            self.columns
        );
        self.start.wrapping_add(row * self.stride + column)
    }
}

/// Keys and values. A page is `[layer][kv head]` of a key block, `[element][position]`, and a value block, `[position][element]`;
/// quantised blocks have their quants first, then their scales: `[element / 32][position]` and `[position][element / 32]`.
pub(super) struct Pages {
    shape: CacheShape,
    page_bytes: usize,
    /// By page number; memory once given stays.
    pages: Mutex<Vec<Option<Zeroed>>>,
    gate: Arc<Gate>,
}

impl Pages {
    pub(super) fn new(shape: CacheShape, gate: Arc<Gate>) -> Result<Self, Error> {
        let page_bytes = shape.page_bytes()?;
        Ok(Self { shape, page_bytes, pages: Mutex::default(), gate })
    }

    pub(super) fn shape(&self) -> &CacheShape {
        &self.shape
    }

    /// Whether it belongs to the device of `gate`.
    pub(super) fn is_behind(&self, gate: &Arc<Gate>) -> bool {
        Arc::ptr_eq(&self.gate, gate)
    }

    /// Bytes of a key block and of a value block.
    pub(super) fn block_bytes(&self) -> (usize, usize) {
        let bytes = |size| self.shape.format.head_bytes(size).expect("checked by page_bytes") * PAGE;
        (bytes(self.shape.key_size), bytes(self.shape.value_size))
    }

    /// Start of page `number`, which somebody has taken.
    ///
    /// # Panics
    /// If nobody has.
    pub(super) fn page(&self, number: usize) -> *mut u8 {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages[number].as_ref().expect("a page of a step was taken").start()
    }
}

impl Store for Pages {
    fn take(&self, page: usize) -> Result<(), Error> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() <= page {
            pages.resize_with(page + 1, || None);
        }
        if pages[page].is_none() {
            pages[page] = Some(Zeroed::new(self.page_bytes)?);
        }
        Ok(())
    }

    fn copy(&self, from: usize, to: usize) {
        let _closed = self.gate.close();
        let (from, to) = (self.page(from), self.page(to));
        if from != to {
            // SAFETY: two pages of that size; runs hold the gate, so nobody else uses them.
            unsafe { to.copy_from_nonoverlapping(from, self.page_bytes) }
        }
    }
}

/// Where heads of one layer lie in a page.
#[derive(Clone, Copy)]
pub(super) struct HeadBlocks {
    pub(super) format: CacheFormat,
    pub(super) key_size: usize,
    pub(super) value_size: usize,
    first: usize,
    key_bytes: usize,
    head_bytes: usize,
}

impl HeadBlocks {
    /// The heads of `layer`.
    pub(super) fn new(pages: &Pages, layer: usize) -> Self {
        let CacheShape { kv_heads, key_size, value_size, format, .. } = *pages.shape();
        let (key_bytes, value_bytes) = pages.block_bytes();
        let head_bytes = key_bytes + value_bytes;
        Self { format, key_size, value_size, first: layer * kv_heads * head_bytes, key_bytes, head_bytes }
    }

    /// Offset of the key block of a head in a page.
    pub(super) fn key(&self, kv_head: usize) -> usize {
        self.first + kv_head * self.head_bytes
    }

    /// Offset of its value block.
    pub(super) fn value(&self, kv_head: usize) -> usize {
        self.key(kv_head) + self.key_bytes
    }

    /// Bytes of the keys and values of one position.
    pub(super) fn position_bytes(&self, kv_heads: usize) -> usize {
        kv_heads * self.head_bytes / PAGE
    }
}
