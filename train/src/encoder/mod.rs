//! The encoder: its parameters, its forward pass as a whole and step by step, and its backward pass.

mod forward;

pub use forward::{Encoder, LINEARS, LayerSaved, LinearKind, Saved};
