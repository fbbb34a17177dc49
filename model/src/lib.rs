//! Transformer encoders in f32: reading, pruning, calibrating, quantising and writing them.
//!
//! This crate knows files, tokens, weights and the arithmetic of quantisation. It generates no code. The crate `lacuna` compiles the
//! models of this crate, and re-exports what its users need.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod architecture;
mod calibrate;
mod calibrated;
mod checkpoint;
mod codes;
mod config;
mod error;
#[cfg(feature = "onnx")]
pub mod export;
pub mod files;
pub mod forked;
pub mod heads;
pub mod hub;
mod json;
mod matrix;
mod model;
#[cfg(feature = "onnx")]
mod onnx;
pub mod packed;
mod pooling;
mod precision;
mod prompted;
#[cfg(feature = "onnx")]
mod proto;
mod prune;
mod quantize;
pub mod reference;
mod seeded;
mod settings;
mod simulate;
mod tokenize;
mod tokens;
#[cfg(feature = "onnx")]
mod transpose;
mod weights;
mod words;

pub use architecture::Architecture;
pub use calibrate::{
    CalibrationOptions, CalibrationReport, CalibrationTexts, CandidateReport, Choice, Keep, PrecisionReport,
    RangeMethod, SaturatedShares, Smoothing, TensorReport, built_in_texts, spread,
};
pub use calibrated::{CalibratedModel, Calibration, CalibrationBasis, CalibrationSource, TEXTS};
pub use checkpoint::{Checkpoint, TensorInfo};
pub use codes::{FileCodes, LayerCodes, LinearCodes, TensorQuant};
pub use config::{Activation, EncoderConfig};
pub use error::{CalibrationError, Error, ErrorKind, HubError, OnnxError, Result, WeightError};
pub use lacuna_pattern::{ActivationBits, Block};
pub use matrix::Matrix;
pub use model::{LinearZeros, Model, OpenOptions, Timings};
pub use pooling::{DenseModule, ModuleActivation, NormModule, Pooling, PoolingMode, PoolingSource, SentenceModule};
pub use precision::{LayerPrecision, Precision};
pub use prompted::PromptedTexts;
pub use prune::{BlockZeros, Pruning, ZeroCount, prune};
pub use quantize::{ActivationQuant, LayerQuant, QuantizedLayer, QuantizedLinear};
pub use seeded::{Preset, seeded_ids, seeded_weights};
pub use settings::{Prompt, PromptChoice, Prompts, Remark, RemarkScope, Similarity};
pub use tokenize::{
    BertNormalization, Encoded, MaskToken, SentenceTokenizer, TextInput, TokenOrigin, TokenizedText, TokenizerOptions,
    TruncationSide, locate_all,
};
pub use tokens::{TokenIds, TypedIds, check_tokens};
pub use weights::{EmbeddingWeights, EncoderWeights, LINEAR_NAMES, LayerNorm, LayerWeights, Linear};
pub use words::plural;
