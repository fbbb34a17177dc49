//! What a model does with texts: embedding, classification, reranking, tagging, question answering, filling in masks.
//!
//! There are two levels. A *task on texts* takes strings and gives typed results:
//!
//! | | needs a head for | takes | gives |
//! | --- | --- | --- | --- |
//! | [`Embedder`] | nothing | texts | vectors |
//! | [`SequenceClassifier`] | sequence classification | texts, pairs | labels with scores |
//! | [`CrossEncoder`] | sequence classification, one or two labels | a query and passages | passages with scores |
//! | [`TokenClassifier`] | token classification | texts | spans with labels |
//! | [`QuestionAnswerer`] | question answering | questions with contexts | spans of the contexts |
//! | [`MaskFiller`] | masked language models | texts with masks | tokens with scores |
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use lacuna::tasks::SequenceClassifier;
//! use lacuna::{Compile, Model, TextInput};
//!
//! # fn main() -> lacuna::Result<()> {
//! let model = Model::open("distilbert-base-uncased-finetuned-sst-2-english")?;
//! let head = model.head()?;
//! let encoder = model.calibration().run_default()?.compile()?; // better: run with 200 texts like yours
//! let classifier = SequenceClassifier::new(Arc::new(encoder), head)?;
//! let all = classifier.classify(&[TextInput::new("I liked it.")])?;
//! println!("{} {:.3}", all[0][0].label, all[0][0].score);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Task`] goes from records to rows, which are JSON objects: what the `lacuna` command reads and writes, one per line.
//! [`EmbedTask`], [`ClassifyTask`], [`RankTask`], [`TagTask`], [`AnswerTask`] and [`FillTask`] hold the options, and run on a
//! [`TaskModel`].
//!
//! Both levels run on any [`Backbone`]: the compiled [`Encoder`](crate::Encoder), a [`Session`](crate::Session) of it, which can be
//! cancelled, or the [`Model`](crate::Model) itself, which is the f32 reference. A head is small, and computed in f32 from the hidden
//! states; [`Model::head`](crate::Model::head) reads it.

mod aggregate;
mod agreement;
mod answer;
mod backbone;
mod batch;
mod chars;
mod classify;
mod cosines;
mod embed;
pub(crate) mod error;
mod fill;
mod json;
mod model;
mod order;
mod outputs;
mod rank;
mod scheme;
mod tag;
mod task;
mod truncated;
mod vectors;
mod windows;

pub use self::aggregate::Aggregation;
pub use self::agreement::Agreement;
pub use self::answer::{Answer, AnswerOptions, QuestionAnswerer};
pub use self::backbone::Backbone;
pub use self::classify::{Classification, SequenceClassifier};
pub use self::cosines::{Cosines, cosine};
pub use self::embed::Embedder;
pub use self::fill::{Candidate, FilledMask, MaskFiller};
pub use self::json::{
    AnswerRecord, AnswerRow, AnswerTask, ClassifyRecord, ClassifyRow, ClassifyTask, EmbedPrompt, EmbedRecord, EmbedRow,
    EmbedTask, FillRow, FillTask, FoundAnswer, OtherFields, RankRecord, RankRow, RankTask, RankedPassage, TagRow,
    TagTask, TaggedEntity, TextRecord,
};
pub use self::model::TaskModel;
pub use self::outputs::Outputs;
pub use self::rank::{CrossEncoder, Ranked};
pub use self::scheme::LabelScheme;
pub use self::tag::{Entity, TagOptions, TokenClassifier};
pub use self::task::{Judged, Record, Row, Task, TaskOutput};
pub use self::truncated::TruncatedInput;
pub use self::vectors::{VectorPrecision, VectorRanges, VectorValues, shorten};
