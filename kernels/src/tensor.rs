//! What kernels work on: bytes that somebody mapped, matrices in them, and activations on a device.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::block::Format;
use crate::device::Error;
use crate::packed;
use crate::quota::Charge;

/// Bytes of a model: in memory, usually a range of a mapped file that its owner keeps alive, or elsewhere, to be read when needed.
#[derive(Clone)]
pub struct Bytes(Place);

#[derive(Clone)]
enum Place {
    Memory { owner: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize> },
    Elsewhere { source: Arc<dyn Source>, offset: u64, length: usize },
}

/// What holds bytes that are not in memory, such as a file.
pub trait Source: Send + Sync {
    /// Fill `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// A sentence for the user.
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), String>;
}

impl Bytes {
    /// All bytes of `owner`.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let length = (*owner).as_ref().len();
        Self(Place::Memory { owner, range: 0..length })
    }

    /// The `length` bytes of `source` from `offset` on.
    pub fn elsewhere(source: Arc<dyn Source>, offset: u64, length: usize) -> Self {
        Self(Place::Elsewhere { source, offset, length })
    }

    /// The part `first .. first + length`, or `None` if it does not lie inside.
    pub fn slice(&self, first: usize, length: usize) -> Option<Self> {
        let end = first.checked_add(length).filter(|&end| end <= self.len())?;
        Some(Self(match &self.0 {
            Place::Memory { owner, range } => {
                Place::Memory { owner: owner.clone(), range: range.start + first..range.start + end }
            }
            Place::Elsewhere { source, offset, .. } => {
                Place::Elsewhere { source: source.clone(), offset: offset + first as u64, length }
            }
        }))
    }

    /// How many they are.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        match &self.0 {
            Place::Memory { range, .. } => range.len(),
            Place::Elsewhere { length, .. } => *length,
        }
    }

    /// Where they are, if not in memory: their source and the offset of the first one in it.
    pub fn source(&self) -> Option<(&Arc<dyn Source>, u64)> {
        match &self.0 {
            Place::Memory { .. } => None,
            Place::Elsewhere { source, offset, .. } => Some((source, *offset)),
        }
    }
}

impl AsRef<[u8]> for Bytes {
    /// # Panics
    /// If they are not in memory.
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Place::Memory { owner, range } => &(**owner).as_ref()[range.clone()],
            Place::Elsewhere { .. } => panic!("bytes that are not in memory are read before they are used"),
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.len())
    }
}

/// A matrix of a model file, in place: `rows` vectors of `columns` elements, row after row.
#[derive(Clone, Debug)]
pub struct Weight {
    bytes: Bytes,
    packed: Option<Bytes>,
    format: Format,
    rows: usize,
    columns: usize,
}

impl Weight {
    /// Name `bytes` as a matrix. Nothing is read.
    ///
    /// # Errors
    /// [`Error::BadShape`] if the shape is empty, a row is not a whole number of blocks, the size overflows, or it is not exactly
    /// the length of `bytes`.
    pub fn new(bytes: Bytes, format: Format, rows: usize, columns: usize) -> Result<Self, Error> {
        let size = Self::size(format, rows, columns)?;
        let length = bytes.len();
        if size != length {
            return Err(Error::BadShape(format!(
                "{rows} x {columns} elements of {format} take {size} bytes, not {length}"
            )));
        }
        Ok(Self { bytes, packed: None, format, rows, columns })
    }

    /// The same matrix, of which there is a [packed](crate::packed) copy: devices multiply with that if it is faster.
    ///
    /// # Errors
    /// [`Error::BadShape`] if `packed` is not as long as this matrix is when it is packed.
    pub fn with_packed(self, packed: Bytes) -> Result<Self, Error> {
        let size = packed::size(self.format, self.rows, self.columns);
        if size != Some(packed.len()) {
            let (Self { format, rows, columns, .. }, length) = (self, packed.len());
            return Err(Error::BadShape(format!(
                "{length} bytes are no packed matrix of {rows} x {columns} elements of {format}"
            )));
        }
        Ok(Self { packed: Some(packed), ..self })
    }

    /// The packed copy, if there is one.
    pub fn packed(&self) -> Option<&Bytes> {
        self.packed.as_ref()
    }

    /// Bytes that a matrix takes.
    ///
    /// # Errors
    /// [`Error::BadShape`] as in [`Weight::new`].
    pub fn size(format: Format, rows: usize, columns: usize) -> Result<usize, Error> {
        if rows == 0 || columns == 0 {
            return Err(Error::BadShape(format!("a matrix of {rows} x {columns} elements is empty")));
        }
        let row = format.row_bytes(columns).ok_or_else(|| {
            Error::BadShape(format!("{columns} columns are not a whole number of {format} blocks"))
        })?;
        row.checked_mul(rows).filter(|&size| size <= isize::MAX as usize).ok_or_else(|| {
            Error::BadShape(format!("{rows} x {columns} elements of {format} overflow the address space"))
        })
    }

    /// Element format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Number of rows: outputs of a matmul, entries of an embedding table; 1 for a vector.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Length of a row: inputs of a matmul, elements of a vector.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The blocks of all rows, in place.
    ///
    /// # Panics
    /// If they are not in memory.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Where the blocks are.
    pub fn place(&self) -> &Bytes {
        &self.bytes
    }

    /// Bytes of a row in place.
    pub fn row_bytes(&self) -> usize {
        self.bytes.len() / self.rows
    }

    /// The blocks of one row.
    ///
    /// # Panics
    /// If there is no such row, or they are not in memory.
    pub fn row(&self, row: usize) -> &[u8] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let length = self.row_bytes();
        &self.bytes()[row * length..(row + 1) * length]
    }
}

/// The memory behind tensors; each device has its own kind and knows it again by `Any`.
pub trait Buffer: Any + Send + Sync {
    /// Copy the `out.len()` columns from `first` of `row` into `out`, after the runs before.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed.
    fn read(&self, row: usize, first: usize, out: &mut [f32]) -> Result<(), Error>;
}

/// Activations: for every row of a step, `columns` numbers, f32 in meaning, at `first` of a buffer that is `stride` wide.
#[derive(Clone)]
pub struct Tensor {
    buffer: Arc<dyn Buffer>,
    first: usize,
    columns: usize,
    stride: usize,
    charge: Option<Arc<Charge>>,
}

impl Tensor {
    /// The whole width of a new buffer; for devices.
    pub fn new(buffer: Arc<dyn Buffer>, columns: usize) -> Self {
        Self { buffer, first: 0, columns, stride: columns, charge: None }
    }

    /// The same tensor, which holds `charge` from now on, as its views do.
    pub(crate) fn charged(self, charge: Arc<Charge>) -> Self {
        Self { charge: Some(charge), ..self }
    }

    /// The same memory, `columns` wide, from column `first` of this view; `None` if it does not lie inside or is empty.
    pub fn view(&self, first: usize, columns: usize) -> Option<Self> {
        let end = first.checked_add(columns)?;
        (columns > 0 && end <= self.columns).then(|| Self {
            buffer: self.buffer.clone(),
            first: self.first + first,
            columns,
            stride: self.stride,
            charge: self.charge.clone(),
        })
    }

    /// Width of this view.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Its first column in the buffer.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Width of the buffer: elements from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The memory, for the device that made it.
    pub fn buffer(&self) -> &Arc<dyn Buffer> {
        &self.buffer
    }

    /// Whether both are views of one buffer, at whatever columns.
    pub fn shares_buffer(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer)
    }

    /// Whether both are the very same columns of one buffer.
    pub fn is(&self, other: &Tensor) -> bool {
        self.shares_buffer(other) && self.first == other.first && self.columns == other.columns
    }

    /// Whether some element belongs to both.
    pub fn overlaps(&self, other: &Tensor) -> bool {
        self.shares_buffer(other)
            && self.first < other.first + other.columns
            && other.first < self.first + self.columns
    }

    /// Copy one row, after the runs before.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed, [`Error::BadShape`] if no step can have that row.
    pub fn read(&self, row: usize) -> Result<Vec<f32>, Error> {
        let mut out = vec![0.0; self.columns];
        self.buffer.read(row, self.first, &mut out)?;
        Ok(out)
    }

    /// The `count` largest numbers of a row with their columns, after the runs before: NaN first, then the largest, then the lower
    /// column.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub fn top_k(&self, row: usize, count: usize) -> Result<Vec<(u32, f32)>, Error> {
        Ok(largest(&self.read(row)?, count))
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:p}+{}, {} columns)", Arc::as_ptr(&self.buffer), self.first, self.columns)
    }
}

/// The `count` largest numbers with their places: NaN first, then the largest, then the lower place.
fn largest(numbers: &[f32], count: usize) -> Vec<(u32, f32)> {
    let order = |a: &(u32, f32), b: &(u32, f32)| -> Ordering {
        let by_number = match (a.1.is_nan(), b.1.is_nan()) {
            (false, false) => b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal),
            (a, b) => b.cmp(&a),
        };
        by_number.then(a.0.cmp(&b.0))
    };
    if count == 0 {
        return Vec::new();
    }
    // Somewhat more than wanted are collected, then selected from: what is not above the worst of those never enters. Among equals
    // the first places have been seen by then.
    let mut entries: Vec<(u32, f32)> = Vec::new();
    let mut floor = None;
    for (place, &number) in (0..).zip(numbers) {
        if floor.is_some_and(|floor| number <= floor) {
            continue;
        }
        entries.push((place, number));
        if entries.len() >= count.saturating_mul(2).saturating_add(64) {
            entries.select_nth_unstable_by(count - 1, order);
            entries.truncate(count);
            floor = Some(entries[count - 1].1);
        }
    }
    entries.sort_unstable_by(order);
    entries.truncate(count);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_in_order_and_ties_by_place() {
        let numbers = [1.0, f32::NAN, 3.0, 3.0, f32::NEG_INFINITY];
        let top = largest(&numbers, 3);
        assert_eq!(top.iter().map(|entry| entry.0).collect::<Vec<_>>(), [1, 2, 3]);
        let all = largest(&numbers, 9);
        assert_eq!(all.iter().map(|entry| entry.0).collect::<Vec<_>>(), [1, 2, 3, 0, 4]);
        assert!(largest(&numbers, 0).is_empty());
    }

    #[test]
    fn the_largest_of_many_are_those_of_a_sort() {
        let numbers: Vec<f32> =
            (0..5000u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 22) as f32).collect();
        let mut sorted: Vec<(u32, f32)> = (0..).zip(numbers.iter().copied()).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for count in [1, 2, 40, 1000, 4999, 5000] {
            assert_eq!(largest(&numbers, count), sorted[..count], "{count}");
        }
    }
}
