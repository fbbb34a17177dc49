//! Heads on top of an encoder: small layers in f32, and the meaning of their outputs.

mod config;
mod head;
mod kind;
pub mod labels;
mod problem;
mod score;
mod weights;
mod written;

pub use self::config::{EXPECTED, HeadConfig};
pub(crate) use self::config::{ties_words, untied};
pub use self::head::Head;
pub use self::kind::HeadKind;
pub use self::labels::LabelSource;
pub use self::problem::Problem;
pub use self::score::ScoreFunction;
pub use self::weights::{Dense, DenseActivation, HeadWeights, Transform};
