//! Heads on top of an encoder: small layers in f32, and the meaning of their outputs.

mod head;
mod kind;
pub mod labels;
mod weights;

pub use self::head::Head;
pub use self::kind::HeadKind;
pub use self::labels::{EXPECTED, HeadConfig, Problem, ScoreFunction};
pub use self::weights::{Dense, DenseActivation, HeadWeights, Transform};
