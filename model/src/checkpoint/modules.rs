//! The tensors of the modules that sentence-transformers puts behind pooling.

use super::encoder::Reader;
use super::tensor_set::Checkpoint;
use crate::error::Result;
use crate::weights::{LayerNorm, Linear};

impl Checkpoint {
    /// The linear layer of a Dense module, `linear.weight` and `linear.bias`; zeros where it has no bias.
    pub(crate) fn module_linear(&self, outputs: usize, inputs: usize, has_bias: bool) -> Result<Linear> {
        let reader = Reader::of_module(self);
        match has_bias {
            true => reader.linear("linear", outputs, inputs),
            false => Ok(Linear { weight: reader.matrix("linear.weight", outputs, inputs)?, bias: vec![0.0; outputs] }),
        }
    }

    /// The parameters of a LayerNorm module, `norm.weight` and `norm.bias`.
    pub(crate) fn module_norm(&self, features: usize) -> Result<LayerNorm> {
        Reader::of_module(self).norm("norm", features)
    }
}
