//! The interface `kernels`: recorder, plan, step.

#![expect(unreachable_pub, reason = "generated code names the handle types as if they were public")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use wasm_chord_kernels as kernels;
use wasm_chord_kernels::{Cache, Plan, Recorder, Step, Tensor, Verb, Weight};
use wasmtime::component::Resource;
use wasmtime::{Result, bail};

use super::View;
use super::contract::kernels::{
    Activation, AttentionShape, Continuation, Failure, Host, HostPlan, HostRecorder, HostStep, RopeLayout,
    Rotary,
};
use super::tensors::LockedSequence;
use crate::mapping;

type Handle<T> = Resource<T>;

/// How many plans ahead of the running one are asked for.
const PREFETCH_DISTANCE: usize = 2;

/// A plan.
pub struct OwnedPlan {
    plan: Plan,
    /// Whether its weights were asked for or used already.
    near: AtomicBool,
}

impl OwnedPlan {
    /// Ask for its weights, once.
    fn prefetch(&self) {
        if !self.near.swap(true, Ordering::Relaxed) {
            let place = |weight: &Weight| weight.packed().unwrap_or(weight.place()).clone();
            self.plan.recording().weights().for_each(|weight| mapping::will_need(place(weight).as_ref()));
        }
    }
}

impl Host for View<'_> {
    fn step_limit(&mut self) -> Result<u32> {
        Ok(Step::LIMIT as u32)
    }

    fn run(
        &mut self,
        continuations: Vec<Continuation>,
        plans: Vec<Handle<OwnedPlan>>,
    ) -> Result<Result<(), Failure>> {
        let begun = Instant::now();
        let result = match self.begin_step(&continuations)? {
            Ok(step) => self.run_plans(&step, &plans)?,
            Err(failure) => Err(failure),
        };
        self.context.work += begun.elapsed();
        Ok(result)
    }
}

impl View<'_> {
    /// Record a verb on tensors, the first of which is `out`. A shape that does not fit is a trap.
    fn record<const N: usize>(
        &mut self,
        recorder: Handle<Recorder>,
        tensors: [&Handle<Tensor>; N],
        weights: [Option<&Handle<Weight>>; 2],
        verb: impl FnOnce(&mut Recorder, [&Tensor; N], [Option<&Weight>; 2]) -> Result<(), kernels::ShapeError>,
    ) -> Result<()> {
        let mut operands = Vec::with_capacity(N);
        for tensor in tensors {
            operands.push(self.table.get(tensor)?.clone());
        }
        let [first, second] =
            weights.map(|weight| weight.map(|weight| self.table.get(weight).cloned()).transpose());
        let weights = [first?, second?];
        let operands = std::array::from_fn(|index| &operands[index]);
        verb(self.table.get_mut(&recorder)?, operands, [weights[0].as_ref(), weights[1].as_ref()])
            .map_err(|error| wasmtime::format_err!("{error}"))
    }
}

/// The weight that a verb cannot do without.
const GIVEN: &str = "the weight is given";

impl HostRecorder for View<'_> {
    fn new(&mut self) -> Result<Handle<Recorder>> {
        Ok(self.table.push(Recorder::new())?)
    }

    fn embed(&mut self, this: Handle<Recorder>, out: Handle<Tensor>, table: Handle<Weight>) -> Result<()> {
        self.record(this, [&out], [Some(&table), None], |r, [out], [table, _]| {
            r.embed(out, table.expect(GIVEN))
        })
    }

    fn rms_norm(
        &mut self,
        this: Handle<Recorder>,
        out: Handle<Tensor>,
        x: Handle<Tensor>,
        scale: Handle<Weight>,
        epsilon: f32,
    ) -> Result<()> {
        self.record(this, [&out, &x], [Some(&scale), None], |r, [out, x], [scale, _]| {
            r.rms_norm(out, x, scale.expect(GIVEN), epsilon)
        })
    }

    fn layer_norm(
        &mut self,
        this: Handle<Recorder>,
        out: Handle<Tensor>,
        x: Handle<Tensor>,
        scale: Handle<Weight>,
        bias: Option<Handle<Weight>>,
        epsilon: f32,
    ) -> Result<()> {
        self.record(this, [&out, &x], [Some(&scale), bias.as_ref()], |r, [out, x], [scale, bias]| {
            r.layer_norm(out, x, scale.expect(GIVEN), bias, epsilon)
        })
    }

    fn matmul(
        &mut self,
        this: Handle<Recorder>,
        out: Handle<Tensor>,
        x: Handle<Tensor>,
        weight: Handle<Weight>,
        bias: Option<Handle<Weight>>,
    ) -> Result<()> {
        self.record(this, [&out, &x], [Some(&weight), bias.as_ref()], |r, [out, x], [weight, bias]| {
            r.matmul(out, x, weight.expect(GIVEN), bias)
        })
    }

    fn rope(&mut self, this: Handle<Recorder>, x: Handle<Tensor>, rotary: Rotary) -> Result<()> {
        let rotary = kernels::Rotary {
            layout: match rotary.layout {
                RopeLayout::Adjacent => kernels::RopeLayout::Adjacent,
                RopeLayout::Halves => kernels::RopeLayout::Halves,
            },
            head_size: rotary.head_size as usize,
            frequencies: rotary.frequencies,
            magnitude: rotary.magnitude,
        };
        self.record(this, [&x], [None, None], |r, [x], _| r.rope(x, &rotary))
    }

    fn attention(
        &mut self,
        this: Handle<Recorder>,
        out: Handle<Tensor>,
        q: Handle<Tensor>,
        k: Handle<Tensor>,
        v: Handle<Tensor>,
        cache: Handle<Cache>,
        layer: u32,
        shape: AttentionShape,
    ) -> Result<()> {
        let cache = self.table.get(&cache)?.clone();
        let shape = kernels::AttentionShape {
            heads: shape.heads as usize,
            kv_heads: shape.kv_heads as usize,
            key_size: shape.key_size as usize,
            value_size: shape.value_size as usize,
            scale: shape.scale,
            window: shape.window.map(|window| window as usize),
            soft_cap: shape.soft_cap,
        };
        self.record(this, [&out, &q, &k, &v], [None, None], |r, [out, q, k, v], _| {
            r.attention(out, q, k, v, &cache, layer as usize, &shape)
        })
    }

    fn gate(
        &mut self,
        this: Handle<Recorder>,
        out: Handle<Tensor>,
        gate: Handle<Tensor>,
        up: Handle<Tensor>,
        activation: Activation,
    ) -> Result<()> {
        self.record(this, [&out, &gate, &up], [None, None], |r, [out, gate, up], _| {
            r.gate(out, gate, up, activation.into())
        })
    }

    fn activate(
        &mut self,
        this: Handle<Recorder>,
        out: Handle<Tensor>,
        x: Handle<Tensor>,
        activation: Activation,
    ) -> Result<()> {
        self.record(this, [&out, &x], [None, None], |r, [out, x], _| r.activate(out, x, activation.into()))
    }

    fn add(
        &mut self,
        this: Handle<Recorder>,
        out: Handle<Tensor>,
        x: Handle<Tensor>,
        y: Handle<Tensor>,
    ) -> Result<()> {
        self.record(this, [&out, &x, &y], [None, None], |r, [out, x, y], _| r.add(out, x, y))
    }

    fn multiply(
        &mut self,
        this: Handle<Recorder>,
        out: Handle<Tensor>,
        x: Handle<Tensor>,
        y: Handle<Tensor>,
    ) -> Result<()> {
        self.record(this, [&out, &x, &y], [None, None], |r, [out, x, y], _| r.multiply(out, x, y))
    }

    fn scale(
        &mut self,
        this: Handle<Recorder>,
        out: Handle<Tensor>,
        x: Handle<Tensor>,
        factor: f32,
        soft_cap: Option<f32>,
    ) -> Result<()> {
        self.record(this, [&out, &x], [None, None], |r, [out, x], _| r.scale(out, x, factor, soft_cap))
    }

    fn select(&mut self, this: Handle<Recorder>, out: Handle<Tensor>, x: Handle<Tensor>) -> Result<()> {
        self.record(this, [&out, &x], [None, None], |r, [out, x], _| r.select(out, x))
    }

    fn finish(&mut self, recorder: Handle<Recorder>) -> Result<Result<Handle<OwnedPlan>, Failure>> {
        let recording = self.table.delete(recorder)?.finish();
        if let Some(multiplied) = &mut self.context.multiplied {
            multiplied.extend(recording.verbs().iter().filter_map(|verb| match verb {
                Verb::Matmul { weight, .. } => Some(weight.clone()),
                _ => None,
            }));
        }
        match Plan::new(&*self.context.device, recording) {
            Ok(plan) => Ok(Ok(self.table.push(OwnedPlan { plan, near: AtomicBool::new(false) })?)),
            Err(error) => Ok(Err(Failure::Device(error.to_string()))),
        }
    }

    fn drop(&mut self, handle: Handle<Recorder>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl HostPlan for View<'_> {
    fn prefetch(&mut self, this: Handle<OwnedPlan>) -> Result<()> {
        let plan = self.table.get(&this)?;
        if self.context.prefetch {
            plan.prefetch();
        }
        Ok(())
    }

    fn drop(&mut self, handle: Handle<OwnedPlan>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl HostStep for View<'_> {
    fn begin(&mut self, continuations: Vec<Continuation>) -> Result<Result<Handle<Step>, Failure>> {
        let begun = Instant::now();
        let step = match self.begin_step(&continuations)? {
            Ok(step) => Ok(self.table.push(step)?),
            Err(failure) => Err(failure),
        };
        self.context.work += begun.elapsed();
        Ok(step)
    }

    fn run(&mut self, this: Handle<Step>, plans: Vec<Handle<OwnedPlan>>) -> Result<Result<(), Failure>> {
        let begun = Instant::now();
        let result = self.run_plans(self.table.get(&this)?, &plans)?;
        self.context.work += begun.elapsed();
        Ok(result)
    }

    fn drop(&mut self, handle: Handle<Step>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl View<'_> {
    /// Begin a step for the guest; the outer error is its bug.
    fn begin_step(&self, continuations: &[Continuation]) -> Result<Result<Step, Failure>> {
        let mut sequences: Vec<&LockedSequence> = Vec::with_capacity(continuations.len());
        for continuation in continuations {
            let sequence = self.table.get(&continuation.sequence)?;
            if sequences.iter().any(|other| std::ptr::eq(*other, sequence)) {
                bail!("step: a sequence comes twice");
            }
            sequences.push(sequence);
        }
        let mut locked: Vec<_> = sequences.iter().map(|sequence| sequence.lock()).collect();
        let mut parts: Vec<_> = locked
            .iter_mut()
            .zip(continuations)
            .map(|(sequence, continuation)| kernels::Continuation {
                sequence,
                tokens: &continuation.tokens,
                outputs: continuation.outputs as usize,
            })
            .collect();
        failure(Step::begin(&mut parts))
    }

    /// Run its plans; ask for the weights of those ahead.
    fn run_plans(&self, step: &Step, plans: &[Handle<OwnedPlan>]) -> Result<Result<(), Failure>> {
        let plans: Vec<&OwnedPlan> =
            plans.iter().map(|plan| self.table.get(plan)).collect::<Result<_, _>>()?;
        let prefetch = self.context.prefetch;
        let result = self.context.watch.during_kernel(|cancel| {
            plans.iter().enumerate().try_for_each(|(index, plan)| {
                if prefetch && let Some(ahead) = plans.get(index + PREFETCH_DISTANCE) {
                    ahead.prefetch();
                }
                plan.near.store(true, Ordering::Relaxed);
                plan.plan.run(step, cancel)
            })
        });
        // A page that vanished shows only after it was read.
        failure(result.and_then(|()| self.context.space.check().map_err(|error| error.into())))
    }
}

/// Circumstances go to the guest; misuse is its bug and traps.
fn failure<T>(result: Result<T, kernels::Failure>) -> Result<Result<T, Failure>> {
    match result {
        Ok(done) => Ok(Ok(done)),
        Err(kernels::Failure::CacheFull) => Ok(Err(Failure::CacheFull)),
        Err(kernels::Failure::Storage(message)) => Ok(Err(Failure::Storage(message))),
        Err(kernels::Failure::Device(message)) => Ok(Err(Failure::Device(message))),
        Err(kernels::Failure::Cancelled) => Ok(Err(Failure::Cancelled)),
        Err(kernels::Failure::Misuse(message)) => bail!("{message}"),
    }
}

impl From<crate::space::AccessError> for kernels::Failure {
    fn from(error: crate::space::AccessError) -> Self {
        match error {
            crate::space::AccessError::OutOfRange(address) => {
                Self::Storage(format!("address {address} lies outside the file"))
            }
            crate::space::AccessError::Damaged(message) => Self::Storage(message),
        }
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
