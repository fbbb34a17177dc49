//! What the caller wants.

use std::fmt;

use crate::{Block, Sink};

/// The type of weights and activations. Sums are f32 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// bfloat16: the upper half of an f32.
    Bf16,
}

impl DType {
    /// Both.
    pub const ALL: [DType; 2] = [DType::F32, DType::Bf16];

    /// The name used in kernel names, options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::Bf16 => "bf16",
        }
    }

    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::Bf16 => 2,
        }
    }

    /// C: input features that one multiplication takes; together 4 bytes.
    pub(super) const fn inputs(self) -> usize {
        4 / self.bytes()
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A product wanted: shape, types, block shape and sink. The pattern belongs to the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct FloatDesc {
    /// Output features M.
    pub m: usize,
    /// Input features K.
    pub k: usize,
    /// Type of weights and input.
    pub dtype: DType,
    /// How zeros are grouped: 4x1, 8x1, 16x1, unstructured (single weights) or dense. Any matrix can be packed for any
    /// of them; one whose zeros come in these blocks leaves the most work out.
    pub block: Block,
    /// Where the sums go: f32 or bf16 output. Its activation is computed in f32 for either: [`crate::math::gelu`], not the coarse form.
    #[serde(rename = "epilogue")]
    pub sink: Sink,
}
