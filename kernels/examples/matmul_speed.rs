//! How fast one thread multiplies, per format: `cargo run --release -p wasm-chord-kernels --example matmul_speed [FORMAT [COLUMNS]]`.
//!
//! With one token the weights stream from memory: GB/s stand beside those of a plain read, piece by piece in turn, and those of packed
//! weights where there are kernels for them. With more tokens arithmetic is the limit, given in billions of multiply-adds per second. Work is cut into pieces of less than a
//! millisecond and the fast quarter of them is believed, so neighbours on the machine do little harm. `WASM_CHORD_ISA`
//! chooses the kernels.
#![expect(clippy::print_stdout, reason = "it is for people")]

use wasm_chord_kernels::cpu::matmul::speed::{Speed, read};
use wasm_chord_kernels::{Format, packed};

/// Bytes that all pieces lie in: more than the caches hold.
const MEMORY: usize = 1 << 30;

/// Bytes of a piece that is read.
const PIECE: usize = 4 << 20;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next();
    let columns: usize =
        arguments.next().map_or(2048, |columns| columns.parse().expect("a number of columns"));
    // Small normal numbers in every format.
    let memory: Vec<u8> = (0..MEMORY).map(|index| (index as u8).wrapping_mul(37) & 0x1f | 0x20).collect();

    let isa = Speed::new(1, columns, 1).instruction_set();
    println!("{isa}, {columns} columns, one thread");
    println!("format  read GB/s  1 token GB/s  ratio  packed GB/s  GMAC/s of 512, 64, 8, 2, 1 tokens");
    for format in Format::ALL {
        if wanted.as_ref().is_some_and(|wanted| *wanted != format.to_string()) {
            continue;
        }
        let row_bytes = format.row_bytes(columns).expect("a row is a whole number of blocks");
        let rows = PIECE / row_bytes / 32 * 32;
        let mut one = Speed::new(rows, columns, 1);
        let packed = packed::size(format, rows, columns).filter(|_| one.reads_packed());
        let (mut reads, mut matmuls, mut packs) = (Vec::new(), Vec::new(), Vec::new());
        for (index, piece) in memory.chunks_exact(packed.unwrap_or(rows * row_bytes)).enumerate() {
            let in_place = &piece[..rows * row_bytes];
            match index % 3 {
                0 => reads.push(read(in_place)),
                1 => matmuls.push(one.matmul(format, in_place)),
                _ if packed.is_some() => packs.push(one.matmul_packed(format, piece)),
                _ => {}
            }
        }
        let rate = |seconds| (rows * row_bytes) as f64 / fast(seconds) / 1e9;
        let (read, matmul) = (rate(reads), rate(matmuls));
        print!("{:>6}  {read:>9.1}  {matmul:>12.1}  {:>5.2} ", format.to_string(), matmul / read);
        match packed {
            Some(_) => print!(" {:>11.1} ", rate(packs)),
            None => print!(" {:>11} ", "-"),
        }
        for tokens in [512, 64, 8, 2, 1] {
            let rows = 64;
            let mut many = Speed::new(rows, columns, tokens);
            let seconds = (0..100).map(|_| many.matmul(format, &memory[..rows * row_bytes])).collect();
            print!(" {:>6.1}", (rows * columns * tokens) as f64 / fast(seconds) / 1e9);
        }
        println!();
    }
}

/// What a quarter of the times is below.
fn fast(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 4]
}
