//! One transformer layer: its weights, and what it does to the residual stream.

use crate::bindings::wasm_chord::inference::kernels::{
    Activation, AttentionShape, Plan, Recorder, RopeLayout, Rotary,
};
use crate::bindings::wasm_chord::inference::tensors::{Cache, Tensor, Weight};
use crate::config::Config;
use crate::error::Result;
use crate::file::File;
use crate::host::tensor;

/// Activations that all layers use in turn; one row for every token of a step.
pub struct Activations {
    /// The residual stream, `(width)`.
    pub x: Tensor,
    /// The same, normed, `(width)`.
    xn: Tensor,
    /// Queries, `(heads * key_size)`.
    q: Tensor,
    /// Keys, `(kv_heads * key_size)`.
    k: Tensor,
    /// Values, `(kv_heads * value_size)`.
    v: Tensor,
    /// What heads attended to, `(heads * value_size)`.
    attended: Tensor,
    /// What a branch adds to the residual stream, `(width)`.
    branch: Tensor,
    /// `(feed_forward)`
    gate: Tensor,
    /// `(feed_forward)`
    up: Tensor,
}

impl Activations {
    /// Room for the model's sizes.
    ///
    /// # Errors
    /// If the host has none.
    pub fn new(config: &Config) -> Result<Self> {
        Ok(Self {
            x: tensor(config.width)?,
            xn: tensor(config.width)?,
            q: tensor(config.heads * config.key_size)?,
            k: tensor(config.kv_heads * config.key_size)?,
            v: tensor(config.kv_heads * config.value_size)?,
            attended: tensor(config.heads * config.value_size)?,
            branch: tensor(config.width)?,
            gate: tensor(config.feed_forward)?,
            up: tensor(config.feed_forward)?,
        })
    }
}

/// A linear map, with a bias where the file has one.
struct Linear {
    weight: Weight,
    bias: Option<Weight>,
}

impl Linear {
    fn open(file: &File, name: &str, rows: u32, columns: u32) -> Result<Self> {
        Ok(Self {
            weight: file.matrix(&format!("{name}.weight"), rows, columns)?,
            bias: file.optional_vector(&format!("{name}.bias"), rows)?,
        })
    }

    fn record(&self, recorder: &Recorder, out: &Tensor, x: &Tensor) {
        recorder.matmul(out, x, &self.weight, self.bias.as_ref());
    }
}

/// The weights of one layer, named as in its file.
pub struct Layer {
    attention_norm: Weight,
    wq: Linear,
    wk: Linear,
    wv: Linear,
    /// Norms over each query and key head, where the architecture has them.
    q_norm: Option<Weight>,
    k_norm: Option<Weight>,
    wo: Linear,
    feed_forward_norm: Weight,
    w_gate: Linear,
    w_up: Linear,
    w_down: Linear,
}

impl Layer {
    /// Find the weights of layer `index`.
    ///
    /// # Errors
    /// If one is missing, has another shape, or a format the host cannot use.
    pub fn open(file: &File, config: &Config, index: u32) -> Result<Self> {
        let Config { width, feed_forward, heads, kv_heads, key_size, value_size, .. } = *config;
        let name = |part: &str| format!("blk.{index}.{part}");
        Ok(Self {
            attention_norm: file.vector(&name("attn_norm.weight"), width)?,
            wq: Linear::open(file, &name("attn_q"), heads * key_size, width)?,
            wk: Linear::open(file, &name("attn_k"), kv_heads * key_size, width)?,
            wv: Linear::open(file, &name("attn_v"), kv_heads * value_size, width)?,
            q_norm: file.optional_vector(&name("attn_q_norm.weight"), key_size)?,
            k_norm: file.optional_vector(&name("attn_k_norm.weight"), key_size)?,
            wo: Linear::open(file, &name("attn_output"), width, heads * value_size)?,
            feed_forward_norm: file.vector(&name("ffn_norm.weight"), width)?,
            w_gate: Linear::open(file, &name("ffn_gate"), feed_forward, width)?,
            w_up: Linear::open(file, &name("ffn_up"), feed_forward, width)?,
            w_down: Linear::open(file, &name("ffn_down"), width, feed_forward)?,
        })
    }

    /// Record what layer `index` does to `a.x`.
    ///
    /// # Errors
    /// If the device cannot plan it.
    pub fn record(
        &self,
        config: &Config,
        rotary: &Rotary,
        cache: &Cache,
        index: u32,
        a: &Activations,
    ) -> Result<Plan> {
        let recorder = Recorder::new();
        let r = &recorder;

        // Attention: every head looks back over the conversation.
        r.rms_norm(&a.xn, &a.x, &self.attention_norm, config.epsilon);
        self.wq.record(r, &a.q, &a.xn);
        self.wk.record(r, &a.k, &a.xn);
        self.wv.record(r, &a.v, &a.xn);
        if let Some(norm) = &self.q_norm {
            r.rms_norm(&a.q, &a.q, norm, config.epsilon);
        }
        if let Some(norm) = &self.k_norm {
            r.rms_norm(&a.k, &a.k, norm, config.epsilon);
        }
        r.rope(&a.q, rotary);
        r.rope(&a.k, rotary);
        r.attention(&a.attended, &a.q, &a.k, &a.v, cache, index, attention_shape(config));
        self.wo.record(r, &a.branch, &a.attended);
        r.add(&a.x, &a.x, &a.branch);

        // Feed-forward (SwiGLU): every token by itself.
        r.rms_norm(&a.xn, &a.x, &self.feed_forward_norm, config.epsilon);
        self.w_gate.record(r, &a.gate, &a.xn);
        self.w_up.record(r, &a.up, &a.xn);
        r.gate(&a.gate, &a.gate, &a.up, Activation::Silu);
        self.w_down.record(r, &a.branch, &a.gate);
        r.add(&a.x, &a.x, &a.branch);

        Ok(Recorder::finish(recorder)?)
    }
}

/// How heads of this model turn with their position.
pub fn rotary(config: &Config, factors: Option<&[f32]>) -> Rotary {
    let (frequencies, magnitude) = config.rope.frequencies(factors);
    let layout = if config.rope.adjacent { RopeLayout::Adjacent } else { RopeLayout::Halves };
    Rotary { layout, head_size: config.key_size, frequencies, magnitude }
}

fn attention_shape(config: &Config) -> AttentionShape {
    AttentionShape {
        heads: config.heads,
        kv_heads: config.kv_heads,
        key_size: config.key_size,
        value_size: config.value_size,
        scale: 1.0 / (config.key_size as f32).sqrt(),
        window: config.window,
        soft_cap: None,
    }
}
