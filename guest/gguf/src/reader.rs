//! Reading a file's tables from beginning to end through bounded chunks.
//!
//! Every read first compares the length with what remains of the file, and memory grows only with bytes that arrived.

use std::fmt;

use crate::value::Strings;
use crate::{Error, Result, limits};

/// Bytes that one read of the source asks for at most.
const CHUNK: u64 = 1 << 17;

/// A file that is read at offsets.
pub trait Source {
    /// Size of the file in bytes; it must not change while the file is read.
    fn size(&self) -> u64;

    /// Fills `out` with the bytes from `offset`. The range lies inside of the size. The error is the cause in words,
    /// without full stop.
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), String>;
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), String> {
        let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(out.len())?));
        let bytes = range.and_then(|range| self.get(range)).ok_or("the range is outside of the file")?;
        out.copy_from_slice(bytes);
        Ok(())
    }
}

impl Source for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), String> {
        self.as_slice().read(offset, out)
    }
}

/// The name of a field for messages, put together only when there is one.
pub(crate) type Field<'a> = fmt::Arguments<'a>;

/// A place in a file that moves forward.
pub(crate) struct Reader<'a> {
    source: &'a dyn Source,
    size: u64,
    chunk: Vec<u8>,
    /// Where the chunk begins in the file.
    chunk_start: u64,
    /// The place, inside of the chunk.
    at: usize,
    /// Bytes of memory that decoded metadata may still take.
    budget: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a dyn Source) -> Self {
        let size = source.size();
        Self { source, size, chunk: Vec::new(), chunk_start: 0, at: 0, budget: limits::METADATA_BYTES }
    }

    /// Size of the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The place in the file.
    pub(crate) fn position(&self) -> u64 {
        self.chunk_start + self.at as u64
    }

    /// Refuses a length that is more than what remains of the file.
    pub(crate) fn expect(&self, length: u64, field: Field<'_>) -> Result<()> {
        let offset = self.position();
        if length > self.size.saturating_sub(offset) {
            return Err(Error::Truncated {
                size: self.size,
                offset,
                needed: length,
                field: field.to_string(),
            });
        }
        Ok(())
    }

    /// Counts memory that decoded metadata takes.
    pub(crate) fn charge(&mut self, bytes: u64, field: Field<'_>) -> Result<()> {
        let Some(left) = self.budget.checked_sub(bytes) else {
            let (offset, limit) = (self.position(), limits::METADATA_BYTES);
            return Err(Error::MetadataSize { offset, field: field.to_string(), limit });
        };
        self.budget = left;
        Ok(())
    }

    /// Checks that `count` elements that take at least `width` bytes each are left in the file, and counts the `memory`
    /// that each will take.
    pub(crate) fn claim(&mut self, count: u64, width: usize, memory: usize, field: Field<'_>) -> Result<()> {
        self.expect(count.saturating_mul(width as u64), field)?;
        self.charge(count.saturating_mul(memory as u64), field)
    }

    /// Appends the next `length` bytes to `out`.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, length: u64, field: Field<'_>) -> Result<()> {
        self.expect(length, field)?;
        let mut left = length;
        while left > 0 {
            if self.at == self.chunk.len() {
                self.next_chunk()?;
            }
            let available = self.chunk.get(self.at..).unwrap_or_default();
            let taken = available.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            out.extend_from_slice(available.get(..taken).unwrap_or_default());
            self.at += taken;
            left -= taken as u64;
        }
        Ok(())
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, field: Field<'_>) -> Result<[u8; N]> {
        if let Some(bytes) = self.chunk.get(self.at..).and_then(|rest| rest.first_chunk()) {
            self.at += N;
            return Ok(*bytes);
        }
        let mut bytes = Vec::with_capacity(N);
        self.append(&mut bytes, N as u64, field)?;
        let mut out = [0; N];
        out.copy_from_slice(&bytes);
        Ok(out)
    }

    pub(crate) fn u32(&mut self, field: Field<'_>) -> Result<u32> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: Field<'_>) -> Result<u64> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A number that has a limit.
    pub(crate) fn limited(&mut self, limit: u64, field: Field<'_>) -> Result<u64> {
        let offset = self.position();
        let value = self.u64(field)?;
        if value > limit {
            return Err(Error::Limit { offset: Some(offset), field: field.to_string(), value, limit });
        }
        Ok(value)
    }

    /// A name: a length and as many bytes, which are UTF-8 and at least one.
    pub(crate) fn name(&mut self, limit: u64, field: Field<'_>) -> Result<String> {
        let length = self.limited(limit, format_args!("the length of {field}"))?;
        let offset = self.position();
        if length == 0 {
            return Err(Error::EmptyName { offset: Some(offset), field: field.to_string() });
        }
        let mut bytes = Vec::new();
        self.append(&mut bytes, length, field)?;
        String::from_utf8(bytes).map_err(|_| Error::NotText { offset, field: field.to_string() })
    }

    /// Appends the bytes of a string, a length and as many bytes, to `out`.
    pub(crate) fn string(&mut self, out: &mut Vec<u8>, field: Field<'_>) -> Result<()> {
        let length = self.u64(format_args!("the length of {field}"))?;
        self.claim(length, 1, 1, field)?;
        self.append(out, length, field)
    }

    /// The next `count` strings.
    pub(crate) fn strings(&mut self, count: u64, field: Field<'_>) -> Result<Strings> {
        // A string takes at least its length, so that the table of ends is never larger than the file.
        self.claim(count, 8, 8 + size_of::<usize>(), field)?;
        let count = usize::try_from(count).unwrap_or_default();
        let mut strings = Strings::new();
        strings.reserve(count);
        while strings.len() < count {
            let index = strings.len();
            // Nearly every string of a vocabulary lies inside of the chunk.
            let chunk = self.chunk.get(self.at..).unwrap_or_default();
            let taken = strings.extend_encoded(chunk, count - index);
            self.at += taken;
            self.charge((taken - 8 * (strings.len() - index)) as u64, field)?;
            if taken == 0 {
                strings.push_with(|bytes| self.string(bytes, format_args!("string {index} of {field}")))?;
            }
        }
        Ok(strings)
    }

    /// The next `count` elements of `N` bytes each.
    pub(crate) fn elements<T, const N: usize>(
        &mut self,
        count: u64,
        decode: impl Fn([u8; N]) -> T,
        field: Field<'_>,
    ) -> Result<Vec<T>> {
        const BATCH: u64 = 8192; // elements
        self.claim(count, N, size_of::<T>(), field)?;
        let mut out = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        let mut bytes = Vec::new();
        let mut left = count;
        while left > 0 {
            let batch = left.min(BATCH);
            bytes.clear();
            self.append(&mut bytes, batch * N as u64, field)?;
            out.extend(bytes.as_chunks::<N>().0.iter().map(|&element| decode(element)));
            left -= batch;
        }
        Ok(out)
    }

    /// Reads the chunk after this one.
    fn next_chunk(&mut self) -> Result<()> {
        let offset = self.position();
        let length = (self.size - offset).min(CHUNK) as usize;
        self.chunk.resize(length, 0);
        self.chunk_start = offset;
        self.at = 0;
        self.source.read(offset, &mut self.chunk).map_err(|cause| Error::Read { offset, length, cause })
    }
}
