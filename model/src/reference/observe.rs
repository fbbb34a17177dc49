//! The tensors that quantisation rounds, and those who look at them.

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

    /// Whether `tensor` wants to be called for a tap. This saves copies of inputs that are not observed.
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
