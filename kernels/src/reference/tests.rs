//! The specification, checked by others: values are PyTorch's and those of Hugging Face's models, in f64, for the same `data`.

#![expect(clippy::excessive_precision, reason = "as PyTorch printed them")]

use std::sync::atomic::AtomicBool;

use super::*;
use crate::device::Plan;
use crate::recording::Recorder;
use crate::step::Continuation;
use crate::tensor::Bytes;

/// Sixteenths between -2 and 2 that every language computes exactly.
fn data(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + seed * 11) % 64) as f32 / 16.0 - 2.0).collect()
}

fn weight(rows: usize, columns: usize, values: &[f32]) -> Weight {
    let mut bytes = Vec::new();
    Format::F32.encode(values, &mut bytes);
    Weight::new(Bytes::new(Arc::new(bytes)), Format::F32, rows, columns).unwrap()
}

#[track_caller]
fn near(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    for (x, y) in actual.iter().zip(expected) {
        assert!((x - y).abs() <= 1e-6 * y.abs().max(1.0), "{actual:?} is not {expected:?}");
    }
}

fn cache(key_size: usize, value_size: usize, format: CacheFormat) -> Cache {
    let shape = CacheShape { layers: 1, kv_heads: 2, key_size, value_size, positions: 64, format };
    Reference.cache(shape).unwrap()
}

fn run(recorder: Recorder, step: &Step) {
    Plan::new(&Reference, recorder.finish()).unwrap().run(step, &AtomicBool::new(false)).unwrap();
}

/// The first row of what `record` makes of an input row `x`.
fn first_row(x: &[f32], columns: usize, record: impl Fn(&mut Recorder, &Tensor, &Tensor)) -> Vec<f32> {
    let (input, out) = (Reference.tensor(x.len()).unwrap(), Reference.tensor(columns).unwrap());
    put(&input, 0, x.to_vec());
    let mut recorder = Recorder::new();
    record(&mut recorder, &out, &input);
    let mut sequence = cache(1, 1, CacheFormat::F32).sequence();
    let continuation = Continuation { sequence: &mut sequence, tokens: &[0], outputs: 1 };
    run(recorder, &Step::begin(&mut [continuation]).unwrap());
    out.read(0).unwrap()
}

#[test]
fn rms_norm_is_that_of_torch() {
    let (x, scale) = (data(1, 8), data(2, 8));
    let whole = weight(1, 8, &scale);
    near(
        &first_row(&x, 8, |recorder, out, x| recorder.rms_norm(out, x, &whole, 1e-3).unwrap()),
        &[0.71628755, 1.4735059, -0.0, -2.3944471, -0.034108933, 1.6235852, 0.6139608, 0.42977256],
    );
    let group = weight(1, 4, &scale[..4]);
    near(
        &first_row(&x, 8, |recorder, out, x| recorder.rms_norm(out, x, &group, 1e-3).unwrap()),
        &[0.6788991, 1.3965924, -0.0, -2.2694626, 0.03622011, -2.7382402, 0.0, 1.7602973],
    );
}

#[test]
fn layer_norm_is_that_of_torch() {
    let (scale, bias) = (weight(1, 8, &data(2, 8)), weight(1, 8, &data(3, 8)));
    near(
        &first_row(&data(1, 8), 8, |recorder, out, x| {
            recorder.layer_norm(out, x, &scale, Some(&bias), 1e-3).unwrap();
        }),
        &[0.6706027, 0.20452026, 0.6875, -3.7677357, 1.3993719, 1.0722843, 2.8062181, 0.6026995],
    );
    near(
        &first_row(&data(1, 8), 8, |recorder, out, x| {
            recorder.layer_norm(out, x, &scale, None, 1e-3).unwrap();
        }),
        &[0.6081027, 1.8295202, 0.0, -2.7677357, 0.08687181, 1.4472843, 0.8687181, 0.35269955],
    );
}

#[test]
fn matmul_is_that_of_torch() {
    let (matrix, bias) = (weight(3, 8, &data(8, 24)), weight(1, 3, &data(9, 3)));
    near(
        &first_row(&data(1, 8), 3, |recorder, out, x| {
            recorder.matmul(out, x, &matrix, Some(&bias)).unwrap();
        }),
        &[2.75, 3.1875, -4.625],
    );
}

#[test]
fn activations_are_those_of_transformers() {
    use Activation::*;
    let x = [-9.0, -3.0, -1.5, -0.25, 0.0, 0.5, 2.0, 7.0];
    for (activation, expected) in [
        (Silu, [-0.0011105512, -0.14227761, -0.27363828, -0.10945588, 0.0, 0.31122968, 1.7615942, 6.993622]),
        (GeluTanh, [0.0, -0.0036373921, -0.10042842, -0.10032465, 0.0, 0.345714, 1.9545977, 7.0]),
        (
            GeluQuick,
            [-2.003178e-6, -0.018071311, -0.1083378, -0.09880035, 0.0, 0.35038844, 1.9356586, 6.9999533],
        ),
        (Relu, [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 2.0, 7.0]),
        (ReluSquared, [0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 4.0, 49.0]),
        (
            Sigmoid,
            [0.00012339458, 0.047425874, 0.18242553, 0.4378235, 0.5, 0.62245935, 0.8807971, 0.99908894],
        ),
        (Tanh, [-0.99999994, -0.9950548, -0.90514827, -0.24491866, 0.0, 0.46211717, 0.9640276, 0.9999983]),
    ] {
        near(&first_row(&x, 8, |recorder, out, x| recorder.activate(out, x, activation).unwrap()), &expected);
        let doubled = expected.map(|value| value * 2.0);
        let up = Reference.tensor(8).unwrap();
        put(&up, 0, [2.0; 8]);
        near(&first_row(&x, 8, |recorder, out, x| recorder.gate(out, x, &up, activation).unwrap()), &doubled);
    }
}

#[test]
fn activations_of_huge_values_are_their_limits() {
    use Activation::*;
    for (activation, expected) in [
        (Silu, [0.0, 1e30]),
        (GeluTanh, [0.0, 1e30]),
        (GeluQuick, [0.0, 1e30]),
        (Sigmoid, [0.0, 1.0]),
        (Tanh, [-1.0, 1.0]),
    ] {
        let out =
            first_row(&[-1e30, 1e30], 2, |recorder, out, x| recorder.activate(out, x, activation).unwrap());
        assert_eq!(out, expected, "{activation:?}");
    }
}

/// Row 3 of four, at position `position`: two heads of 8 of which 6 turn.
fn turned(layout: RopeLayout, row: usize, position: u32) -> Vec<f32> {
    let mut x = data(4, 64)[row * 16..][..16].to_vec();
    let rotary = Rotary { layout, head_size: 8, frequencies: vec![1.0, 0.25, 0.0625], magnitude: 1.0 };
    x.chunks_mut(8).for_each(|head| rotate(head, &rotary, position));
    x
}

#[test]
fn rope_of_halves_is_that_of_llama() {
    near(
        &turned(RopeLayout::Halves, 3, 1000),
        &[
            0.9446846,
            0.50361317,
            0.13055564,
            -0.9448424,
            2.1213863,
            -0.7721635,
            1.625,
            -0.0625,
            -1.9660828,
            -0.34970808,
            -0.47311583,
            -0.779214,
            -0.66641617,
            2.0801303,
            0.125,
            -1.5625,
        ],
    );
    near(
        &turned(RopeLayout::Halves, 1, 1)[..8],
        &[0.36701775, 0.307961, -1.7038051, 1.844032, -0.95344967, 1.208441, -0.375, 1.9375],
    );
}

#[test]
fn rope_of_adjacent_pairs_is_that_of_gpt_j() {
    near(
        &turned(RopeLayout::Adjacent, 3, 1000),
        &[
            1.4614843,
            -1.2963294,
            -1.1834474,
            -0.68024516,
            0.7214558,
            -0.97578573,
            1.625,
            -0.0625,
            -1.4492831,
            -1.1307009,
            0.88139015,
            1.3780177,
            0.11778432,
            1.8765082,
            0.125,
            -1.5625,
        ],
    );
    near(
        &turned(RopeLayout::Adjacent, 1, 1)[..8],
        &[0.8929371, 1.5063431, -1.7445729, 0.26409584, -1.0800253, 1.247478, -0.375, 1.9375],
    );
}

#[test]
fn rope_at_position_zero_only_scales_by_the_magnitude() {
    let mut head = [1.0, 2.0, 3.0, 4.0, 5.0];
    let rotary =
        Rotary { layout: RopeLayout::Halves, head_size: 5, frequencies: vec![1.0, 0.5], magnitude: 1.5 };
    rotate(&mut head, &rotary, 0);
    assert_eq!(head, [1.5, 3.0, 4.5, 6.0, 5.0]);
}

/// Three positions of four query heads of 3 on two key heads, values of 2.
fn attended(window: Option<usize>, soft_cap: Option<f32>) -> Vec<f32> {
    let shape =
        AttentionShape { heads: 4, kv_heads: 2, key_size: 3, value_size: 2, scale: 0.5, window, soft_cap };
    let (q, k, v) = (data(5, 36), data(6, 18), data(7, 12));
    let history: Vec<_> =
        k.chunks(6).zip(v.chunks(4)).map(|(k, v)| Entry { keys: k.to_vec(), values: v.to_vec() }).collect();
    q.chunks(12).enumerate().flat_map(|(row, q)| attention(q, &history[..=row], &shape)).collect()
}

#[test]
fn attention_is_that_of_torch() {
    let first = [-1.1875, 1.125, -1.1875, 1.125, -0.5625, 1.75, -0.5625, 1.75];
    let second =
        [0.019874468, -1.5312238, -0.034048483, -1.4125934, 0.6024495, -0.81288886, 0.6621816, -0.9442996];
    let third =
        [0.24301444, -1.3082362, 0.05523534, -1.2898824, 0.6924517, -0.800048, 0.67753333, 0.36682576];
    near(&attended(None, None), &[first, second, third].concat());
    let third = [0.2934594, -1.3940406, 0.17156531, -1.5159347, 0.756766, -0.930734, 1.3283657, -0.35913426];
    near(&attended(Some(2), None), &[first, second, third].concat());
}

#[test]
fn soft_capped_attention_is_that_of_gemma_2() {
    near(
        &attended(None, Some(1.5))[8..],
        &[
            -0.057550728,
            -1.3608885,
            -0.087944716,
            -1.2940217,
            0.55128205,
            -0.7003205,
            0.5957994,
            -0.7982586,
            0.21374273,
            -1.170253,
            0.05332773,
            -1.1245903,
            0.6914401,
            -0.64835656,
            0.6784799,
            0.3634071,
        ],
    );
}

#[test]
fn a_window_of_one_position_sees_only_itself() {
    let own: Vec<f32> =
        data(7, 12).chunks(4).flat_map(|v| [v[0], v[1], v[0], v[1], v[2], v[3], v[2], v[3]]).collect();
    assert_eq!(attended(Some(1), None), own);
}

#[test]
fn scale_is_applied_before_its_cap() {
    near(
        &first_row(&[1.0, -2.0], 2, |recorder, out, x| recorder.scale(out, x, 3.0, None).unwrap()),
        &[3.0, -6.0],
    );
    let capped = first_row(&[1.0, -200.0], 2, |recorder, out, x| {
        recorder.scale(out, x, 3.0, Some(30.0)).unwrap();
    });
    near(&capped, &[30.0 * 0.1_f32.tanh(), -29.999_999]);
}

#[test]
fn cached_numbers_are_rounded_as_their_format() {
    let x: Vec<f32> = (0..32).map(|i| 1.0 + i as f32 / 3.0).collect();
    assert_eq!(rounded(CacheFormat::F32, &x), x);
    assert_eq!(rounded(CacheFormat::F16, &[1.0 + 1.0 / 4096.0, 3.0])[..], [1.0, 3.0]);
    let scale = f16::from_f32(x[31] / 127.0).to_f32();
    assert_eq!(rounded(CacheFormat::Q8_0, &x)[31], scale * 127.0);
}

#[test]
fn steps_append_to_their_sequences() {
    let shape = AttentionShape {
        heads: 2,
        kv_heads: 2,
        key_size: 1,
        value_size: 1,
        scale: 1.0,
        window: None,
        soft_cap: None,
    };
    let cache = cache(1, 1, CacheFormat::F32);
    let tensors: Vec<Tensor> = (0..4).map(|_| Reference.tensor(2).unwrap()).collect();
    let [out, q, k, v] = &tensors[..] else { unreachable!() };
    let mut recorder = Recorder::new();
    recorder.attention(out, q, k, v, &cache, 0, &shape).unwrap();
    let plan = Plan::new(&Reference, recorder.finish()).unwrap();
    let mut sequence = cache.sequence();
    for (position, expected) in [[10.0, 20.0], [15.0, 30.0], [20.0, 40.0]].into_iter().enumerate() {
        // Equal scores: the mean of all values so far.
        put(q, 0, [0.0, 0.0]);
        put(k, 0, [1.0, 1.0]);
        put(v, 0, [10.0, 20.0].map(|value| value * (position + 1) as f32));
        let continuation = Continuation { sequence: &mut sequence, tokens: &[0], outputs: 1 };
        plan.run(&Step::begin(&mut [continuation]).unwrap(), &AtomicBool::new(false)).unwrap();
        assert_eq!(out.read(0).unwrap(), expected);
    }
}
