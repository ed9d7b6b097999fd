//! Recorded plans with their cache, and stories of steps to run them for.

use std::sync::atomic::AtomicBool;

use super::Outcome;
use crate::cache::{Cache, CacheFormat, CacheShape, Sequence};
use crate::device::{Device, Plan};
use crate::recording::Recorder;
use crate::step::{Continuation, Step};
use crate::tensor::Tensor;

/// Plans that run one after the other in every step.
pub(super) struct Rig {
    pub(super) cache: Cache,
    pub(super) plans: Vec<Plan>,
    /// What is read after each step.
    pub(super) out: Tensor,
    /// Whether `out` has only the selected rows.
    pub(super) selects: bool,
}

/// What happens to sequences, which are numbered in the order in which they begin.
#[derive(Clone)]
pub(super) enum Act {
    /// Begin an empty sequence.
    Begin,
    /// Begin one with the past of another.
    Fork(usize),
    /// Forget the end of a sequence.
    Truncate(usize, usize),
    /// Let positions pass without running anything.
    Pass(usize, usize),
    /// Run all plans for these.
    Step(Vec<Part>),
}

/// Tokens of one sequence in a step.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) sequence: usize,
    pub(super) tokens: Vec<u32>,
    pub(super) outputs: usize,
}

impl Part {
    /// All its tokens are outputs.
    pub(super) fn new(sequence: usize, tokens: impl Into<Vec<u32>>) -> Self {
        let tokens = tokens.into();
        Self { sequence, outputs: tokens.len(), tokens }
    }
}

impl Rig {
    /// One plan that does not attend.
    pub(super) fn rowwise(
        device: &dyn Device,
        record: impl FnOnce(&mut Recorder) -> Outcome<Tensor>,
    ) -> Outcome<Self> {
        let shape = CacheShape {
            layers: 1,
            kv_heads: 1,
            key_size: 1,
            value_size: 1,
            positions: 1 << 17,
            format: CacheFormat::F32,
        };
        let mut recorder = Recorder::new();
        let out = record(&mut recorder)?;
        let plans = vec![Plan::new(device, recorder.finish())?];
        Ok(Self { cache: device.cache(shape)?, plans, out, selects: false })
    }

    /// The rows of `out` after all steps of a story.
    pub(super) fn play(&self, story: &[Act]) -> Outcome<Vec<Vec<f32>>> {
        let mut sequences: Vec<Option<Sequence>> = Vec::new();
        let mut rows = Vec::new();
        for act in story {
            match act {
                Act::Begin => sequences.push(Some(self.cache.sequence())),
                Act::Fork(of) => {
                    let fork = sequence(&mut sequences, *of).fork();
                    sequences.push(Some(fork));
                }
                Act::Truncate(of, length) => sequence(&mut sequences, *of).truncate(*length),
                Act::Pass(of, count) => {
                    let tokens = vec![0; Step::LIMIT];
                    for first in (0..*count).step_by(Step::LIMIT) {
                        let tokens = &tokens[..(count - first).min(Step::LIMIT)];
                        let sequence = sequence(&mut sequences, *of);
                        Step::begin(&mut [Continuation { sequence, tokens, outputs: 0 }])?;
                    }
                }
                Act::Step(parts) => rows.extend(self.step(&mut sequences, parts)?),
            }
        }
        Ok(rows)
    }

    fn step(&self, sequences: &mut [Option<Sequence>], parts: &[Part]) -> Outcome<Vec<Vec<f32>>> {
        let taken = parts.iter().map(|part| sequences[part.sequence].take());
        let mut taken: Vec<Sequence> = taken.collect::<Option<_>>().expect("a sequence is in a step once");
        let continuation = |(sequence, part)| {
            let Part { tokens, outputs, .. }: &Part = part;
            Continuation { sequence, tokens, outputs: *outputs }
        };
        let mut continuations: Vec<_> = taken.iter_mut().zip(parts).map(continuation).collect();
        let step = Step::begin(&mut continuations)?;
        for plan in &self.plans {
            plan.run(&step, &AtomicBool::new(false))?;
        }
        for (part, sequence) in parts.iter().zip(taken) {
            sequences[part.sequence] = Some(sequence);
        }
        let count = if self.selects { step.outputs().len() } else { step.tokens().len() };
        Ok((0..count).map(|row| self.out.read(row)).collect::<Result<_, _>>()?)
    }

    /// The rows of one new sequence.
    pub(super) fn batch(&self, tokens: &[u32]) -> Outcome<Vec<Vec<f32>>> {
        self.play(&[Act::Begin, Act::Step(vec![Part::new(0, tokens)])])
    }
}

fn sequence(sequences: &mut [Option<Sequence>], of: usize) -> &mut Sequence {
    sequences[of].as_mut().expect("sequences are put back after a step")
}
