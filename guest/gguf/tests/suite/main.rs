//! What the crate does with files: good ones, real ones, split ones, and above all bad ones.

mod corruption;
mod malformed;
mod metadata;
mod real_files;
mod round_trip;
mod shards;
mod source;

use wasm_chord_gguf::{Kind, Metadata, Strings, Value, Writer};

/// A file written by hand, field by field, so that it can be wrong.
struct File(Vec<u8>);

impl File {
    /// The beginning of a file of version 3 with these counts.
    fn new(tensors: u64, keys: u64) -> Self {
        Self::start(*b"GGUF", 3).u64(tensors).u64(keys)
    }

    fn start(magic: [u8; 4], version: u32) -> Self {
        Self(magic.to_vec()).u32(version)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// A string: its length and its bytes.
    fn string(self, text: &str) -> Self {
        self.u64(text.len() as u64).bytes(text.as_bytes())
    }

    /// A key and the number of its value's type; the value comes next.
    fn key(self, name: &str, value_type: u32) -> Self {
        self.string(name).u32(value_type)
    }

    /// The beginning of an array of `count` elements; the elements come next.
    fn array(self, element_type: u32, count: u64) -> Self {
        self.u32(element_type).u64(count)
    }

    /// A row of the tensor table.
    fn tensor(self, name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Self {
        let file = self.string(name).u32(dimensions.len() as u32);
        dimensions.iter().fold(file, |file, &length| file.u64(length)).u32(kind).u64(offset)
    }

    /// Padding up to a multiple of `alignment`, then `size` bytes of tensor data.
    fn data(mut self, alignment: usize, size: usize) -> Self {
        let start = self.0.len().next_multiple_of(alignment);
        self.0.resize(start + size, 0);
        self
    }
}

// Numbers of types in files.
const U8: u32 = 0;
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const U64: u32 = 10;

/// A small whole model: a vocabulary of `words` words, one value of each other type and tensors of several types.
fn sample(words: u32) -> Vec<u8> {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    metadata.insert("a.u8", 1u8);
    metadata.insert("a.i8", -1i8);
    metadata.insert("a.u16", 2u16);
    metadata.insert("a.i16", -2i16);
    metadata.insert("a.u32", 3u32);
    metadata.insert("a.i32", -3i32);
    metadata.insert("a.f32", 0.5f32);
    metadata.insert("a.bool", true);
    metadata.insert("a.u64", 4u64);
    metadata.insert("a.i64", -4i64);
    metadata.insert("a.f64", 0.25f64);
    metadata.insert("tokens", (0..words).map(|word| format!("word{word}")).collect::<Strings>());
    metadata.insert("scores", (0..words).map(|word| word as f32).collect::<Vec<f32>>());
    metadata.insert("types", vec![1i32; words as usize]);
    metadata.insert("flags", vec![true, false, true]);
    let nested = ["a", "b"].map(|word| wasm_chord_gguf::Array::String(Strings::from_iter([word])));
    metadata.insert("nested", Value::Array(wasm_chord_gguf::Array::Array(nested.to_vec())));

    let tensors: [(&str, &[u64], Kind); 4] = [
        ("norm", &[8], Kind::F32),
        ("embedding", &[32, 3], Kind::Q8_0),
        ("cube", &[2, 2, 2], Kind::F16),
        ("rows", &[256, 2], Kind::Q4_K),
    ];
    write(metadata, &tensors)
}

/// A file with these tensors; each is filled with its own place in the list.
fn write(metadata: Metadata, tensors: &[(&str, &[u64], Kind)]) -> Vec<u8> {
    let mut writer = Writer::new(metadata).unwrap();
    for (name, dimensions, kind) in tensors {
        writer.tensor(name, dimensions, *kind).unwrap();
    }
    let mut data = writer.start(Vec::new()).unwrap();
    for (place, (name, dimensions, kind)) in tensors.iter().enumerate() {
        data.append(name, &vec![place as u8; kind.bytes(dimensions).unwrap() as usize]).unwrap();
    }
    data.finish().unwrap()
}
