//! `cargo xtask synthetic SHAPE FORMAT OUT.gguf`: writes a large model of random weights, for benchmarks.
//!
//! Shapes, tensor names, metadata and the mix of block formats are those of the published models, so that speed and
//! memory are theirs too; what such a model says means nothing. Tensors are written as they are made: memory in use
//! stays at a few megabytes for any size.

mod blocks;
mod vocabulary;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use wasm_chord_gguf::{DataWriter, Kind, Metadata, Writer};

use blocks::Random;

/// Arguments of `cargo xtask synthetic`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Model whose dimensions to take
    shape: ShapeName,
    /// Format of the weights, by the name that llama.cpp gives the mix
    format: Format,
    /// File to write
    out: PathBuf,
    /// Seed of the weights
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A published model.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ShapeName {
    #[value(name = "tinyllama-1.1b")]
    TinyLlama1B,
    #[value(name = "llama-3.2-1b")]
    Llama32With1B,
    #[value(name = "llama-3.1-8b")]
    Llama31With8B,
}

/// A mix of block formats.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[value(name = "F16", alias = "f16")]
    F16,
    #[value(name = "Q8_0", alias = "q8_0")]
    Q8_0,
    #[value(name = "Q4_0", alias = "q4_0")]
    Q4_0,
    #[value(name = "Q4_K_M", alias = "q4_k_m")]
    Q4KM,
    #[value(name = "Q5_K_M", alias = "q5_k_m")]
    Q5KM,
    #[value(name = "Q6_K", alias = "q6_k")]
    Q6K,
}

/// The dimensions of a model of the llama architecture.
struct Shape {
    name: &'static str,
    layers: u64,
    hidden: u64,
    heads: u64,
    kv_heads: u64,
    head: u64,
    ffn: u64,
    context: u32,
    rope_base: f32,
    /// The factor of Llama 3's scaling of rotary frequencies, where it is used.
    rope_factor: Option<f64>,
    tied: bool,
    vocabulary: fn() -> vocabulary::Vocabulary,
}

impl ShapeName {
    fn shape(self) -> Shape {
        match self {
            Self::TinyLlama1B => Shape {
                name: "synthetic tinyllama-1.1b",
                layers: 22,
                hidden: 2048,
                heads: 32,
                kv_heads: 4,
                head: 64,
                ffn: 5632,
                context: 2048,
                rope_base: 10_000.0,
                rope_factor: None,
                tied: false,
                vocabulary: vocabulary::llama2,
            },
            Self::Llama32With1B => Shape {
                name: "synthetic llama-3.2-1b",
                layers: 16,
                hidden: 2048,
                heads: 32,
                kv_heads: 8,
                head: 64,
                ffn: 8192,
                context: 131_072,
                rope_base: 500_000.0,
                rope_factor: Some(32.0),
                tied: true,
                vocabulary: vocabulary::llama3,
            },
            Self::Llama31With8B => Shape {
                name: "synthetic llama-3.1-8b",
                layers: 32,
                hidden: 4096,
                heads: 32,
                kv_heads: 8,
                head: 128,
                ffn: 14_336,
                context: 131_072,
                rope_base: 500_000.0,
                rope_factor: Some(8.0),
                tied: false,
                vocabulary: vocabulary::llama3,
            },
        }
    }
}

/// Runs the task.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    write(arguments.shape, arguments.format, &arguments.out, arguments.seed)
}

/// Writes the model to `out`.
pub(crate) fn write(shape: ShapeName, format: Format, out: &Path, seed: u64) -> Result<()> {
    let shape = shape.shape();
    let vocabulary = (shape.vocabulary)();
    let tensors = tensors(&shape, vocabulary.len() as u64, format);
    let mut writer = Writer::new(metadata(&shape, vocabulary, format))?;
    for tensor in &tensors {
        writer.tensor(&tensor.name, &tensor.dimensions, tensor.kind)?;
    }
    let named = || format!("cannot write {}", out.display());
    let file = BufWriter::with_capacity(1 << 20, File::create(out).with_context(named)?);
    let mut data = writer.start(file).with_context(named)?;
    let mut random = Random::new(seed);
    for tensor in &tensors {
        write_tensor(&mut data, tensor, &shape, &mut random).with_context(named)?;
    }
    data.finish().with_context(named)?;
    Ok(())
}

/// Bytes of the weights that one token passes through: all but an embedding that is no output head, of which a token
/// reads one row.
pub(crate) fn bytes_per_token(shape: ShapeName, format: Format) -> u64 {
    let shape = shape.shape();
    let read = |tensor: &&Tensor| shape.tied || tensor.name != "token_embd.weight";
    let tensors = tensors(&shape, (shape.vocabulary)().len() as u64, format);
    tensors.iter().filter(read).filter_map(|tensor| tensor.kind.bytes(&tensor.dimensions)).sum()
}

/// What is in a tensor.
enum Content {
    /// Weights with a standard deviation of about 0.02.
    Matrix,
    /// The weight of a norm: ones.
    Norm,
    /// Divisors of the rotary frequencies.
    RopeFactors,
}

struct Tensor {
    name: String,
    /// Row length first.
    dimensions: Vec<u64>,
    kind: Kind,
    content: Content,
}

/// Every tensor of the model in the order of the file.
fn tensors(shape: &Shape, vocabulary: u64, format: Format) -> Vec<Tensor> {
    let matrix = |name: String, columns: u64, rows: u64, kind: Kind| Tensor {
        name,
        dimensions: vec![columns, rows],
        kind,
        content: Content::Matrix,
    };
    let vector = |name: String, size: u64, content: Content| Tensor {
        name,
        dimensions: vec![size],
        kind: Kind::F32,
        content,
    };
    let (hidden, ffn, keys) = (shape.hidden, shape.ffn, shape.kv_heads * shape.head);
    let base = format.base();
    let mut tensors = Vec::new();
    if shape.rope_factor.is_some() {
        tensors.push(vector("rope_freqs.weight".into(), shape.head / 2, Content::RopeFactors));
    }
    let embedding = if shape.tied { format.output() } else { base };
    tensors.push(matrix("token_embd.weight".into(), hidden, vocabulary, embedding));
    for layer in 0..shape.layers {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let sensitive = format.sensitive(layer, shape.layers);
        tensors.push(vector(name("attn_norm"), hidden, Content::Norm));
        tensors.push(matrix(name("attn_q"), hidden, shape.heads * shape.head, base));
        tensors.push(matrix(name("attn_k"), hidden, keys, base));
        tensors.push(matrix(name("attn_v"), hidden, keys, sensitive));
        tensors.push(matrix(name("attn_output"), shape.heads * shape.head, hidden, base));
        tensors.push(vector(name("ffn_norm"), hidden, Content::Norm));
        tensors.push(matrix(name("ffn_gate"), hidden, ffn, base));
        tensors.push(matrix(name("ffn_up"), hidden, ffn, base));
        tensors.push(matrix(name("ffn_down"), ffn, hidden, sensitive));
    }
    tensors.push(vector("output_norm.weight".into(), hidden, Content::Norm));
    if !shape.tied {
        tensors.push(matrix("output.weight".into(), hidden, vocabulary, format.output()));
    }
    tensors
}

/// The mixes as llama.cpp makes them from a llama model.
impl Format {
    /// The format of most matrices.
    fn base(self) -> Kind {
        match self {
            Self::F16 => Kind::F16,
            Self::Q8_0 => Kind::Q8_0,
            Self::Q4_0 => Kind::Q4_0,
            Self::Q4KM => Kind::Q4_K,
            Self::Q5KM => Kind::Q5_K,
            Self::Q6K => Kind::Q6_K,
        }
    }

    /// The format of the output head, and of the embedding where it serves as one.
    fn output(self) -> Kind {
        match self {
            Self::F16 | Self::Q8_0 => self.base(),
            _ => Kind::Q6_K,
        }
    }

    /// The format of a layer's values and of its second feed-forward matrix. The mixes called medium keep more bits of
    /// these in the first and the last eighth of the layers and in every third one between.
    fn sensitive(self, layer: u64, layers: u64) -> Kind {
        let eighth = layers / 8;
        let outer = layer < eighth || layer >= 7 * layers / 8;
        let medium = matches!(self, Self::Q4KM | Self::Q5KM);
        if medium && (outer || (layer - eighth) % 3 == 2) { Kind::Q6_K } else { self.base() }
    }

    /// The number of the mix in `general.file_type`.
    fn file_type(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
            Self::Q4KM => 15,
            Self::Q5KM => 17,
            Self::Q6K => 18,
        }
    }
}

fn metadata(shape: &Shape, vocabulary: vocabulary::Vocabulary, format: Format) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    metadata.insert("general.name", shape.name);
    metadata.insert("general.file_type", format.file_type());
    metadata.insert("general.quantization_version", 2u32);
    metadata.insert("llama.context_length", shape.context);
    metadata.insert("llama.embedding_length", shape.hidden as u32);
    metadata.insert("llama.block_count", shape.layers as u32);
    metadata.insert("llama.feed_forward_length", shape.ffn as u32);
    metadata.insert("llama.rope.dimension_count", shape.head as u32);
    metadata.insert("llama.rope.freq_base", shape.rope_base);
    metadata.insert("llama.attention.head_count", shape.heads as u32);
    metadata.insert("llama.attention.head_count_kv", shape.kv_heads as u32);
    metadata.insert("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
    metadata.insert("llama.vocab_size", vocabulary.len() as u32);
    vocabulary.describe(&mut metadata);
    metadata
}

fn write_tensor(
    data: &mut DataWriter<BufWriter<File>>,
    tensor: &Tensor,
    shape: &Shape,
    random: &mut Random,
) -> Result<()> {
    let floats = |values: Vec<f32>| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    match tensor.content {
        Content::Norm => data.append(&tensor.name, &floats(vec![1.0; tensor.dimensions[0] as usize]))?,
        Content::RopeFactors => data.append(&tensor.name, &floats(rope_factors(shape)))?,
        Content::Matrix => {
            let mut left = tensor.kind.bytes(&tensor.dimensions).context("a matrix of whole blocks")?;
            // A whole number of blocks of any format.
            let mut piece = vec![0; tensor.kind.block_bytes() as usize * 4096];
            while left > 0 {
                let size = left.min(piece.len() as u64) as usize;
                blocks::fill(tensor.kind, random, &mut piece[..size]);
                data.append(&tensor.name, &piece[..size])?;
                left -= size as u64;
            }
        }
    }
    Ok(())
}

/// What Llama 3 divides each rotary frequency by, (head / 2): nothing for wavelengths under a quarter of the original
/// context of 8192, the whole factor for those above it, a blend between.
fn rope_factors(shape: &Shape) -> Vec<f32> {
    let (context, low, high) = (8192.0, 1.0, 4.0);
    let factor = shape.rope_factor.unwrap_or(1.0);
    let divisor = |pair: u64| {
        let exponent = 2.0 * pair as f64 / shape.head as f64;
        let wavelength = std::f64::consts::TAU * f64::from(shape.rope_base).powf(exponent);
        let smooth = ((context / wavelength - low) / (high - low)).clamp(0.0, 1.0);
        (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
    };
    (0..shape.head / 2).map(divisor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medium_mixes_keep_more_bits_in_the_outer_layers_and_every_third() {
        let six_bit = |format: Format| -> Vec<u64> {
            (0..22).filter(|&layer| format.sensitive(layer, 22) == Kind::Q6_K).collect()
        };
        assert_eq!(six_bit(Format::Q4KM), [0, 1, 4, 7, 10, 13, 16, 19, 20, 21]);
        assert_eq!(six_bit(Format::Q5KM), six_bit(Format::Q4KM));
        assert!(six_bit(Format::Q4_0).is_empty());
    }

    #[test]
    fn a_token_passes_through_everything_but_an_embedding_that_is_no_head() {
        let per_layer = 2048 * (2 * 2048 + 2 * 256 + 3 * 5632);
        let tinyllama = 2 * (22 * per_layer + 32_000 * 2048) + 4 * 2048 * 45;
        assert_eq!(bytes_per_token(ShapeName::TinyLlama1B, Format::F16), tinyllama);
        let per_layer = 2048 * (2 * 2048 + 2 * 512 + 3 * 8192);
        let llama = 2 * (16 * per_layer + 128_256 * 2048) + 4 * (2048 * 33 + 32);
        assert_eq!(bytes_per_token(ShapeName::Llama32With1B, Format::F16), llama);
    }

    #[test]
    fn rope_factors_go_from_nothing_to_the_whole_factor() {
        let factors = rope_factors(&ShapeName::Llama32With1B.shape());
        assert_eq!(factors.len(), 32);
        assert_eq!((factors[0], factors[31]), (1.0, 32.0));
        assert!(factors.is_sorted());
    }
}
