//! Transformer encoders in f32: reading, pruning, calibrating, quantising and writing them.
//!
//! This crate knows files, tokens, weights and the arithmetic of quantisation. It generates no code: the crate `lacuna` compiles what
//! comes out of here, and re-exports what its users need.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

pub mod architecture;
pub mod calibrate;
pub mod calibrated;
pub mod checkpoint;
pub mod codes;
pub mod config;
pub mod error;
#[cfg(feature = "onnx")]
pub mod export;
pub mod files;
pub mod heads;
pub mod hub;
mod json;
pub mod matrix;
pub mod model;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod packed;
pub mod pooling;
pub mod precision;
#[cfg(feature = "onnx")]
mod proto;
pub mod prune;
pub mod quantize;
pub mod reference;
pub mod seeded;
pub mod simulate;
pub mod tokenize;
pub mod tokens;
#[cfg(feature = "onnx")]
mod transpose;
pub mod weights;

pub use architecture::Architecture;
pub use calibrate::{
    CalibrationError, CalibrationOptions, CalibrationReport, CandidateReport, Choice, Keep, PrecisionReport,
    RangeMethod, Smoothing, TensorReport,
};
pub use calibrated::{CalibratedModel, Calibration};
pub use checkpoint::{Checkpoint, TensorInfo, WeightError};
pub use codes::{FileCodes, LayerCodes, LinearCodes, TensorQuant};
pub use config::{Activation, EncoderConfig};
pub use error::{Error, ErrorKind, Result};
pub use lacuna_pattern::Block;
pub use matrix::Matrix;
pub use model::{LinearZeros, Model, OpenOptions, Timings};
pub use pooling::{Pooling, PoolingMode, PoolingSource};
pub use precision::{LayerPrecision, Precision};
pub use prune::{BlockZeros, Pruning, ZeroCount, prune_encoder};
pub use quantize::{ActivationQuant, LayerQuant, QuantizedLayer, QuantizedLinear};
pub use seeded::{Preset, seeded_ids, seeded_weights};
pub use tokenize::{Encoded, SentenceTokenizer, TextInput, TokenOrigin, TokenizedText};
pub use tokens::{TokenIds, TypedIds};
pub use weights::{EmbeddingWeights, EncoderWeights, LINEAR_NAMES, LayerNorm, LayerWeights, Linear};
