//! Heads on top of an encoder: small layers in f32, and the meaning of their outputs.
//!
//! [`Model::head`](crate::Model::head) reads a head. The [`tasks`](crate::tasks) put it onto an encoder.

pub(crate) use lacuna_model::heads::EXPECTED;
pub use lacuna_model::heads::{
    Dense, DenseActivation, Head, HeadConfig, HeadKind, HeadWeights, LabelSource, Problem, ScoreFunction, Transform,
};
