//! Why a file was refused, in a sentence for the person who chose the file.

use std::fmt;

/// The result of reading or writing GGUF.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a file could not be read, a value not be used or a file not be written.
///
/// `offset` is the absolute position in the file, in bytes, of the field that is wrong; `field` says which one it is.
/// Names from the file are quoted, escaped and shortened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source failed.
    #[error("{length} bytes at byte {offset} could not be read: {cause}")]
    Read {
        /// Where the failed read began.
        offset: u64,
        /// How many bytes were asked for.
        length: usize,
        /// What the source said.
        cause: String,
    },
    /// The file does not begin with `GGUF`.
    #[error("this is not a GGUF file: it begins with {found} instead of \"GGUF\"")]
    NotGguf {
        /// The first bytes of the file, printable.
        found: String,
    },
    /// The file was written on or for a big-endian machine.
    #[error("this is a big-endian GGUF file (version {version}); only little-endian files are supported")]
    BigEndian {
        /// The version, in the order of bytes that the file has.
        version: u32,
    },
    /// The file has a version other than 2 and 3.
    #[error("this is a GGUF file of version {version}; only versions 2 and 3 are supported")]
    Version {
        /// The version in the file.
        version: u32,
    },
    /// The file is shorter than what it declares.
    #[error("the file ends at byte {size}, inside {field} ({needed} bytes from byte {offset})")]
    Truncated {
        /// Size of the file in bytes.
        size: u64,
        /// Where the field begins.
        offset: u64,
        /// How many bytes the field takes at least, by its declared length.
        needed: u64,
        /// The field that is cut.
        field: String,
    },
    /// A number in the file is above the limit of this reader.
    #[error("{field}{} is {value}, and the limit is {limit}", at(offset))]
    Limit {
        /// Where the number stands; `None` in a file that is to be written.
        offset: Option<u64>,
        /// What is counted.
        field: String,
        /// The number in the file.
        value: u64,
        /// The highest number allowed, see [`crate::limits`].
        limit: u64,
    },
    /// The decoded metadata would take more than [`crate::limits::METADATA_BYTES`].
    #[error("the metadata up to {field} at byte {offset} takes more than {limit} bytes of memory")]
    MetadataSize {
        /// Where the field that is too much begins.
        offset: u64,
        /// The field that is too much.
        field: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A name is not UTF-8.
    #[error("{field} at byte {offset} is not UTF-8 text")]
    NotText {
        /// Where the name begins.
        offset: u64,
        /// Which name.
        field: String,
    },
    /// A name is empty.
    #[error("{field}{} is empty", at(offset))]
    EmptyName {
        /// Where the name should be; `None` in a file that is to be written.
        offset: Option<u64>,
        /// Which name.
        field: String,
    },
    /// A key appears twice.
    #[error("the key {key} at byte {offset} was already given")]
    DuplicateKey {
        /// Where the second one stands.
        offset: u64,
        /// The key, quoted.
        key: String,
    },
    /// A value or the elements of an array have a type that GGUF does not define.
    #[error("{field} at byte {offset} has the unknown type {id}")]
    ValueType {
        /// Where the type stands.
        offset: u64,
        /// Whose type it is.
        field: String,
        /// The number of the type.
        id: u32,
    },
    /// A boolean is neither 0 nor 1.
    #[error("{field} at byte {offset} is a boolean, but holds {byte} instead of 0 or 1")]
    Bool {
        /// Where the boolean stands.
        offset: u64,
        /// Which value.
        field: String,
        /// The byte.
        byte: u8,
    },
    /// Arrays are nested deeper than [`crate::limits::ARRAY_DEPTH`].
    #[error("{field} nests arrays more than {limit} deep{}", at(offset))]
    ArrayDepth {
        /// Where the array that is too deep begins; `None` in a file that is to be written.
        offset: Option<u64>,
        /// Which value.
        field: String,
        /// The depth allowed.
        limit: usize,
    },
    /// `general.alignment` is not an unsigned 32-bit power of two up to [`crate::limits::ALIGNMENT`].
    #[error("general.alignment is {found}; it must be a u32 and a power of two, at most {limit}")]
    Alignment {
        /// The value in the file.
        found: String,
        /// The highest alignment allowed.
        limit: u64,
    },
    /// Two tensors have one name.
    #[error("the tensor {tensor} appears twice")]
    DuplicateTensor {
        /// The name, quoted.
        tensor: String,
    },
    /// A tensor has no dimension or more than [`crate::limits::DIMENSIONS`].
    #[error("the tensor {tensor} has {count} dimensions{}; 1 to {limit} are possible", at(offset))]
    DimensionCount {
        /// Where the number stands; `None` in a file that is to be written.
        offset: Option<u64>,
        /// The name, quoted.
        tensor: String,
        /// The number of dimensions.
        count: u64,
        /// The highest number allowed.
        limit: u32,
    },
    /// A dimension of a tensor is zero.
    #[error("dimension {dimension} of the tensor {tensor} is zero")]
    ZeroDimension {
        /// The name, quoted.
        tensor: String,
        /// Which dimension, from 0.
        dimension: usize,
    },
    /// A tensor has a type that this crate does not know.
    #[error("the tensor {tensor} has the unknown type {id} at byte {offset}{}", removed(*id))]
    UnknownKind {
        /// Where the type stands.
        offset: u64,
        /// The name, quoted.
        tensor: String,
        /// The number of the type.
        id: u32,
    },
    /// A row of a tensor is not a whole number of blocks.
    #[error(
        "the rows of the tensor {tensor} have {columns} elements, not a multiple of the {block} of a {kind} block"
    )]
    RowLength {
        /// The name, quoted.
        tensor: String,
        /// Elements of a row.
        columns: u64,
        /// Elements of a block.
        block: u64,
        /// Name of the type.
        kind: &'static str,
    },
    /// The size of a tensor in bytes does not fit 64 bits.
    #[error("the tensor {tensor} of shape {dimensions:?} is larger than any file can be")]
    TensorSize {
        /// The name, quoted.
        tensor: String,
        /// The shape, row length first.
        dimensions: Vec<u64>,
    },
    /// The data of a tensor does not begin at a multiple of the alignment.
    #[error(
        "the data of the tensor {tensor} begins at {offset} of the data section, not a multiple of {alignment}"
    )]
    OffsetAlignment {
        /// The name, quoted.
        tensor: String,
        /// The offset in the file's data section.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// The data of a tensor lies outside of the file.
    #[error(
        "the tensor {tensor} needs {length} bytes from {offset} of the data section, past the end of the file at byte {size} (the data section begins at byte {data_start})"
    )]
    OutOfFile {
        /// The name, quoted.
        tensor: String,
        /// The offset in the file's data section.
        offset: u64,
        /// Bytes of the tensor.
        length: u64,
        /// Where the data section begins.
        data_start: u64,
        /// Size of the file in bytes.
        size: u64,
    },
    /// The data of two tensors overlaps.
    #[error("the data of the tensors {first} and {second} overlaps at byte {offset}")]
    Overlap {
        /// The name of the tensor that begins first, quoted.
        first: String,
        /// The name of the other, quoted.
        second: String,
        /// Where the second begins, absolute.
        offset: u64,
    },
    /// A key that is needed is not in the file.
    #[error("the file has no key {key}")]
    Missing {
        /// The key.
        key: String,
    },
    /// A value has a type, or a number, that does not serve its purpose.
    #[error("the key {key} is {found}, and {expected} is needed")]
    WrongType {
        /// The key.
        key: String,
        /// What was asked for, such as "a u32".
        expected: &'static str,
        /// What is there, such as "a string".
        found: String,
    },
    /// A file of a split model is refused.
    #[error("in file {} of the split model: {cause}", shard + 1)]
    Shard {
        /// The place of the file in the list, from 0.
        shard: usize,
        /// What is wrong with it.
        cause: Box<Error>,
    },
    /// No file was given.
    #[error("no file was given")]
    NoShard,
    /// A file of a split model was not given.
    #[error("the model is split into {count} files, and number {} is missing", missing + 1)]
    ShardMissing {
        /// The first one that is missing, from 0.
        missing: u64,
        /// The number of files.
        count: u64,
    },
    /// The files of a split model are not in order, or one is there twice.
    #[error("file {} of the list is number {} of the split model; give each file once and in order", index + 1, number + 1)]
    ShardOrder {
        /// The place in the list, from 0.
        index: usize,
        /// The file's own number, from 0.
        number: u64,
    },
    /// The files are not parts of one model.
    #[error("file {} of the list has {key} = {found}, and {expected} was expected: it is not part of this split model", index + 1)]
    ShardMismatch {
        /// The place in the list, from 0.
        index: usize,
        /// The key that differs.
        key: &'static str,
        /// The value of this file.
        found: String,
        /// The value of the first file.
        expected: String,
    },
    /// The files of a split model do not hold as many tensors as they declare.
    #[error("the split model declares {declared} tensors, and its files hold {found}")]
    ShardTensors {
        /// The value of `split.tensors.count`.
        declared: u64,
        /// The number of tensors of all files.
        found: u64,
    },
    /// Data was given for a tensor whose turn it is not, or which was not declared.
    #[error("data was given for the tensor {found} where {expected} was expected")]
    DataOrder {
        /// The name for which data came, quoted.
        found: String,
        /// The name whose data is next, quoted, or "the end of the file".
        expected: String,
    },
    /// A tensor got more or less data than its shape and type take.
    #[error("the tensor {tensor} takes {expected} bytes, and {found} were given")]
    DataLength {
        /// The name, quoted.
        tensor: String,
        /// Bytes of the tensor.
        expected: u64,
        /// Bytes that were given.
        found: u64,
    },
    /// The output could not be written.
    #[error("the file could not be written: {0}")]
    Write(#[from] std::io::Error),
}

/// Text from a file as it is shown in messages: quoted, escaped and shortened.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 96; // characters
        match self.0.char_indices().nth(LONGEST) {
            None => write!(formatter, "{:?}", self.0),
            Some((end, _)) => write!(formatter, "{:?}...", self.0.split_at(end).0),
        }
    }
}

/// [`Shown`] as a string.
pub(crate) fn shown(text: &str) -> String {
    Shown(text).to_string()
}

/// The place of a field, for fields that have one.
fn at(offset: &Option<u64>) -> String {
    offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default()
}

/// What is known of the types that the field has withdrawn.
fn removed(id: u32) -> &'static str {
    match id {
        4 | 5 => " (Q4_2 or Q4_3, withdrawn in 2023: quantise the model again)",
        31..=33 => " (a repacked Q4_0, withdrawn in 2024: quantise the model to plain Q4_0)",
        36..=38 => " (a repacked IQ4_NL, withdrawn in 2024: quantise the model to plain IQ4_NL)",
        _ => "",
    }
}
