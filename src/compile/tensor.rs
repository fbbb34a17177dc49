//! What steps read and write.

/// A tensor that steps pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tensor {
    /// The residual stream.
    Hidden,
    /// Queries.
    Query,
    /// Keys.
    Key,
    /// Values.
    Value,
    /// The output of attention.
    Attended,
    /// The output of the activation function, between the two feed-forward layers.
    Inner,
    /// Embeddings that are projected to the residual stream.
    Embedded,
    /// Sums of a product that are not results yet.
    Sums,
}

impl Tensor {
    pub(crate) const COUNT: usize = 8;

    /// Those whose codes live from one attention to the next. The rest of the tensors, but for the f32 tile of
    /// [`Tensor::Hidden`], are used up by the steps between two attentions.
    pub(crate) const KEPT: [Tensor; 4] = [Tensor::Query, Tensor::Key, Tensor::Value, Tensor::Attended];
}

/// How the elements of a tensor are stored. A tensor may be there in several formats at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Panel of 8-bit codes.
    Bytes,
    /// bf16 panel.
    Bf16,
    /// f32 tile.
    F32,
}

/// A tensor in one format: what one buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tensor: Tensor,
    pub(crate) format: Format,
    /// Features of the tensor.
    pub(crate) features: usize,
}
