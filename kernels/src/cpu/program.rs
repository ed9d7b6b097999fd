//! A compiled recording: stages of work, and what one item of each does.
//!
//! Stages keep the order of the verbs; how verbs become stages is the business of `plan`. Results depend on neither the number of
//! threads nor the cut into items.
#![expect(unsafe_code, reason = "items of a stage write disjoint parts of shared tensors")]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use super::Shared;
use super::attention::{Attention, Work};
use super::matmul::Activations;
use super::memory::{HeadBlocks, Pages, View};
use super::pool::Job;
use super::profile::{self, Begins};
use crate::block::Format;
use crate::cache::{Cache, CacheFormat, PAGE};
use crate::device::{Failure, Program};
use crate::recording::{Activation, Recording, RopeLayout, Rotary};
use crate::step::Step;
use crate::tensor::Weight;

/// Elements of rows that are worth another item.
const ROWS_COST: usize = 16 << 10;

/// Bytes of weights in an item, at least and at most; sixteen multiplications count as a byte.
const MATMUL_COST: (usize, usize) = (32 << 10, 8 << 20);

/// Output columns of an item come in multiples of this.
pub(super) const COLUMNS: usize = 32;

/// What threads do between two barriers.
pub(super) enum Stage {
    /// Operations on whole rows, one after the other.
    Rows { selected: bool, operations: Vec<Operation> },
    /// Matmuls, with operations on the columns that they made.
    Matmul { selected: bool, segments: Vec<Segment> },
    /// The last half of the verb: keys and values were appended in a stage before.
    Attention { attention: Attention, cache: usize, work: usize },
}

/// Matmuls of equal width that are cut into the same columns, and what follows on those.
pub(super) struct Segment {
    pub(super) parts: Vec<Part>,
    /// With the column of the segment at which their first one lies.
    pub(super) operations: Vec<(Operation, usize)>,
    /// Output columns.
    pub(super) width: usize,
    /// Cuts lie at multiples of this.
    pub(super) granule: usize,
}

/// One matmul.
pub(super) struct Part {
    pub(super) out: View,
    pub(super) weight: Weight,
    pub(super) bias: Option<Weight>,
    /// Which prepared activations it reads.
    pub(super) slot: usize,
}

/// A verb, or a part of one, that computes a row from the same row of its operands.
pub(super) enum Operation {
    Embed {
        out: View,
        table: Weight,
    },
    RmsNorm {
        out: View,
        x: View,
        scale: Weight,
        epsilon: f32,
    },
    LayerNorm {
        out: View,
        x: View,
        scale: Weight,
        bias: Option<Weight>,
        epsilon: f32,
    },
    Rope {
        x: View,
        angles: usize,
        head_size: usize,
        layout: RopeLayout,
    },
    AppendKey {
        k: View,
        heads: HeadBlocks,
        cache: usize,
    },
    AppendValue {
        v: View,
        heads: HeadBlocks,
        cache: usize,
    },
    Gate {
        out: View,
        gate: View,
        up: View,
        activation: Activation,
    },
    Activate {
        out: View,
        x: View,
        activation: Activation,
    },
    Add {
        out: View,
        x: View,
        y: View,
    },
    Multiply {
        out: View,
        x: View,
        y: View,
    },
    Scale {
        out: View,
        x: View,
        factor: f32,
        soft_cap: Option<f32>,
    },
    Select {
        out: View,
        x: View,
    },
    /// Make activations ready for the matmuls that read them.
    Prepare {
        x: View,
        slot: usize,
    },
}

/// Sines and cosines of the positions of the last step, for one way of turning.
pub(super) struct Angles {
    pub(super) rotary: Rotary,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    positions: Vec<u32>,
    /// (rows, pairs)
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    pub(super) fn new(rotary: Rotary) -> Self {
        Self { rotary, table: RwLock::default() }
    }

    fn refresh(&self, step: &Step) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.positions == step.positions() {
            return;
        }
        let Table { positions, cos, sin } = &mut *table;
        positions.clear();
        cos.clear();
        sin.clear();
        let magnitude = f64::from(self.rotary.magnitude);
        for &position in step.positions() {
            for &frequency in &self.rotary.frequencies {
                // Models are trained with angles of this precision.
                let (s, c) = f64::from(position as f32 * frequency).sin_cos();
                sin.push((s * magnitude) as f32);
                cos.push((c * magnitude) as f32);
            }
        }
        positions.extend_from_slice(step.positions());
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What runs need only while they run; shared by all programs of a device.
#[derive(Default)]
pub(super) struct Scratch {
    works: Vec<Work>,
    /// Span of every row.
    spans: Vec<u32>,
    /// Addresses of pages, by cache and span.
    pages: Vec<Vec<Vec<usize>>>,
}

/// The compiled recording.
pub(super) struct Stages {
    pub(super) shared: Arc<Shared>,
    pub(super) stages: Vec<Stage>,
    pub(super) activations: Vec<Arc<Activations>>,
    pub(super) angles: Vec<Arc<Angles>>,
    pub(super) caches: Vec<Cache>,
    /// Number of attention stages.
    pub(super) attentions: usize,
    /// Of the stages, once a profile wants them.
    pub(super) names: OnceLock<Vec<Arc<str>>>,
    /// Keeps alive what views point to.
    pub(super) _recording: Recording,
}

impl Program for Stages {
    fn run(&self, step: &Step, cancel: &AtomicBool) -> Result<(), Failure> {
        let shared = &*self.shared;
        let _closed = shared.gate.close();
        let mut scratch = shared.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        self.prepare(&mut scratch, step)?;
        let tables = self
            .angles
            .iter()
            .map(|angles| {
                angles.refresh(step);
                angles.table()
            })
            .collect();
        let begins = shared.profile.begin(self.stages.len());
        let run = Run { program: self, shared, step, tables, scratch: &scratch, begins };
        let result = shared.pool.run(&run, cancel);
        if let Some(begins) = run.begins {
            let names = self.names.get_or_init(|| profile::names(&self.stages));
            shared.profile.end(begins, &self.stages, names, step);
        }
        result
    }
}

impl Stages {
    fn prepare(&self, scratch: &mut Scratch, step: &Step) -> Result<(), Failure> {
        let Scratch { works, spans, pages } = scratch;
        spans.clear();
        for (number, span) in step.spans().iter().enumerate() {
            spans.resize(span.rows().end, number as u32);
        }
        pages.resize_with(self.caches.len().max(pages.len()), Vec::new);
        for (cache, pages) in self.caches.iter().zip(pages) {
            let store = store(cache);
            if !step.spans().iter().all(|span| span.belongs_to(cache)) {
                return Err(Failure::Misuse(
                    "attention: a sequence of the step belongs to another cache".into(),
                ));
            }
            pages.resize_with(step.spans().len().max(pages.len()), Vec::new);
            for (span, pages) in step.spans().iter().zip(pages) {
                pages.clear();
                let count = (span.start() + span.rows().len()).div_ceil(PAGE);
                pages.extend((0..count).map(|index| store.page(span.page(index)) as usize));
            }
        }
        while works.len() < self.attentions {
            works.push(Work::new().map_err(|error| Failure::Device(error.to_string()))?);
        }
        for stage in &self.stages {
            if let Stage::Attention { attention, work, .. } = stage {
                works[*work].cut(attention, step, self.shared.pool.threads());
            }
        }
        Ok(())
    }
}

fn store(cache: &Cache) -> &Pages {
    (&**cache.store() as &dyn std::any::Any).downcast_ref().expect("checked when it was compiled")
}

/// One run of a program.
struct Run<'a> {
    program: &'a Stages,
    shared: &'a Shared,
    step: &'a Step,
    /// By index of the program's angles.
    tables: Vec<RwLockReadGuard<'a, Table>>,
    scratch: &'a Scratch,
    /// When stages began, if somebody wants to know.
    begins: Option<Begins>,
}

impl Job for Run<'_> {
    fn stages(&self) -> usize {
        self.program.stages.len()
    }

    fn items(&self, stage: usize) -> usize {
        if let Some(begins) = &self.begins {
            begins.next();
        }
        match &self.program.stages[stage] {
            Stage::Rows { selected, operations } => self.rows(*selected).div_ceil(rows_at_once(operations)),
            Stage::Matmul { selected, segments } => {
                let rows = self.rows(*selected);
                let cuts = segments
                    .iter()
                    .map(|segment| segment.width.div_ceil(self.block(segments, segment, rows)));
                if rows == 0 { 0 } else { cuts.sum() }
            }
            Stage::Attention { work, .. } => self.scratch.works[*work].items(),
        }
    }

    fn run(&self, stage: usize, mut item: usize) {
        match &self.program.stages[stage] {
            Stage::Rows { selected, operations } => {
                let count = rows_at_once(operations);
                for row in item * count..self.rows(*selected).min((item + 1) * count) {
                    for operation in operations {
                        // SAFETY: `plan` puts into a stage of rows only what reads and writes its own row; items have
                        // different rows, and the pool has finished the stages before.
                        unsafe { self.operate(operation, row, 0..operation.columns(), self.rows(*selected)) }
                    }
                }
            }
            Stage::Matmul { selected, segments } => {
                let rows = self.rows(*selected);
                for segment in segments {
                    let block = self.block(segments, segment, rows);
                    let count = segment.width.div_ceil(block);
                    if item < count {
                        let columns = item * block..segment.width.min((item + 1) * block);
                        // SAFETY: `plan` makes segments and items write disjoint columns and read no others of those.
                        return unsafe { self.multiply(segment, columns, rows) };
                    }
                    item -= count;
                }
            }
            Stage::Attention { attention, cache, work } => {
                let (work, pages) = (&self.scratch.works[*work], &self.scratch.pages[*cache]);
                // SAFETY: the positions of this step were appended in a stage before, those before it in earlier runs; items
                // write their own heads and rows.
                unsafe { attention.run(&self.shared.attention, work, item, self.step, pages) }
            }
        }
    }
}

impl Run<'_> {
    fn rows(&self, selected: bool) -> usize {
        if selected { self.step.outputs().len() } else { self.step.tokens().len() }
    }

    /// Output columns of an item of `segment`.
    fn block(&self, segments: &[Segment], segment: &Segment, rows: usize) -> usize {
        let total: usize = segments.iter().map(|segment| segment.width * segment.cost(rows)).sum();
        let cost = (total / (8 * self.shared.pool.threads())).clamp(MATMUL_COST.0, MATMUL_COST.1);
        (cost / segment.cost(rows)).max(1).next_multiple_of(segment.granule)
    }

    /// Compute `columns` of a segment.
    ///
    /// # Safety
    /// The activations are prepared for `rows`; nobody else uses these columns of the segment's outputs and operands.
    unsafe fn multiply(&self, segment: &Segment, columns: Range<usize>, rows: usize) {
        for part in &segment.parts {
            let weight = &part.weight;
            // SAFETY: the caller's promise; `out` is as wide as the weight has rows, and has room for the rows of a step.
            unsafe {
                self.shared.kernels.multiply(
                    &self.shared.matrix(weight),
                    columns.clone(),
                    &self.program.activations[part.slot],
                    rows,
                    part.out.at(0, 0),
                    part.out.stride,
                );
            }
            if let Some(bias) = &part.bias {
                with_vector(bias, |bias| {
                    for row in 0..rows {
                        let out = part.out.at(row, columns.start);
                        // SAFETY: as above; a bias has an element for each column.
                        unsafe {
                            (self.shared.math.add)(out, out, bias.as_ptr().add(columns.start), columns.len())
                        }
                    }
                });
            }
        }
        for row in 0..rows {
            for (operation, offset) in &segment.operations {
                let start = columns.start.max(*offset) - offset;
                let end = columns.end.min(offset + operation.columns()).saturating_sub(*offset);
                if start < end {
                    // SAFETY: the caller's promise.
                    unsafe { self.operate(operation, row, start..end, rows) }
                }
            }
        }
    }

    /// Compute `columns` of one row of `rows`.
    ///
    /// # Safety
    /// The columns are whole granules of the operation; nobody else writes what it reads, or uses what it writes.
    unsafe fn operate(&self, operation: &Operation, row: usize, columns: Range<usize>, rows: usize) {
        let math = &self.shared.math;
        let (first, count) = (columns.start, columns.len());
        // SAFETY: views check rows and their first columns; `count` columns from there lie inside, as the recorder has checked
        // that operands are equally wide. The rest is the caller's promise.
        unsafe {
            match operation {
                Operation::Embed { out, table } => {
                    let out = std::slice::from_raw_parts_mut(out.at(row, 0), table.columns());
                    table.format().decode(table.row(self.step.tokens()[row] as usize), out);
                }
                Operation::RmsNorm { out, x, scale, epsilon } => with_vector(scale, |scale| {
                    for at in columns.clone().step_by(scale.len()) {
                        (math.rms_norm)(
                            out.at(row, at),
                            x.at(row, at),
                            scale.as_ptr(),
                            scale.len(),
                            *epsilon,
                        );
                    }
                }),
                Operation::LayerNorm { out, x, scale, bias, epsilon } => {
                    let (out, x) = (out.at(row, 0), x.at(row, 0));
                    with_vector(scale, |scale| match bias {
                        Some(bias) => with_vector(bias, |bias| {
                            (math.layer_norm)(out, x, scale.as_ptr(), bias.as_ptr(), scale.len(), *epsilon);
                        }),
                        None => {
                            (math.layer_norm)(out, x, scale.as_ptr(), std::ptr::null(), scale.len(), *epsilon)
                        }
                    });
                }
                Operation::Rope { x, angles, head_size, layout } => {
                    let pairs = self.program.angles[*angles].rotary.frequencies.len();
                    let (cos, sin) =
                        (&self.tables[*angles].cos[row * pairs..], &self.tables[*angles].sin[row * pairs..]);
                    assert!(cos.len() >= pairs && sin.len() >= pairs, "angles of row {row}");
                    for at in columns.step_by(*head_size) {
                        (math.rotate)(x.at(row, at), cos.as_ptr(), sin.as_ptr(), pairs, *layout);
                    }
                }
                Operation::AppendKey { k, heads, cache } => {
                    let (page, slot) = self.slot(*cache, row);
                    for at in columns.step_by(heads.key_size) {
                        let key = std::slice::from_raw_parts(k.at(row, at), heads.key_size);
                        append_key(page.add(heads.key(at / heads.key_size)), slot, key, heads.format);
                    }
                }
                Operation::AppendValue { v, heads, cache } => {
                    let (page, slot) = self.slot(*cache, row);
                    for at in columns.step_by(heads.value_size) {
                        let value = std::slice::from_raw_parts(v.at(row, at), heads.value_size);
                        append_value(page.add(heads.value(at / heads.value_size)), slot, value, heads.format);
                    }
                }
                Operation::Gate { out, gate, up, activation } => {
                    (math.gate)(
                        out.at(row, first),
                        gate.at(row, first),
                        up.at(row, first),
                        count,
                        *activation,
                    );
                }
                Operation::Activate { out, x, activation } => {
                    (math.activate)(out.at(row, first), x.at(row, first), count, *activation);
                }
                Operation::Add { out, x, y } => {
                    (math.add)(out.at(row, first), x.at(row, first), y.at(row, first), count);
                }
                Operation::Multiply { out, x, y } => {
                    (math.multiply)(out.at(row, first), x.at(row, first), y.at(row, first), count);
                }
                Operation::Scale { out, x, factor, soft_cap } => {
                    let soft_cap = soft_cap.unwrap_or(f32::INFINITY);
                    (math.scale)(out.at(row, first), x.at(row, first), count, *factor, soft_cap);
                }
                Operation::Select { out, x } => {
                    let from = self.step.outputs()[row] as usize;
                    out.at(row, first).copy_from_nonoverlapping(x.at(from, first), count);
                }
                Operation::Prepare { x, slot } => {
                    let x = std::slice::from_raw_parts(x.at(row, 0), x.columns);
                    self.shared.kernels.prepare(&self.program.activations[*slot], row, rows, x);
                }
            }
        }
    }

    /// Where the position of `row` is kept in a cache: its page, and its place in it.
    fn slot(&self, cache: usize, row: usize) -> (*mut u8, usize) {
        let position = self.step.positions()[row] as usize;
        let pages = &self.scratch.pages[cache][self.scratch.spans[row] as usize];
        (pages[position / PAGE] as *mut u8, position % PAGE)
    }
}

impl Segment {
    /// What an output column costs.
    fn cost(&self, rows: usize) -> usize {
        let cost = |part: &Part| part.weight.row_bytes() + rows * part.weight.columns() / 16;
        self.parts.iter().map(cost).sum()
    }
}

impl Operation {
    /// Columns of a row that it computes, or reads if it appends or prepares them.
    pub(super) fn columns(&self) -> usize {
        match self {
            Self::Embed { out, .. }
            | Self::RmsNorm { out, .. }
            | Self::LayerNorm { out, .. }
            | Self::Gate { out, .. }
            | Self::Activate { out, .. }
            | Self::Add { out, .. }
            | Self::Multiply { out, .. }
            | Self::Scale { out, .. }
            | Self::Select { out, .. } => out.columns,
            Self::AppendKey { k: x, .. }
            | Self::AppendValue { v: x, .. }
            | Self::Rope { x, .. }
            | Self::Prepare { x, .. } => x.columns,
        }
    }
}

fn rows_at_once(operations: &[Operation]) -> usize {
    let cost: usize = operations.iter().map(Operation::columns).sum();
    (ROWS_COST / cost.max(1)).max(1)
}

thread_local! {
    /// Where vectors that are not f32 in place are decoded; two at a time.
    static VECTORS: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Call `body` with the elements of a vector.
fn with_vector<T>(vector: &Weight, body: impl FnOnce(&[f32]) -> T) -> T {
    let bytes = vector.bytes();
    if vector.format() == Format::F32 && cfg!(target_endian = "little") {
        // SAFETY: every four bytes are an f32.
        let (before, elements, _) = unsafe { bytes.align_to::<f32>() };
        if before.is_empty() && elements.len() == vector.columns() {
            return body(elements);
        }
    }
    let mut decoded = VECTORS.with_borrow_mut(Vec::pop).unwrap_or_default();
    decoded.resize(vector.columns(), 0.0);
    vector.format().decode(bytes, &mut decoded);
    let result = body(&decoded);
    VECTORS.with_borrow_mut(|vectors| vectors.push(decoded));
    result
}

/// Write the key of one position into its key block, (elements, positions).
///
/// # Safety
/// The block has room for heads of this size, and nobody else uses what belongs to the position.
unsafe fn append_key(block: *mut u8, position: usize, key: &[f32], format: CacheFormat) {
    // SAFETY: the caller's promise.
    unsafe {
        match format {
            CacheFormat::F32 => {
                for (element, &value) in key.iter().enumerate() {
                    *block.cast::<f32>().add(element * PAGE + position) = value;
                }
            }
            CacheFormat::F16 => {
                for (element, &value) in key.iter().enumerate() {
                    *block.cast::<u16>().add(element * PAGE + position) =
                        half::f16::from_f32(value).to_bits();
                }
            }
            CacheFormat::Q8_0 => quantised(key, |group, scale, quants| {
                let scales = block.add(key.len() * PAGE).cast::<[u8; 2]>();
                *scales.add(group * PAGE + position) = scale;
                for (element, &quant) in quants.iter().enumerate() {
                    *block.add((group * 32 + element) * PAGE + position) = quant;
                }
            }),
        }
    }
}

/// Write the value of one position into its value block, (positions, elements).
///
/// # Safety
/// As for `append_key`.
unsafe fn append_value(block: *mut u8, position: usize, value: &[f32], format: CacheFormat) {
    let size = value.len();
    // SAFETY: the caller's promise.
    unsafe {
        match format {
            CacheFormat::F32 => {
                block.cast::<f32>().add(position * size).copy_from_nonoverlapping(value.as_ptr(), size);
            }
            CacheFormat::F16 => {
                for (element, &value) in value.iter().enumerate() {
                    *block.cast::<u16>().add(position * size + element) =
                        half::f16::from_f32(value).to_bits();
                }
            }
            CacheFormat::Q8_0 => quantised(value, |group, scale, quants| {
                let scales = block.add(size * PAGE).cast::<[u8; 2]>();
                *scales.add(position * (size / 32) + group) = scale;
                block.add(position * size + group * 32).copy_from_nonoverlapping(quants.as_ptr(), 32);
            }),
        }
    }
}

thread_local! {
    static BLOCKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Call `body` with number, scale and quants of every block of `elements` as Q8_0.
fn quantised(elements: &[f32], mut body: impl FnMut(usize, [u8; 2], &[u8])) {
    BLOCKS.with_borrow_mut(|blocks| {
        blocks.clear();
        Format::Q8_0.encode(elements, blocks);
        for (group, block) in blocks.chunks_exact(34).enumerate() {
            body(group, [block[0], block[1]], &block[2..]);
        }
    });
}
