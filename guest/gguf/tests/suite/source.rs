//! How the reader asks for bytes.

use std::cell::RefCell;

use wasm_chord_gguf::{Error, Header, Metadata, Source, Strings};

use crate::{sample, write};

/// A file that notes each read and fails from a certain byte on.
struct Recorded {
    file: Vec<u8>,
    reads: RefCell<Vec<(u64, usize)>>,
    broken_from: u64,
}

impl Recorded {
    fn new(file: Vec<u8>, broken_from: u64) -> Self {
        Self { file, reads: RefCell::default(), broken_from }
    }
}

impl Source for Recorded {
    fn size(&self) -> u64 {
        self.file.len() as u64
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), String> {
        self.reads.borrow_mut().push((offset, out.len()));
        if offset + out.len() as u64 > self.broken_from {
            return Err("the disk is broken".to_owned());
        }
        self.file.read(offset, out)
    }
}

/// A file whose metadata takes several chunks, with strings and numbers across their borders.
fn large() -> Vec<u8> {
    let mut metadata = Metadata::new();
    metadata.insert("odd", "x");
    metadata.insert("words", (0..100_000).map(|word| format!("word {word}")).collect::<Strings>());
    metadata.insert("text", "y".repeat(2_500_001));
    metadata.insert("numbers", (0..500_000u64).collect::<Vec<_>>());
    write(metadata, &[])
}

#[test]
fn chunks_are_bounded_and_read_once() {
    let source = Recorded::new(large(), u64::MAX);
    let header = Header::read(&source).unwrap();
    let words = header.metadata.require_strings("words").unwrap();
    assert!(words.iter().enumerate().all(|(place, word)| word == Some(&format!("word {place}"))));
    assert_eq!(header.metadata.require_string("text").unwrap().len(), 2_500_001);
    assert!(header.metadata.require_u32s("numbers").unwrap().into_iter().eq(0..500_000));

    let reads = source.reads.take();
    assert!(reads.len() > 5 && reads.iter().all(|&(_, length)| length <= 1 << 20), "{reads:?}");
    assert!(
        reads.array_windows().all(|[(offset, length), (next, _)]| offset + *length as u64 == *next),
        "{reads:?}"
    );
}

#[test]
fn failing_source_is_an_error_with_its_cause() {
    let error = Header::read(&Recorded::new(large(), 1 << 20)).unwrap_err();
    assert!(matches!(error, Error::Read { offset: 1_048_576, .. }));
    assert_eq!(error.to_string(), "131072 bytes at byte 1048576 could not be read: the disk is broken");
}

#[test]
fn tensor_data_is_not_read() {
    let mut file = sample(3);
    file.resize(64 << 20, 0);
    let source = Recorded::new(file, 1 << 20);
    assert_eq!(Header::read(&source).unwrap().tensors.len(), 4);
}

#[test]
fn range_outside_of_a_slice_is_an_error() {
    assert!(vec![0; 10].read(u64::MAX, &mut [0; 2]).is_err());
    assert!([0; 10].as_slice().read(9, &mut [0; 2]).is_err());
}
