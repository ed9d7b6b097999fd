//! `attention` through the lives of sequences: prefill, decoding, ragged batches, forks, truncation, full pages.

use super::data::{SPECIAL, input};
use super::nearness::{Nearness, same_bits};
use super::rig::{Act, Part, Rig};
use super::{Case, Expected, Outcome};
use crate::cache::{CacheFormat, CacheShape, PAGE};
use crate::device::{Device, Plan};
use crate::recording::{AttentionShape, Recorder};
use crate::reference::Reference;

const PLAIN: AttentionShape = AttentionShape {
    heads: 4,
    kv_heads: 2,
    key_size: 32,
    value_size: 32,
    scale: 0.4,
    window: None,
    soft_cap: None,
};

/// Multi-head, grouped and multi-query attention; even and odd heads; windows across pages; soft caps.
const SHAPES: [(&str, AttentionShape); 9] = [
    ("grouped", PLAIN),
    ("multi-head", AttentionShape { heads: 3, kv_heads: 3, ..PLAIN }),
    (
        "multi-query",
        AttentionShape { heads: 5, kv_heads: 1, key_size: 64, value_size: 64, scale: 0.125, ..PLAIN },
    ),
    ("unequal", AttentionShape { key_size: 96, value_size: 64, scale: 0.1, ..PLAIN }),
    ("odd", AttentionShape { heads: 2, kv_heads: 1, key_size: 5, value_size: 3, scale: 1.0, ..PLAIN }),
    ("wide", AttentionShape { heads: 2, kv_heads: 2, key_size: 128, value_size: 128, scale: 0.088, ..PLAIN }),
    ("window", AttentionShape { window: Some(17), ..PLAIN }),
    ("long-window", AttentionShape { window: Some(PAGE + 3), heads: 2, ..PLAIN }),
    ("soft-cap", AttentionShape { soft_cap: Some(2.0), ..PLAIN }),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in [CacheFormat::F32, CacheFormat::F16, CacheFormat::Q8_0] {
        let fits = |size| format.head_bytes(size).is_some();
        let shapes = SHAPES.into_iter().filter(|(_, shape)| fits(shape.key_size) && fits(shape.value_size));
        for (i, (name, shape)) in shapes.enumerate() {
            for (j, (life, story)) in lives().into_iter().enumerate() {
                // Books do not depend on the format: every other pair will do for the smaller ones.
                if format == CacheFormat::F32 || (i + j) % 2 == 0 {
                    cases.push(near(format!("attention/{format:?}/{name}/{life}"), format, shape, story));
                }
            }
            cases.push(same_in_any_company(format!("attention/{format:?}/{name}/company"), format, shape));
        }
    }
    let small = AttentionShape { heads: 2, kv_heads: 1, ..PLAIN };
    cases.push(near("attention/F16/full-step".into(), CacheFormat::F16, small, full_step()));
    cases
}

/// The bits of a format, and arithmetic that a device may do in the type of the cache.
fn nearness(format: CacheFormat) -> Nearness {
    let relative = match format {
        CacheFormat::F32 => 1e-5,
        CacheFormat::F16 => 1e-3,
        CacheFormat::Q8_0 => 1e-2,
    };
    Nearness { relative, typical: 0.0 }
}

/// Two layers that share their inputs but not their cache; the second has keys and queries exchanged where it can.
fn rig(device: &dyn Device, format: CacheFormat, shape: AttentionShape) -> Outcome<Rig> {
    let AttentionShape { heads, kv_heads, key_size, value_size, .. } = shape;
    let cache = device.cache(CacheShape {
        layers: 2,
        kv_heads,
        key_size,
        value_size,
        positions: 20 * PAGE,
        format,
    })?;
    let mut recorder = Recorder::new();
    let qkv = input(device, &mut recorder, heads * key_size + kv_heads * (key_size + value_size), 1)?;
    let (keys, values) = (heads * key_size, (heads + kv_heads) * key_size);
    let view = |first, columns| qkv.view(first, columns).ok_or("a view that fits");
    let (q, k, v) = (view(0, keys)?, view(keys, kv_heads * key_size)?, view(values, kv_heads * value_size)?);
    let out = device.tensor(2 * heads * value_size + 3)?;
    recorder.embed(&out, &super::data::table(out.columns(), 2))?;
    let half = |first| out.view(first, heads * value_size).ok_or("a view that fits");
    recorder.attention(&half(0)?, &q, &k, &v, &cache, 0, &shape)?;
    let doubled = input(device, &mut recorder, kv_heads * value_size, 3)?;
    recorder.attention(&half(heads * value_size + 3)?, &q, &k, &doubled, &cache, 1, &shape)?;
    Ok(Rig { cache, plans: vec![Plan::new(device, recorder.finish())?], out, selects: false })
}

/// Ordinary tokens that look like text: `seed` tells one from another.
pub(super) fn text(seed: u32, count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| (i * i + 5 * i + seed * 11) % SPECIAL).collect()
}

/// Stories that every cache must survive.
fn lives() -> Vec<(&'static str, Vec<Act>)> {
    use Act::{Begin, Fork, Step, Truncate};
    let part = |sequence, seed, count| Part::new(sequence, text(seed, count));
    let one = |seed, count| Step(vec![part(0, seed, count)]);
    let mut decoding = vec![Begin, one(1, 5), one(2, 1), one(3, 1), one(4, 33), one(5, 20)];
    // Over the end of the first page, token by token, and a second page at once.
    decoding.extend((0..8).map(|i| one(i, 1)));
    decoding.extend([one(6, 70), one(7, 1)]);
    let ragged = vec![
        Begin,
        Begin,
        Begin,
        Step(vec![part(0, 1, 20)]),
        Step(vec![part(1, 2, 40), part(0, 3, 1), part(2, 4, 3)]),
        Step(vec![part(0, 5, 50), part(1, 6, 1), part(2, 7, 1)]),
        Step(vec![part(2, 8, 1), part(1, 9, 30), part(0, 1, 1)]),
        Step(vec![part(0, 2, 1), part(1, 3, 1), part(2, 4, 1)]),
    ];
    let forks = vec![
        Begin,
        one(1, PAGE + 6),
        Fork(0),
        Fork(0),
        // Both write into what they shared.
        Step(vec![part(0, 2, 2), part(1, 3, 3)]),
        Step(vec![part(1, 4, 1), part(2, 5, 1), part(0, 6, 1)]),
        Truncate(1, PAGE - 10),
        Fork(1),
        Step(vec![part(3, 7, 4), part(1, 8, 25), part(2, 9, 1)]),
        Step(vec![part(0, 1, 1), part(1, 2, 1), part(2, 3, 1), part(3, 4, 1)]),
    ];
    let truncation = vec![
        Begin,
        one(1, 2 * PAGE + 5),
        Truncate(0, PAGE),
        one(2, 9),
        Truncate(0, 3),
        one(3, 1),
        one(4, PAGE),
        Truncate(0, 0),
        one(5, 2),
    ];
    vec![("decoding", decoding), ("ragged", ragged), ("forks", forks), ("truncation", truncation)]
}

/// As many rows as a step can have, then one more token.
fn full_step() -> Vec<Act> {
    let step = |count| Act::Step(vec![Part::new(0, text(1, count))]);
    vec![Act::Begin, step(crate::step::Step::LIMIT), step(1)]
}

fn near(name: String, format: CacheFormat, shape: AttentionShape, story: Vec<Act>) -> Case {
    let expected = Expected::default();
    Case::new(name, move |device| {
        let rig = rig(device, format, shape)?;
        let actual = rig.play(&story)?;
        let expected = expected.get(|| self::rig(&Reference, format, shape)?.play(&story))?;
        nearness(format).check(&actual, expected)?;
        // Pages that come back are full of old numbers.
        same_bits("run again", &rig.play(&story)?, &actual)
    })
}

fn same_in_any_company(name: String, format: CacheFormat, shape: AttentionShape) -> Case {
    Case::new(name, move |device| in_any_company(&rig(device, format, shape)?, PAGE + 21))
}

/// One text gives the same bits in one step, in pieces, token by token, and beside other sequences.
pub(super) fn in_any_company(rig: &Rig, length: usize) -> Outcome<()> {
    let text = text(3, length);
    let whole = rig.batch(&text)?;
    for piece in [1, 7, 32] {
        let mut story = vec![Act::Begin];
        story.extend(text.chunks(piece).map(|tokens| Act::Step(vec![Part::new(0, tokens)])));
        same_bits(&format!("{piece} tokens a step"), &rig.play(&story)?, &whole)?;
    }
    let mut story = vec![Act::Begin, Act::Begin, Act::Begin];
    let mut own = Vec::new();
    let mut row = 0;
    for (i, tokens) in text.chunks(17).enumerate() {
        let (before, after) = (self::text(4, 3 * i + 1), self::text(5, 2 + i));
        own.extend(row + before.len()..row + before.len() + tokens.len());
        row += before.len() + tokens.len() + after.len();
        story.push(Act::Step(vec![Part::new(2, before), Part::new(0, tokens), Part::new(1, after)]));
    }
    let rows = rig.play(&story)?;
    let own: Vec<_> = own.into_iter().map(|row| rows[row].clone()).collect();
    same_bits("beside other sequences", &own, &whole)
}
