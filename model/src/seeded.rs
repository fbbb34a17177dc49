//! Seeded random models of well-known shapes, for demonstrations and benchmarks without downloads.

use std::fmt;
use std::str::FromStr;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::architecture::Architecture;
use crate::config::{Activation, EncoderConfig};
use crate::error::Error;
use crate::matrix::Matrix;
use crate::weights::{EmbeddingWeights, EncoderWeights, LayerNorm, LayerWeights, Linear};

/// The shape of a well-known encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// BERT-mini: 4 layers, 256 features, 4 heads, 1024 between the feed-forward projections.
    BertMini,
    /// MiniLM-L6: 6 layers, 384 features, 12 heads, 1536.
    MiniLm,
    /// DistilBERT: 6 layers, 768 features, 12 heads, 3072.
    DistilBert,
    /// BERT-base: 12 layers, 768 features, 12 heads, 3072.
    BertBase,
    /// BERT-large: 24 layers, 1024 features, 16 heads, 4096.
    BertLarge,
    /// ELECTRA-small: 12 layers, 256 features, 4 heads, 1024; embeddings of 128 features.
    ElectraSmall,
}

/// Rows of the word embedding table of the uncased English BERT models.
const VOCAB_SIZE: usize = 30522;
/// Rows of their position table.
const MAX_POSITION: usize = 512;
/// One feature in this many has a layer normalisation scale of [`OUTLIER_GAMMA`].
const OUTLIER_EVERY: usize = 128;
/// Trained encoders have a few such features; they are what makes activations hard to quantise.
const OUTLIER_GAMMA: f32 = 4.0;

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 6] = [
        Preset::BertMini,
        Preset::MiniLm,
        Preset::DistilBert,
        Preset::BertBase,
        Preset::BertLarge,
        Preset::ElectraSmall,
    ];

    /// The name used in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Preset::BertMini => "bert-mini",
            Preset::MiniLm => "minilm",
            Preset::DistilBert => "distilbert",
            Preset::BertBase => "bert-base",
            Preset::BertLarge => "bert-large",
            Preset::ElectraSmall => "electra-small",
        }
    }

    /// The shape, with the vocabulary of the uncased English BERT models.
    pub fn config(self) -> EncoderConfig {
        let (layers, hidden_size, heads) = match self {
            Preset::BertMini => (4, 256, 4),
            Preset::MiniLm => (6, 384, 12),
            Preset::DistilBert => (6, 768, 12),
            Preset::BertBase => (12, 768, 12),
            Preset::BertLarge => (24, 1024, 16),
            Preset::ElectraSmall => (12, 256, 4),
        };
        let architecture = match self {
            Preset::DistilBert => Architecture::DistilBert,
            Preset::ElectraSmall => Architecture::Electra,
            _ => Architecture::Bert,
        };
        EncoderConfig {
            architecture,
            hidden_size,
            layers,
            heads,
            attention_size: None,
            intermediate_size: 4 * hidden_size,
            embedding_size: (self == Preset::ElectraSmall).then_some(128),
            vocab_size: VOCAB_SIZE,
            max_position: MAX_POSITION,
            position_offset: 0,
            type_vocab_size: if architecture.has_token_types() { 2 } else { 1 },
            layer_norm_eps: 1e-12,
            activation: Activation::Gelu,
        }
    }
}

impl From<Preset> for EncoderConfig {
    fn from(preset: Preset) -> EncoderConfig {
        preset.config()
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        Preset::ALL.into_iter().find(|p| p.name() == s).ok_or_else(|| Error::UnknownPreset {
            found: s.to_owned(),
            expected: Preset::ALL.map(Preset::name).join(", "),
        })
    }
}

/// Random weights for a configuration; equal seeds give equal weights on every machine.
///
/// Linear weights have mean 0 and standard deviation `1 / sqrt(K)` (0.03 to 0.06 for the presets),
/// so that outputs are as large as inputs and attention scores vary by about one; embeddings have a
/// standard deviation of 0.05; layer normalisation scales lie around 1 with a few outliers at 4.
/// Values are sums of four uniform numbers, close to a normal distribution and cut off at 3.5
/// standard deviations. There is a pooler in the architectures that may have one.
pub fn seeded_weights(config: &EncoderConfig, seed: u64) -> EncoderWeights {
    let (hidden, features) = (config.hidden_size, config.embedding_features());
    let embeddings = EmbeddingWeights {
        word: Stream::new(seed, 0, 0).matrix(config.vocab_size, features, 0.05),
        position: Stream::new(seed, 0, 1).matrix(config.max_position, features, 0.05),
        token_type: match config.architecture.has_token_types() {
            true => Stream::new(seed, 0, 2).matrix(config.type_vocab_size, features, 0.05),
            false => Matrix::zeros(config.type_vocab_size, features),
        },
        norm: Stream::new(seed, 0, 3).norm(features),
        projection: config.projects_embeddings().then(|| Stream::new(seed, 0, 4).linear(hidden, features)),
    };
    let layers = (0..config.layers)
        .into_par_iter()
        .map(|layer| {
            let stream = |part| Stream::new(seed, layer + 1, part);
            let (inner, attended) = (config.intermediate_size, config.attention_features());
            LayerWeights {
                q: stream(0).linear(attended, hidden),
                k: stream(1).linear(attended, hidden),
                v: stream(2).linear(attended, hidden),
                o: stream(3).linear(hidden, attended),
                attention_norm: stream(4).norm(hidden),
                up: stream(5).linear(inner, hidden),
                down: stream(6).linear(hidden, inner),
                output_norm: stream(7).norm(hidden),
            }
        })
        .collect();
    let pooler = config.architecture.has_pooler().then(|| Stream::new(seed, 0, 5).linear(hidden, hidden));
    EncoderWeights { embeddings: embeddings.into(), layers, pooler }
}

/// Random token ids in `0..vocab_size`, `count` sequences of `length` tokens.
pub fn seeded_ids(vocab_size: usize, count: usize, length: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut id = || ((u64::from(rng.next_u32()) * vocab_size as u64) >> 32) as u32;
    (0..count).map(|_| (0..length).map(|_| id()).collect()).collect()
}

/// The random numbers of one tensor, independent of those of all others.
struct Stream {
    rng: ChaCha8Rng,
}

impl Stream {
    /// Tensors of a group (0: embeddings, then the layers) are numbered by `part < 16`.
    fn new(seed: u64, group: usize, part: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(group as u64 * 16 + part);
        Self { rng }
    }

    /// Mean 0, standard deviation 1: the sum of four uniform 16-bit numbers, centred and scaled.
    fn normal(&mut self) -> f32 {
        /// Standard deviation of the sum of four uniform numbers in `0..65536`.
        const DEVIATION: f32 = 65536.0 * 0.577_350_3;
        let bits = self.rng.next_u64();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
        (sum as f32 - 2.0 * 65535.0) / DEVIATION
    }

    fn vector(&mut self, length: usize, mean: f32, deviation: f32) -> Vec<f32> {
        (0..length).map(|_| mean + deviation * self.normal()).collect()
    }

    fn matrix(&mut self, rows: usize, cols: usize, deviation: f32) -> Matrix {
        Matrix { rows, cols, data: self.vector(rows * cols, 0.0, deviation) }
    }

    fn linear(&mut self, outputs: usize, inputs: usize) -> Linear {
        let weight = self.matrix(outputs, inputs, 1.0 / (inputs as f32).sqrt());
        Linear { weight, bias: self.vector(outputs, 0.0, 0.02) }
    }

    fn norm(&mut self, features: usize) -> LayerNorm {
        let mut gamma = self.vector(features, 1.0, 0.1);
        gamma.iter_mut().step_by(OUTLIER_EVERY).for_each(|g| *g *= OUTLIER_GAMMA);
        LayerNorm { gamma, beta: self.vector(features, 0.0, 0.1) }
    }
}
