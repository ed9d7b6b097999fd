//! The beginning of a file: version, metadata, and what tensors there are and where.

use crate::error::{Shown, shown};
use crate::reader::{Field, Reader, Source};
use crate::value::{Array, Value, ValueType};
use crate::{Error, Kind, Metadata, Result, limits};

/// The alignment of files that do not say.
pub(crate) const DEFAULT_ALIGNMENT: u64 = 32;

/// The key of the alignment.
pub(crate) const ALIGNMENT_KEY: &str = "general.alignment";

/// Everything in a file but the tensors' data, checked.
#[derive(Debug, Clone)]
pub struct Header {
    /// The version of the format, 2 or 3.
    pub version: u32,
    /// Keys and values, in the order of the file.
    pub metadata: Metadata,
    /// The tensors, in the order of the file. Their data lies inside of the file and does not overlap.
    pub tensors: Vec<TensorInfo>,
    /// Each tensor's data begins at a multiple of this many bytes from `data_start`.
    pub alignment: u64,
    /// Where the data section begins, in bytes. May be past the end of a file without tensors.
    pub data_start: u64,
    /// Positions in `tensors`, sorted by name.
    by_name: Vec<usize>,
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Its shape in ggml's order: the first is the length of a row. One to four, none is zero.
    pub dimensions: Vec<u64>,
    /// The type of its elements.
    pub kind: Kind,
    /// Where its data begins in the file, in bytes.
    pub offset: u64,
    /// Size of its data in bytes, without padding.
    pub size: u64,
}

impl TensorInfo {
    /// Elements of a row: the first dimension.
    pub fn columns(&self) -> u64 {
        self.dimensions.first().copied().unwrap_or(1)
    }

    /// Number of rows: the product of the other dimensions, 1 for a vector.
    pub fn rows(&self) -> u64 {
        self.dimensions.iter().skip(1).product()
    }
}

impl Header {
    /// Reads and checks the beginning of a file, in chunks of at most 1 MiB. Tensor data is not read.
    ///
    /// # Errors
    /// Whatever is wrong with the file, see [`Error`]; [`Error::Read`] when the source fails.
    pub fn read(source: &dyn Source) -> Result<Self> {
        let mut reader = Reader::new(source);
        let version = read_version(&mut reader)?;
        let tensor_count = reader.limited(limits::TENSORS, format_args!("the number of tensors"))?;
        let key_count = reader.limited(limits::KEYS, format_args!("the number of metadata keys"))?;
        let metadata = read_metadata(&mut reader, key_count)?;
        let alignment = alignment(&metadata)?;

        let mut tensors = Vec::new();
        for index in 0..tensor_count {
            tensors.push(read_tensor(&mut reader, index)?);
        }
        let by_name = sort_by_name(&tensors)?;
        let data_start = reader.position().next_multiple_of(alignment);
        place(&mut tensors, data_start, alignment, reader.size())?;
        Ok(Self { version, metadata, tensors, alignment, data_start, by_name })
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let name_at = |position| self.tensors.get(position).map(|tensor: &TensorInfo| tensor.name.as_str());
        self.tensors.get(find_by_name(&self.by_name, name, name_at)?)
    }
}

/// The positions of the tensors sorted by name, or an error where a name is there twice.
pub(crate) fn sort_by_name<'a>(tensors: impl IntoIterator<Item = &'a TensorInfo>) -> Result<Vec<usize>> {
    let mut named: Vec<(&str, usize)> =
        tensors.into_iter().enumerate().map(|(position, tensor)| (tensor.name.as_str(), position)).collect();
    named.sort_unstable();
    match named.array_windows().find(|[(first, _), (second, _)]| first == second) {
        Some([(name, _), _]) => Err(Error::DuplicateTensor { tensor: shown(name) }),
        None => Ok(named.into_iter().map(|(_, position)| position).collect()),
    }
}

/// The position of the tensor of this name, by what [`sort_by_name`] made.
pub(crate) fn find_by_name<'a>(
    by_name: &[usize],
    name: &str,
    name_at: impl Fn(usize) -> Option<&'a str>,
) -> Option<usize> {
    let found = by_name.binary_search_by(|&position| name_at(position).cmp(&Some(name)));
    by_name.get(found.ok()?).copied()
}

/// The alignment that the metadata asks for.
pub(crate) fn alignment(metadata: &Metadata) -> Result<u64> {
    let found = match metadata.get(ALIGNMENT_KEY) {
        None => return Ok(DEFAULT_ALIGNMENT),
        Some(Value::U32(bytes)) if bytes.is_power_of_two() && u64::from(*bytes) <= limits::ALIGNMENT => {
            return Ok(u64::from(*bytes));
        }
        Some(Value::U32(bytes)) => bytes.to_string(),
        Some(other) => format!("of type {}", other.type_name()),
    };
    Err(Error::Alignment { found, limit: limits::ALIGNMENT })
}

/// Bytes of a tensor, after everything about its shape and type was checked.
pub(crate) fn tensor_size(name: &str, dimensions: &[u64], kind: Kind) -> Result<u64> {
    if let Some(dimension) = dimensions.iter().position(|&length| length == 0) {
        return Err(Error::ZeroDimension { tensor: shown(name), dimension });
    }
    let (columns, block) = (dimensions.first().copied().unwrap_or(1), kind.block_elements());
    if columns % block != 0 {
        return Err(Error::RowLength { tensor: shown(name), columns, block, kind: kind.name() });
    }
    kind.bytes(dimensions)
        .ok_or_else(|| Error::TensorSize { tensor: shown(name), dimensions: dimensions.to_vec() })
}

/// The magic number and the version.
fn read_version(reader: &mut Reader<'_>) -> Result<u32> {
    let length = reader.size().min(4);
    let mut magic = Vec::new();
    reader.append(&mut magic, length, format_args!("the magic number"))?;
    if magic != b"GGUF" {
        let found =
            if magic.is_empty() { "nothing".to_owned() } else { format!("\"{}\"", magic.escape_ascii()) };
        return Err(Error::NotGguf { found });
    }
    match reader.u32(format_args!("the version"))? {
        version @ (2 | 3) => Ok(version),
        swapped if matches!(swapped.swap_bytes(), 1..=0xffff) => {
            Err(Error::BigEndian { version: swapped.swap_bytes() })
        }
        version => Err(Error::Version { version }),
    }
}

fn read_metadata(reader: &mut Reader<'_>, count: u64) -> Result<Metadata> {
    /// Memory of an entry beside the bytes of its key and what its value points to.
    const ENTRY: u64 = 2 * size_of::<(String, Value)>() as u64;
    let mut metadata = Metadata::new();
    for index in 0..count {
        let offset = reader.position();
        let key = reader.name(limits::KEY_BYTES, format_args!("the name of metadata key {index}"))?;
        if metadata.get(&key).is_some() {
            return Err(Error::DuplicateKey { offset, key: shown(&key) });
        }
        // The key is there twice: in the table and in its index.
        reader.charge(ENTRY + 2 * key.len() as u64, format_args!("the key {}", Shown(&key)))?;
        let value = read_value(reader, format_args!("the value of {}", Shown(&key)))?;
        metadata.insert(key, value);
    }
    Ok(metadata)
}

fn read_type(reader: &mut Reader<'_>, field: Field<'_>) -> Result<ValueType> {
    let offset = reader.position();
    let id = reader.u32(format_args!("the type of {field}"))?;
    ValueType::from_id(id).ok_or_else(|| Error::ValueType { offset, field: field.to_string(), id })
}

fn read_value(reader: &mut Reader<'_>, field: Field<'_>) -> Result<Value> {
    Ok(match read_type(reader, field)? {
        ValueType::U8 => Value::U8(u8::from_le_bytes(reader.array(field)?)),
        ValueType::I8 => Value::I8(i8::from_le_bytes(reader.array(field)?)),
        ValueType::U16 => Value::U16(u16::from_le_bytes(reader.array(field)?)),
        ValueType::I16 => Value::I16(i16::from_le_bytes(reader.array(field)?)),
        ValueType::U32 => Value::U32(u32::from_le_bytes(reader.array(field)?)),
        ValueType::I32 => Value::I32(i32::from_le_bytes(reader.array(field)?)),
        ValueType::F32 => Value::F32(f32::from_le_bytes(reader.array(field)?)),
        ValueType::U64 => Value::U64(u64::from_le_bytes(reader.array(field)?)),
        ValueType::I64 => Value::I64(i64::from_le_bytes(reader.array(field)?)),
        ValueType::F64 => Value::F64(f64::from_le_bytes(reader.array(field)?)),
        ValueType::Bool => {
            let offset = reader.position();
            let [byte] = reader.array(field)?;
            Value::Bool(boolean(byte, offset, field)?)
        }
        ValueType::String => {
            let mut bytes = Vec::new();
            reader.string(&mut bytes, field)?;
            let text = String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
            Value::String(text)
        }
        ValueType::Array => Value::Array(read_array(reader, 1, field)?),
    })
}

fn read_array(reader: &mut Reader<'_>, depth: usize, field: Field<'_>) -> Result<Array> {
    let offset = reader.position();
    if depth > limits::ARRAY_DEPTH {
        return Err(Error::ArrayDepth {
            offset: Some(offset),
            field: field.to_string(),
            limit: limits::ARRAY_DEPTH,
        });
    }
    let element = read_type(reader, format_args!("an element of {field}"))?;
    let count = reader.u64(format_args!("the number of elements of {field}"))?;
    Ok(match element {
        ValueType::U8 => Array::U8(reader.elements(count, u8::from_le_bytes, field)?),
        ValueType::I8 => Array::I8(reader.elements(count, i8::from_le_bytes, field)?),
        ValueType::U16 => Array::U16(reader.elements(count, u16::from_le_bytes, field)?),
        ValueType::I16 => Array::I16(reader.elements(count, i16::from_le_bytes, field)?),
        ValueType::U32 => Array::U32(reader.elements(count, u32::from_le_bytes, field)?),
        ValueType::I32 => Array::I32(reader.elements(count, i32::from_le_bytes, field)?),
        ValueType::F32 => Array::F32(reader.elements(count, f32::from_le_bytes, field)?),
        ValueType::U64 => Array::U64(reader.elements(count, u64::from_le_bytes, field)?),
        ValueType::I64 => Array::I64(reader.elements(count, i64::from_le_bytes, field)?),
        ValueType::F64 => Array::F64(reader.elements(count, f64::from_le_bytes, field)?),
        ValueType::Bool => {
            let start = reader.position();
            let bytes = reader.elements(count, u8::from_le_bytes, field)?;
            let booleans = bytes.iter().zip(start..).map(|(&byte, offset)| boolean(byte, offset, field));
            Array::Bool(booleans.collect::<Result<_>>()?)
        }
        ValueType::String => Array::String(reader.strings(count, field)?),
        ValueType::Array => {
            // An array takes at least its type and its count.
            reader.claim(count, 12, size_of::<Array>(), field)?;
            let mut arrays = Vec::new();
            for _ in 0..count {
                arrays.push(read_array(reader, depth + 1, field)?);
            }
            Array::Array(arrays)
        }
    })
}

fn boolean(byte: u8, offset: u64, field: Field<'_>) -> Result<bool> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::Bool { offset, field: field.to_string(), byte }),
    }
}

/// A row of the tensor table. The offset in it is still the one from the beginning of the data section.
fn read_tensor(reader: &mut Reader<'_>, index: u64) -> Result<TensorInfo> {
    let name = reader.name(limits::TENSOR_NAME_BYTES, format_args!("the name of tensor {index}"))?;
    let offset = reader.position();
    let count = reader.u32(format_args!("the number of dimensions of the tensor {}", Shown(&name)))?;
    if !(1..=limits::DIMENSIONS).contains(&count) {
        let (tensor, count, limit) = (shown(&name), u64::from(count), limits::DIMENSIONS);
        return Err(Error::DimensionCount { offset: Some(offset), tensor, count, limit });
    }
    let mut dimensions = Vec::with_capacity(count as usize);
    for _ in 0..count {
        dimensions.push(reader.u64(format_args!("the dimensions of the tensor {}", Shown(&name)))?);
    }
    let type_offset = reader.position();
    let id = reader.u32(format_args!("the type of the tensor {}", Shown(&name)))?;
    let kind = Kind::from_id(id).ok_or_else(|| Error::UnknownKind {
        offset: type_offset,
        tensor: shown(&name),
        id,
    })?;
    let offset = reader.u64(format_args!("the offset of the tensor {}", Shown(&name)))?;
    let size = tensor_size(&name, &dimensions, kind)?;
    Ok(TensorInfo { name, dimensions, kind, offset, size })
}

/// Makes the tensors' offsets absolute, after checking that each one's data is aligned, inside of the file and its own.
fn place(tensors: &mut [TensorInfo], data_start: u64, alignment: u64, size: u64) -> Result<()> {
    for tensor in tensors.iter_mut() {
        if tensor.offset % alignment != 0 {
            return Err(Error::OffsetAlignment {
                tensor: shown(&tensor.name),
                offset: tensor.offset,
                alignment,
            });
        }
        let start = data_start.checked_add(tensor.offset);
        let end = start.and_then(|start| start.checked_add(tensor.size));
        tensor.offset = match (start, end) {
            (Some(start), Some(end)) if end <= size => start,
            _ => {
                let (offset, length) = (tensor.offset, tensor.size);
                return Err(Error::OutOfFile {
                    tensor: shown(&tensor.name),
                    offset,
                    length,
                    data_start,
                    size,
                });
            }
        };
    }
    let mut by_offset: Vec<&TensorInfo> = tensors.iter().collect();
    by_offset.sort_unstable_by_key(|tensor| tensor.offset);
    match by_offset.array_windows().find(|[first, second]| second.offset - first.offset < first.size) {
        Some([first, second]) => {
            let (first, second, offset) = (shown(&first.name), shown(&second.name), second.offset);
            Err(Error::Overlap { first, second, offset })
        }
        None => Ok(()),
    }
}
