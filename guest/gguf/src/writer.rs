//! Writing files, version 3: the tables first, then the tensors' data as it comes, so that a file may be larger than
//! memory.

use std::io::Write;

use crate::error::shown;
use crate::header::{alignment, tensor_size};
use crate::value::{Array, Value};
use crate::{Error, Kind, Metadata, Result, TensorInfo, limits};

/// A file that is being planned: its metadata and its tensors without their data.
///
/// ```
/// use wasm_chord_gguf::{Header, Kind, Metadata, Writer};
///
/// let mut metadata = Metadata::new();
/// metadata.insert("general.architecture", "llama");
/// let mut writer = Writer::new(metadata)?;
/// writer.tensor("output_norm.weight", &[4], Kind::F32)?;
/// let mut data = writer.start(Vec::new())?;
/// data.append("output_norm.weight", &[0; 16])?;
/// let file = data.finish()?;
///
/// assert_eq!(Header::read(&file)?.tensors[0].rows(), 1);
/// # Ok::<(), wasm_chord_gguf::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Writer {
    metadata: Metadata,
    alignment: u64,
    /// Offsets count from the beginning of the data section.
    tensors: Vec<TensorInfo>,
    /// Bytes of the data section so far, with padding.
    data_size: u64,
}

impl Writer {
    /// A file with this metadata. `general.alignment` in it sets the alignment, 32 bytes otherwise.
    ///
    /// # Errors
    /// What the reader would refuse: [`Error::Alignment`], [`Error::EmptyName`], [`Error::Limit`] for a key and
    /// [`Error::ArrayDepth`].
    pub fn new(metadata: Metadata) -> Result<Self> {
        limit("the number of metadata keys", metadata.len() as u64, limits::KEYS)?;
        for (key, value) in metadata.iter() {
            name("a metadata key", key, limits::KEY_BYTES)?;
            if let Value::Array(array) = value
                && depth(array) > limits::ARRAY_DEPTH
            {
                let limit = limits::ARRAY_DEPTH;
                return Err(Error::ArrayDepth {
                    offset: None,
                    field: format!("the value of {}", shown(key)),
                    limit,
                });
            }
        }
        let alignment = alignment(&metadata)?;
        Ok(Self { metadata, alignment, tensors: Vec::new(), data_size: 0 })
    }

    /// Declares the next tensor. `dimensions` are in ggml's order, row length first.
    ///
    /// # Errors
    /// What the reader would refuse: [`Error::EmptyName`], [`Error::Limit`], [`Error::DimensionCount`],
    /// [`Error::ZeroDimension`], [`Error::RowLength`], [`Error::TensorSize`].
    pub fn tensor(&mut self, tensor: &str, dimensions: &[u64], kind: Kind) -> Result<()> {
        name("a tensor name", tensor, limits::TENSOR_NAME_BYTES)?;
        limit("the number of tensors", self.tensors.len() as u64 + 1, limits::TENSORS)?;
        let (count, most) = (dimensions.len() as u64, limits::DIMENSIONS);
        if !(1..=u64::from(most)).contains(&count) {
            return Err(Error::DimensionCount { offset: None, tensor: shown(tensor), count, limit: most });
        }
        let size = tensor_size(tensor, dimensions, kind)?;
        let offset = self.data_size;
        let end = offset.checked_add(size).and_then(|end| end.checked_next_multiple_of(self.alignment));
        let too_large = || Error::TensorSize { tensor: shown(tensor), dimensions: dimensions.to_vec() };
        self.data_size = end.ok_or_else(too_large)?;
        self.tensors.push(TensorInfo {
            name: tensor.to_owned(),
            dimensions: dimensions.to_vec(),
            kind,
            offset,
            size,
        });
        Ok(())
    }

    /// Writes the tables; the data of the tensors follows, in the order in which they were declared.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`]; [`Error::Write`] when `out` fails.
    pub fn start<W: Write>(self, mut out: W) -> Result<DataWriter<W>> {
        crate::header::sort_by_name(&self.tensors)?;
        let mut header = Vec::new();
        header.extend(b"GGUF");
        header.extend(3u32.to_le_bytes());
        header.extend((self.tensors.len() as u64).to_le_bytes());
        header.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            encode_string(&mut header, key.as_bytes());
            header.extend((value.value_type() as u32).to_le_bytes());
            encode_value(&mut header, value);
        }
        for tensor in &self.tensors {
            encode_string(&mut header, tensor.name.as_bytes());
            header.extend((tensor.dimensions.len() as u32).to_le_bytes());
            header.extend(tensor.dimensions.iter().flat_map(|length| length.to_le_bytes()));
            header.extend(tensor.kind.id().to_le_bytes());
            header.extend(tensor.offset.to_le_bytes());
        }
        header.resize(header.len().next_multiple_of(self.alignment as usize), 0);
        out.write_all(&header)?;
        Ok(DataWriter { out, alignment: self.alignment, tensors: self.tensors, current: 0, written: 0 })
    }
}

/// A file whose tables are written and whose data is on its way.
#[derive(Debug)]
pub struct DataWriter<W> {
    out: W,
    alignment: u64,
    tensors: Vec<TensorInfo>,
    /// The tensor whose data is next.
    current: usize,
    /// Bytes of it so far.
    written: u64,
}

impl<W: Write> DataWriter<W> {
    /// Writes the next bytes of a tensor's data, all of it or a piece.
    ///
    /// # Errors
    /// [`Error::DataOrder`] where this tensor is not the next; [`Error::DataLength`] where it takes less;
    /// [`Error::Write`] when the output fails.
    pub fn append(&mut self, tensor: &str, bytes: &[u8]) -> Result<()> {
        let next = match self.tensors.get(self.current) {
            Some(next) if next.name == tensor => next,
            next => {
                let expected = next.map_or("the end of the file".to_owned(), |next| shown(&next.name));
                return Err(Error::DataOrder { found: shown(tensor), expected });
            }
        };
        let found = self.written + bytes.len() as u64;
        if found > next.size {
            return Err(Error::DataLength { tensor: shown(tensor), expected: next.size, found });
        }
        self.out.write_all(bytes)?;
        self.written = found;
        if found == next.size {
            let padding = next.size.next_multiple_of(self.alignment) - next.size;
            self.out.write_all(&vec![0; padding as usize])?;
            self.current += 1;
            self.written = 0;
        }
        Ok(())
    }

    /// Flushes the output and gives it back.
    ///
    /// # Errors
    /// [`Error::DataLength`] for the first tensor whose data is not complete; [`Error::Write`] when the output fails.
    pub fn finish(mut self) -> Result<W> {
        if let Some(next) = self.tensors.get(self.current) {
            return Err(Error::DataLength {
                tensor: shown(&next.name),
                expected: next.size,
                found: self.written,
            });
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

fn limit(field: &str, value: u64, limit: u64) -> Result<()> {
    if value > limit {
        return Err(Error::Limit { offset: None, field: field.to_owned(), value, limit });
    }
    Ok(())
}

fn name(field: &str, name: &str, longest: u64) -> Result<()> {
    if name.is_empty() {
        return Err(Error::EmptyName { offset: None, field: field.to_owned() });
    }
    limit(&format!("the length of {field}"), name.len() as u64, longest)
}

fn depth(array: &Array) -> usize {
    match array {
        Array::Array(arrays) => 1 + arrays.iter().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

fn encode_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

fn encode_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(number) => out.extend(number.to_le_bytes()),
        Value::I8(number) => out.extend(number.to_le_bytes()),
        Value::U16(number) => out.extend(number.to_le_bytes()),
        Value::I16(number) => out.extend(number.to_le_bytes()),
        Value::U32(number) => out.extend(number.to_le_bytes()),
        Value::I32(number) => out.extend(number.to_le_bytes()),
        Value::F32(number) => out.extend(number.to_le_bytes()),
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::String(text) => encode_string(out, text.as_bytes()),
        Value::Array(array) => encode_array(out, array),
        Value::U64(number) => out.extend(number.to_le_bytes()),
        Value::I64(number) => out.extend(number.to_le_bytes()),
        Value::F64(number) => out.extend(number.to_le_bytes()),
    }
}

fn encode_array(out: &mut Vec<u8>, array: &Array) {
    out.extend((array.element_type() as u32).to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::U8(elements) => out.extend(elements),
        Array::I8(elements) => out.extend(elements.iter().flat_map(|element| element.to_le_bytes())),
        Array::U16(elements) => out.extend(elements.iter().flat_map(|element| element.to_le_bytes())),
        Array::I16(elements) => out.extend(elements.iter().flat_map(|element| element.to_le_bytes())),
        Array::U32(elements) => out.extend(elements.iter().flat_map(|element| element.to_le_bytes())),
        Array::I32(elements) => out.extend(elements.iter().flat_map(|element| element.to_le_bytes())),
        Array::F32(elements) => out.extend(elements.iter().flat_map(|element| element.to_le_bytes())),
        Array::Bool(elements) => out.extend(elements.iter().map(|&element| u8::from(element))),
        Array::String(strings) => strings.iter_bytes().for_each(|bytes| encode_string(out, bytes)),
        Array::Array(arrays) => arrays.iter().for_each(|array| encode_array(out, array)),
        Array::U64(elements) => out.extend(elements.iter().flat_map(|element| element.to_le_bytes())),
        Array::I64(elements) => out.extend(elements.iter().flat_map(|element| element.to_le_bytes())),
        Array::F64(elements) => out.extend(elements.iter().flat_map(|element| element.to_le_bytes())),
    }
}
