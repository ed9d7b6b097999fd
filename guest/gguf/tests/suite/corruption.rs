//! A good file that was damaged: cut at every byte, or with any byte or number changed.

use wasm_chord_gguf::{Header, Shards};

use crate::sample;

/// Reads a damaged file. Whatever is read must be true of the file, or there is an error with a message.
fn read(file: &Vec<u8>) -> Option<Header> {
    match Header::read(file) {
        Ok(header) => {
            let mut ranges = Vec::new();
            for tensor in &header.tensors {
                assert_eq!(tensor.offset % header.alignment, header.data_start % header.alignment);
                assert_eq!(tensor.kind.bytes(&tensor.dimensions), Some(tensor.size));
                assert_eq!(header.tensor(&tensor.name), Some(tensor));
                ranges.push(tensor.offset..tensor.offset + tensor.size);
            }
            ranges.sort_unstable_by_key(|range| range.start);
            assert!(ranges.last().is_none_or(|last| last.end <= file.len() as u64));
            assert!(ranges.array_windows().all(|[first, second]| first.end <= second.start));
            Some(header)
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 1000 && !message.ends_with('.'), "{message}");
            None
        }
    }
}

#[test]
fn file_cut_at_any_byte_is_refused() {
    let file = sample(40);
    let last = Header::read(&file).unwrap().tensors.pop().unwrap();
    let end = (last.offset + last.size) as usize;
    for length in 0..file.len() {
        let whole = read(&file[..length].to_vec()).is_some();
        assert_eq!(whole, length >= end, "cut to {length} of {} bytes", file.len());
    }
}

#[test]
fn file_with_any_byte_changed_is_read_truthfully_or_refused() {
    let mut file = sample(20);
    let (mut good, mut refused) = (0, 0);
    for position in 0..file.len() {
        for change in [0x01, 0x02, 0x08, 0x20, 0x40, 0x7f, 0x80, 0xff] {
            file[position] ^= change;
            *if read(&file).is_some() { &mut good } else { &mut refused } += 1;
            file[position] ^= change;
        }
    }
    // Both happen: the tables are full of lengths, and a changed weight or word is a file like any other.
    assert!(good > 1000 && refused > 1000, "{good} read, {refused} refused");
}

#[test]
fn file_with_any_number_changed_is_read_truthfully_or_refused() {
    let file = sample(20);
    let tables = Header::read(&file).unwrap().data_start as usize;
    for number in [0, 1, 1 << 31, 1 << 32, 1 << 60, 1 << 63, u64::MAX - 3, u64::MAX] {
        for position in 0..tables - 8 {
            let mut damaged = file.clone();
            damaged[position..position + 8].copy_from_slice(&number.to_le_bytes());
            read(&damaged);
        }
    }
}

#[test]
fn file_with_bytes_missing_or_inserted_is_read_truthfully_or_refused() {
    let file = sample(20);
    let tables = Header::read(&file).unwrap().data_start as usize;
    for position in 0..tables {
        let mut shorter = file.clone();
        shorter.remove(position);
        read(&shorter);
        let mut longer = file.clone();
        longer.insert(position, 0);
        read(&longer);
    }
}

#[test]
fn damaged_shard_is_refused_by_its_number() {
    let file = sample(3);
    let cut = &file[..100];
    let error = Shards::read(&[&file.as_slice(), &cut]).unwrap_err().to_string();
    assert!(error.starts_with("in file 2 of the split model: the file ends at byte 100, inside "), "{error}");
}
