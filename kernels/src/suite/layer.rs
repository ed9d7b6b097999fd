//! Whole small models, recorded plan by plan as a guest does it: what devices fuse is tested here.

use super::attention::{in_any_company, text};
use super::data::{input, matrix, scales};
use super::nearness::{Nearness, same_bits};
use super::rig::{Act, Part, Rig};
use super::rows::rotary;
use super::{Case, Expected, Outcome};
use crate::block::Format;
use crate::cache::{CacheFormat, CacheShape, PAGE};
use crate::device::{Device, Plan};
use crate::recording::{Activation, AttentionShape, Recorder, RopeLayout};
use crate::reference::Reference;
use crate::tensor::Tensor;

const WIDTH: usize = 256;
const HIDDEN: usize = 256;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD: usize = 64;
const VOCABULARY: usize = 65;
const LAYERS: usize = 2;

/// What differs between families.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Family {
    /// RMS norm, separate q, k and v, adjacent pairs, SwiGLU.
    Llama,
    /// Biases, halves, and norms of query and key heads.
    Qwen,
    /// One matmul for q, k and v; gate and up in one; soft caps, a window, GELU.
    Fused,
    /// Layer norm and a feed-forward without gate, beside attention.
    Parallel,
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let families = [Family::Llama, Family::Qwen, Family::Fused, Family::Parallel];
    for (i, format) in Format::ALL.into_iter().enumerate() {
        let cache = [CacheFormat::F32, CacheFormat::F16, CacheFormat::Q8_0][i % 3];
        for family in [families[i % 4], families[(i + i / 4 + 1) % 4]] {
            cases.push(near(format!("layer/{format}/{family:?}"), format, family, cache));
        }
        let family = families[(i + 2) % 4];
        cases.push(Case::new(format!("layer/{format}/{family:?}/company"), move |device| {
            if device.supports(format) {
                in_any_company(&rig(device, format, family, cache, false)?, 23)
            } else {
                Ok(())
            }
        }));
        cases.push(selected(format!("layer/{format}/Llama/selected"), format));
    }
    cases
}

/// Prefill, decoding, ragged steps, a fork, a truncation.
fn life() -> Vec<Act> {
    let part = |sequence, seed, count| Part::new(sequence, text(seed, count));
    vec![
        Act::Begin,
        Act::Begin,
        Act::Step(vec![part(0, 1, 9)]),
        Act::Step(vec![part(1, 2, 12), part(0, 3, 1)]),
        Act::Step(vec![part(0, 4, 1)]),
        Act::Fork(0),
        Act::Step(vec![part(0, 5, 1), part(2, 6, 2), part(1, 7, 1)]),
        Act::Truncate(0, 4),
        Act::Step(vec![part(2, 8, 1), part(0, 9, 5)]),
    ]
}

/// After two layers: floats differ where a cached number was rounded to its other neighbour, quantised weights see rounded
/// activations seven times a layer.
fn nearness(format: Format, cache: CacheFormat) -> Nearness {
    let relative = match (format.is_quantised(), cache) {
        (false, CacheFormat::F32) => 1e-4,
        (false, CacheFormat::F16) => 2e-3,
        _ => 4e-2,
    };
    Nearness { relative, typical: 0.0 }
}

fn near(name: String, format: Format, family: Family, cache: CacheFormat) -> Case {
    let expected = Expected::default();
    Case::new(name, move |device| {
        if !device.supports(format) {
            return Ok(());
        }
        let story = life();
        let rig = rig(device, format, family, cache, false)?;
        let actual = rig.play(&story)?;
        let expected = expected.get(|| self::rig(&Reference, format, family, cache, false)?.play(&story))?;
        nearness(format, cache).check(&actual, expected)?;
        same_bits("run again", &rig.play(&story)?, &actual)
    })
}

/// Selecting rows before the head changes none of their bits.
fn selected(name: String, format: Format) -> Case {
    Case::new(name, move |device| {
        if !device.supports(format) {
            return Ok(());
        }
        let part = |sequence, seed, count, outputs| Part { sequence, tokens: text(seed, count), outputs };
        let story = [
            Act::Begin,
            Act::Begin,
            Act::Step(vec![part(0, 1, 9, 1), part(1, 2, 12, 0)]),
            Act::Step(vec![part(1, 3, 1, 1), part(0, 4, 5, 3)]),
        ];
        let all = rig(device, format, Family::Llama, CacheFormat::F16, false)?.play(&story)?;
        let few = rig(device, format, Family::Llama, CacheFormat::F16, true)?.play(&story)?;
        let wanted: Vec<_> = [8, 21, 24, 25, 26].map(|row| all[row].clone()).into();
        same_bits("selected", &few, &wanted)
    })
}

/// Embedding, layers and head, a plan each; reads the logits.
fn rig(
    device: &dyn Device,
    format: Format,
    family: Family,
    cache: CacheFormat,
    selects: bool,
) -> Outcome<Rig> {
    let shape = CacheShape {
        layers: LAYERS,
        kv_heads: KV_HEADS,
        key_size: HEAD,
        value_size: HEAD,
        positions: 16 * PAGE,
        format: cache,
    };
    let cache = device.cache(shape)?;
    let mut recorder = Recorder::new();
    let x = input(device, &mut recorder, WIDTH, 1)?;
    let mut plans = vec![Plan::new(device, recorder.finish())?];

    let layer = Layer {
        family,
        format,
        x: x.clone(),
        normed: device.tensor(WIDTH)?,
        qkv: device.tensor((HEADS + 2 * KV_HEADS) * HEAD)?,
        attended: device.tensor(HEADS * HEAD)?,
        added: device.tensor(WIDTH)?,
        hidden: device.tensor(2 * HIDDEN)?,
    };
    for index in 0..LAYERS {
        let mut recorder = Recorder::new();
        layer.record(&mut recorder, &cache, index)?;
        plans.push(Plan::new(device, recorder.finish())?);
    }

    let mut recorder = Recorder::new();
    let (last, normed, out) = (device.tensor(WIDTH)?, device.tensor(WIDTH)?, device.tensor(VOCABULARY)?);
    if selects {
        recorder.select(&last, &x)?;
    }
    let last = if selects { &last } else { &x };
    recorder.rms_norm(&normed, last, &scales(Format::F32, WIDTH, 90), 1e-5)?;
    recorder.matmul(&out, &normed, &matrix(format, VOCABULARY, WIDTH, 91, 0.1), None)?;
    recorder.scale(&out, &out, 0.5, Some(30.0))?;
    plans.push(Plan::new(device, recorder.finish())?);
    Ok(Rig { cache, plans, out, selects })
}

/// The tensors that all layers share.
struct Layer {
    family: Family,
    format: Format,
    x: Tensor,
    normed: Tensor,
    qkv: Tensor,
    attended: Tensor,
    added: Tensor,
    hidden: Tensor,
}

impl Layer {
    fn record(&self, recorder: &mut Recorder, cache: &crate::cache::Cache, index: usize) -> Outcome<()> {
        let Self { family, format, x, normed, qkv, attended, added, hidden } = self;
        let seed = 10 + 20 * index;
        let weight =
            |rows, columns, seed| matrix(*format, rows, columns, seed, (3.0 / columns as f32).sqrt());
        let norm = |recorder: &mut Recorder, seed| match family {
            Family::Parallel => recorder.layer_norm(
                normed,
                x,
                &scales(Format::F16, WIDTH, seed),
                Some(&matrix(Format::F32, 1, WIDTH, seed, 0.1)),
                1e-5,
            ),
            _ => recorder.rms_norm(normed, x, &scales(Format::F32, WIDTH, seed), 1e-5),
        };
        let view = |tensor: &Tensor, first, columns| tensor.view(first, columns).ok_or("a view that fits");
        let (queries, keys) = (HEADS * HEAD, KV_HEADS * HEAD);
        let [q, k, v] = [view(qkv, 0, queries)?, view(qkv, queries, keys)?, view(qkv, queries + keys, keys)?];

        norm(recorder, seed)?;
        if *family == Family::Fused {
            recorder.matmul(qkv, normed, &weight(qkv.columns(), WIDTH, seed + 1), None)?;
        } else {
            for (i, out) in [&q, &k, &v].into_iter().enumerate() {
                let bias = matrix(Format::F32, 1, out.columns(), seed + 2 + i, 0.1);
                let bias = (*family == Family::Qwen).then_some(&bias);
                recorder.matmul(out, normed, &weight(out.columns(), WIDTH, seed + 5 + i), bias)?;
            }
        }
        let (layout, pairs) = match family {
            Family::Llama => (RopeLayout::Adjacent, HEAD / 2),
            Family::Parallel => (RopeLayout::Halves, HEAD / 4),
            _ => (RopeLayout::Halves, HEAD / 2),
        };
        for heads in [&q, &k] {
            if *family == Family::Qwen {
                recorder.rms_norm(heads, heads, &scales(Format::F32, HEAD, seed + 8), 1e-6)?;
            }
            recorder.rope(heads, &rotary(layout, HEAD, pairs, 1.0))?;
        }
        let fused = *family == Family::Fused;
        let shape = AttentionShape {
            heads: HEADS,
            kv_heads: KV_HEADS,
            key_size: HEAD,
            value_size: HEAD,
            scale: 0.125,
            window: fused.then_some(40),
            soft_cap: fused.then_some(50.0),
        };
        recorder.attention(attended, &q, &k, &v, cache, index, &shape)?;
        recorder.matmul(added, attended, &weight(WIDTH, HEADS * HEAD, seed + 9), None)?;
        if *family == Family::Parallel {
            let (up, down) = (view(hidden, 0, HIDDEN)?, &view(qkv, 0, WIDTH)?);
            recorder.matmul(&up, normed, &weight(HIDDEN, WIDTH, seed + 10), None)?;
            recorder.activate(&up, &up, Activation::GeluTanh)?;
            recorder.matmul(down, &up, &weight(WIDTH, HIDDEN, seed + 11), None)?;
            recorder.add(added, added, down)?;
            recorder.add(x, x, added)?;
            return Ok(());
        }
        recorder.add(x, x, added)?;

        norm(recorder, seed + 12)?;
        let [gate, up] = [view(hidden, 0, HIDDEN)?, view(hidden, HIDDEN, HIDDEN)?];
        if fused {
            recorder.matmul(hidden, normed, &weight(2 * HIDDEN, WIDTH, seed + 13), None)?;
            recorder.gate(&up, &gate, &up, Activation::GeluTanh)?;
        } else {
            recorder.matmul(&gate, normed, &weight(HIDDEN, WIDTH, seed + 14), None)?;
            recorder.matmul(&up, normed, &weight(HIDDEN, WIDTH, seed + 15), None)?;
            recorder.gate(&gate, &gate, &up, Activation::Silu)?;
        }
        recorder.matmul(added, if fused { &up } else { &gate }, &weight(WIDTH, HIDDEN, seed + 16), None)?;
        recorder.add(x, x, added)?;
        Ok(())
    }
}
