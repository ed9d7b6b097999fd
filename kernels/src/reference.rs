//! What every verb means, computed plainly: the specification that `suite` holds every device to.
//!
//! Weights are decoded to f32. A formula is evaluated in f64, sums in the order of their index, and rounded to f32 once, where it
//! is stored in a tensor; only the angle of `rope` is rounded to f32 first, as models are trained with it so. Keys and values
//! are rounded to the cache's format when they are appended; queries, scores and probabilities are not. Nothing is optimised.

use std::any::Any;
use std::collections::HashMap;
use std::f64::consts::PI;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use half::f16;

use crate::block::Format;
use crate::cache::{Cache, CacheFormat, CacheShape, PAGE, Store};
use crate::device::{Device, Error, Failure, Program};
use crate::recording::{Activation, AttentionShape, Recording, RopeLayout, Rotary, Verb};
use crate::step::{Span, Step};
use crate::tensor::{Buffer, Tensor, Weight};

/// The device that is never fast. Runs are done when they return.
#[derive(Debug, Default, Clone, Copy)]
pub struct Reference;

impl Device for Reference {
    fn name(&self) -> String {
        "reference".into()
    }

    fn supports(&self, _: Format) -> bool {
        true
    }

    /// Uninitialised elements are NaN, so that whoever reads them sees it.
    fn tensor(&self, columns: usize) -> Result<Tensor, Error> {
        if columns == 0 {
            return Err(Error::BadShape("a tensor of 0 columns".into()));
        }
        let size = columns.checked_mul(Step::LIMIT).ok_or(Error::OutOfMemory(usize::MAX))?;
        let mut elements = Vec::new();
        elements.try_reserve_exact(size).map_err(|_| Error::OutOfMemory(size.saturating_mul(4)))?;
        elements.resize(size, f32::NAN);
        Ok(Tensor::new(Arc::new(Memory { elements: Mutex::new(elements), columns }), columns))
    }

    fn cache(&self, shape: CacheShape) -> Result<Cache, Error> {
        shape.page_bytes()?;
        Ok(Cache::new(shape, Arc::new(Pages { shape, pages: Mutex::default() })))
    }

    fn compile(&self, recording: &Recording) -> Result<Box<dyn Program>, Error> {
        for verb in recording.verbs() {
            let foreign_cache = match verb {
                Verb::Attention { cache, .. } => !(&**cache.store() as &dyn Any).is::<Pages>(),
                _ => false,
            };
            let ours = |tensor: &&Tensor| (&**tensor.buffer() as &dyn Any).is::<Memory>();
            if foreign_cache || !verb.tensors().iter().all(ours) {
                return Err(Error::BadShape(format!("{}: an operand of another device", verb.name())));
            }
        }
        Ok(Box::new(Interpreter(recording.clone())))
    }
}

/// Runs verb after verb, row after row.
struct Interpreter(Recording);

impl Program for Interpreter {
    fn run(&self, step: &Step, cancel: &AtomicBool) -> Result<(), Failure> {
        for (index, verb) in self.0.verbs().iter().enumerate() {
            if cancel.load(Ordering::Relaxed) {
                return Err(Failure::Cancelled);
            }
            let rows = if self.0.is_selected(index) { step.outputs().len() } else { step.tokens().len() };
            evaluate(verb, step, rows);
        }
        Ok(())
    }
}

/// The meaning of each verb.
fn evaluate(verb: &Verb, step: &Step, rows: usize) {
    match verb {
        Verb::Embed { out, table } => {
            for row in 0..rows {
                put(out, row, decode(table, step.tokens()[row] as usize));
            }
        }
        Verb::RmsNorm { out, x, scale, epsilon } => {
            let scale = decode(scale, 0);
            for row in 0..rows {
                let x = get(x, row);
                put(out, row, x.chunks(scale.len()).flat_map(|group| rms_norm(group, &scale, *epsilon)));
            }
        }
        Verb::LayerNorm { out, x, scale, bias, epsilon } => {
            let scale = decode(scale, 0);
            let bias = bias.as_ref().map_or(vec![0.0; scale.len()], |bias| decode(bias, 0));
            for row in 0..rows {
                put(out, row, layer_norm(&get(x, row), &scale, &bias, *epsilon));
            }
        }
        Verb::Matmul { out, x, weight, bias } => {
            let bias = bias.as_ref().map_or(vec![0.0; out.columns()], |bias| decode(bias, 0));
            let x: Vec<_> = (0..rows).map(|row| get(x, row)).collect();
            let mut outs = vec![Vec::with_capacity(out.columns()); rows];
            for column in 0..out.columns() {
                let weight = decode(weight, column);
                for row in 0..rows {
                    outs[row].push((dot(&weight, &x[row]) + f64::from(bias[column])) as f32);
                }
            }
            for (row, values) in outs.into_iter().enumerate() {
                put(out, row, values);
            }
        }
        Verb::Rope { x, rotary } => {
            for row in 0..rows {
                let mut heads = get(x, row);
                for head in heads.chunks_mut(rotary.head_size) {
                    rotate(head, rotary, step.positions()[row]);
                }
                put(x, row, heads);
            }
        }
        Verb::Attention { out, q, k, v, cache, layer, shape } => {
            for span in step.spans() {
                for (row, position) in span.rows().zip(span.start()..) {
                    pages(cache).append(span, *layer, position, &get(k, row), &get(v, row));
                }
                let history: Vec<_> = (0..span.start() + span.rows().len())
                    .map(|position| pages(cache).at(span, *layer, position))
                    .collect();
                for (row, position) in span.rows().zip(span.start()..) {
                    put(out, row, attention(&get(q, row), &history[..=position], shape));
                }
            }
        }
        Verb::Gate { out, gate, up, activation } => {
            pointwise(out, [gate, up], rows, |[gate, up]| activate(gate, *activation) * up);
        }
        Verb::Activate { out, x, activation } => pointwise(out, [x], rows, |[x]| activate(x, *activation)),
        Verb::Add { out, x, y } => pointwise(out, [x, y], rows, |[x, y]| x + y),
        Verb::Multiply { out, x, y } => pointwise(out, [x, y], rows, |[x, y]| x * y),
        Verb::Scale { out, x, factor, soft_cap } => pointwise(out, [x], rows, |[x]| {
            let scaled = f64::from(*factor) * x;
            cap(scaled, *soft_cap)
        }),
        Verb::Select { out, x } => {
            for (row, &wanted) in step.outputs().iter().enumerate() {
                put(out, row, get(x, wanted as usize));
            }
        }
    }
}

/// `x / sqrt(mean(x^2) + epsilon) * scale`
fn rms_norm(x: &[f32], scale: &[f32], epsilon: f32) -> Vec<f32> {
    let root = (dot(x, x) / x.len() as f64 + f64::from(epsilon)).sqrt();
    x.iter().zip(scale).map(|(&x, &scale)| (f64::from(x) / root * f64::from(scale)) as f32).collect()
}

/// `(x - mean(x)) / sqrt(variance(x) + epsilon) * scale + bias`, the variance that of all elements.
fn layer_norm(x: &[f32], scale: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let root = (variance + f64::from(epsilon)).sqrt();
    let parameters = scale.iter().zip(bias);
    x.iter()
        .zip(parameters)
        .map(|(&x, (&scale, &bias))| {
            ((f64::from(x) - mean) / root * f64::from(scale) + f64::from(bias)) as f32
        })
        .collect()
}

/// Turn the pairs of one head by their angles: `(a, b)` becomes `(a cos - b sin, a sin + b cos)`.
fn rotate(head: &mut [f32], rotary: &Rotary, position: u32) {
    for (pair, &frequency) in rotary.frequencies.iter().enumerate() {
        let (first, second) = match rotary.layout {
            RopeLayout::Adjacent => (2 * pair, 2 * pair + 1),
            RopeLayout::Halves => (pair, pair + rotary.frequencies.len()),
        };
        let angle = f64::from(position as f32 * frequency);
        let (sin, cos) = angle.sin_cos();
        let magnitude = f64::from(rotary.magnitude);
        let (a, b) = (f64::from(head[first]), f64::from(head[second]));
        head[first] = ((a * cos - b * sin) * magnitude) as f32;
        head[second] = ((a * sin + b * cos) * magnitude) as f32;
    }
}

/// All query heads of one row, at the last position of `history`.
fn attention(q: &[f32], history: &[Entry], shape: &AttentionShape) -> Vec<f32> {
    let AttentionShape { heads, kv_heads, key_size, value_size, .. } = *shape;
    let seen = &history[history.len() - shape.window.unwrap_or(usize::MAX).min(history.len())..];
    let mut out = Vec::with_capacity(heads * value_size);
    for head in 0..heads {
        let q = &q[head * key_size..][..key_size];
        let kv_head = head * kv_heads / heads;
        let score =
            |entry: &Entry| cap(f64::from(shape.scale) * dot(q, entry.key(kv_head, shape)), shape.soft_cap);
        let scores: Vec<f64> = seen.iter().map(score).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        for i in 0..value_size {
            let value = |entry: &Entry| f64::from(entry.value(kv_head, shape)[i]);
            let sum: f64 = seen.iter().zip(&weights).map(|(entry, weight)| weight * value(entry)).sum();
            out.push((sum / total) as f32);
        }
    }
    out
}

/// `limit * tanh(x / limit)`, or `x` without a limit.
fn cap(x: f64, limit: Option<f32>) -> f64 {
    match limit.map(f64::from) {
        Some(limit) => limit * (x / limit).tanh(),
        None => x,
    }
}

fn activate(x: f64, activation: Activation) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Silu => x * sigmoid(x),
        Activation::GeluTanh => x / 2.0 * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
        Activation::GeluQuick => x * sigmoid(1.702 * x),
        Activation::Relu => x.max(0.0),
        Activation::ReluSquared => x.max(0.0).powi(2),
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
    }
}

fn pointwise<const N: usize>(
    out: &Tensor,
    inputs: [&Tensor; N],
    rows: usize,
    formula: impl Fn([f64; N]) -> f64,
) {
    for row in 0..rows {
        let inputs = inputs.map(|input| get(input, row));
        let value = |column: usize| formula(std::array::from_fn(|i| f64::from(inputs[i][column]))) as f32;
        put(out, row, (0..out.columns()).map(value));
    }
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

fn decode(weight: &Weight, row: usize) -> Vec<f32> {
    let mut out = vec![0.0; weight.columns()];
    weight.format().decode(weight.row(row), &mut out);
    out
}

/// Memory of a tensor: [`Step::LIMIT`] rows.
struct Memory {
    elements: Mutex<Vec<f32>>,
    columns: usize,
}

impl Memory {
    fn elements(&self) -> MutexGuard<'_, Vec<f32>> {
        self.elements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer for Memory {
    fn read(&self, row: usize, first: usize, out: &mut [f32]) -> Result<(), Error> {
        if row >= Step::LIMIT {
            return Err(Error::BadShape(format!("row {row} of a tensor of {} rows", Step::LIMIT)));
        }
        let start = row * self.columns + first;
        out.copy_from_slice(&self.elements()[start..start + out.len()]);
        Ok(())
    }
}

fn get(tensor: &Tensor, row: usize) -> Vec<f32> {
    let start = row * tensor.stride() + tensor.first();
    memory(tensor).elements()[start..start + tensor.columns()].to_vec()
}

fn put(tensor: &Tensor, row: usize, values: impl IntoIterator<Item = f32>) {
    let start = row * tensor.stride() + tensor.first();
    let mut elements = memory(tensor).elements();
    for (element, value) in elements[start..start + tensor.columns()].iter_mut().zip(values) {
        *element = value;
    }
}

fn memory(tensor: &Tensor) -> &Memory {
    (&**tensor.buffer() as &dyn Any).downcast_ref().expect("checked when it was compiled")
}

/// Keys and values of one position in one layer, as f32 after rounding.
#[derive(Clone)]
struct Entry {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Entry {
    fn key(&self, kv_head: usize, shape: &AttentionShape) -> &[f32] {
        &self.keys[kv_head * shape.key_size..][..shape.key_size]
    }

    fn value(&self, kv_head: usize, shape: &AttentionShape) -> &[f32] {
        &self.values[kv_head * shape.value_size..][..shape.value_size]
    }
}

/// What was appended to a page, by layer and position in it.
type Entries = HashMap<(usize, usize), Entry>;

/// The numbers of a cache, by page.
struct Pages {
    shape: CacheShape,
    pages: Mutex<HashMap<usize, Entries>>,
}

impl Pages {
    fn append(&self, span: &Span, layer: usize, position: usize, k: &[f32], v: &[f32]) {
        let format = self.shape.format;
        let entry = Entry { keys: rounded(format, k), values: rounded(format, v) };
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.entry(span.page(position / PAGE)).or_default().insert((layer, position % PAGE), entry);
    }

    /// A position that no run has appended has keys and values that are NaN.
    fn at(&self, span: &Span, layer: usize, position: usize) -> Entry {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let page = pages.get(&span.page(position / PAGE));
        page.and_then(|page| page.get(&(layer, position % PAGE))).cloned().unwrap_or_else(|| Entry {
            keys: vec![f32::NAN; self.shape.kv_heads * self.shape.key_size],
            values: vec![f32::NAN; self.shape.kv_heads * self.shape.value_size],
        })
    }
}

impl Store for Pages {
    fn take(&self, page: usize) -> Result<(), Error> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).insert(page, Entries::new());
        Ok(())
    }

    fn copy(&self, from: usize, to: usize) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let page = pages.get(&from).cloned().unwrap_or_default();
        pages.insert(to, page);
    }
}

fn pages(cache: &Cache) -> &Pages {
    (&**cache.store() as &dyn Any).downcast_ref().expect("checked when it was compiled")
}

/// What is left of `heads` in the cache; blocks do not cross heads, whose size is a multiple of theirs.
fn rounded(format: CacheFormat, heads: &[f32]) -> Vec<f32> {
    match format {
        CacheFormat::F32 => heads.to_vec(),
        CacheFormat::F16 => heads.iter().map(|&x| f16::from_f32(x).to_f32()).collect(),
        CacheFormat::Q8_0 => {
            let (mut bytes, mut out) = (Vec::new(), vec![0.0; heads.len()]);
            Format::Q8_0.encode(heads, &mut bytes);
            Format::Q8_0.decode(&bytes, &mut out);
            out
        }
    }
}

#[cfg(test)]
mod tests;
