//! Errors of a model, its files, or the calls that use it.

use std::path::PathBuf;

use lacuna_pattern::{ActivationBits, Block};

use super::ErrorKind;
use crate::words::{parser, plural};

/// Result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong between a model directory and a calibrated model.
///
/// Each variant names the thing (file, tensor, setting, sentence), what was found and what was
/// expected, so that the message alone says what to fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or mapped.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: "read", "open", "map into memory".
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },

    /// Something else than a regular file, where a file is read as a whole.
    #[error("{path}: found {found}; expected {expected}", path = path.display())]
    FileKind {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },

    /// A file with more bytes than any of its kind needs.
    #[error("{path}: found {found} bytes; expected at most {limit}", path = path.display())]
    FileSize {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The most that are read.
        limit: u64,
    },

    /// A JSON file does not parse, or a field has the wrong type.
    #[error("{path}: invalid JSON: {}", parser(source), path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and cause.
        source: serde_json::Error,
    },

    /// The model is of an architecture this crate does not run.
    #[error(
        "{path}: unsupported architecture: found {found}; supported: {supported}",
        path = path.display()
    )]
    UnsupportedArchitecture {
        /// The configuration file.
        path: PathBuf,
        /// `model_type` and `architectures` as found.
        found: String,
        /// What is supported.
        supported: &'static str,
    },

    /// A setting has a value that is legal elsewhere but not supported here.
    #[error(
        "{path}: unsupported {setting}: found {found}; supported: {supported}",
        path = path.display()
    )]
    UnsupportedSetting {
        /// The configuration file.
        path: PathBuf,
        /// Name of the field.
        setting: &'static str,
        /// Its value.
        found: String,
        /// The values that are supported.
        supported: &'static str,
    },

    /// A setting contradicts another one or is out of bounds.
    #[error("{path}: invalid {setting}: found {found}; expected {expected}", path = path.display())]
    InvalidSetting {
        /// The configuration file.
        path: PathBuf,
        /// Name of the field.
        setting: &'static str,
        /// Its value.
        found: String,
        /// The bound or the value it must agree with.
        expected: String,
    },

    /// The tokenizer file does not load.
    #[error("{path}: tokenizer: {reason}", path = path.display())]
    Tokenizer {
        /// The tokenizer file.
        path: PathBuf,
        /// The tokenizer library's message.
        reason: String,
    },

    /// The files of a tokenizer are of a kind that is not read.
    #[error("{path}: no tokenizer that is read here: found {found}; expected {expected}", path = path.display())]
    TokenizerFiles {
        /// The folder.
        path: PathBuf,
        /// The files that it has.
        found: String,
        /// The files that are read, and how to make them.
        expected: String,
    },

    /// The tokenizer fails on a text.
    #[error("{path}: the tokenizer fails on this text: {reason}", path = path.display())]
    TokenizerText {
        /// The tokenizer file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// A text has a token that the model has no embedding for.
    #[error(
        "token {token:?} has id {id}, but the model has embeddings for ids below {vocab_size}: the tokenizer is of another model, or \
         has tokens that were added without training"
    )]
    TokenOutsideTable {
        /// The token.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the word embedding table.
        vocab_size: usize,
    },

    /// One of several texts has an error.
    #[error("text {text} (counted from 0): {source}")]
    Text {
        /// Index of the text in the call.
        text: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },

    /// A sentence was given to a model that has no tokenizer.
    #[error(
        "this model has no tokenizer: its folder has no tokenizer.json, no vocab.txt, and no vocab.json with merges.txt; copy the \
         tokenizer's files of the original model into the folder (without a tokenizer, only token ids can be given, from Rust)"
    )]
    NoTokenizer,

    /// A prompt that the model does not have.
    #[error("unknown prompt {found:?}; expected {expected}")]
    UnknownPrompt {
        /// Its name.
        found: String,
        /// The names that the model has.
        expected: String,
    },

    /// A batch without sequences.
    #[error("empty batch: found 0 sequences; expected at least 1")]
    EmptyBatch,

    /// A sequence without tokens.
    #[error(
        "sequence {sequence}: found 0 tokens; expected at least 1 \
         (an empty string still has the tokenizer's special tokens)"
    )]
    EmptySequence {
        /// Index in the batch.
        sequence: usize,
    },

    /// A sequence with more tokens than the model has positions.
    #[error("sequence {sequence}: found {}; the model has positions for {limit}", plural(*found, "token"))]
    SequenceTooLong {
        /// Index in the batch.
        sequence: usize,
        /// Its number of tokens.
        found: usize,
        /// The model's limit.
        limit: usize,
    },

    /// A token id that the embedding table has no row for.
    #[error(
        "sequence {sequence}, position {position}: token id {found} out of range; \
         the vocabulary has {entries}",
        entries = .vocab_size.to_string() + if *.vocab_size == 1 { " entry" } else { " entries" }
    )]
    TokenOutOfRange {
        /// Index in the batch.
        sequence: usize,
        /// Index in the sequence.
        position: usize,
        /// The id.
        found: u32,
        /// Rows of the word embedding table.
        vocab_size: usize,
    },

    /// A sequence with another number of token types than of tokens.
    #[error("sequence {sequence}: found {found} token types; expected {expected}, one for each token")]
    TokenTypeLength {
        /// Index in the batch.
        sequence: usize,
        /// Its number of token types.
        found: usize,
        /// Its number of tokens.
        expected: usize,
    },

    /// A token type that the embedding table has no row for.
    #[error(
        "sequence {sequence}, position {position}: token type {found} out of range; \
         the model has {type_vocab_size} (with 1, only type 0 is left: leave token types out)"
    )]
    TokenTypeOutOfRange {
        /// Index in the batch.
        sequence: usize,
        /// Index in the sequence.
        position: usize,
        /// The type.
        found: u32,
        /// Rows of the token type table.
        type_vocab_size: usize,
    },

    /// A sparsity that is not a fraction of the weights.
    #[error("sparsity {found} out of range; expected 0 <= sparsity < 1 (0.9 keeps one weight in ten)")]
    Sparsity {
        /// The value.
        found: f64,
    },

    /// A request to prune with a block shape that skips no zeros.
    #[error(
        "cannot prune to sparsity {sparsity} in {block} blocks; \
         expected a sparse block shape such as 4x1"
    )]
    DensePruning {
        /// The block shape.
        block: Block,
        /// The sparsity.
        sparsity: f64,
    },

    /// A calibration option out of its bounds.
    #[error("calibration option {option}: found {found}; expected {expected}")]
    CalibrationOption {
        /// The option.
        option: &'static str,
        /// Its value.
        found: f64,
        /// Its bounds.
        expected: &'static str,
    },

    /// Precisions for another number of layers than the model has.
    #[error("precision: found entries for {}; expected {expected}, one per encoder layer", plural(*found, "layer"))]
    PrecisionLayers {
        /// Entries given.
        found: usize,
        /// Layers of the model.
        expected: usize,
    },

    /// An unknown name of a preset model shape.
    #[error("unknown preset {found:?}; expected one of {expected}")]
    UnknownPreset {
        /// The name.
        found: String,
        /// The presets there are.
        expected: String,
    },

    /// A model that is too large to be one ONNX file.
    #[error(
        "ONNX model too large: found {found} bytes; expected at most {limit}, the limit of protobuf files; \
         export int8, or a smaller model"
    )]
    OnnxTooLarge {
        /// Bytes of the file, or of its weights alone if they are too many already.
        found: u64,
        /// The most there may be.
        limit: u64,
    },

    /// A calibrated model whose activations have a scale per feature, which ONNX cannot express.
    #[error(
        "layer {layer}, {tensor}: found scales {} and {} of two features; expected one scale per tensor, as ONNX has: \
         calibrate with CalibrationOptions::per_tensor()",
        .found[0], .found[1]
    )]
    OnnxScales {
        /// Encoder layer.
        layer: usize,
        /// The activation: attn_in, attn_out, ffn_in or gelu_out.
        tensor: &'static str,
        /// Two of its scales.
        found: [f32; 2],
    },

    /// A quantisation that ONNX has no operators for.
    #[error("codes of activations have {found} bits; expected 8 for QuantizeLinear: calibrate with 8 bits to export")]
    OnnxBits {
        /// Bits of the model's codes.
        found: ActivationBits,
    },

    /// A model without a head that is run here.
    #[error(
        "{path}: no head that is run here: found architectures {found}; expected one that ends in {expected} \
         (without a head the model embeds sentences)",
        path = path.display()
    )]
    NoHead {
        /// The configuration file.
        path: PathBuf,
        /// `architectures` as found.
        found: String,
        /// The ends of class names that are understood.
        expected: &'static str,
    },

    /// A model with another head than the task needs.
    #[error("{path}: this model has another head: found {found}; expected {expected}", path = path.display())]
    WrongHead {
        /// The configuration file.
        path: PathBuf,
        /// The class of the model and its number of labels.
        found: String,
        /// What the task needs.
        expected: String,
    },

    /// Hidden states that do not fit a head.
    #[error("hidden states: found {} in {}; expected at least 1 row of {expected}", plural(*found, "feature"), plural(*rows, "row"))]
    HeadInput {
        /// Features.
        found: usize,
        /// Tokens.
        rows: usize,
        /// Features that the head reads.
        expected: usize,
    },

    /// Weights that cannot take the place of those of a head.
    #[error("weights of a head: found {found}; expected {expected}")]
    HeadWeights {
        /// Shapes of layers, or values that are not finite.
        found: String,
        /// What the head has.
        expected: String,
    },

    /// The weights of a model.
    #[error(transparent)]
    Weights(#[from] super::WeightError),

    /// A model of the hub could not be fetched.
    #[error(transparent)]
    Hub(#[from] super::HubError),

    /// Calibration cannot continue, or one of its options is unknown.
    #[error(transparent)]
    Calibration(#[from] super::CalibrationError),

    /// An ONNX graph is damaged, or does not describe an encoder that Lacuna reads.
    #[error(transparent)]
    Onnx(#[from] super::OnnxError),

    /// A packed model where f32 weights are needed.
    #[error(
        "{path}: {what} needs the f32 weights, which a packed model does not hold; expected the model directory it was packed \
         from: {remedy}",
        path = path.display()
    )]
    PackedModel {
        /// The packed file.
        path: PathBuf,
        /// What was asked for.
        what: String,
        /// The way out.
        remedy: &'static str,
    },

    /// A file of a kind that this build cannot read.
    #[error("{path}: this was built without {what}; build with the cargo feature {feature}", path = path.display())]
    Feature {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// The feature that reads it.
        feature: &'static str,
    },

    /// A process that was forked from one that had used the library, and has none of its threads.
    #[error(
        "process {process}: found that it was forked from process {parent}, which has the threads of the pool; expected a process \
         that was started anew, or a call inside a pool of its own (rayon's pool.install)"
    )]
    Forked {
        /// This process.
        process: u32,
        /// The one that started the pool.
        parent: u32,
    },

    /// A model is to be written into a folder that holds something.
    #[error("{path}: found a file, or a folder with files; expected an empty folder, or none", path = path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
}

impl Error {
    /// The same error of one text among several.
    #[must_use]
    pub fn of_text(self, text: usize) -> Error {
        Error::Text { text, source: Box::new(self) }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { source, .. } => ErrorKind::of_io(source),
            Error::Json { .. }
            | Error::FileKind { .. }
            | Error::FileSize { .. }
            | Error::InvalidSetting { .. }
            | Error::Tokenizer { .. } => ErrorKind::InvalidFile,
            Error::UnsupportedArchitecture { .. }
            | Error::UnsupportedSetting { .. }
            | Error::OnnxTooLarge { .. }
            | Error::TokenizerFiles { .. }
            | Error::Feature { .. } => ErrorKind::Unsupported,
            Error::NoTokenizer | Error::NoHead { .. } | Error::PackedModel { .. } => ErrorKind::Missing,
            Error::EmptyBatch
            | Error::EmptySequence { .. }
            | Error::SequenceTooLong { .. }
            | Error::TokenOutOfRange { .. }
            | Error::TokenTypeLength { .. }
            | Error::TokenTypeOutOfRange { .. }
            | Error::TokenizerText { .. }
            | Error::TokenOutsideTable { .. }
            | Error::HeadInput { .. }
            | Error::HeadWeights { .. } => ErrorKind::InvalidInput,
            Error::Sparsity { .. }
            | Error::DensePruning { .. }
            | Error::CalibrationOption { .. }
            | Error::PrecisionLayers { .. }
            | Error::UnknownPreset { .. }
            | Error::UnknownPrompt { .. }
            | Error::OnnxScales { .. }
            | Error::OnnxBits { .. }
            | Error::WrongHead { .. }
            | Error::Occupied { .. } => ErrorKind::InvalidOption,
            Error::Text { source, .. } => source.kind(),
            Error::Forked { .. } => ErrorKind::Machine,
            Error::Weights(error) => error.kind(),
            Error::Hub(error) => error.kind(),
            Error::Calibration(error) => error.kind(),
            Error::Onnx(error) => error.kind(),
        }
    }
}
