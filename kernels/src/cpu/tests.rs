//! Tests of the whole device: like the reference, and the same to the bit however the work is cut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::cache::{CacheFormat, Sequence};
use crate::device::{Failure, Plan};
use crate::recording::{Activation, AttentionShape, Recorder, RopeLayout};
use crate::step::{Continuation, Step};
use crate::suite;
use crate::tensor::{Bytes, Weight};

fn device(threads: usize, isa: Isa, fuse: bool) -> Cpu {
    Cpu::with(NonZeroUsize::new(threads).unwrap(), isa, fuse)
}

fn every_isa() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

#[test]
fn every_instruction_set_is_like_the_reference() {
    for isa in every_isa() {
        suite::run(&device(2, isa, true));
    }
}

#[test]
fn one_thread_is_like_the_reference() {
    suite::run(&device(1, isa::detect(), true));
}

#[test]
fn three_threads_are_like_the_reference() {
    suite::run(&device(3, isa::detect(), true));
}

#[test]
fn verbs_apart_are_like_the_reference() {
    suite::run(&device(2, isa::detect(), false));
}

const HIDDEN: usize = 256;
const HEADS: usize = 8;
const KV_HEADS: usize = 2;
const HEAD: usize = 32;
const INNER: usize = 512;

/// A layer with everything that models put into one, and a head.
struct Layer {
    cache: Cache,
    tensors: Vec<Tensor>,
    logits: Tensor,
    plan: Plan,
}

fn weight(format: Format, rows: usize, columns: usize, seed: usize) -> Weight {
    let values: Vec<f32> = (0..rows * columns)
        .map(|i| ((i * 31 + seed * 17 + 5) * 2_654_435_761 % 2003) as f32 / 10_000.0 - 0.1)
        .collect();
    let mut bytes = Vec::new();
    format.encode(&values, &mut bytes);
    Weight::new(Bytes::new(Arc::new(bytes)), format, rows, columns).unwrap()
}

impl Layer {
    fn new(device: &Cpu, format: Format, cached: CacheFormat) -> Self {
        let shape = CacheShape {
            layers: 1,
            kv_heads: KV_HEADS,
            key_size: HEAD,
            value_size: HEAD,
            positions: 4096,
            format: cached,
        };
        let cache = device.cache(shape).unwrap();
        let tensor = |columns| device.tensor(columns).unwrap();
        let (x, normed, qkv) = (tensor(HIDDEN), tensor(HIDDEN), tensor((HEADS + 2 * KV_HEADS) * HEAD));
        let q = qkv.view(0, HEADS * HEAD).unwrap();
        let k = qkv.view(HEADS * HEAD, KV_HEADS * HEAD).unwrap();
        let v = qkv.view((HEADS + KV_HEADS) * HEAD, KV_HEADS * HEAD).unwrap();
        let (attended, branch) = (tensor(HEADS * HEAD), tensor(HIDDEN));
        let (gate, up, inner) = (tensor(INNER), tensor(INNER), tensor(INNER));
        let (last, logits) = (tensor(HIDDEN), tensor(300));
        let vector = |columns, seed| weight(Format::F32, 1, columns, seed);
        let rotary = Rotary {
            layout: RopeLayout::Halves,
            head_size: HEAD,
            frequencies: (0..HEAD / 2).map(|pair| 1e4f32.powf(-2.0 * pair as f32 / HEAD as f32)).collect(),
            magnitude: 1.0,
        };
        let attention = AttentionShape {
            heads: HEADS,
            kv_heads: KV_HEADS,
            key_size: HEAD,
            value_size: HEAD,
            scale: 0.2,
            window: None,
            soft_cap: None,
        };
        let mut recorder = Recorder::new();
        let mut record = || {
            recorder.embed(&x, &weight(format, 1000, HIDDEN, 1))?;
            recorder.rms_norm(&normed, &x, &vector(HIDDEN, 2), 1e-5)?;
            recorder.matmul(
                &qkv,
                &normed,
                &weight(format, qkv.columns(), HIDDEN, 3),
                Some(&vector(qkv.columns(), 4)),
            )?;
            recorder.rms_norm(&q, &q, &vector(HEAD, 5), 1e-5)?;
            recorder.rope(&q, &rotary)?;
            recorder.rope(&k, &rotary)?;
            recorder.attention(&attended, &q, &k, &v, &cache, 0, &attention)?;
            recorder.matmul(&branch, &attended, &weight(format, HIDDEN, HEADS * HEAD, 6), None)?;
            recorder.add(&x, &x, &branch)?;
            recorder.layer_norm(&normed, &x, &vector(HIDDEN, 7), None, 1e-5)?;
            recorder.matmul(&gate, &normed, &weight(format, INNER, HIDDEN, 8), None)?;
            recorder.matmul(&up, &normed, &weight(Format::F16, INNER, HIDDEN, 9), None)?;
            recorder.gate(&inner, &gate, &up, Activation::Silu)?;
            recorder.matmul(&branch, &inner, &weight(format, HIDDEN, INNER, 10), None)?;
            recorder.add(&x, &branch, &x)?;
            recorder.select(&last, &x)?;
            recorder.rms_norm(&last, &last, &vector(HIDDEN, 11), 1e-5)?;
            recorder.matmul(&logits, &last, &weight(format, 300, HIDDEN, 12), None)?;
            recorder.scale(&logits, &logits, 0.5, Some(30.0))
        };
        record().unwrap();
        let plan = Plan::new(device, recorder.finish()).unwrap();
        Self { cache, tensors: vec![x, normed, qkv, attended, branch, gate, up, inner], logits, plan }
    }

    /// Run a step, all of whose rows are outputs; the bits of every tensor, row by row, and of the logits.
    fn step(&self, parts: &mut [(&mut Sequence, Vec<u32>)]) -> Vec<Vec<u32>> {
        let mut continuations: Vec<Continuation<'_>> = parts
            .iter_mut()
            .map(|(sequence, tokens)| Continuation { sequence, tokens, outputs: tokens.len() })
            .collect();
        let step = Step::begin(&mut continuations).unwrap();
        self.plan.run(&step, &AtomicBool::new(false)).unwrap();
        let row = |row| {
            let tensors = self.tensors.iter().chain([&self.logits]);
            let numbers: Vec<f32> = tensors.flat_map(|tensor| tensor.read(row).unwrap()).collect();
            assert!(numbers.iter().all(|number| number.is_finite()));
            numbers.into_iter().map(f32::to_bits).collect()
        };
        (0..step.tokens().len()).map(row).collect()
    }

    /// Long enough that lone queries are cut into chunks.
    fn story(&self) -> Vec<Vec<u32>> {
        let (mut first, mut second) = (self.cache.sequence(), self.cache.sequence());
        let tokens = |count: u32| (0..count).map(|i| i * 37 % 1000).collect::<Vec<_>>();
        let mut rows = self.step(&mut [(&mut first, tokens(500))]);
        rows.extend(self.step(&mut [(&mut second, tokens(70)), (&mut first, tokens(400))]));
        rows.extend(self.step(&mut [(&mut first, tokens(1))]));
        let mut third = first.fork();
        rows.extend(self.step(&mut [
            (&mut third, tokens(2)),
            (&mut first, tokens(1)),
            (&mut second, tokens(3)),
        ]));
        rows
    }
}

#[test]
fn fusion_and_threads_change_no_bit() {
    for (format, cached) in
        [(Format::Q8_0, CacheFormat::F16), (Format::Q4_K, CacheFormat::Q8_0), (Format::F32, CacheFormat::F32)]
    {
        let plain = Layer::new(&device(1, isa::detect(), false), format, cached).story();
        for (threads, fuse) in [(1, true), (2, true), (3, false), (5, true)] {
            let rows = Layer::new(&device(threads, isa::detect(), fuse), format, cached).story();
            for (row, (plain, fused)) in plain.iter().zip(&rows).enumerate() {
                assert!(plain == fused, "{format} row {row}, {threads} threads, fuse {fuse}");
            }
        }
    }
}

#[test]
fn a_past_of_one_step_or_of_many_is_the_same() {
    for isa in every_isa() {
        let layer = Layer::new(&device(2, isa, true), Format::Q4_0, CacheFormat::F16);
        let tokens: Vec<u32> = (0..300).map(|i| i * 7 % 1000).collect();
        let (mut at_once, mut apart) = (layer.cache.sequence(), layer.cache.sequence());
        let rows = layer.step(&mut [(&mut at_once, tokens.clone())]);
        let mut position = 0;
        for count in [1, 1, 62, 1, 2, 130, 100, 1, 1, 1] {
            let part = layer.step(&mut [(&mut apart, tokens[position..position + count].to_vec())]);
            assert!(
                part == rows[position..position + count],
                "{isa}, {count} tokens from position {position}"
            );
            position += count;
        }
    }
}

#[test]
fn a_layer_takes_few_barriers() {
    let cpu = device(2, isa::detect(), true);
    let layer = Layer::new(&cpu, Format::Q8_0, CacheFormat::F16);
    let stages = plan::compile(&cpu.shared, layer.plan.recording(), true).unwrap();
    // Norm, qkv, attention, its preparation, output, norm, gate and up, their preparation, down; then select and logits.
    assert_eq!(stages.stages.len(), 11);
}

#[test]
fn a_profile_has_every_stage_in_order_with_its_work() {
    let cpu = device(2, isa::detect(), true);
    let layer = Layer::new(&cpu, Format::Q8_0, CacheFormat::F16);
    let mut sequence = layer.cache.sequence();
    layer.step(&mut [(&mut sequence, vec![1; 70])]);
    assert!(cpu.take_profile().is_empty(), "nobody asked for it");

    cpu.start_profile();
    layer.step(&mut [(&mut sequence, vec![1, 2, 3])]);
    let timings = cpu.take_profile();
    layer.step(&mut [(&mut sequence, vec![1])]);
    assert!(cpu.take_profile().is_empty(), "nobody asked for more");

    let names: Vec<&str> = timings.iter().map(|timing| &*timing.name).collect();
    let expected = [
        "embed, rms-norm, prepare",
        "matmul 384 x 256 Q8_0, rms-norm, rope, append",
        "attention",
        "prepare",
        "matmul 256 x 256 Q8_0, add",
        "layer-norm, prepare",
        "matmul 512 x 256 Q8_0, matmul 512 x 256 F16, gate",
        "prepare",
        "matmul 256 x 512 Q8_0, add",
        "select, rms-norm, prepare",
        "matmul 300 x 256 Q8_0, scale",
    ];
    assert_eq!(names, expected);
    assert!(timings.iter().all(|timing| timing.rows == 3 && timing.begin <= timing.end));
    assert!(timings.windows(2).all(|pair| pair[0].end == pair[1].begin));

    let q8_0 = |rows: u64, columns: u64| rows * columns / 32 * 34;
    let work = |stage: usize| (timings[stage].bytes, timings[stage].multiply_adds);
    // The table's rows of the tokens, and the scale of the norm.
    assert_eq!(work(0), (q8_0(3, 256) + 256 * 4, 0));
    // With the bias, and the scale of the heads' norm.
    assert_eq!(work(1), (q8_0(384, 256) + 384 * 4 + 32 * 4, 3 * 384 * 256));
    // Positions 70 to 72 see 71, 72 and 73; two key heads of 32 elements.
    assert_eq!(work(2), (73 * 2 * 64 * 2, (71 + 72 + 73) * 8 * 64));
    assert_eq!(work(3), (0, 0));
    assert_eq!(work(4), (q8_0(256, 256), 3 * 256 * 256));
    assert_eq!(work(6), (q8_0(512, 256) + 512 * 256 * 2, 3 * 2 * 512 * 256));
    assert_eq!(work(10), (q8_0(300, 256), 3 * 300 * 256));
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "there are no threads")]
fn a_cancelled_run_says_so_and_soon() {
    let cpu = device(2, isa::detect(), true);
    let layer = Layer::new(&cpu, Format::F32, CacheFormat::F32);
    let mut sequence = layer.cache.sequence();
    let tokens = vec![1; 512];
    let mut parts = [Continuation { sequence: &mut sequence, tokens: &tokens, outputs: 1 }];
    let step = Step::begin(&mut parts).unwrap();
    let cancel = AtomicBool::new(true);
    assert_eq!(layer.plan.run(&step, &cancel), Err(Failure::Cancelled));
    let began = Instant::now();
    std::thread::scope(|scope| {
        cancel.store(false, Ordering::Relaxed);
        let runner = scope.spawn(|| while layer.plan.run(&step, &cancel).is_ok() {});
        std::thread::sleep(Duration::from_millis(20));
        cancel.store(true, Ordering::Relaxed);
        runner.join().unwrap();
    });
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn operands_of_another_device_are_refused() {
    let (ours, theirs) = (device(1, Isa::Portable, true), device(1, Isa::Portable, true));
    let (x, y) = (ours.tensor(4).unwrap(), theirs.tensor(4).unwrap());
    let mut recorder = Recorder::new();
    recorder.add(&x, &x, &y).unwrap();
    assert!(Plan::new(&ours, recorder.finish()).is_err());
}

#[test]
fn a_plan_outlives_its_device() {
    let cpu = device(2, isa::detect(), true);
    let layer = Layer::new(&cpu, Format::Q8_0, CacheFormat::F16);
    let before = layer.step(&mut [(&mut layer.cache.sequence(), vec![1, 2, 3])]);
    let shared = Arc::downgrade(&cpu.shared);
    drop(cpu);
    assert!(before == layer.step(&mut [(&mut layer.cache.sequence(), vec![1, 2, 3])]));
    drop(layer);
    assert!(shared.upgrade().is_none());
}
