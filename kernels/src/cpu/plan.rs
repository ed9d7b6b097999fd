//! From verbs to stages: what may run together without a barrier.
//!
//! Everything but `matmul` and `attention` computes a row from the same row, so it joins the stage of rows before it. What follows
//! a matmul and needs only the columns that the matmul's item made (bias, norms of heads, rotation, appending, gates, residuals)
//! runs in that item. Matmuls of the same input share its preparation and their stage. Every tensor is written as recorded.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::Shared;
use super::attention::Attention;
use super::matmul::{Activations, Preparation, wants};
use super::memory::{HeadBlocks, Pages, View};
use super::program::{Angles, COLUMNS, Operation, Part, Segment, Stage, Stages};
use crate::cache::Cache;
use crate::device::Error;
use crate::recording::{Recording, Verb};
use crate::tensor::{Tensor, Weight};

/// Prepared activations that are kept at a time.
const SLOTS: usize = 3;

/// Widest part of a row that an item is held to, for the sake of a norm or a head.
const WIDEST_GRANULE: usize = 512;

/// Plan `recording` for the device of `shared`; without `fuse`, every verb is a stage of its own.
pub(super) fn compile(shared: &Arc<Shared>, recording: &Recording, fuse: bool) -> Result<Stages, Error> {
    let mut planner = Planner {
        shared,
        recording,
        fuse,
        stages: Vec::new(),
        slots: Vec::new(),
        angles: Vec::new(),
        caches: Vec::new(),
        attentions: 0,
    };
    for (index, verb) in recording.verbs().iter().enumerate() {
        planner.plan(verb, recording.is_selected(index))?;
    }
    let Planner { stages, slots, angles, caches, attentions, .. } = planner;
    Ok(Stages {
        shared: shared.clone(),
        stages: stages.into_iter().map(Draft::finish).collect(),
        activations: slots.into_iter().map(|slot| slot.activations).collect(),
        angles,
        caches,
        attentions,
        names: OnceLock::new(),
        _recording: recording.clone(),
    })
}

struct Planner<'a> {
    shared: &'a Arc<Shared>,
    recording: &'a Recording,
    fuse: bool,
    stages: Vec<Draft>,
    slots: Vec<Slot>,
    angles: Vec<Arc<Angles>>,
    caches: Vec<Cache>,
    attentions: usize,
}

/// A stage that may still grow.
enum Draft {
    Rows { selected: bool, operations: Vec<Operation> },
    Matmul(MatmulDraft),
    Attention { attention: Attention, cache: usize, work: usize },
}

struct MatmulDraft {
    selected: bool,
    x: Tensor,
    segments: Vec<Segment>,
    /// Tensors that its items write.
    written: Vec<Placed>,
    /// Tensors made before that its operations read, and where.
    read: Vec<Placed>,
}

/// A tensor whose first column lies at a column of a segment.
#[derive(Clone)]
struct Placed {
    tensor: Tensor,
    segment: usize,
    column: usize,
}

/// Prepared activations and what they are made from.
struct Slot {
    activations: Arc<Activations>,
    preparations: Vec<Preparation>,
    x: Option<Tensor>,
    /// The last stage that uses them.
    last: usize,
}

/// An operation with its operands.
struct Node<'a> {
    operation: Operation,
    out: Option<&'a Tensor>,
    inputs: Vec<&'a Tensor>,
    /// If it computes parts of a row apart: how wide they must be.
    granule: Option<usize>,
}

impl Planner<'_> {
    fn plan(&mut self, verb: &Verb, selected: bool) -> Result<(), Error> {
        let node = match verb {
            Verb::Matmul { out, x, weight, bias } => {
                return self.matmul(out, x, weight, bias.as_ref(), selected);
            }
            Verb::Attention { out, q, k, v, cache, layer, shape } => {
                let pages = (&**cache.store() as &dyn std::any::Any).downcast_ref::<Pages>();
                let pages = pages.filter(|pages| pages.is_behind(&self.shared.gate)).ok_or_else(foreign)?;
                let heads = HeadBlocks::new(pages, *layer);
                let cache = self.cache(cache);
                let operation = Operation::AppendKey { k: self.view(k)?, heads, cache };
                self.push(
                    Node { operation, out: None, inputs: vec![k], granule: Some(heads.key_size) },
                    selected,
                );
                let operation = Operation::AppendValue { v: self.view(v)?, heads, cache };
                self.push(
                    Node { operation, out: None, inputs: vec![v], granule: Some(heads.value_size) },
                    selected,
                );
                let attention = Attention { out: self.view(out)?, q: self.view(q)?, heads, shape: *shape };
                self.stages.push(Draft::Attention { attention, cache, work: self.attentions });
                self.attentions += 1;
                self.forget(out);
                return Ok(());
            }
            Verb::Embed { out, table } => {
                let operation = Operation::Embed { out: self.view(out)?, table: table.clone() };
                Node { operation, out: Some(out), inputs: vec![], granule: None }
            }
            Verb::RmsNorm { out, x, scale, epsilon } => {
                let operation = Operation::RmsNorm {
                    out: self.view(out)?,
                    x: self.view(x)?,
                    scale: scale.clone(),
                    epsilon: *epsilon,
                };
                Node { operation, out: Some(out), inputs: vec![x], granule: Some(scale.columns()) }
            }
            Verb::LayerNorm { out, x, scale, bias, epsilon } => {
                let operation = Operation::LayerNorm {
                    out: self.view(out)?,
                    x: self.view(x)?,
                    scale: scale.clone(),
                    bias: bias.clone(),
                    epsilon: *epsilon,
                };
                Node { operation, out: Some(out), inputs: vec![x], granule: None }
            }
            Verb::Rope { x, rotary } => {
                let angles = self.shared.angles(rotary);
                let index = self.angles.iter().position(|other| Arc::ptr_eq(other, &angles));
                let index = index.unwrap_or_else(|| {
                    self.angles.push(angles);
                    self.angles.len() - 1
                });
                let (layout, head_size) = (rotary.layout, rotary.head_size);
                let operation = Operation::Rope { x: self.view(x)?, angles: index, head_size, layout };
                Node { operation, out: Some(x), inputs: vec![], granule: Some(head_size) }
            }
            Verb::Gate { out, gate, up, activation } => {
                let operation = Operation::Gate {
                    out: self.view(out)?,
                    gate: self.view(gate)?,
                    up: self.view(up)?,
                    activation: *activation,
                };
                Node { operation, out: Some(out), inputs: vec![gate, up], granule: Some(1) }
            }
            Verb::Activate { out, x, activation } => {
                let operation =
                    Operation::Activate { out: self.view(out)?, x: self.view(x)?, activation: *activation };
                Node { operation, out: Some(out), inputs: vec![x], granule: Some(1) }
            }
            Verb::Add { out, x, y } => {
                let operation = Operation::Add { out: self.view(out)?, x: self.view(x)?, y: self.view(y)? };
                Node { operation, out: Some(out), inputs: vec![x, y], granule: Some(1) }
            }
            Verb::Multiply { out, x, y } => {
                let operation =
                    Operation::Multiply { out: self.view(out)?, x: self.view(x)?, y: self.view(y)? };
                Node { operation, out: Some(out), inputs: vec![x, y], granule: Some(1) }
            }
            Verb::Scale { out, x, factor, soft_cap } => {
                let (out_view, x_view) = (self.view(out)?, self.view(x)?);
                let operation =
                    Operation::Scale { out: out_view, x: x_view, factor: *factor, soft_cap: *soft_cap };
                Node { operation, out: Some(out), inputs: vec![x], granule: Some(1) }
            }
            Verb::Select { out, x } => {
                let operation = Operation::Select { out: self.view(out)?, x: self.view(x)? };
                self.stages.push(Draft::Rows { selected, operations: vec![operation] });
                self.forget(out);
                return Ok(());
            }
        };
        self.push(node, selected);
        Ok(())
    }

    /// Put `node` behind what is planned: into the last stage, or a new one.
    fn push(&mut self, node: Node<'_>, selected: bool) {
        if let Some(out) = node.out {
            self.forget(out);
        }
        let fuse = self.fuse;
        let operation = match self.stages.last_mut() {
            Some(Draft::Rows { selected: same, operations }) if fuse && *same == selected => {
                operations.push(node.operation);
                return;
            }
            Some(Draft::Matmul(matmul)) if fuse => match matmul.join(node) {
                None => return,
                Some(operation) => operation,
            },
            _ => node.operation,
        };
        self.stages.push(Draft::Rows { selected, operations: vec![operation] });
    }

    fn matmul(
        &mut self,
        out: &Tensor,
        x: &Tensor,
        weight: &Weight,
        bias: Option<&Weight>,
        selected: bool,
    ) -> Result<(), Error> {
        let width = out.columns();
        let known = self.slots.iter().position(|slot| slot.x.as_ref().is_some_and(|other| other.is(x)));
        let slot = match known {
            Some(slot) => slot,
            None => self.make_ready(x, selected)?,
        };
        self.forget(out);
        let part = Part { out: self.view(out)?, weight: weight.clone(), bias: bias.cloned(), slot };
        let segment = Segment { parts: vec![part], operations: Vec::new(), width, granule: COLUMNS };
        match self.stages.last_mut() {
            Some(Draft::Matmul(matmul)) if self.fuse && matmul.admits(out, x, selected) => {
                matmul.add(segment, out)
            }
            _ => {
                let mut matmul = MatmulDraft {
                    selected,
                    x: x.clone(),
                    segments: Vec::new(),
                    written: Vec::new(),
                    read: Vec::new(),
                };
                matmul.add(segment, out);
                self.stages.push(Draft::Matmul(matmul));
            }
        }
        self.slots[slot].last = self.stages.len() - 1;
        Ok(())
    }

    /// Plan the preparation of `x` for all matmuls that read it.
    fn make_ready(&mut self, x: &Tensor, selected: bool) -> Result<usize, Error> {
        let mut preparations = Vec::new();
        for verb in self.recording.verbs() {
            if let Verb::Matmul { x: other, weight, .. } = verb
                && other.is(x)
                && !preparations.contains(&wants(weight.format()))
            {
                preparations.push(wants(weight.format()));
            }
        }
        preparations.sort_by_key(|preparation| *preparation as u8);
        // Matmuls that come later in the last stage, and this preparation, may not share a slot with what that stage reads.
        let last = self.stages.len().saturating_sub(1);
        let free = |slot: &&Slot| slot.preparations == preparations && slot.last < last;
        let alike = self.slots.iter().filter(|slot| slot.preparations == preparations).count();
        let oldest = self.slots.iter().filter(free).min_by_key(|slot| slot.last).map(|slot| slot.last);
        let index = match oldest {
            Some(oldest) if alike >= SLOTS => self
                .slots
                .iter()
                .position(|slot| slot.preparations == preparations && slot.last == oldest)
                .expect("just found"),
            _ => {
                let activations = self.shared.activations(alike, x.columns(), &preparations)?;
                self.slots.push(Slot { activations, preparations: preparations.clone(), x: None, last });
                self.slots.len() - 1
            }
        };
        if self.slots[index].activations.columns() < x.columns() {
            // Slots are numbered among those alike.
            let number = self.slots[..index].iter().filter(|slot| slot.preparations == preparations).count();
            self.slots[index].activations = self.shared.activations(number, x.columns(), &preparations)?;
        }
        let operation = Operation::Prepare { x: self.view(x)?, slot: index };
        self.push(Node { operation, out: None, inputs: vec![x], granule: None }, selected);
        let slot = &mut self.slots[index];
        slot.x = Some(x.clone());
        slot.last = self.stages.len() - 1;
        Ok(index)
    }

    /// Prepared activations are stale once their tensor is written.
    fn forget(&mut self, written: &Tensor) {
        for slot in &mut self.slots {
            if slot.x.as_ref().is_some_and(|x| x.overlaps(written)) {
                slot.x = None;
            }
        }
    }

    fn view(&self, tensor: &Tensor) -> Result<View, Error> {
        View::new(tensor, &self.shared.gate).ok_or_else(foreign)
    }

    fn cache(&mut self, cache: &Cache) -> usize {
        self.caches.iter().position(|other| other.is(cache)).unwrap_or_else(|| {
            self.caches.push(cache.clone());
            self.caches.len() - 1
        })
    }
}

fn foreign() -> Error {
    Error::BadShape("a tensor or a cache of another device".into())
}

impl MatmulDraft {
    /// Whether a matmul can run beside those here.
    fn admits(&self, out: &Tensor, x: &Tensor, selected: bool) -> bool {
        let touched = || self.written.iter().chain(&self.read).map(|other| &other.tensor);
        self.selected == selected
            && self.x.is(x)
            && touched().all(|tensor| !tensor.overlaps(out))
            && self.written.iter().all(|written| !written.tensor.overlaps(x))
    }

    fn add(&mut self, segment: Segment, out: &Tensor) {
        self.segments.push(segment);
        self.written.push(Placed { tensor: out.clone(), segment: self.segments.len() - 1, column: 0 });
    }

    /// Run the operation in the items that make its operands, or give it back.
    fn join(&mut self, node: Node<'_>) -> Option<Operation> {
        let Some((segments, column, granule)) = self.place(&node) else {
            return Some(node.operation);
        };
        let segment = self.merge(segments);
        self.segments[segment].granule = granule;
        self.segments[segment].operations.push((node.operation, column));
        let here = |tensor: &Tensor| Placed { tensor: tensor.clone(), segment, column };
        self.written.extend(node.out.map(here));
        self.read.extend(node.inputs.into_iter().map(here));
        None
    }

    /// The segments that make the node's operands, the column of theirs where it begins, and how they must be cut then.
    fn place(&self, node: &Node<'_>) -> Option<(Vec<usize>, usize, usize)> {
        let granule = node.granule?;
        let (mut segments, mut column) = (Vec::new(), None);
        for &tensor in node.inputs.iter().chain(node.out.iter()) {
            for written in self.written.iter().filter(|written| written.tensor.overlaps(tensor)) {
                let inside = columns(tensor).start >= columns(&written.tensor).start
                    && columns(tensor).end <= columns(&written.tensor).end;
                if !inside {
                    return None;
                }
                let here = written.column + tensor.first() - written.tensor.first();
                if *column.get_or_insert(here) != here {
                    return None;
                }
                if !segments.contains(&written.segment) {
                    segments.push(written.segment);
                }
            }
        }
        segments.sort_unstable();
        let (first, column) = (*segments.first()?, column?);
        let width = self.segments[first].width;
        if segments.iter().any(|&segment| self.segments[segment].width != width) {
            return None;
        }
        // What it writes beside the segments' own columns, no other item may read.
        if let Some(out) = node.out {
            let disturbs = |read: &Placed| {
                read.tensor.overlaps(out)
                    && !(read.tensor.is(out) && segments.contains(&read.segment) && read.column == column)
            };
            if self.read.iter().any(disturbs) {
                return None;
            }
        }
        let common =
            segments.iter().map(|&segment| self.segments[segment].granule).fold(granule, common_multiple);
        (common <= WIDEST_GRANULE && column.is_multiple_of(granule)).then_some((segments, column, common))
    }

    /// Make one segment of those of equal width.
    fn merge(&mut self, segments: Vec<usize>) -> usize {
        let first = segments[0];
        for &other in segments[1..].iter().rev() {
            let Segment { parts, operations, .. } = self.segments.remove(other);
            self.segments[first].parts.extend(parts);
            self.segments[first].operations.extend(operations);
            for written in self.written.iter_mut().chain(&mut self.read) {
                if written.segment == other {
                    written.segment = first;
                } else if written.segment > other {
                    written.segment -= 1;
                }
            }
        }
        first
    }
}

fn columns(tensor: &Tensor) -> Range<usize> {
    tensor.first()..tensor.first() + tensor.columns()
}

fn common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

impl Draft {
    fn finish(self) -> Stage {
        match self {
            Self::Rows { selected, operations } => Stage::Rows { selected, operations },
            Self::Matmul(MatmulDraft { selected, segments, .. }) => Stage::Matmul { selected, segments },
            Self::Attention { attention, cache, work } => Stage::Attention { attention, cache, work },
        }
    }
}
