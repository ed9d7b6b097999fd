//! Where a device's time goes: when the stages of its programs begin and end, and how much work they are.
//!
//! A stage begins when the one before is done and ends when all threads have finished it. Nothing is noted until somebody asks for
//! it; what a run does on its way to the first stage belongs to none.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::attention::Attention;
use super::program::{Operation, Part, Segment, Stage};
use crate::step::Step;

/// One stage of one run.
#[derive(Debug, Clone)]
pub struct Timing {
    /// The verbs that ran together, with rows, columns and formats of the weights.
    pub name: Arc<str>,
    /// When the stage before was done.
    pub begin: Instant,
    /// When this one was.
    pub end: Instant,
    /// Rows of activations.
    pub rows: usize,
    /// Bytes of weights, and of keys and values in attention; each counts once, however often it is read.
    pub bytes: u64,
    /// Multiplications with an addition, of matmuls and attention.
    pub multiply_adds: u64,
}

/// What a device noted; `None` while nobody wants to know.
#[derive(Default)]
pub(super) struct Profile(Mutex<Option<Vec<Timing>>>);

/// When the stages of a run that is noted began.
pub(super) struct Begins(Mutex<Vec<Instant>>);

impl Profile {
    /// Note runs from now on.
    pub(super) fn start(&self) {
        self.lock().get_or_insert_default();
    }

    /// What was noted, run by run; nothing more is.
    pub(super) fn take(&self) -> Vec<Timing> {
        self.lock().take().unwrap_or_default()
    }

    /// Room for the stages of a run, if it is to be noted.
    pub(super) fn begin(&self, stages: usize) -> Option<Begins> {
        self.lock().is_some().then(|| Begins(Mutex::new(Vec::with_capacity(stages))))
    }

    /// Note the run that just ended. `names` are those of the stages, in order.
    pub(super) fn end(&self, begins: Begins, stages: &[Stage], names: &[Arc<str>], step: &Step) {
        let end = Instant::now();
        let begins = begins.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let ends = begins.iter().skip(1).copied().chain([end]);
        let timings =
            stages.iter().zip(names).zip(begins.iter().zip(ends)).map(|((stage, name), (&begin, end))| {
                let rows = stage.rows(step);
                let (bytes, multiply_adds) = stage.work(step, rows);
                Timing { name: name.clone(), begin, end, rows, bytes, multiply_adds }
            });
        if let Some(noted) = &mut *self.lock() {
            noted.extend(timings.filter(|timing| timing.rows > 0));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Vec<Timing>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begins {
    /// The next stage begins.
    pub(super) fn next(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    }
}

/// What each stage is called.
pub(super) fn names(stages: &[Stage]) -> Vec<Arc<str>> {
    stages.iter().map(|stage| stage.name().into()).collect()
}

impl Stage {
    fn rows(&self, step: &Step) -> usize {
        match self {
            Self::Rows { selected: true, .. } | Self::Matmul { selected: true, .. } => step.outputs().len(),
            _ => step.tokens().len(),
        }
    }

    /// Its verbs in order, each once.
    fn name(&self) -> String {
        let (mut words, operations): (Vec<String>, Vec<&Operation>) = match self {
            Self::Rows { operations, .. } => (Vec::new(), operations.iter().collect()),
            Self::Matmul { segments, .. } => {
                let parts = segments.iter().flat_map(|segment| &segment.parts);
                let operations = segments.iter().flat_map(|segment| &segment.operations);
                (matmuls(parts), operations.map(|(operation, _)| operation).collect())
            }
            Self::Attention { .. } => return "attention".into(),
        };
        for operation in operations {
            let word = operation.name();
            if !words.iter().any(|other| other == word) {
                words.push(word.into());
            }
        }
        words.join(", ")
    }

    /// Bytes that are read and multiplications that are made for a step, of which this stage sees `rows`.
    fn work(&self, step: &Step, rows: usize) -> (u64, u64) {
        match self {
            Self::Rows { operations, .. } => {
                (operations.iter().map(|operation| operation.bytes(rows)).sum(), 0)
            }
            Self::Matmul { segments, .. } => {
                let bytes = segments.iter().map(|segment| segment.bytes(rows)).sum();
                let parts = segments.iter().flat_map(|segment| &segment.parts);
                let products = parts.map(|part| part.weight.rows() as u64 * part.weight.columns() as u64);
                (bytes, products.sum::<u64>() * rows as u64)
            }
            Self::Attention { attention, .. } => attention.work(step),
        }
    }
}

/// Matmuls as people write them: `2048+256 x 2048 Q8_0` are two of 2048 columns that make 2048 and 256.
fn matmuls<'a>(parts: impl Iterator<Item = &'a Part>) -> Vec<String> {
    let mut kinds: Vec<(String, String)> = Vec::new();
    for Part { weight, .. } in parts {
        let rows = weight.rows().to_string();
        let kind = format!("x {} {}", weight.columns(), weight.format());
        match kinds.iter_mut().find(|(_, other)| *other == kind) {
            Some((all, _)) => *all += &format!("+{rows}"),
            None => kinds.push((rows, kind)),
        }
    }
    kinds.into_iter().map(|(rows, kind)| format!("matmul {rows} {kind}")).collect()
}

impl Segment {
    fn bytes(&self, rows: usize) -> u64 {
        let vectors = self.parts.iter().flat_map(|part| [Some(&part.weight), part.bias.as_ref()]);
        let weights: u64 = vectors.flatten().map(|weight| weight.place().len() as u64).sum();
        weights + self.operations.iter().map(|(operation, _)| operation.bytes(rows)).sum::<u64>()
    }
}

impl Operation {
    fn name(&self) -> &'static str {
        match self {
            Self::Embed { .. } => "embed",
            Self::RmsNorm { .. } => "rms-norm",
            Self::LayerNorm { .. } => "layer-norm",
            Self::Rope { .. } => "rope",
            Self::AppendKey { .. } | Self::AppendValue { .. } => "append",
            Self::Gate { .. } => "gate",
            Self::Activate { .. } => "activate",
            Self::Add { .. } => "add",
            Self::Multiply { .. } => "multiply",
            Self::Scale { .. } => "scale",
            Self::Select { .. } => "select",
            Self::Prepare { .. } => "prepare",
        }
    }

    /// Bytes of its weights that it reads for `rows`.
    fn bytes(&self, rows: usize) -> u64 {
        let bytes = match self {
            Self::Embed { table, .. } => rows * table.row_bytes(),
            Self::RmsNorm { scale, .. } => scale.place().len(),
            Self::LayerNorm { scale, bias, .. } => {
                scale.place().len() + bias.as_ref().map_or(0, |bias| bias.place().len())
            }
            _ => 0,
        };
        bytes as u64
    }
}

impl Attention {
    /// Bytes of keys and values that the queries of a step see, and multiplications with them.
    fn work(&self, step: &Step) -> (u64, u64) {
        let window = self.shape.window.unwrap_or(usize::MAX);
        let seen = |position: usize| (position + 1).min(window) as u64;
        let kept = step.spans().iter().map(|span| {
            let positions = span.start() + span.rows().len();
            positions as u64 - (span.start() as u64 + 1 - seen(span.start()))
        });
        let scores: u64 = step.positions().iter().map(|&position| seen(position as usize)).sum();
        let head = (self.shape.key_size + self.shape.value_size) as u64;
        let bytes = kept.sum::<u64>() * self.heads.position_bytes(self.shape.kv_heads) as u64;
        (bytes, scores * self.shape.heads as u64 * head)
    }
}
