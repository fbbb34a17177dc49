//! What pruning says about its progress and its result, and what it is answered.

use std::ops::ControlFlow;

use crate::error::{Error, Result};

/// One pruned matrix.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct MatrixReport {
    /// Encoder layer.
    pub layer: usize,
    /// Which linear layer: q, k, v, o, up or down.
    pub name: &'static str,
    /// The fraction of its blocks that are zero.
    pub sparsity: f64,
    /// `sum d H d^T / sum w H w^T`, with the dense solution w and the difference d to it.
    pub relative_error: f64,
    /// Time it took. The first matrix of those that read the same inputs includes the inverse of their moments.
    pub seconds: f64,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LayerReport {
    /// Encoder layer.
    pub layer: usize,
    /// `sum |x - y|^2 / sum |y|^2` of the hidden states after the layer, y those of the dense model.
    pub hidden_error: f64,
    /// Time it took, with the forward passes.
    pub seconds: f64,
}

/// A step that is done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Progress {
    /// A matrix was pruned.
    Matrix(MatrixReport),
    /// A layer was pruned.
    Layer(LayerReport),
}

/// What a caller answers to progress: `()` goes on, a [`ControlFlow`] may end the work.
pub trait Answer {
    /// # Errors
    /// [`Error::Stopped`] to end the work.
    fn check(self) -> Result<()>;
}

impl Answer for () {
    fn check(self) -> Result<()> {
        Ok(())
    }
}

impl Answer for ControlFlow<()> {
    fn check(self) -> Result<()> {
        if self.is_break() { Err(Error::Stopped) } else { Ok(()) }
    }
}
