//! Multiply `ROUNDS` times, and nothing else, for tools that count instructions; `PERFORMANCE.md` says how.
//!
//! `matmul_rounds FORMAT TOKENS ROUNDS` prints the multiply-adds of a round. `WASM_CHORD_ISA` chooses the kernels.
#![expect(clippy::print_stdout, reason = "it is for people")]

use wasm_chord_kernels::Format;
use wasm_chord_kernels::cpu::matmul::speed::Speed;

const ROWS: usize = 64;
const COLUMNS: usize = 2048;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [format, tokens, rounds] = arguments.as_slice() else { panic!("FORMAT TOKENS ROUNDS") };
    let format =
        Format::ALL.into_iter().find(|known| known.to_string() == *format).expect("a name of a format");
    let tokens: usize = tokens.parse().expect("a number of tokens");
    let rounds: usize = rounds.parse().expect("a number of rounds");
    // Small normal numbers in every format.
    let weight = vec![0x2a; ROWS * format.row_bytes(COLUMNS).expect("a row is a whole number of blocks")];
    let mut speed = Speed::new(ROWS, COLUMNS, tokens);
    for _ in 0..rounds {
        speed.matmul(format, &weight);
    }
    println!("{}", ROWS * COLUMNS * tokens);
}
