//! The parts of an encoder, as a profile counts them.

use std::fmt;

/// What an encoder does, as [`Profile`](crate::report::Profile) counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Gathering the embeddings, their layer normalisation, and quantising them.
    Embedding,
    /// The q, k and v projections; in layers that are not static, also the form in which they read their input.
    QueryKeyValue,
    /// Scores, softmax and weighted values.
    Attention,
    /// The o projection and its residual.
    AttentionOutput,
    /// The first feed-forward projection and GELU, with the form of its input likewise.
    Up,
    /// The second feed-forward projection and its residual, with the form of its input likewise.
    Down,
    /// Layer normalisation and quantising, twice per layer.
    LayerNorm,
    /// From hidden states to what the caller gets.
    Pooling,
    /// Everything else: packing sequences, gathering threads and waiting for them.
    Other,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Stage; 9] = [
        Stage::Embedding,
        Stage::QueryKeyValue,
        Stage::Attention,
        Stage::AttentionOutput,
        Stage::Up,
        Stage::Down,
        Stage::LayerNorm,
        Stage::Pooling,
        Stage::Other,
    ];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Embedding => "embedding",
            Stage::QueryKeyValue => "qkv",
            Stage::Attention => "attention",
            Stage::AttentionOutput => "o",
            Stage::Up => "up",
            Stage::Down => "down",
            Stage::LayerNorm => "layernorm",
            Stage::Pooling => "pooling",
            Stage::Other => "other",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
