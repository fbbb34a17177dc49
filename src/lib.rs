//! Pruned, quantised Transformer encoders on CPUs through generated machine code.
//!
//! A model goes through stages, each its own type, so that a step cannot be forgotten:
//!
//! ```text
//! Model::from_dir(dir)?          read and checked, f32
//!     .prune(Block::B4x1, 0.8)?  optional: or take the zeros that are there
//!     .calibrate(&sentences)?    CalibratedModel: scales for every activation
//!     .compile()?                Encoder: kernels generated for exactly these weights
//!     .embed(&[".."])?            one vector per sentence
//! ```
//!
//! Everything before the last two steps can be done once: [`CalibratedModel::pack`] and [`PackedModel::write`] keep it in a file, and
//! [`Encoder::open`] takes it from there.
//!
//! A model with a head classifies, reranks, tags, answers or fills in instead: [`tasks`].
//! [`CalibratedModel::pack`] keeps everything in one file, which [`Encoder::open`] maps in milliseconds. Threads share an encoder;
//! each may have a [`Session`] of it, which can be cancelled. Models come from directories, from ONNX graphs, and from the [`hub`].
//!
//! M is the number of output features of a linear layer, K of its input features, N the number of
//! tokens; weights are `[M][K]`.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod architecture;
mod calibrate;
mod calibrated;
mod checkpoint;
mod compile;
mod config;
mod encoder;
mod error;
pub mod heads;
pub mod hub;
mod matrix;
mod model;
pub mod onnx;
pub mod oracle;
mod packed;
mod pooling;
mod precision;
mod prune;
mod quantize;
mod report;
mod seeded;
mod simulate;
mod stored;
pub mod tasks;
mod tokenize;
mod tokens;
mod weights;

pub use architecture::Architecture;
pub use calibrate::{
    CalibrationError, CalibrationOptions, CalibrationReport, CandidateReport, Choice, Keep, PrecisionReport,
    RangeMethod, Smoothing, TensorReport,
};
pub use calibrated::CalibratedModel;
pub use checkpoint::{Checkpoint, TensorInfo, WeightError};
pub use compile::{CompileOptions, Form};
pub use config::{Activation, EncoderConfig};
pub use encoder::{Cancel, Embeddings, Encoder, Profile, Session, Stage, Truncation};
pub use error::{Error, Result};
pub use lacuna_kernels::Block;
pub use lacuna_kernels::spmm::{Tuning, TuningError, TuningTable};
pub use matrix::Matrix;
pub use model::{LinearZeros, Model, Timings};
pub use packed::{PackedError, PackedModel, Section, is_packed};
pub use pooling::{Pooling, PoolingMode, PoolingSource};
pub use precision::{LayerPrecision, Precision};
pub use prune::{BlockZeros, Pruning, ZeroCount, prune, prune_encoder};
pub use quantize::{ActivationQuant, LayerQuant, QuantizedLayer, QuantizedLinear};
pub use report::{LinearReport, LoadReport, Phase};
pub use seeded::{Preset, seeded_ids, seeded_weights};
pub use stored::{Stored, StoredLayer, StoredLinear, TensorQuant};
pub use tokenize::{Encoded, SentenceTokenizer, TextInput, TokenOrigin, TokenizedText};
pub use tokens::{TokenIds, TypedIds};
pub use weights::{EmbeddingWeights, EncoderWeights, LINEAR_NAMES, LayerNormWeights, LayerWeights, Linear};

/// The README's example, compiled with the other documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
