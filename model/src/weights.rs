//! The f32 weights of an encoder.

use std::sync::Arc;

use crate::matrix::Matrix;

/// A linear layer, `y[m] = sum_k weight[m][k] * x[k] + bias[m]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// `[M][K]`: output features by input features.
    pub weight: Matrix,
    /// `[M]`.
    pub bias: Vec<f32>,
}

impl Linear {
    /// M, the number of output features.
    pub fn outputs(&self) -> usize {
        self.weight.rows
    }

    /// K, the number of input features.
    pub fn inputs(&self) -> usize {
        self.weight.cols
    }
}

/// Parameters of a layer normalisation,
/// `y[k] = gamma[k] * (x[k] - mean(x)) / sqrt(var(x) + eps) + beta[k]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// Scale, `[hidden]`.
    pub gamma: Vec<f32>,
    /// Shift, `[hidden]`.
    pub beta: Vec<f32>,
}

/// The embedding tables, the layer normalisation after their sum, and what leads to the width of the layers.
///
/// `x = norm(word[id] + token_type[type] + position[place])`, then `projection(x)` if there is one. E is
/// [`EncoderConfig::embedding_features`](crate::EncoderConfig::embedding_features), nearly always the hidden size.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingWeights {
    /// `[vocab_size][E]`.
    pub word: Matrix,
    /// `[max_position][E]`; the first token of a sequence uses row 0 in every architecture.
    pub position: Matrix,
    /// `[type_vocab_size][E]`; single sentences use row 0. One row of zeros in architectures without token types.
    pub token_type: Matrix,
    /// Layer normalisation of the sum.
    pub norm: LayerNorm,
    /// `hidden x E`, if E is not the hidden size.
    pub projection: Option<Linear>,
}

/// One encoder layer.
///
/// `q`, `k`, `v`, `o` are `hidden x hidden`, `up` is `intermediate x hidden`, `down` is
/// `hidden x intermediate`.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeights {
    /// Query projection.
    pub q: Linear,
    /// Key projection.
    pub k: Linear,
    /// Value projection.
    pub v: Linear,
    /// Attention output projection.
    pub o: Linear,
    /// Layer normalisation after attention and residual.
    pub attention_norm: LayerNorm,
    /// First feed-forward projection, before the activation.
    pub up: Linear,
    /// Second feed-forward projection, after the activation.
    pub down: Linear,
    /// Layer normalisation after the feed-forward block and residual.
    pub output_norm: LayerNorm,
}

/// Names of the six linear layers, in the order of [`LayerWeights::linears`].
pub const LINEAR_NAMES: [&str; 6] = ["q", "k", "v", "o", "up", "down"];

impl LayerWeights {
    /// The six linear layers in the order they run: q, k, v, o, up, down.
    pub fn linears(&self) -> [&Linear; 6] {
        [&self.q, &self.k, &self.v, &self.o, &self.up, &self.down]
    }

    /// The same, mutable.
    pub(crate) fn linears_mut(&mut self) -> [&mut Linear; 6] {
        [&mut self.q, &mut self.k, &mut self.v, &mut self.o, &mut self.up, &mut self.down]
    }
}

/// All weights of an encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderWeights {
    /// Embedding tables: shared with the encoders compiled from them.
    pub embeddings: Arc<EmbeddingWeights>,
    /// Layers, in the order they run.
    pub layers: Vec<LayerWeights>,
    /// `hidden x hidden`, if the checkpoint has it: `tanh(pooler(x[0]))` of the first token's hidden state is what classification
    /// heads of BERT read. Embeddings of sentences do not use it.
    pub pooler: Option<Linear>,
}
