//! What the caller wants.

use crate::epilogue::Epilogue;
use crate::{ActivationBits, Block};

/// A sparse product wanted: shape, block shape and epilogue. The pattern belongs to the weights: stream-form code is the same
/// for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct SpmmDesc {
    /// Output features M.
    pub m: usize,
    /// Input features K.
    pub k: usize,
    /// The shape of the zeros; [`super::SpmmPlan::cover`] says what is computed.
    pub block: Block,
    /// What happens to the accumulators.
    pub epilogue: Epilogue,
    /// Bits of the codes of x.
    #[serde(default, skip_serializing_if = "ActivationBits::is_default")]
    pub activation_bits: ActivationBits,
}
