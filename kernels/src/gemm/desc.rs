//! What the caller wants.

use crate::ActivationBits;
use crate::epilogue::Epilogue;

/// A dense product wanted: shape and epilogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct GemmDesc {
    /// Output features M.
    pub m: usize,
    /// Input features K.
    pub k: usize,
    /// What happens to the accumulators.
    pub epilogue: Epilogue,
    /// Bits of the codes of x.
    #[serde(default, skip_serializing_if = "ActivationBits::is_default")]
    pub activation_bits: ActivationBits,
}
