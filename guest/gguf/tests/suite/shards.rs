//! Models in several files.

use std::path::{Path, PathBuf};

use wasm_chord_gguf::{Kind, Metadata, Shards, Source, split_paths};

use crate::write;

/// A file of a split model, with one tensor named after its number.
fn shard(number: u16, count: u16, tensors: i32) -> Vec<u8> {
    let mut metadata = Metadata::new();
    if number == 0 {
        metadata.insert("general.architecture", "llama");
    }
    metadata.insert("split.no", number);
    metadata.insert("split.count", count);
    metadata.insert("split.tensors.count", tensors);
    write(metadata, &[(&format!("tensor.{number}"), &[8], Kind::F32)])
}

fn read(files: &[Vec<u8>]) -> Result<Shards, String> {
    let sources: Vec<&dyn Source> = files.iter().map(|file| file as &dyn Source).collect();
    Shards::read(&sources).map_err(|error| error.to_string())
}

#[test]
fn whole_set_is_one_model() {
    let model = read(&[shard(0, 3, 3), shard(1, 3, 3), shard(2, 3, 3)]).unwrap();
    assert_eq!(model.metadata.require_string("general.architecture").unwrap(), "llama");
    assert_eq!((model.count, model.tensors.len()), (3, 3));
    let (shard, tensor) = model.tensor("tensor.2").unwrap();
    assert_eq!((shard, tensor.name.as_str(), tensor.size), (2, "tensor.2", 32));
    assert!(model.tensor("tensor.3").is_none());
}

#[test]
fn file_that_is_not_split_is_one_model() {
    let whole = write(Metadata::new(), &[("w", &[8], Kind::F32)]);
    assert_eq!(read(&[whole]).unwrap().tensor("w").unwrap().0, 0);
    assert_eq!(read(&[shard(0, 1, 1)]).unwrap().count, 1);
    assert_eq!(read(&[shard(0, 0, 1)]).unwrap().count, 1);
}

#[test]
fn missing_file_is_named() {
    let message = |number| Err(format!("the model is split into 3 files, and number {number} is missing"));
    assert_eq!(read(&[shard(0, 3, 3)]).map(|_| ()), message(2));
    assert_eq!(read(&[shard(1, 3, 3)]).map(|_| ()), message(1));
    assert_eq!(read(&[shard(0, 3, 3), shard(2, 3, 3)]).map(|_| ()), message(2));
    assert_eq!(read(&[shard(0, 3, 3), shard(1, 3, 3)]).map(|_| ()), message(3));
    assert_eq!(read(&[]).map(|_| ()), Err("no file was given".to_owned()));
}

#[test]
fn files_out_of_order_are_refused() {
    let message = "file 2 of the list is number 3 of the split model; give each file once and in order";
    assert_eq!(read(&[shard(0, 3, 3), shard(2, 3, 3), shard(1, 3, 3)]).unwrap_err(), message);
    let message = "file 3 of the list is number 2 of the split model; give each file once and in order";
    assert_eq!(read(&[shard(0, 2, 2), shard(1, 2, 2), shard(1, 2, 2)]).unwrap_err(), message);
}

#[test]
fn files_of_different_models_are_refused() {
    let message = |index, what: &str| {
        format!("file {index} of the list has {what} was expected: it is not part of this split model")
    };
    assert_eq!(read(&[shard(0, 2, 2), shard(1, 3, 2)]).unwrap_err(), message(2, "split.count = 3, and 2"));
    assert_eq!(
        read(&[shard(0, 2, 2), shard(1, 2, 9)]).unwrap_err(),
        message(2, "split.tensors.count = 9, and 2")
    );
    assert_eq!(
        read(&[shard(0, 2, 2), shard(5, 2, 2)]).unwrap_err(),
        message(2, "split.no = 5, and a number below 2")
    );
    let whole = || write(Metadata::new(), &[("w", &[8], Kind::F32)]);
    assert_eq!(read(&[shard(0, 2, 2), whole()]).unwrap_err(), message(2, "split.count = nothing, and 2"));
    assert_eq!(read(&[whole(), whole()]).unwrap_err(), message(1, "split.count = nothing, and 2"));
}

#[test]
fn wrong_numbers_of_tensors_are_refused() {
    let error = read(&[shard(0, 2, 5), shard(1, 2, 5)]).unwrap_err();
    assert_eq!(error, "the split model declares 5 tensors, and its files hold 2");
    let error = read(&[shard(0, 2, -1), shard(1, 2, -1)]).unwrap_err();
    assert!(
        error.starts_with("in file 1 of the split model: the key split.tensors.count is -1 (i32)"),
        "{error}"
    );
}

#[test]
fn tensor_in_two_files_is_refused() {
    let repeated = |number: u16| {
        let mut metadata = Metadata::new();
        metadata.insert("split.no", number);
        metadata.insert("split.count", 2u16);
        write(metadata, &[("w", &[8], Kind::F32)])
    };
    assert_eq!(read(&[repeated(0), repeated(1)]).unwrap_err(), "the tensor \"w\" appears twice");
}

#[test]
fn names_of_split_files_are_followed() {
    let expected: Vec<PathBuf> =
        (1..=3).map(|number| format!("models/a-b-0000{number}-of-00003.gguf").into()).collect();
    assert_eq!(split_paths("models/a-b-00001-of-00003.gguf"), Some(expected.clone()));
    assert_eq!(split_paths(Path::new("models/a-b-00003-of-00003.gguf")), Some(expected));
    for name in [
        "model.gguf",
        "model-00001-of-00003.bin",
        "model-00004-of-00003.gguf",
        "model-00000-of-00003.gguf",
        "model-1-of-3.gguf",
        "model-00001-of-+0003.gguf",
        "00001-of-00003.gguf",
        "",
    ] {
        assert_eq!(split_paths(name), None, "{name}");
    }
}
