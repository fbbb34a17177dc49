//! Quantisation that a file already has: s8 codes of weights, scales of activations.

/// Scale and zero point of a tensor: `x ~ scale * (code - zero_point)` with codes of 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TensorQuant {
    /// Positive.
    pub scale: f32,
    /// The code of zero.
    pub zero_point: u8,
}

/// The codes of a linear layer: `W[m][k] = scale[m] * codes[m][k]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearCodes {
    /// `[M][K]` row-major. -128 may occur.
    pub codes: Vec<i8>,
    /// `[M]`, positive.
    pub scale: Vec<f32>,
}

/// The codes and scales of one encoder layer in a quantised file. Missing ones are found by quantising and calibrating.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerCodes {
    /// In the order of [`LINEAR_NAMES`](crate::LINEAR_NAMES).
    pub linears: [Option<LinearCodes>; 6],
    /// Input of q, k and v.
    pub attn_in: Option<TensorQuant>,
    /// Input of o.
    pub attn_out: Option<TensorQuant>,
    /// Input of up.
    pub ffn_in: Option<TensorQuant>,
    /// Input of down.
    pub gelu_out: Option<TensorQuant>,
    /// Queries, before they are divided by the root of the head size.
    pub query: Option<TensorQuant>,
    /// Scale of the keys; symmetric s8.
    pub key: Option<f32>,
    /// Scale of the values; symmetric s8.
    pub value: Option<f32>,
}

/// The codes and scales of an encoder in a quantised file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileCodes {
    /// One entry per layer.
    pub layers: Vec<LayerCodes>,
    /// The linear layer between embeddings and layers.
    pub projection: Option<LinearCodes>,
    /// Its input.
    pub projection_in: Option<TensorQuant>,
}
