//! The encoder: its forward pass as a whole and step by step, and its backward pass.

mod backward;
mod embeddings;
mod forward;

pub use self::backward::Scratch;
pub use self::forward::{Encoder, LayerSaved, Saved};
pub use crate::parameters::{
    LINEARS, LinearKind, TENSOR_NAMES, TensorKind, TensorMut, Tensors, tensors, tensors_mut, zeros_like,
};
