//! The memory that reading takes follows the size of the file, whatever the file declares.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use wasm_chord_gguf::{Header, Metadata, Source, Strings, Writer};

/// The system's allocator, with the bytes in use and the most that ever were.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: both calls are passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(used, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory in use while the file is read, beyond what was in use before.
fn peak(source: &dyn Source) -> (usize, bool) {
    let before = USED.load(Relaxed);
    MOST.store(before, Relaxed);
    let read = Header::read(source).is_ok();
    (MOST.load(Relaxed) - before, read)
}

/// A file with one key whose value is an array of arrays, each empty: the most memory for the fewest bytes.
fn empty_arrays(count: u64) -> Vec<u8> {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend([0u64.to_le_bytes(), 1u64.to_le_bytes(), 1u64.to_le_bytes()].concat());
    file.extend(b"k\x09\0\0\0\x09\0\0\0");
    file.extend(count.to_le_bytes());
    file.resize(file.len() + 12 * count as usize, 0);
    file
}

/// A file with as many short keys or, where `tensors`, tensors as there are.
fn many(count: u64, tensors: bool) -> Vec<u8> {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    let counts = if tensors { [count, 1] } else { [0, count + 1] };
    file.extend(counts.map(u64::to_le_bytes).concat());
    file.extend([17u64.to_le_bytes().as_slice(), b"general.alignment\x04\0\0\0\x01\0\0\0"].concat());
    for number in 0..count {
        let name = format!("{number:x}");
        file.extend((name.len() as u64).to_le_bytes());
        file.extend(name.as_bytes());
        match tensors {
            true => {
                file.extend(1u32.to_le_bytes());
                file.extend(1u64.to_le_bytes());
                file.extend(24u32.to_le_bytes());
                file.extend(number.to_le_bytes());
            }
            false => file.extend([0, 0, 0, 0, 7]),
        }
    }
    file.resize(file.len() + count as usize, 0);
    file
}

#[test]
fn memory_follows_the_size_of_the_file() {
    let chunk = 1 << 20;

    // What a file declares costs nothing.
    let mut declared = empty_arrays(0);
    let at = declared.len() - 8;
    for count in [1u64 << 31, 1 << 60, u64::MAX] {
        declared[at..].copy_from_slice(&count.to_le_bytes());
        for element_type in 0..=12u8 {
            declared[at - 4] = element_type;
            let (most, read) = peak(&declared);
            assert!(!read && most < 4096, "{most} bytes for {count} elements of type {element_type}");
        }
    }

    // A vocabulary costs about its size.
    let mut metadata = Metadata::new();
    metadata.insert("tokens", (0..200_000).map(|word| format!("word {word}")).collect::<Strings>());
    let file = Writer::new(metadata).unwrap().start(Vec::new()).unwrap().finish().unwrap();
    let (most, read) = peak(&file);
    assert!(read && most < 2 * file.len() + chunk, "{most} bytes for a vocabulary of {}", file.len());

    // Files made to cost the most for their size.
    for (name, file) in [
        ("empty arrays", empty_arrays(300_000)),
        ("tensors", many(200_000, true)),
        ("keys", many(60_000, false)),
    ] {
        let (most, read) = peak(&file);
        assert!(read && most < 16 * file.len() + chunk, "{most} bytes for {} bytes of {name}", file.len());
    }
}
