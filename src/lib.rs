//! Pruned, quantised Transformer encoders on CPUs through generated machine code.
//!
//! A model goes through stages, each its own type, so that a step cannot be forgotten:
//!
//! ```text
//! Model::open(dir)?                      read and checked, f32
//!     .prune(Block::B4x1, 0.8)?          optional: or take the zeros that are there
//!     .calibration().run(&sentences)?    CalibratedModel: scales for every activation
//!     .compile()?                        Encoder: kernels generated for exactly these weights
//!     .embed(&[".."])?                   one vector per sentence
//! ```
//!
//! Everything before the last two steps can be done once: [`Compile::pack`] and [`PackedModel::write`] keep it in a file, and
//! [`Encoder::open`] takes it from there.
//!
//! A model with a head classifies, reranks, tags, answers or fills in instead: [`tasks`].
//! [`Compile::pack`] keeps everything in one file, which [`Encoder::open`] maps in milliseconds. Threads share an encoder;
//! each may have a [`Session`] of it, which can be cancelled. Models come from directories, from ONNX graphs, and from the [`hub`].
//!
//! M is the number of output features of a linear layer, K of its input features, N the number of
//! tokens; weights are `[M][K]`.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod compile;
mod compiler;
mod container;
mod encoder;
mod error;
pub mod heads;
mod packed;
mod report;
pub mod tasks;

#[cfg(test)]
use lacuna_model::seeded;
use lacuna_model::{
    architecture, calibrated, config, matrix, model, pooling, precision, prune, quantize, tokenize, tokens, weights,
};

pub use compile::{Form, Stage};
pub use compiler::{Compile, Compiler};
pub use container::{PackedError, Section, is_packed};
pub use encoder::{Cancel, Embeddings, Encoder, Profile, Session, Truncation};
pub use error::{Error, Result};
pub use lacuna_kernels::spmm::{Tuning, TuningError, TuningTable};
pub use lacuna_model::Error as ModelError;
pub use lacuna_model::prune::prune;
pub use lacuna_model::{
    Activation, ActivationQuant, Architecture, Block, BlockZeros, CalibratedModel, Calibration, CalibrationError,
    CalibrationOptions, CalibrationReport, CandidateReport, Checkpoint, Choice, EmbeddingWeights, Encoded,
    EncoderConfig, EncoderWeights, ErrorKind, FileCodes, Keep, LINEAR_NAMES, LayerCodes, LayerNorm, LayerPrecision,
    LayerQuant, LayerWeights, Linear, LinearCodes, LinearZeros, Matrix, Model, OpenOptions, Pooling, PoolingMode,
    PoolingSource, Precision, PrecisionReport, Preset, Pruning, QuantizedLayer, QuantizedLinear, RangeMethod,
    SentenceTokenizer, Smoothing, TensorInfo, TensorQuant, TensorReport, TextInput, Timings, TokenIds, TokenOrigin,
    TokenizedText, TypedIds, WeightError, ZeroCount, hub, prune_encoder, reference, seeded_ids, seeded_weights,
};
pub use packed::PackedModel;
pub use report::{LinearReport, LoadReport, Phase};

#[cfg(feature = "onnx")]
pub mod onnx {
    //! ONNX: models as graphs that other runtimes load, and why a graph is not read. [`lacuna_model::export`] has the details.
    pub use lacuna_model::export::{OnnxModel, OnnxSummary};
    pub use lacuna_model::onnx::OnnxError;
}

/// The README's example, compiled with the other documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
