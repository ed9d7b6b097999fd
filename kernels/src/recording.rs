//! What a caller wants computed: verbs on tensors, checked when recorded.
//!
//! `out` comes first. Every tensor has as many rows as the step will have tokens; after `select`, as many as it keeps. A shape
//! that does not fit is an error here, once, so that devices need not check.

use crate::cache::Cache;
use crate::tensor::{Tensor, Weight};

/// One operation. Rows are independent but in `attention`; formulas are per row.
#[expect(missing_docs, reason = "operands are named as in their formula")]
#[derive(Clone)]
pub enum Verb {
    /// `out = table[token]`
    Embed { out: Tensor, table: Weight },
    /// `out = x / sqrt(mean(x^2) + epsilon) * scale`, over groups of `scale.columns()` columns.
    RmsNorm { out: Tensor, x: Tensor, scale: Weight, epsilon: f32 },
    /// `out = (x - mean(x)) / sqrt(variance(x) + epsilon) * scale + bias`
    LayerNorm { out: Tensor, x: Tensor, scale: Weight, bias: Option<Weight>, epsilon: f32 },
    /// `out = weight x + bias`; weight is `(out.columns, x.columns)`.
    Matmul { out: Tensor, x: Tensor, weight: Weight, bias: Option<Weight> },
    /// Rotate each head of `x`, in place, by its row's position.
    Rope { x: Tensor, rotary: Rotary },
    /// Append `k` and `v` to `layer` of the step's sequences, then attend from `q` causally over all of each.
    Attention {
        out: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        cache: Cache,
        layer: usize,
        shape: AttentionShape,
    },
    /// `out = activation(gate) * up`
    Gate { out: Tensor, gate: Tensor, up: Tensor, activation: Activation },
    /// `out = activation(x)`
    Activate { out: Tensor, x: Tensor, activation: Activation },
    /// `out = x + y`
    Add { out: Tensor, x: Tensor, y: Tensor },
    /// `out = x * y`
    Multiply { out: Tensor, x: Tensor, y: Tensor },
    /// `out = factor * x`, then `soft_cap * tanh(out / soft_cap)` if there is one.
    Scale { out: Tensor, x: Tensor, factor: f32, soft_cap: Option<f32> },
    /// Keep the rows that the step wants: row i of `out` is row `step.outputs()[i]` of `x`.
    Select { out: Tensor, x: Tensor },
}

/// Which elements of a head turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeLayout {
    /// Elements `2i` and `2i + 1`.
    Adjacent,
    /// Elements `i` and `i + rotated / 2`.
    Halves,
}

/// How heads turn with their position (Su et al., RoFormer). The caller computes the frequencies, so every scaling scheme fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    /// Which elements turn together.
    pub layout: RopeLayout,
    /// Elements of a head.
    pub head_size: usize,
    /// Radians per position of each pair; twice as many leading elements of each head turn, the rest stay.
    pub frequencies: Vec<f32>,
    /// Multiplies sine and cosine; 1 unless a scaling scheme says otherwise.
    pub magnitude: f32,
}

/// Sizes and variants of attention: `softmax(scale * q k) v` per head, query head `h` reading key head `h * kv_heads / heads`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements of a query and key head.
    pub key_size: usize,
    /// Elements of a value head.
    pub value_size: usize,
    /// Multiplies the scores.
    pub scale: f32,
    /// A position sees itself and the `window - 1` before it; all before it if `None`.
    pub window: Option<usize>,
    /// Scores become `cap * tanh(score / cap)`.
    pub soft_cap: Option<f32>,
}

/// Pointwise functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`
    Silu,
    /// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`
    GeluTanh,
    /// `x / (1 + exp(-1.702 x))`
    GeluQuick,
    /// `max(x, 0)`
    Relu,
    /// `max(x, 0)^2`
    ReluSquared,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `tanh(x)`
    Tanh,
}

/// Operands that do not fit each other: a bug of whoever recorded. Names the verb and the shapes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ShapeError(String);

/// Verbs in order, all checked.
#[derive(Clone, Default)]
pub struct Recording {
    verbs: Vec<Verb>,
    /// For each verb, whether it has only the selected rows.
    selected: Vec<bool>,
}

impl Recording {
    /// The verbs, in order.
    pub fn verbs(&self) -> &[Verb] {
        &self.verbs
    }

    /// Whether the verb at `index` writes only the rows that the step wants, not all of them.
    ///
    /// # Panics
    /// If there is no such verb.
    pub fn is_selected(&self, index: usize) -> bool {
        self.selected[index]
    }

    /// The weights that a run touches, in order.
    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        self.uses().map(|(weight, _)| weight)
    }

    /// The same, and whether each is a matrix that is multiplied there.
    pub fn uses(&self) -> impl Iterator<Item = (&Weight, bool)> {
        self.verbs.iter().flat_map(|verb| {
            let weights = verb.weights().into_iter().enumerate();
            weights.filter_map(|(index, weight)| Some((weight?, verb.multiplies(index))))
        })
    }

    /// The same recording with other weights: `replace` makes them of those that [`Self::uses`] has.
    ///
    /// # Errors
    /// Those of `replace`, and [`crate::Error::BadShape`] if it makes a matrix of another shape or format.
    pub fn with_weights(
        &self,
        mut replace: impl FnMut(&Weight, bool) -> Result<Weight, crate::Error>,
    ) -> Result<Self, crate::Error> {
        let mut replaced = self.clone();
        for verb in &mut replaced.verbs {
            let multiplies = [verb.multiplies(0), verb.multiplies(1)];
            for (weight, multiplied) in verb.weights_mut().into_iter().zip(multiplies) {
                let Some(weight) = weight else { continue };
                let other = replace(weight, multiplied)?;
                let shape = |weight: &Weight| (weight.format(), weight.rows(), weight.columns());
                if shape(&other) != shape(weight) {
                    return Err(crate::Error::BadShape("a weight in place of another has its shape".into()));
                }
                *weight = other;
            }
        }
        Ok(replaced)
    }
}

impl Verb {
    /// Its name in the contract, for messages and profiles.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embed { .. } => "embed",
            Self::RmsNorm { .. } => "rms-norm",
            Self::LayerNorm { .. } => "layer-norm",
            Self::Matmul { .. } => "matmul",
            Self::Rope { .. } => "rope",
            Self::Attention { .. } => "attention",
            Self::Gate { .. } => "gate",
            Self::Activate { .. } => "activate",
            Self::Add { .. } => "add",
            Self::Multiply { .. } => "multiply",
            Self::Scale { .. } => "scale",
            Self::Select { .. } => "select",
        }
    }

    /// Every tensor it reads or writes, `out` first.
    pub fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Self::Embed { out, .. } => vec![out],
            Self::Rope { x, .. } => vec![x],
            Self::RmsNorm { out, x, .. }
            | Self::LayerNorm { out, x, .. }
            | Self::Matmul { out, x, .. }
            | Self::Activate { out, x, .. }
            | Self::Scale { out, x, .. }
            | Self::Select { out, x } => vec![out, x],
            Self::Gate { out, gate, up, .. } => vec![out, gate, up],
            Self::Add { out, x, y } | Self::Multiply { out, x, y } => vec![out, x, y],
            Self::Attention { out, q, k, v, .. } => vec![out, q, k, v],
        }
    }

    fn weights(&self) -> [Option<&Weight>; 2] {
        match self {
            Self::Embed { table, .. } => [Some(table), None],
            Self::RmsNorm { scale, .. } => [Some(scale), None],
            Self::LayerNorm { scale, bias, .. } => [Some(scale), bias.as_ref()],
            Self::Matmul { weight, bias, .. } => [Some(weight), bias.as_ref()],
            _ => [None, None],
        }
    }

    /// Whether weight `index` is a matrix that is multiplied.
    fn multiplies(&self, index: usize) -> bool {
        matches!(self, Self::Matmul { .. }) && index == 0
    }

    fn weights_mut(&mut self) -> [Option<&mut Weight>; 2] {
        match self {
            Self::Embed { table, .. } => [Some(table), None],
            Self::RmsNorm { scale, .. } => [Some(scale), None],
            Self::LayerNorm { scale, bias, .. } => [Some(scale), bias.as_mut()],
            Self::Matmul { weight, bias, .. } => [Some(weight), bias.as_mut()],
            _ => [None, None],
        }
    }
}

/// Collects verbs; each method checks its operands.
#[derive(Default)]
pub struct Recorder {
    recording: Recording,
    /// Tensors that have only the selected rows.
    selected: Vec<Tensor>,
}

/// What the methods of [`Recorder`] return.
pub type Recorded = Result<(), ShapeError>;

impl Recorder {
    /// Most verbs in one recording.
    pub const LIMIT: usize = 4096;

    /// Nothing recorded yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All that was recorded.
    pub fn finish(self) -> Recording {
        self.recording
    }

    /// [`Verb::Embed`]
    pub fn embed(&mut self, out: &Tensor, table: &Weight) -> Recorded {
        check("embed", table.columns() == out.columns(), || {
            format!("a table of {} columns into {}", table.columns(), out.columns())
        })?;
        check("embed", !self.is_selected(out), || "all rows into selected rows".into())?;
        self.push(Verb::Embed { out: out.clone(), table: table.clone() }, out, &[])
    }

    /// [`Verb::RmsNorm`]
    pub fn rms_norm(&mut self, out: &Tensor, x: &Tensor, scale: &Weight, epsilon: f32) -> Recorded {
        same_columns("rms-norm", out, &[x])?;
        disjoint_or_same("rms-norm", out, &[x])?;
        let group = scale.columns();
        check("rms-norm", scale.rows() == 1 && out.columns().is_multiple_of(group), || {
            format!("{} x {group} scales for {} columns", scale.rows(), out.columns())
        })?;
        check("rms-norm", epsilon.is_finite() && epsilon >= 0.0, || format!("epsilon {epsilon}"))?;
        self.push(Verb::RmsNorm { out: out.clone(), x: x.clone(), scale: scale.clone(), epsilon }, out, &[x])
    }

    /// [`Verb::LayerNorm`]
    pub fn layer_norm(
        &mut self,
        out: &Tensor,
        x: &Tensor,
        scale: &Weight,
        bias: Option<&Weight>,
        epsilon: f32,
    ) -> Recorded {
        same_columns("layer-norm", out, &[x])?;
        disjoint_or_same("layer-norm", out, &[x])?;
        for vector in [Some(scale), bias].into_iter().flatten() {
            is_vector("layer-norm", vector, out.columns())?;
        }
        check("layer-norm", epsilon.is_finite() && epsilon >= 0.0, || format!("epsilon {epsilon}"))?;
        let verb = Verb::LayerNorm {
            out: out.clone(),
            x: x.clone(),
            scale: scale.clone(),
            bias: bias.cloned(),
            epsilon,
        };
        self.push(verb, out, &[x])
    }

    /// [`Verb::Matmul`]
    pub fn matmul(&mut self, out: &Tensor, x: &Tensor, weight: &Weight, bias: Option<&Weight>) -> Recorded {
        check("matmul", weight.columns() == x.columns() && weight.rows() == out.columns(), || {
            format!(
                "a weight of {} x {} from {} to {} columns",
                weight.rows(),
                weight.columns(),
                x.columns(),
                out.columns()
            )
        })?;
        check("matmul", !out.overlaps(x), || "out overlaps x".into())?;
        if let Some(bias) = bias {
            is_vector("matmul", bias, out.columns())?;
        }
        let verb =
            Verb::Matmul { out: out.clone(), x: x.clone(), weight: weight.clone(), bias: bias.cloned() };
        self.push(verb, out, &[x])
    }

    /// [`Verb::Rope`]
    pub fn rope(&mut self, x: &Tensor, rotary: &Rotary) -> Recorded {
        let (head_size, pairs) = (rotary.head_size, rotary.frequencies.len());
        check("rope", head_size > 0 && x.columns().is_multiple_of(head_size), || {
            format!("heads of {head_size} in {} columns", x.columns())
        })?;
        check("rope", pairs > 0 && pairs <= head_size / 2, || {
            format!("{pairs} pairs in heads of {head_size}")
        })?;
        let finite =
            rotary.magnitude.is_finite() && rotary.frequencies.iter().all(|frequency| frequency.is_finite());
        check("rope", finite, || "a frequency or the magnitude is not finite".into())?;
        self.push(Verb::Rope { x: x.clone(), rotary: rotary.clone() }, x, &[x])
    }

    /// [`Verb::Attention`]
    pub fn attention(
        &mut self,
        out: &Tensor,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        cache: &Cache,
        layer: usize,
        shape: &AttentionShape,
    ) -> Recorded {
        let AttentionShape { heads, kv_heads, key_size, value_size, scale, window, soft_cap } = *shape;
        check("attention", kv_heads > 0 && heads > 0 && heads.is_multiple_of(kv_heads), || {
            format!("{heads} heads on {kv_heads} key heads")
        })?;
        for (name, tensor, count, size) in [
            ("out", out, heads, value_size),
            ("q", q, heads, key_size),
            ("k", k, kv_heads, key_size),
            ("v", v, kv_heads, value_size),
        ] {
            check("attention", count.checked_mul(size) == Some(tensor.columns()), || {
                format!("{name} has {} columns, not {count} heads of {size}", tensor.columns())
            })?;
        }
        let cached = cache.shape();
        let fits = (cached.kv_heads, cached.key_size, cached.value_size) == (kv_heads, key_size, value_size);
        check("attention", fits && layer < cached.layers, || {
            format!(
                "layer {layer} of {kv_heads} heads of {key_size} and {value_size} in a cache of {cached:?}"
            )
        })?;
        check(
            "attention",
            scale.is_finite() && soft_cap.is_none_or(|cap| cap.is_finite() && cap > 0.0),
            || format!("scale {scale}, soft cap {soft_cap:?}"),
        )?;
        check("attention", window != Some(0), || "a window of 0 positions".into())?;
        check("attention", ![q, k, v].iter().any(|input| out.overlaps(input)), || {
            "out overlaps an input".into()
        })?;
        let rows = [q, k, v].iter().all(|input| !self.is_selected(input));
        check("attention", rows, || "on selected rows".into())?;
        let verb = Verb::Attention {
            out: out.clone(),
            q: q.clone(),
            k: k.clone(),
            v: v.clone(),
            cache: cache.clone(),
            layer,
            shape: *shape,
        };
        self.push(verb, out, &[q, k, v])
    }

    /// [`Verb::Gate`]
    pub fn gate(&mut self, out: &Tensor, gate: &Tensor, up: &Tensor, activation: Activation) -> Recorded {
        same_columns("gate", out, &[gate, up])?;
        disjoint_or_same("gate", out, &[gate, up])?;
        let verb = Verb::Gate { out: out.clone(), gate: gate.clone(), up: up.clone(), activation };
        self.push(verb, out, &[gate, up])
    }

    /// [`Verb::Activate`]
    pub fn activate(&mut self, out: &Tensor, x: &Tensor, activation: Activation) -> Recorded {
        same_columns("activate", out, &[x])?;
        disjoint_or_same("activate", out, &[x])?;
        self.push(Verb::Activate { out: out.clone(), x: x.clone(), activation }, out, &[x])
    }

    /// [`Verb::Add`]; with `out` being `x`, the residual.
    pub fn add(&mut self, out: &Tensor, x: &Tensor, y: &Tensor) -> Recorded {
        same_columns("add", out, &[x, y])?;
        disjoint_or_same("add", out, &[x, y])?;
        self.push(Verb::Add { out: out.clone(), x: x.clone(), y: y.clone() }, out, &[x, y])
    }

    /// [`Verb::Multiply`]
    pub fn multiply(&mut self, out: &Tensor, x: &Tensor, y: &Tensor) -> Recorded {
        same_columns("multiply", out, &[x, y])?;
        disjoint_or_same("multiply", out, &[x, y])?;
        self.push(Verb::Multiply { out: out.clone(), x: x.clone(), y: y.clone() }, out, &[x, y])
    }

    /// [`Verb::Scale`]
    pub fn scale(&mut self, out: &Tensor, x: &Tensor, factor: f32, soft_cap: Option<f32>) -> Recorded {
        same_columns("scale", out, &[x])?;
        disjoint_or_same("scale", out, &[x])?;
        check(
            "scale",
            factor.is_finite() && soft_cap.is_none_or(|cap| cap.is_finite() && cap > 0.0),
            || format!("factor {factor}, soft cap {soft_cap:?}"),
        )?;
        self.push(Verb::Scale { out: out.clone(), x: x.clone(), factor, soft_cap }, out, &[x])
    }

    /// [`Verb::Select`]
    pub fn select(&mut self, out: &Tensor, x: &Tensor) -> Recorded {
        same_columns("select", out, &[x])?;
        check("select", !out.shares_buffer(x), || "out shares its memory with x".into())?;
        check("select", !self.is_selected(x), || "x was selected already".into())?;
        if !self.is_selected(out) {
            self.selected.push(out.clone());
        }
        self.push(Verb::Select { out: out.clone(), x: x.clone() }, out, &[])
    }

    /// Keep `verb`, whose `out` has the rows of its `inputs`.
    fn push(&mut self, verb: Verb, out: &Tensor, inputs: &[&Tensor]) -> Recorded {
        let name = verb.name();
        check(name, self.recording.verbs.len() < Self::LIMIT, || format!("more than {} verbs", Self::LIMIT))?;
        let selected = inputs.iter().filter(|input| self.is_selected(input)).count();
        check(name, selected == 0 || selected == inputs.len(), || "selected rows meet all rows".into())?;
        let meets = selected == 0 && !inputs.is_empty() && self.is_selected(out);
        check(name, !meets, || "all rows into selected rows".into())?;
        if selected > 0 && !self.is_selected(out) {
            self.selected.push(out.clone());
        }
        self.recording.selected.push(self.is_selected(out));
        self.recording.verbs.push(verb);
        Ok(())
    }

    fn is_selected(&self, tensor: &Tensor) -> bool {
        self.selected.iter().any(|selected| selected.shares_buffer(tensor))
    }
}

fn check(verb: &str, holds: bool, message: impl FnOnce() -> String) -> Recorded {
    if holds { Ok(()) } else { Err(ShapeError(format!("{verb}: {}", message()))) }
}

fn same_columns(verb: &str, out: &Tensor, inputs: &[&Tensor]) -> Recorded {
    inputs.iter().try_for_each(|input| {
        check(verb, input.columns() == out.columns(), || {
            format!("{} columns into {}", input.columns(), out.columns())
        })
    })
}

fn disjoint_or_same(verb: &str, out: &Tensor, inputs: &[&Tensor]) -> Recorded {
    inputs.iter().try_for_each(|input| {
        check(verb, out.is(input) || !out.overlaps(input), || "out overlaps an input without being it".into())
    })
}

fn is_vector(verb: &str, vector: &Weight, columns: usize) -> Recorded {
    check(verb, vector.rows() == 1 && vector.columns() == columns, || {
        format!("a vector of {} x {} for {columns} columns", vector.rows(), vector.columns())
    })
}

#[cfg(test)]
mod tests;
