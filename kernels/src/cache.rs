//! Keys and values of every layer, in pages of positions that sequences share until they write.
//!
//! This module keeps the books: which pages a sequence has, which are shared, which are free. The numbers themselves lie in a
//! [`Store`] of the device.

use std::any::Any;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::device::{Error, Failure};
use crate::quota::Charge;

/// Positions in one page.
pub const PAGE: usize = 64;

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheFormat {
    /// 4 bytes an element.
    F32,
    /// 2 bytes an element.
    F16,
    /// 34 bytes for 32 elements: blocks of [`crate::block::Format::Q8_0`] along a head.
    Q8_0,
}

impl CacheFormat {
    /// Bytes of one head of `size` elements, or `None` if it is not a whole number of blocks.
    pub fn head_bytes(self, size: usize) -> Option<usize> {
        match self {
            Self::F32 => size.checked_mul(4),
            Self::F16 => size.checked_mul(2),
            Self::Q8_0 => size.is_multiple_of(32).then(|| size / 32 * 34),
        }
    }
}

/// Sizes of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Layers that append to it.
    pub layers: usize,
    /// Key and value heads of a layer.
    pub kv_heads: usize,
    /// Elements of a key head.
    pub key_size: usize,
    /// Elements of a value head.
    pub value_size: usize,
    /// Positions of all sequences together, at most [`u32::MAX`]; rounded up to whole pages.
    pub positions: usize,
    /// How they are kept.
    pub format: CacheFormat,
}

impl CacheShape {
    /// Bytes of one page: keys and values of [`PAGE`] positions in every layer.
    ///
    /// # Errors
    /// [`Error::BadShape`] if a size is zero or overflows, there are too many positions, or a head is not a whole number of blocks.
    pub fn page_bytes(&self) -> Result<usize, Error> {
        let blocks = |size| {
            self.format.head_bytes(size).filter(|&bytes| bytes > 0).ok_or_else(|| {
                Error::BadShape(format!("a head of {size} elements cannot be cached as {:?}", self.format))
            })
        };
        let (key, value) = (blocks(self.key_size)?, blocks(self.value_size)?);
        key.checked_add(value)
            .and_then(|head| head.checked_mul(self.kv_heads))
            .and_then(|position| position.checked_mul(PAGE))
            .and_then(|layer| layer.checked_mul(self.layers))
            .filter(|&bytes| bytes > 0 && bytes <= isize::MAX as usize)
            .filter(|_| self.positions > 0 && u32::try_from(self.positions).is_ok())
            .filter(|bytes| bytes.checked_mul(self.pages()).is_some())
            .ok_or_else(|| Error::BadShape(format!("a cache of shape {self:?} is empty or overflows")))
    }

    /// Pages that hold its positions.
    pub fn pages(&self) -> usize {
        self.positions.div_ceil(PAGE)
    }
}

/// The numbers behind a cache, page by page; each device has its own and knows it again by `Any`.
pub trait Store: Any + Send + Sync {
    /// Make memory for a page. Pages come back for use again; a page that has memory keeps it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if there is none.
    fn take(&self, page: usize) -> Result<(), Error>;

    /// Copy all layers of page `from` to page `to`, after the runs before.
    fn copy(&self, from: usize, to: usize);
}

/// Keys and values of every layer, for all sequences made from it. Clones are the same cache.
#[derive(Clone)]
pub struct Cache {
    books: Arc<Books>,
    _charge: Option<Arc<Charge>>,
}

struct Books {
    shape: CacheShape,
    store: Arc<dyn Store>,
    free: Mutex<Free>,
}

/// Pages that nobody holds.
struct Free {
    /// Given back; taken again first, since they have memory.
    returned: Vec<usize>,
    /// Never taken.
    fresh: Range<usize>,
}

impl Cache {
    /// An empty cache on `store`; for devices.
    pub fn new(shape: CacheShape, store: Arc<dyn Store>) -> Self {
        let free = Mutex::new(Free { returned: Vec::new(), fresh: 0..shape.pages() });
        Self { books: Arc::new(Books { shape, store, free }), _charge: None }
    }

    /// The same cache, which holds `charge` from now on.
    pub(crate) fn charged(self, charge: Arc<Charge>) -> Self {
        Self { _charge: Some(charge), ..self }
    }

    /// Its sizes.
    pub fn shape(&self) -> &CacheShape {
        &self.books.shape
    }

    /// The numbers, for the device that made them.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.books.store
    }

    /// Positions in pages that no sequence holds.
    pub fn free_positions(&self) -> usize {
        let free = self.books.free();
        (free.returned.len() + free.fresh.len()) * PAGE
    }

    /// An empty sequence.
    pub fn sequence(&self) -> Sequence {
        Sequence { cache: self.clone(), pages: Vec::new(), length: 0 }
    }

    pub(crate) fn is(&self, other: &Cache) -> bool {
        Arc::ptr_eq(&self.books, &other.books)
    }

    fn page(&self) -> Result<Arc<Page>, Failure> {
        let number = self.books.free().take().ok_or(Failure::CacheFull)?;
        let page = Arc::new(Page { number, cache: self.clone() });
        self.books.store.take(number).map_err(|error| Failure::Device(error.to_string()))?;
        Ok(page)
    }
}

impl Books {
    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Free {
    fn take(&mut self) -> Option<usize> {
        self.returned.pop().or_else(|| self.fresh.next())
    }
}

/// A page that somebody holds; free again when the last holder lets go.
pub(crate) struct Page {
    number: usize,
    cache: Cache,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.cache.books.free().returned.push(self.number);
    }
}

impl Page {
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }
}

/// The positions of one conversation in a cache.
pub struct Sequence {
    cache: Cache,
    pages: Vec<Arc<Page>>,
    length: usize,
}

impl Sequence {
    /// Positions so far.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The cache it lies in.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// A second sequence with the same past. Pages are shared until one of them writes.
    pub fn fork(&self) -> Sequence {
        Sequence { cache: self.cache.clone(), pages: self.pages.clone(), length: self.length }
    }

    /// Forget everything from position `length` on; nothing happens if it is not that long.
    pub fn truncate(&mut self, length: usize) {
        if length < self.length {
            self.length = length;
            self.pages.truncate(length.div_ceil(PAGE));
        }
    }

    /// Pages it would have to take to grow by `count` positions, beside a copy of its shared page.
    pub(crate) fn pages_to_grow(&self, count: usize) -> usize {
        (self.length + count).div_ceil(PAGE).saturating_sub(self.pages.len())
    }

    /// The page that its next position lies in, if others hold it too: it is copied before it is written.
    pub(crate) fn shared_page(&self) -> Option<&Arc<Page>> {
        let last = self.pages.last().filter(|_| !self.length.is_multiple_of(PAGE));
        last.filter(|page| Arc::strong_count(page) > 1)
    }

    /// Grow by `count` positions that this sequence alone may write.
    ///
    /// # Errors
    /// [`Failure::CacheFull`] if pages run out; the sequence is as before then, though it may own its last page.
    pub(crate) fn grow(&mut self, count: usize) -> Result<(), Failure> {
        if count == 0 {
            return Ok(());
        }
        let length = self.length + count;
        let before = self.pages.len();
        if self.shared_page().is_some() {
            let own = self.cache.page()?;
            let last = self.pages.last_mut().expect("a page that is written to exists");
            self.cache.books.store.copy(last.number, own.number);
            *last = own;
        }
        while self.pages.len() < length.div_ceil(PAGE) {
            match self.cache.page() {
                Ok(page) => self.pages.push(page),
                Err(failure) => {
                    self.pages.truncate(before);
                    return Err(failure);
                }
            }
        }
        self.length = length;
        Ok(())
    }

    pub(crate) fn pages(&self) -> &[Arc<Page>] {
        &self.pages
    }
}

#[cfg(test)]
mod tests;
