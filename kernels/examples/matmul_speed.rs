//! How fast one thread multiplies, per format: `cargo run --release -p wasm-chord-kernels --example matmul_speed [FORMAT]`.
//!
//! With one token the weights stream from memory, so their GB/s stand beside those of a plain read in the same run. With
//! many tokens arithmetic is the limit, given in billions of multiply-adds per second. `WASM_CHORD_ISA` chooses the kernels.
#![expect(clippy::print_stdout, reason = "it is for people")]

use wasm_chord_kernels::Format;
use wasm_chord_kernels::cpu::matmul::speed;

const COLUMNS: usize = 2048;

fn main() {
    let wanted = std::env::args().nth(1);
    println!("{}, {COLUMNS} columns, one thread", speed::instruction_set());
    println!(
        "{:>6} {:>10} {:>12} {:>7} {:>10} {:>10}",
        "format", "read GB/s", "1 token GB/s", "ratio", "512 GMAC/s", "8 GMAC/s"
    );
    for format in Format::ALL {
        if wanted.as_ref().is_some_and(|wanted| *wanted != format.to_string()) {
            continue;
        }
        // Larger than any cache share of one core, or the streaming read would not be one.
        let row = format.row_bytes(COLUMNS).unwrap_or(0);
        let weight: Vec<u8> =
            (0..(256 << 20) / row * row).map(|index| (index as u8).wrapping_mul(37) & 0xbf).collect();
        let gigabytes = weight.len() as f64 / 1e9;
        let mut ratios: Vec<(f64, f64)> = (0..5)
            .map(|_| {
                (
                    gigabytes / speed::read(&weight, 1),
                    gigabytes / speed::matmul(format, &weight, COLUMNS, 1, 1),
                )
            })
            .collect();
        ratios.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
        let (read, one) = ratios[2];
        let part = &weight[..1024 * row];
        let rate = |tokens: usize| {
            let seconds = speed::matmul(format, part, COLUMNS, tokens, 5);
            (1024 * COLUMNS * tokens) as f64 / seconds / 1e9
        };
        println!(
            "{format:>6} {read:>10.1} {one:>12.1} {:>7.2} {:>10.1} {:>10.1}",
            one / read,
            rate(512),
            rate(8)
        );
    }
}
