//! Metadata values: the 13 types of GGUF.
//!
//! Strings in GGUF are bytes that should be UTF-8. The elements of an array keep their bytes as they are, because
//! vocabularies hold pieces of characters; a single string value becomes text, with U+FFFD in place of what is not
//! UTF-8. Keys and tensor names that are not UTF-8 are refused by the reader.

use std::ops::Range;

/// Declares [`Value`], [`Array`] and [`ValueType`] from one list of the types with a fixed width:
/// `variant, Rust type, number, name`.
macro_rules! values {
    ($($variant:ident, $type:ty, $id:literal, $name:literal;)*) => {
        /// A metadata value.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Value {
            $(
                #[doc = concat!("A `", $name, "`.")]
                $variant($type),
            )*
            /// Text; bytes that are not UTF-8 were replaced by U+FFFD.
            String(String),
            /// Many values of one type.
            Array(Array),
        }

        /// Many metadata values of one type.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Array {
            $(
                #[doc = concat!("Elements of type `", $name, "`.")]
                $variant(Vec<$type>),
            )*
            /// Strings, as bytes.
            String(Strings),
            /// Arrays, each with its own type.
            Array(Vec<Array>),
        }

        /// The type of a value, as files number it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ValueType {
            $($variant = $id,)*
            String = 8,
            Array = 9,
        }

        impl ValueType {
            pub(crate) fn from_id(id: u32) -> Option<Self> {
                match id {
                    $($id => Some(Self::$variant),)*
                    8 => Some(Self::String),
                    9 => Some(Self::Array),
                    _ => None,
                }
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::String => "string",
                    Self::Array => "array",
                }
            }
        }

        impl Value {
            pub(crate) fn value_type(&self) -> ValueType {
                match self {
                    $(Self::$variant(_) => ValueType::$variant,)*
                    Self::String(_) => ValueType::String,
                    Self::Array(_) => ValueType::Array,
                }
            }
        }

        impl Array {
            /// Number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(elements) => elements.len(),)*
                    Self::String(elements) => elements.len(),
                    Self::Array(elements) => elements.len(),
                }
            }

            pub(crate) fn element_type(&self) -> ValueType {
                match self {
                    $(Self::$variant(_) => ValueType::$variant,)*
                    Self::String(_) => ValueType::String,
                    Self::Array(_) => ValueType::Array,
                }
            }
        }

        $(
            impl From<$type> for Value {
                fn from(value: $type) -> Self {
                    Self::$variant(value)
                }
            }

            impl From<Vec<$type>> for Value {
                fn from(elements: Vec<$type>) -> Self {
                    Self::Array(Array::$variant(elements))
                }
            }
        )*
    };
}

values! {
    U8, u8, 0, "u8";
    I8, i8, 1, "i8";
    U16, u16, 2, "u16";
    I16, i16, 3, "i16";
    U32, u32, 4, "u32";
    I32, i32, 5, "i32";
    F32, f32, 6, "f32";
    Bool, bool, 7, "bool";
    U64, u64, 10, "u64";
    I64, i64, 11, "i64";
    F64, f64, 12, "f64";
}

impl Value {
    /// The type in words, such as `"u32"`, `"string"` or `"array of f32"`.
    pub fn type_name(&self) -> String {
        match self {
            Self::Array(array) => format!("array of {}", array.element_type().name()),
            _ => self.value_type().name().to_owned(),
        }
    }

    /// The number of any integer type; `None` for everything else.
    pub fn integer(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(number) => number.into(),
            Self::I8(number) => number.into(),
            Self::U16(number) => number.into(),
            Self::I16(number) => number.into(),
            Self::U32(number) => number.into(),
            Self::I32(number) => number.into(),
            Self::U64(number) => number.into(),
            Self::I64(number) => number.into(),
            _ => return None,
        })
    }
}

impl Array {
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Strings> for Value {
    fn from(strings: Strings) -> Self {
        Self::Array(Array::String(strings))
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Self::Array(array)
    }
}

/// The strings of an array, in one buffer: a vocabulary of 128 thousand tokens is two allocations.
///
/// Strings are kept byte for byte; [`Strings::get_bytes`] gives them even where they are not UTF-8.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Strings {
    /// As in a file, so that many are copied at once: before each string its length, in [`LENGTH`] bytes.
    bytes: Vec<u8>,
    /// Where each string ends in `bytes`.
    ends: Vec<usize>,
}

/// Bytes of the length of a string.
const LENGTH: usize = size_of::<u64>();

impl Strings {
    /// No strings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A string as text; `None` past the end and for bytes that are not UTF-8.
    pub fn get(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(self.get_bytes(index)?).ok()
    }

    /// The bytes of a string; `None` past the end.
    pub fn get_bytes(&self, index: usize) -> Option<&[u8]> {
        self.bytes.get(self.span(index)?)
    }

    /// Every string in order: text, or `None` for bytes that are not UTF-8.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&str>> + Clone {
        self.iter_bytes().map(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The bytes of every string in order.
    pub fn iter_bytes(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.spans().map(|span| self.bytes.get(span).unwrap_or_default())
    }

    /// Where the strings lie, with other bytes between them.
    pub fn buffer(&self) -> &[u8] {
        &self.bytes
    }

    /// Where a string lies in the [buffer](Self::buffer); `None` past the end.
    pub fn span(&self, index: usize) -> Option<Range<usize>> {
        let before = match index.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        Some(before + LENGTH..*self.ends.get(index)?)
    }

    /// Where every string lies in the [buffer](Self::buffer), in order.
    pub fn spans(&self) -> impl ExactSizeIterator<Item = Range<usize>> + Clone {
        let mut before = 0;
        self.ends.iter().map(move |&end| std::mem::replace(&mut before, end) + LENGTH..end)
    }

    /// Adds a string: text or bytes.
    pub fn push(&mut self, string: impl AsRef<[u8]>) {
        let string = string.as_ref();
        self.bytes.extend_from_slice(&(string.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
    }

    /// Bytes of all strings together.
    pub fn byte_len(&self) -> usize {
        self.bytes.len() - LENGTH * self.len()
    }

    /// Makes room for the ends of `count` more strings.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.ends.reserve_exact(count);
    }

    /// Adds a string by appending its bytes to the buffer.
    pub(crate) fn push_with<E>(
        &mut self,
        append: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.bytes.len() + LENGTH;
        self.bytes.extend_from_slice(&[0; LENGTH]);
        append(&mut self.bytes)?;
        let length = (self.bytes.len() - first) as u64;
        if let Some(before) = self.bytes.get_mut(first - LENGTH..first) {
            before.copy_from_slice(&length.to_le_bytes());
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Adds the whole strings that a part of a file begins with, up to `count`. Returns the bytes that they take.
    pub(crate) fn extend_encoded(&mut self, file: &[u8], count: usize) -> usize {
        let (first, mut taken) = (self.bytes.len(), 0);
        let mut rest = file;
        for _ in 0..count {
            let Some((length, behind)) = rest.split_first_chunk::<LENGTH>() else { break };
            let length = usize::try_from(u64::from_le_bytes(*length)).ok();
            let Some(behind) = length.and_then(|length| behind.get(length..)) else { break };
            rest = behind;
            taken = file.len() - rest.len();
            self.ends.push(first + taken);
        }
        self.bytes.extend_from_slice(file.get(..taken).unwrap_or_default());
        taken
    }
}

impl std::fmt::Debug for Strings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter_bytes().map(String::from_utf8_lossy)).finish()
    }
}

impl<S: AsRef<[u8]>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut all = Self::new();
        all.extend(strings);
        all
    }
}

impl<S: AsRef<[u8]>> Extend<S> for Strings {
    fn extend<I: IntoIterator<Item = S>>(&mut self, strings: I) {
        for string in strings {
            self.push(string);
        }
    }
}
