//! How fast memory can be read, which bounds the decoding of one sequence.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};

/// Most bytes that are read: more than any cache holds.
const LIMIT: u64 = 2 << 30;

/// What a thread takes at a time, so that none waits for one that lost its core.
const PIECE: usize = 1 << 20;

/// Places at which a thread reads at once. With 8, a core of a Sapphire Rapids server gets 13.8 GB/s, with 4 or 16 as
/// much within 3 %, but with one only 9.2: the prefetchers have to be kept busy.
const STREAMS: usize = 8;

/// The bytes of a model in memory.
pub(super) struct Streaming {
    bytes: Vec<u8>,
}

impl Streaming {
    /// Of a file, which lies in the system's cache afterwards.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let named = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(named)?;
        let size = file.metadata().with_context(named)?.len().min(LIMIT);
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(size).read_to_end(&mut bytes).with_context(named)?;
        Ok(Self { bytes })
    }

    /// The fastest of three passes of `threads` threads that do nothing but read.
    pub(super) fn bytes_per_second(&self, threads: u32) -> f64 {
        let seconds = (0..3).map(|_| self.pass(threads)).fold(f64::INFINITY, f64::min);
        self.bytes.len() as f64 / seconds
    }

    /// Seconds of reading everything once.
    fn pass(&self, threads: u32) -> f64 {
        let pieces: Vec<&[u8]> = self.bytes.chunks(PIECE).collect();
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                        black_box(sum(piece));
                    }
                });
            }
        });
        begun.elapsed().as_secs_f64()
    }
}

/// The sum of the bytes as numbers of 8 bytes, without a rest that is no line for each stream. The 8 sums do not wait for
/// each other and stay in registers.
fn sum(bytes: &[u8]) -> u64 {
    let (lines, _) = bytes.as_chunks::<64>();
    let length = lines.len() / STREAMS;
    let streams: [&[[u8; 64]]; STREAMS] = std::array::from_fn(|stream| &lines[stream * length..][..length]);
    let mut sums = [0_u64; 8];
    for index in 0..length {
        for stream in streams {
            for (sum, word) in sums.iter_mut().zip(stream[index].as_chunks::<8>().0) {
                *sum = sum.wrapping_add(u64::from_le_bytes(*word));
            }
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read() {
        let words: Vec<u8> = (1..=128_u64).flat_map(u64::to_le_bytes).collect();
        assert_eq!(sum(&words), 128 * 129 / 2);
    }

    #[test]
    fn any_number_of_threads_ends() {
        let memory = Streaming { bytes: vec![1; PIECE + 1] };
        assert!((1..=4).all(|threads| memory.bytes_per_second(threads) > 0.0));
    }
}
