//! What stands on top of an encoder: classification, reranking, tagging, question answering, filling in.
//!
//! A head is small and computed in f32 from the encoder's hidden states. [`Model::head`](crate::Model::head) reads it; a task takes
//! it with a [`Backbone`]: the compiled [`Encoder`](crate::Encoder), or the [`Model`](crate::Model) itself, which is the f32
//! reference.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use lacuna::heads::SequenceClassifier;
//! use lacuna::{Compile, Model, TextInput};
//!
//! # fn main() -> lacuna::Result<()> {
//! let model = Model::open("distilbert-base-uncased-finetuned-sst-2-english")?;
//! let head = model.head()?;
//! let encoder = model.calibration().run(&["A fine film.", "It was dull."])?.compile()?; // better 200 sentences
//! let classifier = SequenceClassifier::new(Arc::new(encoder), head)?;
//! let all = classifier.classify(&[TextInput::new("I liked it.")])?;
//! println!("{} {:.3}", all[0][0].label, all[0][0].score);
//! # Ok(())
//! # }
//! ```

mod answer;
mod backbone;
mod classify;
mod fill;
mod rank;
mod tag;

use lacuna_model::heads::labels;
pub(crate) use lacuna_model::heads::{Dense, DenseActivation, EXPECTED, HeadConfig, HeadWeights, Transform};
pub use lacuna_model::heads::{Head, HeadKind, Problem, ScoreFunction};

pub use self::answer::{Answer, AnswerOptions, QuestionAnswerer};
pub use self::backbone::{Backbone, Outputs};
pub use self::classify::{Classification, SequenceClassifier};
pub use self::fill::{Candidate, FilledMask, MaskFiller};
pub use self::rank::{CrossEncoder, Ranked};
pub use self::tag::{Entity, TokenClassifier};
