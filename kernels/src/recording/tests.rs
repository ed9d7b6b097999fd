use std::sync::Arc;

use super::*;
use crate::block::Format;
use crate::cache::{CacheFormat, CacheShape};
use crate::device::Device;
use crate::reference::Reference;
use crate::tensor::Bytes;

fn tensor(columns: usize) -> Tensor {
    Reference.tensor(columns).unwrap()
}

fn weight(rows: usize, columns: usize) -> Weight {
    let bytes = Bytes::new(Arc::new(vec![0; rows * columns * 4]));
    Weight::new(bytes, Format::F32, rows, columns).unwrap()
}

/// Two query heads on one key head, 4 and 2 elements.
const SHAPE: AttentionShape = AttentionShape {
    heads: 2,
    kv_heads: 1,
    key_size: 4,
    value_size: 2,
    scale: 0.5,
    window: None,
    soft_cap: None,
};

fn cache() -> Cache {
    let shape = CacheShape {
        layers: 2,
        kv_heads: 1,
        key_size: 4,
        value_size: 2,
        positions: 64,
        format: CacheFormat::F32,
    };
    Reference.cache(shape).unwrap()
}

#[track_caller]
fn refused(recorded: Recorded, parts: &[&str]) {
    let message = recorded.expect_err("it fits").to_string();
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let mut recorder = Recorder::new();
    let (four, six) = (tensor(4), tensor(6));
    refused(recorder.embed(&four, &weight(9, 6)), &["embed", "6", "4"]);
    refused(recorder.rms_norm(&four, &six, &weight(1, 6), 0.0), &["rms-norm", "6 columns into 4"]);
    refused(recorder.rms_norm(&four, &four, &weight(1, 3), 0.0), &["rms-norm", "1 x 3", "4"]);
    refused(recorder.rms_norm(&four, &four, &weight(2, 2), 0.0), &["rms-norm", "2 x 2"]);
    refused(recorder.layer_norm(&four, &four, &weight(1, 2), None, 0.0), &["layer-norm", "1 x 2", "4"]);
    let bias = weight(1, 6);
    refused(recorder.layer_norm(&four, &four, &weight(1, 4), Some(&bias), 0.0), &["layer-norm", "1 x 6"]);
    refused(recorder.matmul(&four, &six, &weight(6, 4), None), &["matmul", "6 x 4", "from 6 to 4"]);
    refused(recorder.matmul(&four, &six, &weight(4, 6), Some(&bias)), &["matmul", "1 x 6", "4 columns"]);
    refused(recorder.gate(&four, &four, &six, Activation::Silu), &["gate", "6 columns into 4"]);
    refused(recorder.activate(&four, &six, Activation::Silu), &["activate", "6 columns into 4"]);
    refused(recorder.add(&four, &six, &four), &["add", "6 columns into 4"]);
    refused(recorder.multiply(&four, &four, &six), &["multiply", "6 columns into 4"]);
    refused(recorder.scale(&four, &six, 1.0, None), &["scale", "6 columns into 4"]);
    refused(recorder.select(&four, &six), &["select", "6 columns into 4"]);
    assert!(recorder.finish().verbs().is_empty());
}

#[test]
fn heads_that_do_not_fit_are_named() {
    let mut recorder = Recorder::new();
    let rotary = |head_size, pairs| Rotary {
        layout: RopeLayout::Halves,
        head_size,
        frequencies: vec![1.0; pairs],
        magnitude: 1.0,
    };
    refused(recorder.rope(&tensor(6), &rotary(4, 2)), &["rope", "heads of 4 in 6"]);
    refused(recorder.rope(&tensor(6), &rotary(0, 0)), &["rope", "heads of 0"]);
    refused(recorder.rope(&tensor(8), &rotary(4, 3)), &["rope", "3 pairs in heads of 4"]);
    refused(recorder.rope(&tensor(8), &rotary(4, 0)), &["rope", "0 pairs"]);
    let wild = Rotary { frequencies: vec![f32::NAN], ..rotary(4, 1) };
    refused(recorder.rope(&tensor(8), &wild), &["rope", "finite"]);
    recorder.rope(&tensor(6), &rotary(3, 1)).unwrap();
}

#[test]
fn attention_must_fit_its_cache() {
    let (cache, mut recorder) = (cache(), Recorder::new());
    let (out, q, k, v) = (tensor(4), tensor(8), tensor(4), tensor(2));
    let mut attend = |out: &Tensor, v: &Tensor, layer, shape: AttentionShape| {
        recorder.attention(out, &q, &k, v, &cache, layer, &shape)
    };
    attend(&out, &v, 1, SHAPE).unwrap();
    refused(attend(&out, &v, 2, SHAPE), &["attention", "layer 2"]);
    refused(attend(&tensor(5), &v, 0, SHAPE), &["attention", "out has 5 columns, not 2 heads of 2"]);
    refused(attend(&out, &k, 0, SHAPE), &["attention", "v has 4 columns, not 1 heads of 2"]);
    refused(attend(&out, &v, 0, AttentionShape { heads: 3, kv_heads: 2, ..SHAPE }), &["3 heads on 2"]);
    refused(attend(&out, &v, 0, AttentionShape { kv_heads: 0, ..SHAPE }), &["2 heads on 0"]);
    refused(attend(&out, &v, 0, AttentionShape { heads: 0, ..SHAPE }), &["0 heads"]);
    refused(attend(&out, &v, 0, AttentionShape { window: Some(0), ..SHAPE }), &["window"]);
    refused(attend(&out, &v, 0, AttentionShape { soft_cap: Some(0.0), ..SHAPE }), &["soft cap"]);
    refused(attend(&out, &v, 0, AttentionShape { scale: f32::NAN, ..SHAPE }), &["scale NaN"]);
    refused(attend(&v.clone(), &v, 0, AttentionShape { heads: 1, ..SHAPE }), &["q has 8 columns"]);
    let twice = AttentionShape { kv_heads: 2, ..SHAPE };
    let (wide, v) = (tensor(8), tensor(4));
    refused(recorder.attention(&out, &q, &wide, &v, &cache, 0, &twice), &["2 heads of 4 and 2", "cache"]);
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let (mut recorder, x, scale) = (Recorder::new(), tensor(4), weight(1, 4));
    refused(recorder.rms_norm(&x, &x, &scale, f32::NAN), &["rms-norm", "epsilon"]);
    refused(recorder.layer_norm(&x, &x, &scale, None, -1.0), &["layer-norm", "epsilon"]);
    refused(recorder.scale(&x, &x, f32::INFINITY, None), &["scale", "factor"]);
    refused(recorder.scale(&x, &x, 1.0, Some(-2.0)), &["scale", "soft cap"]);
}

#[test]
fn out_may_be_an_input_but_not_overlap_one() {
    let (mut recorder, wide) = (Recorder::new(), tensor(12));
    let view = |first, columns| wide.view(first, columns).unwrap();
    recorder.add(&view(0, 4), &view(0, 4), &view(4, 4)).unwrap();
    recorder.rms_norm(&view(0, 4), &view(0, 4), &weight(1, 4), 0.0).unwrap();
    recorder.matmul(&view(4, 8), &view(0, 4), &weight(8, 4), None).unwrap();
    refused(recorder.add(&view(0, 4), &view(2, 4), &view(4, 4)), &["add", "overlaps"]);
    refused(recorder.gate(&view(0, 4), &view(4, 4), &view(1, 4), Activation::Relu), &["gate", "overlaps"]);
    refused(recorder.matmul(&view(0, 4), &view(0, 4), &weight(4, 4), None), &["matmul", "overlaps"]);
    refused(recorder.select(&view(0, 4), &view(4, 4)), &["select", "memory"]);
    let (q, k, v) = (view(0, 8), tensor(4), tensor(2));
    refused(recorder.attention(&view(4, 4), &q, &k, &v, &cache(), 0, &SHAPE), &["attention", "overlaps"]);
}

#[test]
fn selected_rows_never_meet_all_rows() {
    let (mut recorder, x, few, y) = (Recorder::new(), tensor(4), tensor(4), tensor(4));
    recorder.embed(&x, &weight(3, 4)).unwrap();
    recorder.select(&few, &x).unwrap();
    refused(recorder.add(&y, &x, &few), &["add", "selected rows meet all rows"]);
    refused(recorder.add(&few, &x, &x), &["add", "all rows into selected rows"]);
    refused(recorder.embed(&few, &weight(3, 4)), &["embed", "all rows into selected rows"]);
    refused(recorder.select(&y, &few), &["select", "already"]);
    recorder.add(&y, &few, &few).unwrap();
    refused(recorder.add(&x, &x, &y), &["add", "selected rows meet all rows"]);
    let recording = recorder.finish();
    let selected: Vec<_> = (0..recording.verbs().len()).map(|index| recording.is_selected(index)).collect();
    assert_eq!(selected, [false, true, true]);
}

#[test]
fn attention_on_selected_rows_is_refused() {
    let mut recorder = Recorder::new();
    let (out, x, q, k, v) = (tensor(4), tensor(8), tensor(8), tensor(4), tensor(2));
    recorder.select(&q, &x).unwrap();
    refused(recorder.attention(&out, &q, &k, &v, &cache(), 0, &SHAPE), &["attention", "selected"]);
}

#[test]
fn a_recording_lists_the_weights_it_touches() {
    let (mut recorder, x, out) = (Recorder::new(), tensor(4), tensor(3));
    recorder.layer_norm(&x, &x, &weight(1, 4), Some(&weight(1, 4)), 0.0).unwrap();
    recorder.matmul(&out, &x, &weight(3, 4), None).unwrap();
    recorder.activate(&out, &out, Activation::Tanh).unwrap();
    let recording = recorder.finish();
    let shapes: Vec<_> = recording.weights().map(|weight| (weight.rows(), weight.columns())).collect();
    assert_eq!(shapes, [(1, 4), (1, 4), (3, 4)]);
    let names: Vec<_> = recording.verbs().iter().map(Verb::name).collect();
    assert_eq!(names, ["layer-norm", "matmul", "activate"]);
}

#[test]
fn a_recording_has_an_end() {
    let (mut recorder, x) = (Recorder::new(), tensor(1));
    for _ in 0..Recorder::LIMIT {
        recorder.activate(&x, &x, Activation::Relu).unwrap();
    }
    refused(recorder.activate(&x, &x, Activation::Relu), &["activate", "4096"]);
}
