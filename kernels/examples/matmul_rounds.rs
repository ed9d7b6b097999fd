//! Multiply `ROUNDS` times, and nothing else, for tools that count instructions; `PERFORMANCE.md` says how.
//!
//! `matmul_rounds FORMAT TOKENS ROUNDS [packed]` prints the multiply-adds of a round, of packed weights if that is asked for. `WASM_CHORD_ISA` chooses the kernels.
#![expect(clippy::print_stdout, reason = "it is for people")]

use wasm_chord_kernels::cpu::matmul::speed::Speed;
use wasm_chord_kernels::{Format, Weight, packed};

const ROWS: usize = 64;
const COLUMNS: usize = 2048;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (format, tokens, rounds, is_packed) = match arguments.as_slice() {
        [format, tokens, rounds] => (format, tokens, rounds, false),
        [format, tokens, rounds, packed] if packed == "packed" => (format, tokens, rounds, true),
        _ => panic!("FORMAT TOKENS ROUNDS [packed]"),
    };
    let format =
        Format::ALL.into_iter().find(|known| known.to_string() == *format).expect("a name of a format");
    let tokens: usize = tokens.parse().expect("a number of tokens");
    let rounds: usize = rounds.parse().expect("a number of rounds");
    // Small normal numbers in every format.
    let size = if is_packed {
        packed::size(format, ROWS, COLUMNS)
    } else {
        Weight::size(format, ROWS, COLUMNS).ok()
    };
    let weight = vec![0x2a; size.expect("a row is a whole number of blocks")];
    let mut speed = Speed::new(ROWS, COLUMNS, tokens);
    for _ in 0..rounds {
        if is_packed {
            speed.matmul_packed(format, &weight);
        } else {
            speed.matmul(format, &weight);
        }
    }
    println!("{}", ROWS * COLUMNS * tokens);
}
