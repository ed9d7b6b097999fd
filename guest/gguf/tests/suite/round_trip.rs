//! What the writer writes, the reader reads.

use wasm_chord_gguf::{Array, Error, Header, Kind, Metadata, Strings, Value, Writer};

use crate::{File, STRING, sample, write};

#[test]
fn every_value_type_survives() {
    let mut metadata = Metadata::new();
    metadata.insert("u8", u8::MAX);
    metadata.insert("i8", i8::MIN);
    metadata.insert("u16", u16::MAX);
    metadata.insert("i16", i16::MIN);
    metadata.insert("u32", u32::MAX);
    metadata.insert("i32", i32::MIN);
    metadata.insert("f32", f32::MIN_POSITIVE);
    metadata.insert("bool", true);
    metadata.insert("string", "h\u{e9}llo\0");
    metadata.insert("u64", u64::MAX);
    metadata.insert("i64", i64::MIN);
    metadata.insert("f64", f64::MIN_POSITIVE);
    metadata.insert("u8s", vec![1u8, 2, 3]);
    metadata.insert("i8s", vec![-1i8]);
    metadata.insert("u16s", vec![1u16, 65535]);
    metadata.insert("i16s", vec![-2i16]);
    metadata.insert("u32s", vec![1u32; 20_000]);
    metadata.insert("i32s", Vec::<i32>::new());
    metadata.insert("f32s", vec![f32::INFINITY, -0.0]);
    metadata.insert("bools", vec![false, true]);
    metadata.insert("u64s", vec![1u64 << 60]);
    metadata.insert("i64s", vec![-1i64]);
    metadata.insert("f64s", vec![0.1f64]);
    metadata.insert("strings", Strings::from_iter([b"\xff\xfe".as_slice(), b"", b"text"]));
    let inner = Array::Array(vec![Array::U8(vec![1]), Array::String(Strings::new())]);
    metadata.insert("arrays", Value::Array(Array::Array(vec![inner, Array::F32(vec![1.0])])));

    let read = Header::read(&write(metadata.clone(), &[])).unwrap().metadata;
    assert_eq!(read.iter().collect::<Vec<_>>(), metadata.iter().collect::<Vec<_>>());
}

#[test]
fn every_tensor_type_survives() {
    let names: Vec<String> = Kind::ALL.iter().map(|kind| format!("tensor.{kind}")).collect();
    let shapes: Vec<[u64; 2]> = Kind::ALL.iter().map(|kind| [2 * kind.block_elements(), 3]).collect();
    let tensors: Vec<(&str, &[u64], Kind)> = Kind::ALL
        .iter()
        .enumerate()
        .map(|(place, &kind)| (names[place].as_str(), shapes[place].as_slice(), kind))
        .collect();
    for alignment in [1u32, 32, 4096] {
        let mut metadata = Metadata::new();
        metadata.insert("general.alignment", alignment);
        let file = write(metadata, &tensors);
        let header = Header::read(&file).unwrap();
        assert_eq!(header.alignment, u64::from(alignment));
        for (place, (tensor, &(name, shape, kind))) in header.tensors.iter().zip(&tensors).enumerate() {
            assert_eq!(
                (tensor.name.as_str(), tensor.dimensions.as_slice(), tensor.kind),
                (name, shape, kind)
            );
            assert_eq!((tensor.columns(), tensor.rows(), tensor.size), (shape[0], 3, 6 * kind.block_bytes()));
            let data = &file[tensor.offset as usize..][..tensor.size as usize];
            assert!(data.iter().all(|&byte| byte == place as u8));
        }
    }
}

#[test]
fn types_have_their_numbers_and_sizes() {
    for (kind, id, name, elements, bytes) in [
        (Kind::F32, 0, "F32", 1, 4),
        (Kind::F16, 1, "F16", 1, 2),
        (Kind::Q4_0, 2, "Q4_0", 32, 18),
        (Kind::Q8_0, 8, "Q8_0", 32, 34),
        (Kind::Q4_K, 12, "Q4_K", 256, 144),
        (Kind::Q6_K, 14, "Q6_K", 256, 210),
        (Kind::BF16, 30, "BF16", 1, 2),
        (Kind::MXFP4, 39, "MXFP4", 32, 17),
    ] {
        assert_eq!((kind.id(), kind.name()), (id, name));
        assert_eq!((kind.block_elements(), kind.block_bytes()), (elements, bytes));
    }
    assert!(Kind::ALL.iter().all(|&kind| Kind::from_id(kind.id()) == Some(kind)));
    assert_eq!((0..1000).filter_map(Kind::from_id).count(), Kind::ALL.len());
}

#[test]
fn file_that_was_read_is_written_the_same() {
    let file = sample(10);
    let header = Header::read(&file).unwrap();
    let mut writer = Writer::new(header.metadata).unwrap();
    for tensor in &header.tensors {
        writer.tensor(&tensor.name, &tensor.dimensions, tensor.kind).unwrap();
    }
    let mut data = writer.start(Vec::new()).unwrap();
    for tensor in &header.tensors {
        // In pieces, as a program that streams would.
        for piece in file[tensor.offset as usize..][..tensor.size as usize].chunks(5) {
            data.append(&tensor.name, piece).unwrap();
        }
    }
    assert!(data.finish().unwrap() == file, "the copy differs");
}

#[test]
fn text_that_is_not_utf8_becomes_text() {
    let file = File::new(0, 1).key("author", STRING).u64(4).bytes(b"Jos\xe9");
    assert_eq!(Header::read(&file.0).unwrap().metadata.require_string("author").unwrap(), "Jos\u{fffd}");
}

#[test]
fn data_out_of_order_or_of_the_wrong_length_is_refused() {
    let start = || {
        let mut writer = Writer::new(Metadata::new()).unwrap();
        writer.tensor("a", &[2], Kind::F32).unwrap();
        writer.tensor("b", &[2], Kind::F32).unwrap();
        writer.start(Vec::new()).unwrap()
    };
    let error = start().append("b", &[0; 8]).unwrap_err().to_string();
    assert_eq!(error, "data was given for the tensor \"b\" where \"a\" was expected");
    let error = start().append("a", &[0; 9]).unwrap_err().to_string();
    assert_eq!(error, "the tensor \"a\" takes 8 bytes, and 9 were given");
    let mut data = start();
    data.append("a", &[0; 8]).unwrap();
    data.append("b", &[0; 3]).unwrap();
    assert_eq!(data.finish().unwrap_err().to_string(), "the tensor \"b\" takes 8 bytes, and 3 were given");
    let mut data = start();
    data.append("a", &[0; 8]).unwrap();
    data.append("b", &[0; 8]).unwrap();
    let error = data.append("c", &[]).unwrap_err().to_string();
    assert_eq!(error, "data was given for the tensor \"c\" where the end of the file was expected");
}

#[test]
fn writer_refuses_what_the_reader_would() {
    let with = |key: &str, value: Value| {
        let mut metadata = Metadata::new();
        metadata.insert(key, value);
        Writer::new(metadata).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(with("", Value::U8(0)), "a metadata key is empty");
    assert_eq!(
        with(&"k".repeat(65536), Value::U8(0)),
        "the length of a metadata key is 65536, and the limit is 65535"
    );
    assert!(with("general.alignment", Value::U32(3)).starts_with("general.alignment is 3"));
    let deep = (0..4).fold(Array::U8(Vec::new()), |inner, _| Array::Array(vec![inner]));
    assert_eq!(with("deep", Value::Array(deep)), "the value of \"deep\" nests arrays more than 4 deep");

    let mut writer = Writer::new(Metadata::new()).unwrap();
    let mut tensor =
        |name: &str, dimensions: &[u64], kind| writer.tensor(name, dimensions, kind).unwrap_err();
    assert!(matches!(tensor("", &[1], Kind::F32), Error::EmptyName { .. }));
    assert!(matches!(tensor(&"n".repeat(65), &[1], Kind::F32), Error::Limit { .. }));
    assert!(matches!(tensor("t", &[], Kind::F32), Error::DimensionCount { .. }));
    assert!(matches!(tensor("t", &[1; 5], Kind::F32), Error::DimensionCount { .. }));
    assert!(matches!(tensor("t", &[4, 0], Kind::F32), Error::ZeroDimension { .. }));
    assert!(matches!(tensor("t", &[31], Kind::Q8_0), Error::RowLength { .. }));
    assert!(matches!(tensor("t", &[1 << 62], Kind::F32), Error::TensorSize { .. }));
    assert!(matches!(tensor("t", &[u64::MAX], Kind::I8), Error::TensorSize { .. }));
    writer.tensor("t", &[1], Kind::F32).unwrap();
    writer.tensor("t", &[1], Kind::F32).unwrap();
    assert!(matches!(writer.start(Vec::new()), Err(Error::DuplicateTensor { .. })));
}
