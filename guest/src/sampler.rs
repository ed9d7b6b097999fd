//! The choice of the next token from its logits: llama.cpp's chain in llama.cpp's order.
//!
//! Bias, penalties, top-k, top-p, min-p, temperature, draw. A temperature of zero or less takes the most likely token after bias
//! and penalties instead. Of equally likely tokens the one with the lowest id comes first everywhere, so that a seed and a text
//! give the same tokens on every machine. This module knows nothing of models, caches or text.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use crate::error::{Error, Result};

/// How to choose; the default is llama.cpp's.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 or less takes the most likely token.
    pub temperature: f32,
    /// Keeps the most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the most likely tokens that together reach this probability; 1 or more keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as likely as the most likely; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies other logits of recent tokens; 1 changes nothing.
    pub repeat_penalty: f32,
    /// How many tokens count as recent; 0 turns all penalties off.
    pub repeat_last: u32,
    /// Subtracted from the logits of recent tokens.
    pub presence_penalty: f32,
    /// Subtracted from the logits of recent tokens, once for every time they occur.
    pub frequency_penalty: f32,
    /// Added to the logits of tokens; negative infinity forbids one.
    pub bias: Vec<(u32, f32)>,
    /// The beginning of the random numbers.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            repeat_last: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            bias: Vec::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] naming the field that is NaN or infinite, negative where it is a fraction, or a repeat penalty that
    /// is not positive.
    pub fn validate(&self) -> Result<()> {
        let refuse = |field: &str, what: &str, value: f32| {
            Err(Error::InvalidRequest(format!("the {field} must be {what}, not {value}")))
        };
        for (field, value) in [
            ("temperature", self.temperature),
            ("presence penalty", self.presence_penalty),
            ("frequency penalty", self.frequency_penalty),
        ] {
            if !value.is_finite() {
                return refuse(field, "a finite number", value);
            }
        }
        for (field, value) in [("top-p", self.top_p), ("min-p", self.min_p)] {
            if !value.is_finite() || value < 0.0 {
                return refuse(field, "zero or more", value);
            }
        }
        if !self.repeat_penalty.is_finite() || self.repeat_penalty <= 0.0 {
            return refuse("repeat penalty", "more than zero", self.repeat_penalty);
        }
        match self.bias.iter().find(|(_, bias)| bias.is_nan() || *bias == f32::INFINITY) {
            Some((_, bias)) => refuse("bias", "a finite number or negative infinity", *bias),
            None => Ok(()),
        }
    }

    /// Whether penalties change anything.
    fn penalizes(&self) -> bool {
        self.repeat_last > 0
            && (self.repeat_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0)
    }
}

/// Most of the highest logits that are worth asking for instead of all.
const MOST_TOP: u32 = 1024;

/// A token that is still in the race.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    token: u32,
    logit: f32,
    /// Not normalised: the most likely candidate has 1.
    weight: f32,
}

/// More likely first, then the lower id. Logits are never NaN here.
fn by_likelihood(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

/// A sampling with its random state; a clone draws the same tokens.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    /// Bias of each token at most once, by id.
    bias: Vec<(u32, f32)>,
    vocabulary: usize,
    random: Random,
    /// Kept between tokens so that none of them allocates; at most `vocabulary`.
    candidates: Vec<Candidate>,
    /// The changed logits; at most `vocabulary`.
    changed: Vec<f32>,
    /// Recent tokens in the order of their ids.
    recent: Vec<u32>,
}

impl Sampler {
    /// A sampler for a vocabulary of so many tokens.
    ///
    /// # Errors
    /// Those of [`Sampling::validate`], and [`Error::InvalidRequest`] for a bias of a token outside the vocabulary.
    pub fn new(sampling: Sampling, vocabulary: usize) -> Result<Sampler> {
        sampling.validate()?;
        if let Some((token, _)) = sampling.bias.iter().find(|(token, _)| *token as usize >= vocabulary) {
            return Err(Error::InvalidRequest(format!(
                "the bias of token {token} is outside the vocabulary of {vocabulary}"
            )));
        }
        let random = Random::new(sampling.seed);
        let mut bias = sampling.bias.clone();
        bias.sort_by_key(|(token, _)| *token);
        bias.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0.0 };
            same
        });
        Ok(Sampler {
            sampling,
            bias,
            vocabulary,
            random,
            candidates: Vec::new(),
            changed: Vec::new(),
            recent: Vec::new(),
        })
    }

    /// Whether these logits can be drawn from; the random state does not change.
    ///
    /// # Errors
    /// [`Error::Failed`] for NaN, positive infinity, a wrong length, or when no token is possible, bias included.
    pub fn check(&self, logits: &[f32]) -> Result<()> {
        if logits.len() != self.vocabulary || logits.is_empty() {
            return Err(Error::Failed(format!(
                "{} logits came for a vocabulary of {}",
                logits.len(),
                self.vocabulary
            )));
        }
        // NaN and infinity are the only values that are not below infinity. Chunks, so that a pass is vector instructions.
        let sound =
            logits.chunks(1024).all(|chunk| chunk.iter().fold(true, |sound, &l| sound & (l < f32::INFINITY)));
        let mut possible = logits.iter().any(|&logit| logit > f32::NEG_INFINITY);
        if !sound {
            return Err(Error::Failed("the logits are not finite".into()));
        }
        // A bias may forbid the last possible token.
        let forbids = self.bias.iter().any(|(_, bias)| *bias == f32::NEG_INFINITY);
        if forbids {
            let mut bias = self.bias.iter().peekable();
            possible = (0_u32..).zip(logits).any(|(token, logit)| {
                let bias = bias.next_if(|(biased, _)| *biased == token).map_or(0.0, |(_, bias)| *bias);
                *logit > f32::NEG_INFINITY && bias > f32::NEG_INFINITY
            });
        }
        if possible { Ok(()) } else { Err(Error::Failed("the logits leave no token possible".into())) }
    }

    /// How many of the highest logits suffice for [`Sampler::sample_top`]; `None` if the chain needs all.
    pub fn top(&self) -> Option<u32> {
        let all_may_change = !self.bias.is_empty() || self.sampling.penalizes();
        match self.sampling {
            _ if all_may_change => None,
            Sampling { temperature, .. } if temperature <= 0.0 => Some(1),
            Sampling { top_k: k, .. } => {
                ((1..=MOST_TOP).contains(&k) && (k as usize) < self.vocabulary).then_some(k)
            }
        }
    }

    /// As [`Sampler::check`], for the highest logits: NaN comes first among them.
    ///
    /// # Errors
    /// [`Error::Failed`] for NaN, positive infinity, or when no token is possible.
    pub fn check_top(&self, top: &[(u32, f32)]) -> Result<()> {
        match top.first() {
            Some((_, logit)) if logit.is_nan() || *logit == f32::INFINITY => {
                Err(Error::Failed("the logits are not finite".into()))
            }
            Some((_, logit)) if *logit > f32::NEG_INFINITY => Ok(()),
            _ => Err(Error::Failed("the logits leave no token possible".into())),
        }
    }

    /// Chooses the next token from the highest logits with their tokens, highest first, the lower token first among equals: as many
    /// as [`Sampler::top`] says. The same token as from all logits.
    ///
    /// # Errors
    /// Those of [`Sampler::check_top`].
    pub fn sample_top(&mut self, top: &[(u32, f32)]) -> Result<u32> {
        self.check_top(top)?;
        if self.sampling.temperature <= 0.0 {
            return Ok(top[0].0);
        }
        self.candidates.clear();
        let possible = top.iter().filter(|(_, logit)| *logit > f32::NEG_INFINITY);
        self.candidates.extend(possible.map(|&(token, logit)| Candidate { token, logit, weight: 0.0 }));
        self.draw().ok_or_else(|| Error::Failed("the logits leave no token possible".into()))
    }

    /// Chooses the next token from logits `(vocabulary)` after the tokens so far, of which only the last few count (see
    /// [`Sampling::repeat_last`]).
    ///
    /// # Errors
    /// Those of [`Sampler::check`].
    pub fn sample(&mut self, logits: &[f32], tokens: &[u32]) -> Result<u32> {
        self.check(logits)?;
        let mut changed = std::mem::take(&mut self.changed);
        let logits = if self.bias.is_empty() && !self.sampling.penalizes() {
            logits
        } else {
            changed.clear();
            changed.extend_from_slice(logits);
            self.adjust(&mut changed, tokens);
            &changed
        };
        let token = if self.sampling.temperature <= 0.0 {
            most_likely(logits)
        } else {
            self.keep_top_k(logits);
            self.draw()
        };
        self.changed = changed;
        token.ok_or_else(|| Error::Failed("the logits leave no token possible".into()))
    }

    /// Bias and penalties, in place.
    fn adjust(&mut self, logits: &mut [f32], tokens: &[u32]) {
        for &(token, bias) in &self.bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = clamp(*logit + bias);
            }
        }
        if !self.sampling.penalizes() {
            return;
        }
        let start = tokens.len().saturating_sub(self.sampling.repeat_last as usize);
        self.recent.clear();
        self.recent.extend_from_slice(&tokens[start..]);
        self.recent.sort_unstable();
        for same in self.recent.chunk_by(|a, b| a == b) {
            let Some(logit) = logits.get_mut(same[0] as usize) else { continue };
            let penalty = self.sampling.repeat_penalty;
            let scaled = if *logit <= 0.0 { *logit * penalty } else { *logit / penalty };
            let count = same.len() as f32;
            *logit = clamp(scaled - count * self.sampling.frequency_penalty - self.sampling.presence_penalty);
        }
    }

    /// The chain after top-k, on the candidates that it kept.
    fn draw(&mut self) -> Option<u32> {
        self.keep_top_p();
        self.keep_min_p();
        weigh(&mut self.candidates, self.sampling.temperature);
        let total: f64 = self.candidates.iter().map(|candidate| f64::from(candidate.weight)).sum();
        let mut left = self.random.fraction() * total;
        for candidate in &self.candidates {
            left -= f64::from(candidate.weight);
            if left < 0.0 {
                return Some(candidate.token);
            }
        }
        // Rounding may leave a last bit over.
        self.candidates.iter().rfind(|candidate| candidate.weight > 0.0).map(|candidate| candidate.token)
    }

    /// Fills the candidates with the `top_k` most likely tokens in order, or with all possible ones in any order.
    fn keep_top_k(&mut self, logits: &[f32]) {
        let candidates = &mut self.candidates;
        candidates.clear();
        let possible = (0_u32..)
            .zip(logits)
            .filter(|(_, logit)| **logit > f32::NEG_INFINITY)
            .map(|(token, &logit)| Candidate { token, logit, weight: 0.0 });
        let k = self.sampling.top_k as usize;
        if k == 0 || k >= logits.len() {
            candidates.extend(possible);
            return;
        }
        // Twice as many as wanted are collected, then halved by selection: what is below the worst of the kept never enters.
        let mut floor = f32::NEG_INFINITY;
        for candidate in possible {
            // Of equal logits the first ids have been seen already, so an equal one cannot enter.
            if candidate.logit <= floor {
                continue;
            }
            candidates.push(candidate);
            if candidates.len() >= 2 * k + 64 {
                candidates.select_nth_unstable_by(k - 1, by_likelihood);
                candidates.truncate(k);
                floor = candidates[k - 1].logit;
            }
        }
        candidates.sort_unstable_by(by_likelihood);
        candidates.truncate(k);
    }

    /// Keeps the most likely candidates, in order, that together reach `top_p`; at least one.
    fn keep_top_p(&mut self) {
        let candidates = &mut self.candidates;
        if self.sampling.top_p >= 1.0 {
            return;
        }
        weigh(candidates, 1.0);
        let total: f64 = candidates.iter().map(|candidate| f64::from(candidate.weight)).sum();
        let wanted = f64::from(self.sampling.top_p) * total;
        let mut sum = 0.0;
        // Without top-k there are as many as the vocabulary has: only as many are sorted as the sum needs.
        let (mut sorted, mut step) = (0, 128);
        for index in 0..candidates.len() {
            if index == sorted {
                let end = (sorted + step).min(candidates.len());
                let rest = &mut candidates[sorted..];
                if end - sorted < rest.len() {
                    rest.select_nth_unstable_by(end - sorted - 1, by_likelihood);
                }
                candidates[sorted..end].sort_unstable_by(by_likelihood);
                (sorted, step) = (end, step * 2);
            }
            sum += f64::from(candidates[index].weight);
            if sum >= wanted {
                candidates.truncate(index + 1);
                return;
            }
        }
    }

    /// Keeps the candidates that are at least `min_p` times as likely as the most likely; at least that one.
    fn keep_min_p(&mut self) {
        let min_p = self.sampling.min_p;
        if min_p <= 0.0 {
            return;
        }
        let best = best_logit(&self.candidates);
        let floor = best + min_p.min(1.0).ln();
        self.candidates.retain(|candidate| candidate.logit >= floor);
    }
}

/// Keeps a logit below infinity, which a bias or a penalty could make of a large one.
fn clamp(logit: f32) -> f32 {
    if logit.is_nan() { f32::NEG_INFINITY } else { logit.min(f32::MAX) }
}

/// The token with the highest logit, the lowest id of equal ones; none when all are impossible.
fn most_likely(logits: &[f32]) -> Option<u32> {
    // Eight maxima side by side are one vector instruction; the place of the highest is looked up after.
    let mut best = [f32::NEG_INFINITY; 8];
    let chunks = logits.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (best, &logit) in best.iter_mut().zip(chunk) {
            *best = if logit > *best { logit } else { *best };
        }
    }
    let best = best
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |best, &logit| if logit > best { logit } else { best });
    let position = logits.iter().position(|&logit| logit == best && logit > f32::NEG_INFINITY)?;
    u32::try_from(position).ok()
}

fn best_logit(candidates: &[Candidate]) -> f32 {
    candidates.iter().fold(f32::NEG_INFINITY, |best, candidate| best.max(candidate.logit))
}

/// Weighs each candidate by `exp((logit - best) / temperature)`. The exponential is the platform's; the guest carries its own
/// wherever it runs.
fn weigh(candidates: &mut [Candidate], temperature: f32) {
    let best = best_logit(candidates);
    for candidate in candidates {
        // Two extreme logits may be infinitely far apart, but never NaN: the best one is finite.
        candidate.weight = ((candidate.logit - best) / temperature).exp();
        if candidate.weight.is_nan() {
            candidate.weight = 1.0;
        }
    }
}

/// Random numbers: xoshiro256++ (Blackman and Vigna), its state filled by splitmix64 from the seed. Integers only, so the same
/// on every machine.
#[derive(Debug, Clone)]
struct Random([u64; 4]);

impl Random {
    fn new(seed: u64) -> Random {
        let mut state = seed;
        Random(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// From 0 to below 1, of 53 bits.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
