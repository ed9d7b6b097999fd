//! The table of metadata: keys in the order of the file, looked up by name, with getters that convert.

use std::collections::BTreeMap;

use crate::value::{Array, Strings, Value};
use crate::{Error, Result};

/// The metadata of a file: keys with values, in the order of the file.
///
/// Looking up a key walks a tree of at most 2^16 keys. (A hash table would need randomness to withstand keys that
/// were chosen to collide, and a sandboxed guest has none.)
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    /// Positions in `entries`.
    positions: BTreeMap<String, usize>,
}

impl Metadata {
    /// No metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.positions.get(key).and_then(|&position| self.entries.get(position)).map(|(_, value)| value)
    }

    /// Every key and value, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + Clone {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a key at the end, or replaces its value in place; returns the value that it had.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        if let Some((_, present)) = self.positions.get(&key).and_then(|&at| self.entries.get_mut(at)) {
            return Some(std::mem::replace(present, value));
        }
        self.positions.insert(key.clone(), self.entries.len());
        self.entries.push((key, value));
        None
    }

    /// The value of a key as a `T`, `None` where the file has no such key.
    fn optional<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        T::from_value(value).map(Some).ok_or_else(|| Error::WrongType {
            key: key.to_owned(),
            expected: T::EXPECTED,
            found: describe(value),
        })
    }
}

/// Declares the getters: `name, name of the one that requires the key, type, what it gives`.
macro_rules! getters {
    ($($name:ident, $require:ident, $type:ty, $what:literal;)*) => {
        /// Getters by type. The first of each pair gives `None` where the file has no such key; the second, an
        /// [`Error::Missing`]. A value of another type, or a number that does not fit, is an [`Error::WrongType`].
        impl Metadata {
            $(
                #[doc = concat!("The value of a key as ", $what, ", if the file has it.")]
                pub fn $name(&self, key: &str) -> Result<Option<$type>> {
                    self.optional(key)
                }

                #[doc = concat!("The value of a key that the file must have as ", $what, ".")]
                pub fn $require(&self, key: &str) -> Result<$type> {
                    self.$name(key)?.ok_or_else(|| Error::Missing { key: key.to_owned() })
                }
            )*
        }
    };
}

getters! {
    string, require_string, &str, "text";
    bool, require_bool, bool, "a boolean";
    u32, require_u32, u32, "a `u32` (from any integer type)";
    u64, require_u64, u64, "a `u64` (from any integer type)";
    i64, require_i64, i64, "an `i64` (from any integer type)";
    f32, require_f32, f32, "an `f32` (from `f32` or, rounded, `f64`)";
    strings, require_strings, &Strings, "an array of strings";
    bools, require_bools, &[bool], "an array of booleans";
    i32s, require_i32s, Vec<i32>, "an array of `i32` (from any integer type)";
    u32s, require_u32s, Vec<u32>, "an array of `u32` (from any integer type)";
    f32s, require_f32s, Vec<f32>, "an array of `f32` (from `f32` or, rounded, `f64`)";
}

/// What a getter can give.
trait FromValue<'a>: Sized {
    /// In words, for the message.
    const EXPECTED: &'static str;
    fn from_value(value: &'a Value) -> Option<Self>;
}

impl<'a> FromValue<'a> for &'a str {
    const EXPECTED: &'static str = "a string";
    fn from_value(value: &'a Value) -> Option<Self> {
        if let Value::String(text) = value { Some(text) } else { None }
    }
}

impl FromValue<'_> for bool {
    const EXPECTED: &'static str = "a boolean";
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Bool(value) = value { Some(*value) } else { None }
    }
}

impl FromValue<'_> for u32 {
    const EXPECTED: &'static str = "an integer from 0 to 4294967295";
    fn from_value(value: &Value) -> Option<Self> {
        value.integer()?.try_into().ok()
    }
}

impl FromValue<'_> for u64 {
    const EXPECTED: &'static str = "an integer of 64 bits without sign";
    fn from_value(value: &Value) -> Option<Self> {
        value.integer()?.try_into().ok()
    }
}

impl FromValue<'_> for i64 {
    const EXPECTED: &'static str = "an integer of 64 bits";
    fn from_value(value: &Value) -> Option<Self> {
        value.integer()?.try_into().ok()
    }
}

impl FromValue<'_> for f32 {
    const EXPECTED: &'static str = "a floating-point number";
    fn from_value(value: &Value) -> Option<Self> {
        match *value {
            Value::F32(number) => Some(number),
            Value::F64(number) => Some(number as f32),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a Strings {
    const EXPECTED: &'static str = "an array of strings";
    fn from_value(value: &'a Value) -> Option<Self> {
        if let Value::Array(Array::String(strings)) = value { Some(strings) } else { None }
    }
}

impl<'a> FromValue<'a> for &'a [bool] {
    const EXPECTED: &'static str = "an array of booleans";
    fn from_value(value: &'a Value) -> Option<Self> {
        if let Value::Array(Array::Bool(elements)) = value { Some(elements) } else { None }
    }
}

impl FromValue<'_> for Vec<i32> {
    const EXPECTED: &'static str = "an array of integers of 32 bits";
    fn from_value(value: &Value) -> Option<Self> {
        integers(value)
    }
}

impl FromValue<'_> for Vec<u32> {
    const EXPECTED: &'static str = "an array of integers from 0 to 4294967295";
    fn from_value(value: &Value) -> Option<Self> {
        integers(value)
    }
}

impl FromValue<'_> for Vec<f32> {
    const EXPECTED: &'static str = "an array of floating-point numbers";
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Array(Array::F32(elements)) => Some(elements.clone()),
            Value::Array(Array::F64(elements)) => {
                Some(elements.iter().map(|&number| number as f32).collect())
            }
            _ => None,
        }
    }
}

/// The elements of an array of any integer type, if all of them fit.
fn integers<T>(value: &Value) -> Option<Vec<T>>
where
    T: TryFrom<u8>
        + TryFrom<i8>
        + TryFrom<u16>
        + TryFrom<i16>
        + TryFrom<u32>
        + TryFrom<i32>
        + TryFrom<u64>
        + TryFrom<i64>,
{
    fn convert<T: TryFrom<S>, S: Copy>(elements: &[S]) -> Option<Vec<T>> {
        elements.iter().map(|&element| T::try_from(element).ok()).collect()
    }
    let Value::Array(array) = value else { return None };
    match array {
        Array::U8(elements) => convert(elements),
        Array::I8(elements) => convert(elements),
        Array::U16(elements) => convert(elements),
        Array::I16(elements) => convert(elements),
        Array::U32(elements) => convert(elements),
        Array::I32(elements) => convert(elements),
        Array::U64(elements) => convert(elements),
        Array::I64(elements) => convert(elements),
        _ => None,
    }
}

/// A value as messages show it: an integer with its number, everything else by its type.
fn describe(value: &Value) -> String {
    match value.integer() {
        Some(number) => format!("{number} ({})", value.type_name()),
        None => format!("of type {}", value.type_name()),
    }
}
