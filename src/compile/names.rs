//! Names of the parts of a model, as its files have them.

use lacuna_model::LINEAR_NAMES;

/// A linear layer of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinearName {
    /// Between the embeddings and the layers.
    Projection,
    /// Of an encoder layer, by its place in [`LINEAR_NAMES`].
    Layer { layer: usize, index: usize },
}

impl LinearName {
    /// q, k, v, o, up, down or projection.
    pub(super) fn short(self) -> &'static str {
        match self {
            LinearName::Projection => "projection",
            LinearName::Layer { index, .. } => LINEAR_NAMES[index],
        }
    }

    /// Of its sections.
    pub(super) fn section(self) -> String {
        match self {
            LinearName::Projection => self.short().to_owned(),
            LinearName::Layer { layer, .. } => in_layer(layer, self.short()),
        }
    }
}

/// A tensor that linear layers read, and that has scales of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputName {
    /// Input of the projection.
    Projection,
    /// Input of q, k and v of a layer.
    Attention(usize),
    /// Input of o.
    Attended(usize),
    /// Input of up.
    FeedForward(usize),
    /// Input of down.
    Activated(usize),
}

impl InputName {
    pub(super) fn section(self) -> String {
        match self {
            InputName::Projection => "projection.panel".to_owned(),
            InputName::Attention(layer) => in_layer(layer, "attn_in"),
            InputName::Attended(layer) => in_layer(layer, "attn_out"),
            InputName::FeedForward(layer) => in_layer(layer, "ffn_in"),
            InputName::Activated(layer) => in_layer(layer, "gelu_out"),
        }
    }
}

/// A layer normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NormName {
    /// Of the embeddings.
    Embedding,
    /// After attention.
    Attention(usize),
    /// After the feed-forward layers.
    Output(usize),
}

impl NormName {
    pub(super) fn section(self) -> String {
        match self {
            NormName::Embedding => "embedding_norm".to_owned(),
            NormName::Attention(layer) => in_layer(layer, "attention_norm"),
            NormName::Output(layer) => in_layer(layer, "output_norm"),
        }
    }
}

/// The attention of a layer.
pub(super) fn attention(layer: usize) -> String {
    in_layer(layer, "attention")
}

fn in_layer(layer: usize, part: &str) -> String {
    format!("layers.{layer}.{part}")
}
