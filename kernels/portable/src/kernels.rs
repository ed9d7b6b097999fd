//! The interface `kernels`: recorder, plan, step.

use std::cell::RefCell;

use wasm_chord_kernels as kernels;

use crate::bindings::exports::wasm_chord::inference::kernels::{
    Activation, AttentionShape, CacheBorrow, Continuation, Failure, Guest, GuestPlan, GuestRecorder,
    GuestStep, Plan, PlanBorrow, Recorder, RopeLayout, Rotary, Step, TensorBorrow, WeightBorrow,
};
use crate::residency::ResidentPlan;
use crate::{Component, PORTABLE};

type Recording = RefCell<kernels::Recorder>;

impl Guest for Component {
    type Recorder = Recording;
    type Plan = RefCell<ResidentPlan>;
    type Step = kernels::Step;

    fn step_limit() -> u32 {
        kernels::Step::LIMIT as u32
    }

    fn run(continuations: Vec<Continuation<'_>>, plans: Vec<PlanBorrow<'_>>) -> Result<(), Failure> {
        run(&begin(&continuations)?, &plans)
    }
}

fn tensor<'a>(handle: &'a TensorBorrow<'_>) -> &'a kernels::Tensor {
    handle.get()
}

fn weight<'a>(handle: &'a WeightBorrow<'_>) -> &'a kernels::Weight {
    handle.get()
}

/// Record a verb; a shape that does not fit is the guest's bug and traps.
fn record(
    recorder: &Recording,
    verb: impl FnOnce(&mut kernels::Recorder) -> Result<(), kernels::ShapeError>,
) {
    verb(&mut recorder.borrow_mut()).unwrap_or_else(|error| panic!("{error}"));
}

impl GuestRecorder for Recording {
    fn new() -> Self {
        Self::default()
    }

    fn embed(&self, out: TensorBorrow<'_>, table: WeightBorrow<'_>) {
        record(self, |recorder| recorder.embed(tensor(&out), weight(&table)));
    }

    fn rms_norm(&self, out: TensorBorrow<'_>, x: TensorBorrow<'_>, scale: WeightBorrow<'_>, epsilon: f32) {
        record(self, |recorder| recorder.rms_norm(tensor(&out), tensor(&x), weight(&scale), epsilon));
    }

    fn layer_norm(
        &self,
        out: TensorBorrow<'_>,
        x: TensorBorrow<'_>,
        scale: WeightBorrow<'_>,
        bias: Option<WeightBorrow<'_>>,
        epsilon: f32,
    ) {
        let bias = bias.as_ref().map(weight);
        record(self, |recorder| recorder.layer_norm(tensor(&out), tensor(&x), weight(&scale), bias, epsilon));
    }

    fn matmul(
        &self,
        out: TensorBorrow<'_>,
        x: TensorBorrow<'_>,
        matrix: WeightBorrow<'_>,
        bias: Option<WeightBorrow<'_>>,
    ) {
        let bias = bias.as_ref().map(weight);
        record(self, |recorder| recorder.matmul(tensor(&out), tensor(&x), weight(&matrix), bias));
    }

    fn rope(&self, x: TensorBorrow<'_>, rotary: Rotary) {
        let rotary = kernels::Rotary {
            layout: match rotary.layout {
                RopeLayout::Adjacent => kernels::RopeLayout::Adjacent,
                RopeLayout::Halves => kernels::RopeLayout::Halves,
            },
            head_size: rotary.head_size as usize,
            frequencies: rotary.frequencies,
            magnitude: rotary.magnitude,
        };
        record(self, |recorder| recorder.rope(tensor(&x), &rotary));
    }

    fn attention(
        &self,
        out: TensorBorrow<'_>,
        q: TensorBorrow<'_>,
        k: TensorBorrow<'_>,
        v: TensorBorrow<'_>,
        cache: CacheBorrow<'_>,
        layer: u32,
        shape: AttentionShape,
    ) {
        let shape = kernels::AttentionShape {
            heads: shape.heads as usize,
            kv_heads: shape.kv_heads as usize,
            key_size: shape.key_size as usize,
            value_size: shape.value_size as usize,
            scale: shape.scale,
            window: shape.window.map(|window| window as usize),
            soft_cap: shape.soft_cap,
        };
        let (out, q, k, v) = (tensor(&out), tensor(&q), tensor(&k), tensor(&v));
        record(self, |recorder| recorder.attention(out, q, k, v, cache.get(), layer as usize, &shape));
    }

    fn gate(
        &self,
        out: TensorBorrow<'_>,
        gate: TensorBorrow<'_>,
        up: TensorBorrow<'_>,
        activation: Activation,
    ) {
        record(self, |recorder| recorder.gate(tensor(&out), tensor(&gate), tensor(&up), activation.into()));
    }

    fn activate(&self, out: TensorBorrow<'_>, x: TensorBorrow<'_>, activation: Activation) {
        record(self, |recorder| recorder.activate(tensor(&out), tensor(&x), activation.into()));
    }

    fn add(&self, out: TensorBorrow<'_>, x: TensorBorrow<'_>, y: TensorBorrow<'_>) {
        record(self, |recorder| recorder.add(tensor(&out), tensor(&x), tensor(&y)));
    }

    fn multiply(&self, out: TensorBorrow<'_>, x: TensorBorrow<'_>, y: TensorBorrow<'_>) {
        record(self, |recorder| recorder.multiply(tensor(&out), tensor(&x), tensor(&y)));
    }

    fn scale(&self, out: TensorBorrow<'_>, x: TensorBorrow<'_>, factor: f32, soft_cap: Option<f32>) {
        record(self, |recorder| recorder.scale(tensor(&out), tensor(&x), factor, soft_cap));
    }

    fn select(&self, out: TensorBorrow<'_>, x: TensorBorrow<'_>) {
        record(self, |recorder| recorder.select(tensor(&out), tensor(&x)));
    }

    fn finish(recorder: Recorder) -> Result<Plan, Failure> {
        let recording = recorder.into_inner::<Recording>().into_inner().finish();
        let plan =
            PORTABLE.with(|portable| portable.residency.borrow_mut().plan(&portable.device, recording));
        plan.map(|plan| Plan::new(RefCell::new(plan))).map_err(|error| Failure::Device(error.to_string()))
    }
}

impl GuestPlan for RefCell<ResidentPlan> {
    /// There is nothing that could read while something else computes.
    fn prefetch(&self) {}
}

impl GuestStep for kernels::Step {
    fn begin(continuations: Vec<Continuation<'_>>) -> Result<Step, Failure> {
        begin(&continuations).map(Step::new)
    }

    fn run(&self, plans: Vec<PlanBorrow<'_>>) -> Result<(), Failure> {
        run(self, &plans)
    }
}

fn begin(continuations: &[Continuation<'_>]) -> Result<kernels::Step, Failure> {
    let sequences = continuations.iter().map(|continuation| {
        let sequence: &RefCell<kernels::Sequence> = continuation.sequence.get();
        sequence.try_borrow_mut().expect("step: a sequence comes twice")
    });
    let mut sequences: Vec<_> = sequences.collect();
    let parts =
        sequences.iter_mut().zip(continuations).map(|(sequence, continuation)| kernels::Continuation {
            sequence,
            tokens: &continuation.tokens,
            outputs: continuation.outputs as usize,
        });
    let mut parts: Vec<_> = parts.collect();
    kernels::Step::begin(&mut parts).map_err(failure)
}

fn run(step: &kernels::Step, plans: &[PlanBorrow<'_>]) -> Result<(), Failure> {
    PORTABLE.with(|portable| {
        let mut residency = portable.residency.borrow_mut();
        plans.iter().try_for_each(|plan| {
            let plan: &RefCell<ResidentPlan> = plan.get();
            residency.run(&portable.device, &mut plan.borrow_mut(), step).map_err(failure)
        })
    })
}

/// Circumstances go to the guest; misuse is its bug and traps.
fn failure(failure: kernels::Failure) -> Failure {
    match failure {
        kernels::Failure::CacheFull => Failure::CacheFull,
        kernels::Failure::Storage(message) => Failure::Storage(message),
        kernels::Failure::Device(message) => Failure::Device(message),
        kernels::Failure::Cancelled => Failure::Cancelled,
        kernels::Failure::Misuse(message) => panic!("{message}"),
    }
}

impl From<Activation> for kernels::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Silu => Self::Silu,
            Activation::GeluTanh => Self::GeluTanh,
            Activation::GeluQuick => Self::GeluQuick,
            Activation::Relu => Self::Relu,
            Activation::ReluSquared => Self::ReluSquared,
            Activation::Sigmoid => Self::Sigmoid,
            Activation::Tanh => Self::Tanh,
        }
    }
}
