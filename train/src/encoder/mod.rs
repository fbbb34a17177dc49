//! The encoder: its parameters, its forward pass as a whole and step by step, and its backward pass.

mod backward;
mod forward;

pub use backward::{Scratch, TENSOR_NAMES, TensorKind, TensorMut, tensors, tensors_mut, zeros_like};
pub use forward::{Encoder, LINEARS, LayerSaved, LinearKind, Saved};
