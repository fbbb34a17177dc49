//! The f32 forward pass: reference for every other one, and the eyes of calibration.
//!
//! Deliberately plain: token-major matrices, one matrix product after the other through the `gemm`
//! crate, simple loops for the rest. It shares no code and no layout with the generated kernels, so
//! that agreement between the two means something. It is also the baseline to beat, and uses the
//! machine honestly: `gemm`'s own AVX-512 kernels, one product over all tokens of a group of
//! sentences, no padding.

mod activation;
mod fake_quant;
mod forward;
mod ops;

pub(crate) use activation::erf;
pub use activation::{activate, gelu, gelu_tanh};
pub use fake_quant::{FakeQuant, TapSet};
pub(crate) use fake_quant::{reader_weights, round_tensor};
pub use forward::Reference;
pub(crate) use ops::{exp_minus_max, linear};
pub use ops::{layer_norm, matmul_transposed};

/// The tensors that quantisation rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tap {
    /// Input of the q, k and v projections, `[N][hidden]`: output of a layer normalisation.
    AttentionInput,
    /// Queries, `[N][hidden]`, heads side by side.
    Query,
    /// Keys, `[N][hidden]`, heads side by side.
    Key,
    /// Values, `[N][hidden]`, heads side by side.
    Value,
    /// Unnormalised attention weights `exp(S - max(S))` of one sentence and one head, `[N][N]`:
    /// queries by keys.
    Probabilities,
    /// Input of the o projection, `[N][hidden]`, heads side by side.
    AttentionOutput,
    /// Input of the up projection, `[N][hidden]`: output of a layer normalisation.
    FeedForwardInput,
    /// Input of the down projection, `[N][intermediate]`: output of the activation function.
    GeluOutput,
    /// Input of the projection of the embeddings, `[N][embedding]`: output of a layer normalisation. Seen of layer 0 only, and of
    /// models that have such a projection.
    ProjectionInput,
}

impl Tap {
    /// Every tap.
    pub const ALL: [Tap; 9] = [
        Tap::AttentionInput,
        Tap::Query,
        Tap::Key,
        Tap::Value,
        Tap::Probabilities,
        Tap::AttentionOutput,
        Tap::FeedForwardInput,
        Tap::GeluOutput,
        Tap::ProjectionInput,
    ];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Tap::AttentionInput => "attn_in",
            Tap::Query => "q",
            Tap::Key => "k",
            Tap::Value => "v",
            Tap::Probabilities => "p",
            Tap::AttentionOutput => "attn_out",
            Tap::FeedForwardInput => "ffn_in",
            Tap::GeluOutput => "gelu_out",
            Tap::ProjectionInput => "proj_in",
        }
    }
}

/// Where in the model, and in the batch, a tensor was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Encoder layer.
    pub layer: usize,
    /// Which of its tensors.
    pub tap: Tap,
    /// Index of the tensor's first token among all tokens of the batch.
    pub first_token: usize,
}

/// Sees, and may change, every tensor that quantisation rounds.
///
/// Groups of sentences run in parallel, so calls for different `first_token` may be concurrent.
pub trait Observer: Sync {
    /// One tensor, row-major `[rows][features]`. What is left in `values` is what the rest of the
    /// forward pass uses, except that a changed attention or feed-forward input does not change the
    /// residual stream.
    fn tensor(&self, site: Site, values: &mut [f32], features: usize);

    /// Whether `tensor` wants to be called for a tap; saves copying inputs that nobody looks at.
    fn wants(&self, tap: Tap) -> bool {
        let _ = tap;
        true
    }
}

/// Observes nothing.
pub(crate) struct NoObserver;

impl Observer for NoObserver {
    fn tensor(&self, _: Site, _: &mut [f32], _: usize) {}

    fn wants(&self, _: Tap) -> bool {
        false
    }
}
