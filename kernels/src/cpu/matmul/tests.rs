#![expect(unsafe_code, reason = "kernels write through a pointer")]

use super::super::isa::Isa;
use super::activations::Chunk;
use super::*;

/// Weights of one format and rows of activations that fit.
struct Case {
    format: Format,
    rows: usize,
    columns: usize,
    weight: Vec<u8>,
    x: Vec<Vec<f32>>,
}

impl Case {
    fn random(format: Format, rows: usize, columns: usize, tokens: usize) -> Self {
        let mut random = Random(rows as u64 * 31 + columns as u64);
        let size = rows * format.row_bytes(columns).unwrap();
        let mut weight: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
        set_scales(format, &mut weight, || random.float() * 0.01);
        let x = (0..tokens).map(|_| (0..columns).map(|_| random.float()).collect()).collect();
        Self { format, rows, columns, weight, x }
    }

    /// Outputs (tokens, rows) of `rows` for the activations `x`, NaN where nothing was written.
    fn run(&self, isa: Isa, rows: Range<usize>, x: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let kernels = Kernels::new(isa);
        let activations = self.prepare(&kernels, x);
        let stride = self.rows + 3;
        let mut out = vec![f32::NAN; x.len() * stride];
        // SAFETY: `out` has that many rows and is ours.
        unsafe {
            let out = out.as_mut_ptr();
            kernels.multiply(&self.matrix(&self.weight), rows, &activations, x.len(), out, stride);
        }
        out.chunks(stride).map(<[f32]>::to_vec).collect()
    }

    fn matrix<'a>(&self, bytes: &'a [u8]) -> Matrix<'a> {
        Matrix { format: self.format, columns: self.columns, bytes, packed: false }
    }

    fn prepare(&self, kernels: &Kernels, x: &[Vec<f32>]) -> Activations {
        let all = [Preparation::Floats, Preparation::Quants, Preparation::NestedQuants];
        let activations = Activations::new(self.columns, &all).unwrap();
        for (row, values) in x.iter().enumerate() {
            // SAFETY: nobody else knows `activations`.
            unsafe { kernels.prepare(&activations, row, x.len(), values) };
        }
        activations
    }

    /// All outputs are as near to the exact ones as f32 sums can be. Exact means: of the decoded weights and, where the format
    /// wants quants, of the quants that were made of the activations.
    fn check(&self, isa: Isa) {
        let activations = self.prepare(&Kernels::new(isa), &self.x);
        let out = self.run(isa, 0..self.rows, &self.x);
        let row_bytes = self.format.row_bytes(self.columns).unwrap();
        let (mut weights, mut minima) = (vec![0.0; self.columns], vec![0.0; self.columns]);
        for row in 0..self.rows {
            let bytes = &self.weight[row * row_bytes..][..row_bytes];
            self.format.decode(bytes, &mut weights);
            // A weight may be a small difference of scale * quant and minimum: their sizes count, not that of the weight.
            if matches!(self.format, Format::Q4_K | Format::Q5_K) {
                let mut bytes = bytes.to_vec();
                bytes.chunks_exact_mut(self.format.block().1).for_each(|block| block[16..].fill(0));
                self.format.decode(&bytes, &mut minima);
            }
            for (token, x) in self.x.iter().enumerate() {
                let x = match wants(self.format) {
                    Preparation::Floats => x.clone(),
                    quants => dequantised(&activations, quants, token, self.x.len(), self.columns),
                };
                let (mut exact, mut size) = (0.0, 0.0);
                for k in 0..self.columns {
                    exact += f64::from(weights[k]) * f64::from(x[k]);
                    size += (f64::from(weights[k].abs()) + 2.0 * f64::from(minima[k].abs()))
                        * f64::from(x[k].abs());
                }
                // Two roundings for every one of the values that are added one after the other, and some in front.
                let roundings = 2 * self.columns.div_ceil(16) + 16;
                let bound = size * roundings as f64 * f64::from(f32::EPSILON) / 2.0;
                let error = (f64::from(out[token][row]) - exact).abs();
                let (format, columns) = (self.format, self.columns);
                assert!(
                    error <= bound,
                    "{isa} {format} {columns}: {} not {exact} at {token}, {row}",
                    out[token][row]
                );
            }
        }
    }
}

/// Numbers without order, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }

    /// -1 to 1
    fn float(&mut self) -> f32 {
        (self.next() % 20001) as f32 / 10000.0 - 1.0
    }
}

/// Overwrite the floats of all blocks: whole elements or scales and minima.
fn set_scales(format: Format, weight: &mut [u8], mut scale: impl FnMut() -> f32) {
    let positions: &[usize] = match format {
        Format::F32 | Format::F16 | Format::BF16 | Format::Q4_0 | Format::Q8_0 => &[0],
        Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q6_K => &[208],
    };
    for block in weight.chunks_exact_mut(format.block().1) {
        for &position in positions {
            let scale = scale();
            match format {
                Format::F32 => block.copy_from_slice(&scale.to_le_bytes()),
                Format::BF16 => block.copy_from_slice(&half::bf16::from_f32(scale).to_le_bytes()),
                _ => block[position..position + 2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes()),
            }
        }
    }
}

fn chunk(activations: &Activations, kind: Preparation, index: usize, row: usize, tokens: usize) -> &Chunk {
    // SAFETY: nobody writes it.
    unsafe { &*activations.chunks(kind, index, tokens).add(row) }
}

fn dequantised(
    activations: &Activations,
    kind: Preparation,
    row: usize,
    tokens: usize,
    columns: usize,
) -> Vec<f32> {
    let value = |k: usize| {
        let chunk = chunk(activations, kind, k / CHUNK, row, tokens);
        f32::from(chunk.quants[k % CHUNK]) * chunk.scales[k % CHUNK / BLOCK]
    };
    (0..columns).map(value).collect()
}

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

/// Row lengths to try: one block, whole chunks, and parts of chunks where the format has them.
fn lengths(format: Format) -> &'static [usize] {
    match format.block().0 {
        1 => &[1, 15, 16, 100, 259, 768],
        32 => &[32, 96, 256, 480, 1024],
        _ => &[256, 1024],
    }
}

#[test]
fn outputs_are_the_dot_products_of_decoded_weights() {
    for isa in isas() {
        for format in Format::ALL {
            for &columns in lengths(format) {
                Case::random(format, 37, columns, 3).check(isa);
            }
        }
    }
}

#[test]
fn extreme_blocks_do_not_overflow() {
    for isa in isas() {
        for format in Format::ALL {
            for byte in [0x00, 0x80, 0x7f, 0xff] {
                let mut case = Case::random(format, 3, 512, 2);
                case.weight.fill(byte);
                set_scales(format, &mut case.weight, || 60000.0);
                case.x[0].fill(1.0);
                case.x[1].fill(-1.0);
                case.check(isa);
            }
        }
    }
}

#[test]
fn zero_scales_and_zero_activations_give_zero() {
    for isa in isas() {
        for format in Format::ALL {
            let mut case = Case::random(format, 5, 256, 2);
            case.x[0].fill(0.0);
            assert!(case.run(isa, 0..5, &case.x)[0][..5].iter().all(|&y| y == 0.0), "{isa} {format}");
            set_scales(format, &mut case.weight, || 0.0);
            assert!(case.run(isa, 0..5, &case.x)[1][..5].iter().all(|&y| y == 0.0), "{isa} {format}");
        }
    }
}

#[test]
fn outputs_do_not_depend_on_tokens_rows_or_neighbours() {
    for isa in isas() {
        for format in Format::ALL {
            let case = Case::random(format, 69, 512, 70);
            let all = case.run(isa, 0..69, &case.x);
            for tokens in [1, 2, 3, 4, 5, 6, 13] {
                for start in [0, 70 - tokens] {
                    for rows in [0..69, 0..1, 31..33, 5..69, 68..69] {
                        let some = case.run(isa, rows.clone(), &case.x[start..start + tokens]);
                        for (all, some) in all[start..].iter().zip(&some) {
                            for row in 0..all.len() {
                                let written = rows.contains(&row);
                                let expected = if written { all[row].to_bits() } else { f32::NAN.to_bits() };
                                assert_eq!(some[row].to_bits(), expected, "{isa} {format} {tokens} {rows:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn sums_of_integers_are_the_same_on_the_next_tier() {
    let tiers = [(Isa::Avx2, Isa::AvxVnni), (Isa::Avx512, Isa::Amx), (Isa::Neon, Isa::DotProd)];
    for (tier, next) in tiers.into_iter().filter(|(_, next)| next.is_available()) {
        for format in [Format::Q4_0, Format::Q8_0, Format::Q4_K, Format::Q5_K, Format::Q6_K] {
            for &columns in lengths(format) {
                for byte in [None, Some(0x80), Some(0xff)] {
                    let mut case = Case::random(format, 19, columns, 18);
                    if let Some(byte) = byte {
                        case.weight.fill(byte);
                        set_scales(format, &mut case.weight, || 1.0);
                        case.x[0].fill(1.0);
                        case.x[1].fill(-1.0);
                    }
                    for tokens in [1, 2, 5, 18] {
                        let run = |isa| case.run(isa, 0..19, &case.x[..tokens]);
                        for (ours, theirs) in run(tier).iter().zip(run(next)) {
                            assert_eq!(
                                ours[..19],
                                theirs[..19],
                                "{next} {format} {columns} {byte:?} {tokens}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn packed_weights_give_the_same_bits() {
    for isa in isas() {
        let kernels = Kernels::new(isa);
        for format in Format::ALL.into_iter().filter(|_| kernels.read_packed()) {
            // 11 groups: two of each stream, and three more.
            let (rows, columns) = (11 * packed::ROWS, 768);
            let case = Case::random(format, rows, columns, 20);
            let Some(size) = packed::size(format, rows, columns) else { continue };
            let mut bytes = vec![0; size];
            packed::pack(format, columns, &case.weight, &mut bytes);
            let matrix = Matrix { packed: true, ..case.matrix(&bytes) };
            for tokens in [1, 2, 7, 20] {
                let x = &case.x[..tokens];
                let activations = case.prepare(&kernels, x);
                for range in [0..rows, packed::ROWS..3 * packed::ROWS, 10 * packed::ROWS..rows] {
                    let expected = case.run(isa, range.clone(), x);
                    let mut out = vec![f32::NAN; tokens * expected[0].len()];
                    // SAFETY: `out` has that many rows and is ours.
                    unsafe {
                        let out = out.as_mut_ptr();
                        kernels.multiply(
                            &matrix,
                            range.clone(),
                            &activations,
                            tokens,
                            out,
                            expected[0].len(),
                        );
                    }
                    let bits = |out: &[f32]| out.iter().map(|out| out.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&out), bits(&expected.concat()), "{isa} {format} {tokens} {range:?}");
                }
            }
        }
    }
}

#[test]
fn weights_may_lie_at_any_address() {
    for isa in isas() {
        for format in Format::ALL {
            let mut case = Case::random(format, 18, 256, 7);
            let expected = case.run(isa, 0..18, &case.x);
            let kernels = Kernels::new(isa);
            let activations = case.prepare(&kernels, &case.x);
            for shift in 1..4 {
                case.weight.insert(0, 0xff);
                let mut out = vec![0.0_f32; 7 * 18];
                // SAFETY: `out` has that many rows and is ours.
                unsafe {
                    let (weight, out) = (&case.weight[shift..], out.as_mut_ptr());
                    kernels.multiply(&case.matrix(weight), 0..18, &activations, 7, out, 18);
                }
                for (out, expected) in out.chunks(18).zip(&expected) {
                    assert_eq!(out, &expected[..18], "{isa} {format} at {shift}");
                }
            }
        }
    }
}

#[test]
fn quants_are_nearest_and_the_same_on_every_instruction_set() {
    let mut case = Case::random(Format::Q8_0, 1, 480, 3);
    case.x[0].fill(0.0);
    case.x[1].fill(f32::MIN_POSITIVE / 4.0);
    let expected = case.prepare(&Kernels::new(Isa::Portable), &case.x);
    for isa in isas() {
        let activations = case.prepare(&Kernels::new(isa), &case.x);
        for kind in [Preparation::Quants, Preparation::NestedQuants] {
            for (row, x) in case.x.iter().enumerate() {
                let values = dequantised(&activations, kind, row, 3, 480);
                for k in 0..480 {
                    let step = chunk(&activations, kind, k / CHUNK, row, 3).scales[k % CHUNK / BLOCK];
                    // Next to the smallest f32 that has an inverse, numbers are none.
                    let most = (step * 0.5001).max(127.0 * f32::MIN_POSITIVE);
                    assert!((x[k] - values[k]).abs() <= most, "{isa} {row} {k}: {} is {}", x[k], values[k]);
                }
                for index in 0..2 {
                    let chunk = chunk(&activations, kind, index, row, 3);
                    assert_eq!(chunk.quants, self::chunk(&expected, kind, index, row, 3).quants);
                    assert_eq!(chunk.scales, self::chunk(&expected, kind, index, row, 3).scales);
                    check_sums(chunk);
                    for block in 0..if kind == Preparation::NestedQuants { 8 } else { 0 } {
                        let [multiplier, again] = chunk.multipliers[block];
                        assert!((1..=Chunk::MOST).contains(&i32::from(multiplier)) && multiplier == again);
                        assert_eq!(chunk.scales[block], chunk.unit * f32::from(multiplier));
                        assert_eq!(chunk.all_multipliers.map(|all| all[block]), [multiplier; 2]);
                        let halves = chunk.halves.map(|half| i32::from(half[block]));
                        assert_eq!(halves.map(|half| 32 * half), chunk.half_starts.as_chunks().0[block]);
                        let sum = -halves.iter().sum::<i32>() * i32::from(multiplier) / 2;
                        assert_eq!(i32::from(chunk.sums[block]), sum);
                    }
                }
            }
        }
    }
}

fn check_sums(chunk: &Chunk) {
    let sum = |quants: &[i8]| quants.iter().map(|&quant| i32::from(quant)).sum::<i32>();
    for block in 0..8 {
        let quants = &chunk.quants[block * 32..][..32];
        assert_eq!(chunk.eight_starts[block], -8 * sum(quants));
        assert_eq!(chunk.eight_pair_starts[block].map(i32::from).iter().sum::<i32>(), -8 * sum(quants));
        assert_eq!(chunk.byte_starts[block], -128 * sum(quants));
        for half in 0..2 {
            let (quants, half) = (&quants[16 * half..16 * half + 16], 2 * block + half);
            let first: Vec<i8> = quants.chunks(4).flat_map(|four| &four[..2]).copied().collect();
            assert_eq!(chunk.half_starts[half], -32 * sum(quants));
            let pair = chunk.half_pair_starts[half].map(i32::from);
            assert_eq!(pair, [-32 * sum(&first), 32 * (sum(&first) - sum(quants))]);
        }
    }
}

#[test]
fn numbers_that_are_not_finite_show() {
    for isa in isas() {
        for format in Format::ALL {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut case = Case::random(format, 2, 256, 2);
                case.x[0][77] = value;
                let out = case.run(isa, 0..2, &case.x);
                assert!(!out[0][0].is_finite(), "{isa} {format} {value}");
                assert!(out[1][0].is_finite(), "{isa} {format} {value}");
            }
        }
    }
}
