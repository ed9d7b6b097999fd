//! Verbs whose rows are independent: embed, norms, rope, everything pointwise.

use super::data::{TOKENS, input, matrix, scales};
use super::nearness::{Nearness, same_bits};
use super::rig::{Act, Part, Rig};
use super::{Case, Expected, Outcome};
use crate::block::Format;
use crate::device::Device;
use crate::recording::{Activation, Recorder, RopeLayout, Rotary};
use crate::reference::Reference;
use crate::tensor::Tensor;

/// A recording of one plan: makes its tensors, embeds its inputs, returns what to read.
pub(super) trait Record:
    Fn(&dyn Device, &mut Recorder) -> Outcome<Tensor> + Send + Sync + 'static
{
}

impl<F: Fn(&dyn Device, &mut Recorder) -> Outcome<Tensor> + Send + Sync + 'static> Record for F {}

/// Tokens of a step with so many rows, the special ones among them.
pub(super) fn tokens(rows: usize) -> Vec<u32> {
    (0..rows as u32).map(|row| (row * 7 + 3) % TOKENS).collect()
}

/// `rows` rows come near to the reference and have the same bits in other company.
pub(super) fn case(
    name: String,
    format: Format,
    rows: usize,
    nearness: Nearness,
    record: impl Record,
) -> Case {
    let expected = Expected::default();
    Case::new(name, move |device| {
        if !device.supports(format) {
            return Ok(());
        }
        let tokens = tokens(rows);
        let rig = Rig::rowwise(device, |recorder| record(device, recorder))?;
        let actual = rig.batch(&tokens)?;
        let expected = expected
            .get(|| Rig::rowwise(&Reference, |recorder| record(&Reference, recorder))?.batch(&tokens))?;
        nearness.check(&actual, expected)?;

        same_bits("run again", &rig.batch(&tokens)?, &actual)?;
        for row in [0, rows / 2, rows - 1] {
            same_bits("alone", &rig.batch(&tokens[row..=row])?, &actual[row..=row])?;
        }
        if rows > 1 && rows <= 64 {
            let reversed: Vec<u32> = tokens.iter().rev().copied().collect();
            let mut back = rig.batch(&reversed)?;
            back.reverse();
            same_bits("in reverse order", &back, &actual)?;
            let half = rows / 2 + 1;
            same_bits("with fewer rows", &rig.batch(&tokens[..half])?, &actual[..half])?;
        }
        Ok(())
    })
}

pub(super) fn cases() -> Vec<Case> {
    [embed(), norms(), rope(), pointwise(), select()].into_iter().flatten().collect()
}

fn embed() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in Format::ALL {
        let columns: &[usize] = match format.block().0 {
            1 => &[1, 3, 33, 256],
            32 => &[32, 96, 256],
            _ => &[256, 512],
        };
        for (&columns, rows) in columns.iter().zip([1, 5, 33, 512]) {
            let name = format!("embed/{format}/{rows}x{columns}");
            cases.push(case(name, format, rows, Nearness::EXACT, move |device, recorder| {
                // Into the middle of something wider.
                let out = device.tensor(columns + 9)?.view(4, columns).ok_or("a view that fits")?;
                recorder.embed(&out, &matrix(format, TOKENS as usize, columns, 1, 1.0))?;
                Ok(out)
            }));
        }
    }
    cases
}

fn norms() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns, epsilon) in
        [(1, 256, 1e-5), (2, 1, 1e-5), (3, 100, 1e-6), (5, 33, 1e-5), (33, 1024, 1e-5), (512, 64, 1e-5)]
    {
        let shape = format!("{rows}x{columns}");
        cases.push(case(
            format!("rms-norm/{shape}"),
            Format::F32,
            rows,
            Nearness::F32,
            move |device, recorder| {
                let x = input(device, recorder, columns, 1)?;
                let out = device.tensor(columns)?;
                recorder.rms_norm(&out, &x, &scales(Format::F32, columns, 2), epsilon)?;
                Ok(out)
            },
        ));
        cases.push(case(
            format!("rms-norm/in-place/{shape}"),
            Format::F16,
            rows,
            Nearness::F32,
            move |device, recorder| {
                let x = input(device, recorder, columns, 1)?;
                recorder.rms_norm(&x, &x, &scales(Format::F16, columns, 2), epsilon)?;
                Ok(x)
            },
        ));
        for bias in [false, true] {
            let name = format!("layer-norm/{}/{shape}", if bias { "bias" } else { "plain" });
            // The few columns of a narrow row may nearly cancel with their mean.
            let nearness = Nearness::F32.typical(1e-2);
            cases.push(case(name, Format::F32, rows, nearness, move |device, recorder| {
                let x = input(device, recorder, columns, 1)?;
                let out = if bias { device.tensor(columns)? } else { x.clone() };
                let bias = bias.then(|| matrix(Format::F16, 1, columns, 3, 1.0));
                recorder.layer_norm(&out, &x, &scales(Format::F32, columns, 2), bias.as_ref(), epsilon)?;
                Ok(out)
            }));
        }
    }
    for (rows, heads, size) in [(1, 4, 64), (5, 3, 33), (33, 2, 128)] {
        let name = format!("rms-norm/groups/{rows}x{heads}x{size}");
        cases.push(case(name, Format::F32, rows, Nearness::F32, move |device, recorder| {
            let wide = input(device, recorder, heads * size + 20, 1)?;
            let x = wide.view(11, heads * size).ok_or("a view that fits")?;
            recorder.rms_norm(&x, &x, &scales(Format::F32, size, 2), 1e-6)?;
            Ok(wide)
        }));
    }
    cases
}

/// Rotary of `pairs` pairs with the usual frequencies.
pub(super) fn rotary(layout: RopeLayout, head_size: usize, pairs: usize, magnitude: f32) -> Rotary {
    let frequencies = (0..pairs).map(|i| 10_000_f32.powf(-(i as f32) / pairs as f32)).collect();
    Rotary { layout, head_size, frequencies, magnitude }
}

/// Every row is a sequence of its own, at a position that depends on its token.
fn rope() -> Vec<Case> {
    let story = |tokens: &[u32]| {
        let mut acts = Vec::new();
        for (sequence, &token) in tokens.iter().enumerate() {
            acts.extend([Act::Begin, Act::Pass(sequence, (token * token * 5) as usize % 4096)]);
        }
        let parts = tokens.iter().enumerate().map(|(sequence, &token)| Part::new(sequence, [token]));
        acts.push(Act::Step(parts.collect()));
        acts
    };
    let mut cases = Vec::new();
    for layout in [RopeLayout::Adjacent, RopeLayout::Halves] {
        for (rows, heads, head_size, pairs, magnitude) in [
            (1, 4, 64, 32, 1.0),
            (5, 1, 80, 16, 1.0),
            (3, 5, 3, 1, 1.25),
            (16, 2, 128, 64, 1.0),
            (33, 3, 10, 5, 0.5),
        ] {
            let name = format!("rope/{layout:?}/{rows}x{heads}x{head_size}/{pairs}");
            let rotary = rotary(layout, head_size, pairs, magnitude);
            let record = move |device: &dyn Device, recorder: &mut Recorder| {
                let wide = input(device, recorder, heads * head_size + 7, 1)?;
                recorder.rope(&wide.view(5, heads * head_size).ok_or("a view that fits")?, &rotary)?;
                Ok(wide)
            };
            cases.push(Case::new(name, move |device| {
                let tokens = tokens(rows);
                let rig = Rig::rowwise(device, |recorder| record(device, recorder))?;
                let actual = rig.play(&story(&tokens))?;
                let reference = Rig::rowwise(&Reference, |recorder| record(&Reference, recorder))?;
                Nearness::F32.check(&actual, &reference.play(&story(&tokens))?)?;
                same_bits("run again", &rig.play(&story(&tokens))?, &actual)?;
                same_bits("alone", &rig.play(&story(&tokens[rows - 1..]))?, &actual[rows - 1..])
            }));
        }
    }
    cases
}

const ACTIVATIONS: [Activation; 7] = [
    Activation::Silu,
    Activation::GeluTanh,
    Activation::GeluQuick,
    Activation::Relu,
    Activation::ReluSquared,
    Activation::Sigmoid,
    Activation::Tanh,
];

/// Records a verb with `out`, `x` and `y`.
type Pointwise = Box<dyn Fn(&mut Recorder, [&Tensor; 3]) -> Outcome<()> + Send + Sync>;

fn pointwise() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut push = |name: String, rows, record: Pointwise, columns| {
        let near = Nearness::F32.typical(1e-6);
        let record = std::sync::Arc::new(record);
        // Apart, onto the first input, onto the second, and within one wide tensor.
        for place in ["apart", "onto-x", "onto-y", "views"] {
            let record = record.clone();
            cases.push(case(
                format!("{name}/{place}/{rows}x{columns}"),
                Format::F32,
                rows,
                near,
                move |device, recorder| {
                    let (x, y);
                    if place == "views" {
                        let wide = input(device, recorder, 3 * columns + 2, 1)?;
                        let view = |first| wide.view(first, columns).ok_or("a view that fits");
                        (x, y) = (view(columns + 1)?, view(0)?);
                        record(recorder, [&view(2 * columns + 1)?, &x, &y])?;
                        return Ok(wide);
                    }
                    (x, y) = (input(device, recorder, columns, 1)?, input(device, recorder, columns, 2)?);
                    let out = match place {
                        "onto-x" => x.clone(),
                        "onto-y" => y.clone(),
                        _ => device.tensor(columns)?,
                    };
                    record(recorder, [&out, &x, &y])?;
                    Ok(out)
                },
            ));
        }
    };
    for (i, activation) in ACTIVATIONS.into_iter().enumerate() {
        let (rows, columns) = [(1, 256), (3, 7), (5, 100), (33, 65), (2, 1), (16, 1000), (37, 33)][i];
        push(
            format!("gate/{activation:?}"),
            rows,
            Box::new(move |recorder, [out, x, y]| Ok(recorder.gate(out, x, y, activation)?)),
            columns,
        );
        push(
            format!("activate/{activation:?}"),
            rows,
            Box::new(move |recorder, [out, x, y]| {
                Ok(recorder.activate(out, if out.is(y) { y } else { x }, activation)?)
            }),
            columns,
        );
    }
    for (rows, columns) in [(1, 256), (5, 3), (37, 33), (512, 9)] {
        push("add".into(), rows, Box::new(|recorder, [out, x, y]| Ok(recorder.add(out, x, y)?)), columns);
        push(
            "multiply".into(),
            rows,
            Box::new(|recorder, [out, x, y]| Ok(recorder.multiply(out, x, y)?)),
            columns,
        );
        push(
            "scale".into(),
            rows,
            Box::new(|recorder, [out, x, _]| Ok(recorder.scale(out, x, -0.37, None)?)),
            columns,
        );
        push(
            "scale/capped".into(),
            rows,
            Box::new(|recorder, [out, x, _]| Ok(recorder.scale(out, x, 12.0, Some(30.0))?)),
            columns,
        );
    }
    cases
}

/// Which rows are wanted differs from step to step.
fn select() -> Vec<Case> {
    let record = |device: &dyn Device| -> Outcome<Rig> {
        let mut rig = Rig::rowwise(device, |recorder| {
            let x = input(device, recorder, 40, 1)?;
            let out = device.tensor(33)?;
            recorder.select(&out, &x.view(5, 33).ok_or("a view that fits")?)?;
            recorder.scale(&out, &out, 2.0, None)?;
            Ok(out)
        })?;
        rig.selects = true;
        Ok(rig)
    };
    let part = |sequence, count: u32, outputs| Part { sequence, tokens: (0..count).collect(), outputs };
    let story = vec![
        Act::Begin,
        Act::Begin,
        Act::Begin,
        Act::Step(vec![part(0, 7, 1), part(1, 1, 1), part(2, 5, 3)]),
        Act::Step(vec![part(2, 3, 0), part(0, 2, 2)]),
        Act::Step(vec![part(1, 9, 0)]),
        Act::Step(vec![part(1, 30, 30)]),
    ];
    vec![Case::new("select".into(), move |device| {
        Nearness::EXACT.check(&record(device)?.play(&story)?, &record(&Reference)?.play(&story)?)
    })]
}
