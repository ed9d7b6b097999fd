//! What kernels work on: bytes that somebody mapped, matrices in them, and activations on a device.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::block::Format;
use crate::device::Error;

/// Bytes that stay where they are, usually a range of a mapped file, kept alive by whoever mapped them.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Bytes {
    /// All bytes of `owner`.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let length = (*owner).as_ref().len();
        Self { owner, range: 0..length }
    }

    /// The part `first .. first + length`, or `None` if it does not lie inside.
    pub fn slice(&self, first: usize, length: usize) -> Option<Self> {
        let start = self.range.start.checked_add(first)?;
        let end = start.checked_add(length)?;
        (end <= self.range.end).then(|| Self { owner: self.owner.clone(), range: start..end })
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.range.len())
    }
}

/// A matrix of a model file, in place: `rows` vectors of `columns` elements, row after row.
#[derive(Clone, Debug)]
pub struct Weight {
    bytes: Bytes,
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
        if size != bytes.as_ref().len() {
            let length = bytes.as_ref().len();
            return Err(Error::BadShape(format!(
                "{rows} x {columns} elements of {format} take {size} bytes, not {length}"
            )));
        }
        Ok(Self { bytes, format, rows, columns })
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
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The blocks of one row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[u8] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let length = self.bytes().len() / self.rows;
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
}

impl Tensor {
    /// The whole width of a new buffer; for devices.
    pub fn new(buffer: Arc<dyn Buffer>, columns: usize) -> Self {
        Self { buffer, first: 0, columns, stride: columns }
    }

    /// The same memory, `columns` wide, from column `first` of this view; `None` if it does not lie inside or is empty.
    pub fn view(&self, first: usize, columns: usize) -> Option<Self> {
        let end = first.checked_add(columns)?;
        (columns > 0 && end <= self.columns).then(|| Self {
            buffer: self.buffer.clone(),
            first: self.first + first,
            columns,
            stride: self.stride,
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
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:p}+{}, {} columns)", Arc::as_ptr(&self.buffer), self.first, self.columns)
    }
}
