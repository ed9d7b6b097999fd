//! Model files made by hand, so that anything in them can lie.

/// A model file: what is written is exactly what stands here.
#[derive(Clone)]
pub struct File {
    /// The first four bytes.
    pub magic: [u8; 4],
    /// Version of the format.
    pub version: u32,
    /// How many tensors it claims; the truth if `None`.
    pub tensor_count: Option<u64>,
    /// How many keys it claims; the truth if `None`.
    pub key_count: Option<u64>,
    /// Keys and values, in order.
    pub metadata: Vec<(String, Value)>,
    /// Rows of the tensor table, in order.
    pub tensors: Vec<Tensor>,
    /// What follows the tables, after padding.
    pub data: Vec<u8>,
}

/// A value of the metadata.
#[derive(Clone)]
pub enum Value {
    /// A number.
    U32(u32),
    /// A number.
    F32(f32),
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A list of numbers.
    I32s(Vec<i32>),
    /// A list of numbers.
    F32s(Vec<f32>),
    /// A type and any bytes.
    Raw(u32, Vec<u8>),
}

/// A row of the tensor table.
#[derive(Clone)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its shape, row length first.
    pub dimensions: Vec<u64>,
    /// How many dimensions it claims; the truth if `None`.
    pub dimension_count: Option<u32>,
    /// Number of its format; 0 is F32.
    pub kind: u32,
    /// Where its data begins, after the padding.
    pub offset: u64,
}

impl File {
    /// The smallest llama that runs: 1 layer, width 8, 2 heads, 8 tokens; its weights are F32.
    pub fn tiny() -> Self {
        let text = |text: &str| Value::Text(text.into());
        let names = ["<unk>", "<s>", "</s>", "\u{2581}", "a", "b", "\u{2581}a", "c"];
        let metadata = [
            ("general.architecture", text("llama")),
            ("llama.context_length", Value::U32(64)),
            ("llama.embedding_length", Value::U32(8)),
            ("llama.block_count", Value::U32(1)),
            ("llama.feed_forward_length", Value::U32(8)),
            ("llama.attention.head_count", Value::U32(2)),
            ("llama.attention.head_count_kv", Value::U32(1)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("llama.rope.dimension_count", Value::U32(4)),
            ("llama.rope.freq_base", Value::F32(10_000.0)),
            ("tokenizer.ggml.model", text("llama")),
            ("tokenizer.ggml.tokens", Value::Texts(names.map(str::to_owned).into())),
            ("tokenizer.ggml.scores", Value::F32s(vec![0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -4.0, -5.0])),
            ("tokenizer.ggml.token_type", Value::I32s(vec![2, 3, 3, 1, 1, 1, 1, 1])),
            ("tokenizer.ggml.bos_token_id", Value::U32(1)),
            ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ];
        let mut file = Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            key_count: None,
            metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
            tensors: Vec::new(),
            data: Vec::new(),
        };
        for (name, dimensions) in [
            ("token_embd.weight", &[8, 8][..]),
            ("blk.0.attn_norm.weight", &[8]),
            ("blk.0.attn_q.weight", &[8, 8]),
            ("blk.0.attn_k.weight", &[8, 4]),
            ("blk.0.attn_v.weight", &[8, 4]),
            ("blk.0.attn_output.weight", &[8, 8]),
            ("blk.0.ffn_norm.weight", &[8]),
            ("blk.0.ffn_gate.weight", &[8, 8]),
            ("blk.0.ffn_up.weight", &[8, 8]),
            ("blk.0.ffn_down.weight", &[8, 8]),
            ("output_norm.weight", &[8]),
        ] {
            file.add(name, dimensions);
        }
        file
    }

    /// Add an F32 tensor with data.
    pub fn add(&mut self, name: &str, dimensions: &[u64]) {
        let offset = self.data.len() as u64;
        self.tensors.push(Tensor {
            name: name.into(),
            dimensions: dimensions.into(),
            dimension_count: None,
            kind: 0,
            offset,
        });
        let count: u64 = dimensions.iter().product();
        // Small numbers without a pattern that an error could hide in.
        let numbers = (0..count).map(|index| ((index * 37 + offset * 11) % 64) as f32 / 64.0 - 0.4);
        self.data.extend(numbers.flat_map(f32::to_le_bytes));
        self.data.resize(self.data.len().next_multiple_of(32), 0);
    }

    /// Give a key another value, or add it.
    pub fn set(&mut self, key: &str, value: Value) {
        match self.metadata.iter_mut().find(|(other, _)| other == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.into(), value)),
        }
    }

    /// Take a key away.
    pub fn remove(&mut self, key: &str) {
        self.metadata.retain(|(other, _)| other != key);
    }

    /// A row of the tensor table.
    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).expect("there is such a tensor")
    }

    /// The same model in several files, as tools split large ones: all keys in the first, some tensors in each.
    pub fn split(&self, count: usize) -> Vec<Self> {
        let tensors_of_each = self.tensors.len().div_ceil(count);
        let part = |(index, tensors): (usize, &[Tensor])| {
            let metadata = if index == 0 { self.metadata.clone() } else { Vec::new() };
            let mut part = Self { metadata, tensors: Vec::new(), data: Vec::new(), ..self.clone() };
            part.set("split.no", Value::U32(index as u32));
            part.set("split.count", Value::U32(count as u32));
            part.set("split.tensors.count", Value::U32(self.tensors.len() as u32));
            for tensor in tensors {
                let start = tensor.offset as usize;
                let size = 4 * tensor.dimensions.iter().product::<u64>() as usize;
                part.tensors.push(Tensor { offset: part.data.len() as u64, ..tensor.clone() });
                part.data.extend(&self.data[start..start + size]);
                part.data.resize(part.data.len().next_multiple_of(32), 0);
            }
            part
        };
        self.tensors.chunks(tensors_of_each).enumerate().map(part).collect()
    }

    /// The bytes, and how many of them are the tables.
    pub fn bytes(&self) -> (Vec<u8>, usize) {
        let mut out = Vec::new();
        out.extend(self.magic);
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.extend(self.key_count.unwrap_or(self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            write_text(&mut out, key);
            write_value(&mut out, value);
        }
        for tensor in &self.tensors {
            write_text(&mut out, &tensor.name);
            out.extend(tensor.dimension_count.unwrap_or(tensor.dimensions.len() as u32).to_le_bytes());
            out.extend(tensor.dimensions.iter().flat_map(|size| size.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend(tensor.offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(32), 0);
        let tables = out.len();
        out.extend(&self.data);
        (out, tables)
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    let list = |out: &mut Vec<u8>, kind: u32, length: usize| {
        out.extend(9u32.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend((length as u64).to_le_bytes());
    };
    match value {
        Value::U32(number) => {
            out.extend(4u32.to_le_bytes());
            out.extend(number.to_le_bytes());
        }
        Value::F32(number) => {
            out.extend(6u32.to_le_bytes());
            out.extend(number.to_le_bytes());
        }
        Value::Text(text) => {
            out.extend(8u32.to_le_bytes());
            write_text(out, text);
        }
        Value::Texts(texts) => {
            list(out, 8, texts.len());
            texts.iter().for_each(|text| write_text(out, text));
        }
        Value::I32s(numbers) => {
            list(out, 5, numbers.len());
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        Value::F32s(numbers) => {
            list(out, 6, numbers.len());
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        Value::Raw(kind, bytes) => {
            out.extend(kind.to_le_bytes());
            out.extend(bytes);
        }
    }
}
