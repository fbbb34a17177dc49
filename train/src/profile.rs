//! Where the time of training steps goes.
//!
//! Operations run one after the other, each on all threads. Their times are added up for the whole process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Packing weights for the kernels.
    Pack,
    /// Embeddings of tokens.
    Embed,
    /// Products `W x` of linear layers.
    Forward,
    /// Products `W' dy`.
    InputGradient,
    /// Products `dy x'`.
    WeightGradient,
    /// Attention.
    Attention,
    /// Gradient of attention.
    AttentionGradient,
    /// Normalisation and its gradient.
    Norm,
    /// Activation and its gradient.
    Activation,
    /// Pooling, losses and their gradients.
    Loss,
    /// Updates of the weights.
    Optimiser,
    /// Rounding of activations as the int8 model has it.
    Round,
}

impl Part {
    /// All parts.
    pub const ALL: [Part; 12] = [
        Part::Pack,
        Part::Embed,
        Part::Forward,
        Part::InputGradient,
        Part::WeightGradient,
        Part::Attention,
        Part::AttentionGradient,
        Part::Norm,
        Part::Activation,
        Part::Loss,
        Part::Optimiser,
        Part::Round,
    ];
}

static NANOS: [AtomicU64; Part::ALL.len()] = [const { AtomicU64::new(0) }; Part::ALL.len()];

/// Runs `work` and adds its time to a part.
pub(crate) fn timed<R>(part: Part, work: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = work();
    NANOS[part as usize].fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    result
}

/// The time of each part since the last call, in the order of [`Part::ALL`].
pub fn take() -> [Duration; Part::ALL.len()] {
    std::array::from_fn(|i| Duration::from_nanos(NANOS[i].swap(0, Ordering::Relaxed)))
}
