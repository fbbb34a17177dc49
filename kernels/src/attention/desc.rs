//! What the caller wants.

use crate::{ActivationBits, PanelLayout};

/// Attention wanted. The number of heads and the sequences are run-time facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttentionDesc {
    /// Features per head D, a multiple of 4.
    pub head_size: usize,
    /// Layout of the output.
    pub output: PanelLayout,
    /// Bits of the codes of the output. Queries, keys, values and probabilities have eight.
    pub activation_bits: ActivationBits,
}
