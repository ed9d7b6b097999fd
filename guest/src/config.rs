//! The numbers of a model, from its metadata; what differs between architectures of the llama family is a field here.

use wasm_chord_gguf::Metadata;

use crate::error::{Error, Result};

/// Most layers that are believed.
const LAYERS: u32 = 1 << 12;
/// Widest vector that is believed: residual stream, feed-forward, all heads together.
const WIDTH: u32 = 1 << 20;
/// Longest trained context that is believed; longer claims count as this.
const CONTEXT: u32 = 1 << 30;

/// The architectures this guest runs, as `general.architecture` names them.
pub const ARCHITECTURES: [&str; 3] = ["llama", "qwen2", "qwen3"];

/// The numbers of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `general.architecture`
    pub architecture: &'static str,
    /// Transformer layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub width: u32,
    /// Width inside the feed-forward network.
    pub feed_forward: u32,
    /// Query heads of a layer.
    pub heads: u32,
    /// Key and value heads of a layer; divides `heads`.
    pub kv_heads: u32,
    /// Elements of a query and of a key head.
    pub key_size: u32,
    /// Elements of a value head.
    pub value_size: u32,
    /// Added to the mean square in norms.
    pub epsilon: f32,
    /// Positions the model was trained for.
    pub context: u32,
    /// A position sees this many, itself included; all before it if `None`.
    pub window: Option<u32>,
    /// How heads turn with their position.
    pub rope: Rope,
}

/// How heads turn with their position: base frequencies and what was done to them for long contexts.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Whether elements `2i` and `2i + 1` turn together, as in llama files, or `i` and `i + rotated / 2`.
    pub adjacent: bool,
    /// Leading elements of each head that turn.
    pub rotated: u32,
    /// The slowest pair turns by almost `1 / base` radians per position, the fastest by 1.
    pub base: f32,
    /// The scheme for contexts longer than the base model's.
    pub scaling: RopeScaling,
}

/// Schemes for contexts longer than the base model's. Llama 3's comes as a tensor of factors instead.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// None.
    None,
    /// Positions divided by a factor.
    Linear(f32),
    /// YaRN (Peng et al. 2023): slow pairs are interpolated, fast ones kept, between them a ramp.
    Yarn {
        /// Ratio of long to original context.
        factor: f32,
        /// Context of the base model.
        original: f32,
        /// Pairs that turn more often than this over the original context are kept.
        fast: f32,
        /// Pairs that turn less often than this are interpolated.
        slow: f32,
        /// Multiplies the magnitude besides `1 + 0.1 ln(factor)`.
        attention: f32,
    },
}

impl Config {
    /// Read the numbers of a model and check that they make sense together.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an architecture or variant that this guest does not run, [`Error::Malformed`] for a number
    /// that is missing or cannot be.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self> {
        let name = metadata.require_string("general.architecture")?;
        let Some(&architecture) = ARCHITECTURES.iter().find(|&&known| known == name) else {
            let known = ARCHITECTURES.join(", ");
            return Err(Error::Unsupported(format!(
                "architecture {name:?} is not among those of this guest: {known}"
            )));
        };
        let read = Reader { metadata, architecture };
        if read.optional_u32("expert_count")?.unwrap_or(0) > 0 {
            return Err(Error::Unsupported(format!(
                "mixture-of-experts models of architecture {name:?} are not supported"
            )));
        }

        let layers = read.u32_up_to("block_count", LAYERS)?;
        let width = read.u32_up_to("embedding_length", WIDTH)?;
        let feed_forward = read.u32_up_to("feed_forward_length", WIDTH)?;
        let heads = read.u32_up_to("attention.head_count", WIDTH)?;
        let kv_heads = read.optional_u32("attention.head_count_kv")?.unwrap_or(heads);
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(Error::Malformed(format!(
                "{heads} heads cannot share {kv_heads} key and value heads"
            )));
        }
        let head_size = |key| -> Result<u32> {
            let size = match read.optional_u32(key)? {
                Some(size) => size,
                None if width.is_multiple_of(heads) => width / heads,
                None => {
                    return Err(Error::Malformed(format!("width {width} does not split into {heads} heads")));
                }
            };
            if size == 0 || size.checked_mul(heads).is_none_or(|all| all > WIDTH) {
                return Err(Error::Malformed(format!("{heads} heads of {size} elements")));
            }
            Ok(size)
        };
        let key_size = head_size("attention.key_length")?;
        let value_size = head_size("attention.value_length")?;
        let epsilon = read.f32("attention.layer_norm_rms_epsilon")?;
        if !(0.0..1.0).contains(&epsilon) {
            return Err(Error::Malformed(format!("the norms' epsilon is {epsilon}")));
        }

        Ok(Self {
            architecture,
            layers,
            width,
            feed_forward,
            heads,
            kv_heads,
            key_size,
            value_size,
            epsilon,
            context: read.u32("context_length")?.clamp(1, CONTEXT),
            window: read.optional_u32("attention.sliding_window")?.filter(|&window| window > 0),
            rope: Rope::read(&read, key_size)?,
        })
    }
}

impl Rope {
    fn read(read: &Reader<'_>, key_size: u32) -> Result<Self> {
        let rotated = read.optional_u32("rope.dimension_count")?.unwrap_or(key_size);
        if rotated == 0 || rotated > key_size || !rotated.is_multiple_of(2) {
            return Err(Error::Malformed(format!(
                "{rotated} of {key_size} elements of a head cannot rotate"
            )));
        }
        let base = read.optional_f32("rope.freq_base")?.unwrap_or(10_000.0);
        if !(base.is_finite() && base > 1.0) {
            return Err(Error::Malformed(format!("the rotary base frequency is {base}")));
        }
        let scaling = RopeScaling::read(read)?;
        Ok(Self { adjacent: read.architecture == "llama", rotated, base, scaling })
    }

    /// Radians per position of each pair, `(rotated / 2)`, and the magnitude of the rotation. `factors`, if the file has them,
    /// divide the frequencies of the pairs; there are as many.
    pub fn frequencies(&self, factors: Option<&[f32]>) -> (Vec<f32>, f32) {
        let pairs = self.rotated / 2;
        let base = |pair: u32| {
            let frequency = 1.0 / self.base.powf((2 * pair) as f32 / self.rotated as f32);
            factors.map_or(frequency, |factors| frequency / factors[pair as usize])
        };
        match self.scaling {
            RopeScaling::None => ((0..pairs).map(base).collect(), 1.0),
            RopeScaling::Linear(factor) => ((0..pairs).map(|pair| base(pair) / factor).collect(), 1.0),
            RopeScaling::Yarn { factor, original, fast, slow, attention } => {
                let rotated = self.rotated as f32;
                // The pair that turns `turns` times over the original context.
                let pair_of = |turns: f32| {
                    rotated * (original / (turns * std::f32::consts::TAU)).ln() / (2.0 * self.base.ln())
                };
                let low = pair_of(fast).floor().max(0.0);
                let high = pair_of(slow).ceil().min(rotated - 1.0);
                let scaled = |pair: u32| {
                    let ramp = ((pair as f32 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                    base(pair) * (ramp / factor + (1.0 - ramp))
                };
                ((0..pairs).map(scaled).collect(), attention * (1.0 + 0.1 * factor.ln()))
            }
        }
    }
}

impl RopeScaling {
    fn read(read: &Reader<'_>) -> Result<Self> {
        let factor = match read.optional_f32("rope.scaling.factor")? {
            Some(factor) => factor,
            None => read.optional_f32("rope.scale_linear")?.unwrap_or(1.0),
        };
        let kind = read.metadata.string(&read.key("rope.scaling.type"))?.unwrap_or("linear");
        if kind == "none" || factor == 1.0 || factor == 0.0 {
            return Ok(Self::None);
        }
        if !(factor.is_finite() && factor > 0.0) {
            return Err(Error::Malformed(format!("the rotary scaling factor is {factor}")));
        }
        match kind {
            "linear" => Ok(Self::Linear(factor)),
            "yarn" => {
                let or = |key, default| Ok::<f32, Error>(read.optional_f32(key)?.unwrap_or(default));
                let original = read.optional_u32("rope.scaling.original_context_length")?;
                let original = original.map_or_else(|| read.u32("context_length"), Ok)? as f32;
                let (fast, slow) =
                    (or("rope.scaling.yarn_beta_fast", 32.0)?, or("rope.scaling.yarn_beta_slow", 1.0)?);
                let attention = or("rope.scaling.yarn_attn_factor", or("rope.scaling.attn_factor", 1.0)?)?;
                if ![fast, slow, attention, original].iter().all(|number| number.is_finite() && *number > 0.0)
                {
                    return Err(Error::Malformed("the numbers of YaRN scaling cannot be".into()));
                }
                Ok(Self::Yarn { factor, original, fast, slow, attention })
            }
            other => Err(Error::Unsupported(format!("rotary scaling {other:?} is not supported"))),
        }
    }
}

/// Reads keys of one architecture.
struct Reader<'a> {
    metadata: &'a Metadata,
    architecture: &'static str,
}

impl Reader<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn optional_u32(&self, key: &str) -> Result<Option<u32>> {
        Ok(self.metadata.u32(&self.key(key))?)
    }

    fn optional_f32(&self, key: &str) -> Result<Option<f32>> {
        Ok(self.metadata.f32(&self.key(key))?)
    }

    fn u32(&self, key: &str) -> Result<u32> {
        Ok(self.metadata.require_u32(&self.key(key))?)
    }

    fn f32(&self, key: &str) -> Result<f32> {
        Ok(self.metadata.require_f32(&self.key(key))?)
    }

    /// A number that must be there, from 1 to `limit`.
    fn u32_up_to(&self, key: &str, limit: u32) -> Result<u32> {
        let value = self.u32(key)?;
        if (1..=limit).contains(&value) {
            return Ok(value);
        }
        Err(Error::Malformed(format!("{} is {value}, not 1 to {limit}", self.key(key))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llama() -> Metadata {
        let mut metadata = Metadata::new();
        metadata.insert("general.architecture", "llama");
        for (key, value) in [
            ("block_count", 2u32),
            ("embedding_length", 256),
            ("feed_forward_length", 512),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
            ("context_length", 2048),
        ] {
            metadata.insert(format!("llama.{key}"), value);
        }
        metadata.insert("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
        metadata
    }

    #[test]
    fn absent_numbers_take_their_defaults() {
        let config = Config::from_metadata(&llama()).unwrap();
        assert_eq!((config.key_size, config.value_size, config.kv_heads), (64, 64, 2));
        assert_eq!(
            config.rope,
            Rope { adjacent: true, rotated: 64, base: 10_000.0, scaling: RopeScaling::None }
        );
        assert_eq!(config.window, None);
    }

    #[test]
    fn lying_numbers_are_refused() {
        for (key, value) in [
            ("llama.block_count", 1_000_000_000u32),
            ("llama.block_count", 0),
            ("llama.embedding_length", 0),
            ("llama.attention.head_count", 0),
            ("llama.attention.head_count", 3),
            ("llama.attention.head_count_kv", 0),
            ("llama.attention.head_count_kv", 3),
            ("llama.attention.head_count_kv", 8),
            ("llama.attention.key_length", 0),
            ("llama.attention.key_length", u32::MAX),
            ("llama.rope.dimension_count", 63),
            ("llama.rope.dimension_count", 128),
            ("llama.rope.dimension_count", 0),
            ("llama.feed_forward_length", u32::MAX),
        ] {
            let mut metadata = llama();
            metadata.insert(key, value);
            let result = Config::from_metadata(&metadata);
            assert!(matches!(result, Err(Error::Malformed(_))), "{key} = {value}: {result:?}");
        }
        for (key, value) in [
            ("llama.attention.layer_norm_rms_epsilon", f32::NAN),
            ("llama.attention.layer_norm_rms_epsilon", -1.0),
            ("llama.rope.freq_base", f32::INFINITY),
            ("llama.rope.freq_base", 0.0),
            ("llama.rope.scaling.factor", f32::NAN),
            ("llama.rope.scaling.factor", -2.0),
        ] {
            let mut metadata = llama();
            metadata.insert(key, value);
            let result = Config::from_metadata(&metadata);
            assert!(matches!(result, Err(Error::Malformed(_))), "{key} = {value}: {result:?}");
        }
    }

    #[test]
    fn what_this_guest_lacks_is_named() {
        let mut metadata = llama();
        metadata.insert("general.architecture", "mamba");
        let Err(Error::Unsupported(message)) = Config::from_metadata(&metadata) else { panic!("accepted") };
        assert!(message.contains("mamba") && message.contains("qwen3"), "{message}");

        let mut metadata = llama();
        metadata.insert("llama.expert_count", 8u32);
        assert!(matches!(Config::from_metadata(&metadata), Err(Error::Unsupported(_))));

        let mut metadata = llama();
        metadata.insert("llama.rope.scaling.type", "longrope");
        metadata.insert("llama.rope.scaling.factor", 4.0f32);
        assert!(matches!(Config::from_metadata(&metadata), Err(Error::Unsupported(_))));
    }

    #[test]
    fn linear_scaling_divides_and_factors_divide_frequencies() {
        let rope = Rope { adjacent: true, rotated: 4, base: 100.0, scaling: RopeScaling::Linear(2.0) };
        let (frequencies, magnitude) = rope.frequencies(Some(&[1.0, 5.0]));
        assert_eq!(magnitude, 1.0);
        assert!(
            (frequencies[0] - 0.5).abs() < 1e-7 && (frequencies[1] - 0.01).abs() < 1e-7,
            "{frequencies:?}"
        );
    }

    #[test]
    fn yarn_keeps_fast_pairs_and_interpolates_slow_ones() {
        let scaling =
            RopeScaling::Yarn { factor: 4.0, original: 4096.0, fast: 32.0, slow: 1.0, attention: 1.0 };
        let scaled = Rope { adjacent: false, rotated: 128, base: 10_000.0, scaling };
        let plain = Rope { scaling: RopeScaling::None, ..scaled.clone() };
        let ((scaled, magnitude), (plain, _)) = (scaled.frequencies(None), plain.frequencies(None));
        assert_eq!(scaled[0], plain[0]);
        assert!((scaled[63] - plain[63] / 4.0).abs() < 1e-9);
        assert!((magnitude - (1.0 + 0.1 * 4f32.ln())).abs() < 1e-6);
        assert!(
            scaled.iter().zip(&plain).all(|(scaled, plain)| scaled <= plain && *scaled >= plain / 4.0 - 1e-9)
        );
    }
}
