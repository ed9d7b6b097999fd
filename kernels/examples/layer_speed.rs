//! How fast the CPU device runs layers of TinyLlama-1.1B's shape:
//! `cargo run --release -p wasm-chord-kernels --example layer_speed [THREADS [FORMAT]]`.
//!
//! Decoding a token is compared with plainly reading the layer's bytes on as many threads, in turn with it; the difference is
//! arithmetic, barriers and attention. Prefill is one step of 512 tokens. Every layer is timed apart and the fastest twentieth of
//! the times counts, in which neighbours on the machine disturbed least.
#![expect(clippy::print_stdout, reason = "it is for people")]

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use wasm_chord_kernels::cpu::Cpu;
use wasm_chord_kernels::{
    Activation, AttentionShape, Bytes, Cache, CacheFormat, CacheShape, Continuation, Device, Format, Plan,
    Recorder, RopeLayout, Rotary, Step, Tensor, Weight,
};

const HIDDEN: usize = 2048;
const HEADS: usize = 32;
const KV_HEADS: usize = 4;
const HEAD: usize = 64;
const INNER: usize = 5632;

/// Together more than the caches hold.
const LAYERS: usize = 10;

/// Times that every layer is run.
const ROUNDS: usize = 30;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let threads: Option<NonZeroUsize> = arguments.next().map(|threads| threads.parse()).transpose()?;
    let wanted = arguments.next();
    let device = Cpu::new(threads);
    println!("{}", device.name());
    println!(
        "format  MB/layer  read ms  decode ms (past 16, 1024)  of reading  512 tokens ms  tokens/s of 22 layers: decode, prefill"
    );
    for format in [Format::Q4_0, Format::Q4_K, Format::Q8_0] {
        if wanted.as_ref().is_none_or(|wanted| *wanted == format.to_string()) {
            measure(&device, format)?;
        }
    }
    Ok(())
}

fn measure(device: &Cpu, format: Format) -> Result<(), Box<dyn Error>> {
    let shape = CacheShape {
        layers: LAYERS,
        kv_heads: KV_HEADS,
        key_size: HEAD,
        value_size: HEAD,
        positions: 2048,
        format: CacheFormat::F16,
    };
    let cache = device.cache(shape)?;
    let tensors = Tensors::new(device)?;
    let memory: Vec<Arc<Vec<u8>>> = (0..LAYERS).map(|_| Arc::new(layer_bytes(format))).collect();
    let plans: Vec<Plan> = memory
        .iter()
        .enumerate()
        .map(|(layer, bytes)| plan(device, &tensors, &cache, layer, format, bytes.clone()))
        .collect::<Result<_, _>>()?;

    let mut sequence = cache.sequence();
    let mut prefill = Vec::new();
    for _ in 0..2 {
        sequence.truncate(0);
        prefill.extend(run(&plans, &mut sequence, 512)?);
    }
    let (mut read, mut short, mut long) = (Vec::new(), Vec::new(), Vec::new());
    sequence.truncate(16);
    for _ in 0..ROUNDS {
        read.extend(stream(&memory, device.threads()));
        short.extend(run(&plans, &mut sequence, 1)?);
    }
    while sequence.length() < 1024 {
        let rest = 1024 - sequence.length();
        run(&plans, &mut sequence, rest.min(Step::LIMIT))?;
    }
    for _ in 0..ROUNDS {
        long.extend(run(&plans, &mut sequence, 1)?);
    }
    let [prefill, read, short, long] = [prefill, read, short, long].map(fast);
    let of_all = |milliseconds: f64, tokens: f64| tokens * 1000.0 / (22.0 * milliseconds);
    println!(
        "{:<7} {:>8.1}  {read:>7.3}  {short:>9.3} {long:>15.3}  {:>10.2}  {prefill:>13.1}  {:>10.1} {:>9.1}",
        format.to_string(),
        memory[0].len() as f64 / 1e6,
        short / read,
        of_all(short, 1.0),
        of_all(prefill, 512.0),
    );
    Ok(())
}

/// What the fastest twentieth stays below.
fn fast(mut milliseconds: Vec<f64>) -> f64 {
    milliseconds.sort_by(f64::total_cmp);
    milliseconds[milliseconds.len() / 20]
}

/// Milliseconds of each layer in a step of `count` tokens.
fn run(
    plans: &[Plan],
    sequence: &mut wasm_chord_kernels::Sequence,
    count: usize,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let tokens = vec![0; count];
    let step = Step::begin(&mut [Continuation { sequence, tokens: &tokens, outputs: 1 }])?;
    let mut times = Vec::new();
    for plan in plans {
        let began = Instant::now();
        plan.run(&step, &AtomicBool::new(false))?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}

/// Milliseconds to read each layer, in pieces by whichever thread is free.
fn stream(memory: &[Arc<Vec<u8>>], threads: usize) -> Vec<f64> {
    const PIECE: usize = 128 << 10;
    let mut times = Vec::new();
    for layer in memory {
        let (next, longest) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let ready = std::sync::Barrier::new(threads);
        let start = std::sync::OnceLock::new();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    ready.wait();
                    start.get_or_init(Instant::now);
                    while let Some(piece) = layer.chunks(PIECE).nth(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut sums = [0u64; 16];
                        for line in piece.chunks_exact(128) {
                            for (sum, bytes) in sums.iter_mut().zip(line.chunks_exact(8)) {
                                *sum ^= u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                            }
                        }
                        std::hint::black_box(sums);
                    }
                    let elapsed = start.get().map_or(0, |start| start.elapsed().as_nanos() as usize);
                    longest.fetch_max(elapsed, Ordering::Relaxed);
                });
            }
        });
        times.push(longest.into_inner() as f64 / 1e6);
    }
    times
}

struct Tensors {
    x: Tensor,
    normed: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attended: Tensor,
    branch: Tensor,
    gate: Tensor,
    up: Tensor,
    inner: Tensor,
}

impl Tensors {
    fn new(device: &Cpu) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            x: device.tensor(HIDDEN)?,
            normed: device.tensor(HIDDEN)?,
            q: device.tensor(HEADS * HEAD)?,
            k: device.tensor(KV_HEADS * HEAD)?,
            v: device.tensor(KV_HEADS * HEAD)?,
            attended: device.tensor(HEADS * HEAD)?,
            branch: device.tensor(HIDDEN)?,
            gate: device.tensor(INNER)?,
            up: device.tensor(INNER)?,
            inner: device.tensor(INNER)?,
        })
    }
}

/// Rows and columns of the matrices of a layer.
const MATRICES: [(usize, usize); 7] = [
    (HEADS * HEAD, HIDDEN),
    (KV_HEADS * HEAD, HIDDEN),
    (KV_HEADS * HEAD, HIDDEN),
    (HIDDEN, HEADS * HEAD),
    (INNER, HIDDEN),
    (INNER, HIDDEN),
    (HIDDEN, INNER),
];

/// All matrices of a layer, one after the other; their rows are all alike.
fn layer_bytes(format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (rows, columns) in MATRICES {
        let values: Vec<f32> =
            (0..columns).map(|i| ((i * 2_654_435_761) % 1000) as f32 / 5e4 - 0.01).collect();
        let mut row = Vec::new();
        format.encode(&values, &mut row);
        (0..rows).for_each(|_| bytes.extend_from_slice(&row));
    }
    bytes
}

fn plan(
    device: &Cpu,
    tensors: &Tensors,
    cache: &Cache,
    layer: usize,
    format: Format,
    bytes: Arc<Vec<u8>>,
) -> Result<Plan, Box<dyn Error>> {
    let all = Bytes::new(bytes);
    let mut first = 0;
    let mut weights = Vec::new();
    for (rows, columns) in MATRICES {
        let size = Weight::size(format, rows, columns)?;
        let part = all.slice(first, size).ok_or("a matrix lies inside")?;
        weights.push(Weight::new(part, format, rows, columns)?);
        first += size;
    }
    let ones = Bytes::new(Arc::new(1f32.to_le_bytes().repeat(HIDDEN)));
    let scale = Weight::new(ones, Format::F32, 1, HIDDEN)?;
    let rotary = Rotary {
        layout: RopeLayout::Adjacent,
        head_size: HEAD,
        frequencies: (0..HEAD / 2).map(|pair| 1e4f32.powf(-2.0 * pair as f32 / HEAD as f32)).collect(),
        magnitude: 1.0,
    };
    let attention = AttentionShape {
        heads: HEADS,
        kv_heads: KV_HEADS,
        key_size: HEAD,
        value_size: HEAD,
        scale: 0.125,
        window: None,
        soft_cap: None,
    };
    let Tensors { x, normed, q, k, v, attended, branch, gate, up, inner } = tensors;
    let mut recorder = Recorder::new();
    recorder.rms_norm(normed, x, &scale, 1e-5)?;
    recorder.matmul(q, normed, &weights[0], None)?;
    recorder.matmul(k, normed, &weights[1], None)?;
    recorder.matmul(v, normed, &weights[2], None)?;
    recorder.rope(q, &rotary)?;
    recorder.rope(k, &rotary)?;
    recorder.attention(attended, q, k, v, cache, layer, &attention)?;
    recorder.matmul(branch, attended, &weights[3], None)?;
    recorder.add(x, x, branch)?;
    recorder.rms_norm(normed, x, &scale, 1e-5)?;
    recorder.matmul(gate, normed, &weights[4], None)?;
    recorder.matmul(up, normed, &weights[5], None)?;
    recorder.gate(inner, gate, up, Activation::Silu)?;
    recorder.matmul(branch, inner, &weights[6], None)?;
    recorder.add(x, x, branch)?;
    Ok(Plan::new(device, recorder.finish())?)
}
