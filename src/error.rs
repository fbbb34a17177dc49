//! The one error type of the crate.

use lacuna_jit::JitError;
use lacuna_kernels::KernelError;
use lacuna_kernels::spmm::TuningError;
use lacuna_model::{CalibrationError, ErrorKind, HubError, OnnxError, WeightError};

use crate::container::PackedError;
use crate::tasks::error::RecordError;

/// Result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong between a model directory and an embedding.
///
/// Each variant names the thing (file, tensor, setting, sentence), what was found and what was
/// expected, so that the message alone says what to fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model, its files, its tokens, or its calibration.
    #[error(transparent)]
    Model(#[from] lacuna_model::Error),

    /// A session's call was stopped through its [`Cancel`](crate::Cancel).
    #[error("cancelled; Cancel::reset lets the session's calls run again")]
    Cancelled,

    /// A buffer for embeddings that does not hold one value per sequence and feature.
    #[error(
        "output buffer: found {found} values; expected {expected}, \
         {sequences} sequences x {features} features"
    )]
    OutputLength {
        /// Its length.
        found: usize,
        /// The right length.
        expected: usize,
        /// Sequences in the batch.
        sequences: usize,
        /// Features of an embedding.
        features: usize,
    },

    /// An option of a task out of its bounds.
    #[error("{option}: found {found}; expected {expected}")]
    HeadOption {
        /// The option.
        option: &'static str,
        /// Its value.
        found: usize,
        /// Its bounds.
        expected: String,
    },

    /// A question that leaves no room for its context.
    #[error(
        "input {input}: the question takes {found} of {limit} tokens; expected room for at least 1 token of context"
    )]
    QuestionTooLong {
        /// Index in the batch.
        input: usize,
        /// Tokens of the question, with special tokens.
        found: usize,
        /// The model's limit.
        limit: usize,
    },

    /// A text to fill in, without a place to do so.
    #[error("input {input}: found {found}; expected {mask} at least once, which is this model's mask")]
    NoMask {
        /// Index in the batch.
        input: usize,
        /// The mask of another model that the text has, or "nothing to fill in".
        found: String,
        /// The mask token.
        mask: String,
    },

    /// Logits of which no probability can be made.
    #[error(
        "input {input}: found a logit of {found}; expected a finite number: weights of the model, or the sizes of its activations, are \
         beyond what f32 holds"
    )]
    NotFinite {
        /// Index in the batch.
        input: usize,
        /// The first such logit.
        found: f32,
    },

    /// A tokenizer without a mask token.
    #[error("this model's tokenizer has no token {expected}, which marks what is to be filled in")]
    NoMaskToken {
        /// The mask token.
        expected: &'static str,
    },

    /// A packed model.
    #[error(transparent)]
    Packed(#[from] PackedError),

    /// A kernel could not be planned, generated, made executable or called.
    #[error(transparent)]
    Kernel(#[from] KernelError),

    /// A table of schedules.
    #[error(transparent)]
    Tuning(#[from] TuningError),

    /// A line that is not the record that a task reads.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// `?` on errors that [`lacuna_model::Error`] holds.
macro_rules! from_model {
    ($($error:ty),*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error::Model(error.into())
            }
        })*
    };
}

from_model!(CalibrationError, HubError, OnnxError, WeightError);

impl From<JitError> for Error {
    fn from(error: JitError) -> Error {
        Error::Kernel(error.into())
    }
}

impl From<lacuna_kernels::pattern::PatternError> for Error {
    fn from(error: lacuna_kernels::pattern::PatternError) -> Error {
        Error::Kernel(error.into())
    }
}

impl Error {
    /// What kind of error it is: what a caller may decide by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Model(error) => error.kind(),
            Error::Kernel(error) => kind_of_kernel(error),
            Error::Packed(error) => kind_of_packed(error),
            Error::Tuning(error) => kind_of_tuning(error),
            Error::Record(_) => ErrorKind::InvalidInput,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::OutputLength { .. }
            | Error::QuestionTooLong { .. }
            | Error::NoMask { .. }
            | Error::NotFinite { .. } => ErrorKind::InvalidInput,
            Error::HeadOption { .. } => ErrorKind::InvalidOption,
            Error::NoMaskToken { .. } => ErrorKind::Missing,
        }
    }
}

fn kind_of_kernel(error: &KernelError) -> ErrorKind {
    match error {
        KernelError::Feature { .. } | KernelError::Facts(_) => ErrorKind::Machine,
        KernelError::Jit(error) => kind_of_jit(error),
        KernelError::Section { .. } => ErrorKind::InvalidFile,
        KernelError::TokenId { .. } => ErrorKind::InvalidInput,
        KernelError::Block { .. } | KernelError::Dimension { .. } | KernelError::Parameter { .. } => {
            ErrorKind::Unsupported
        }
        // The rest are arguments that this crate prepared.
        _ => ErrorKind::Internal,
    }
}

fn kind_of_jit(error: &JitError) -> ErrorKind {
    match error {
        JitError::UnknownTier { .. } | JitError::UnknownFeature { .. } => ErrorKind::InvalidOption,
        JitError::TierUnavailable { .. }
        | JitError::MissingFeatures { .. }
        | JitError::Architecture { .. }
        | JitError::Map { .. }
        | JitError::ExecutionDenied { .. } => ErrorKind::Machine,
        // The rest are mistakes of a generator.
        _ => ErrorKind::Internal,
    }
}

fn kind_of_tuning(error: &TuningError) -> ErrorKind {
    match error {
        TuningError::File { error, .. } => ErrorKind::of_io(error),
        TuningError::Syntax { .. } => ErrorKind::InvalidFile,
        TuningError::Stale { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::Internal,
    }
}

fn kind_of_packed(error: &PackedError) -> ErrorKind {
    match error {
        PackedError::Io { source, .. } => ErrorKind::of_io(source),
        PackedError::Version { .. } => ErrorKind::Unsupported,
        PackedError::BigEndian { .. } => ErrorKind::Machine,
        PackedError::NotPacked { .. }
        | PackedError::Length { .. }
        | PackedError::Checksum { .. }
        | PackedError::Header { .. }
        | PackedError::Manifest { .. }
        | PackedError::Section { .. }
        | PackedError::Content { .. }
        | PackedError::Weights { .. } => ErrorKind::InvalidFile,
        PackedError::NeedsWeights { .. } => ErrorKind::Missing,
        PackedError::Alignment { .. } => ErrorKind::InvalidInput,
        PackedError::Decided { .. } => ErrorKind::InvalidOption,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use lacuna_jit::Features;

    use super::*;

    /// One of every variant, and its kind; `lacuna_model` tests its own.
    #[test]
    fn every_error_has_the_kind_that_callers_act_by() {
        let path = || PathBuf::from("model.lacuna");
        let kernel = || "spmm".to_owned();
        let cases: Vec<(Error, ErrorKind)> = vec![
            (lacuna_model::Error::EmptyBatch.into(), ErrorKind::InvalidInput),
            (Error::Cancelled, ErrorKind::Cancelled),
            (Error::OutputLength { found: 1, expected: 2, sequences: 1, features: 2 }, ErrorKind::InvalidInput),
            (Error::HeadOption { option: "top_k", found: 0, expected: String::new() }, ErrorKind::InvalidOption),
            (Error::QuestionTooLong { input: 0, found: 2, limit: 1 }, ErrorKind::InvalidInput),
            (
                Error::NoMask { input: 0, found: "nothing to fill in".into(), mask: "[MASK]".into() },
                ErrorKind::InvalidInput,
            ),
            (Error::NotFinite { input: 0, found: f32::NAN }, ErrorKind::InvalidInput),
            (Error::NoMaskToken { expected: "[MASK]" }, ErrorKind::Missing),
            (KernelError::Feature { kernel: kernel(), feature: "avx512f", hint: "" }.into(), ErrorKind::Machine),
            (KernelError::NoCode { kernel: kernel() }.into(), ErrorKind::Internal),
            (
                KernelError::from(JitError::UnknownTier { found: String::new(), origin: String::new() }).into(),
                ErrorKind::InvalidOption,
            ),
            (JitError::UnknownFeature { found: String::new() }.into(), ErrorKind::InvalidOption),
            (JitError::MissingFeatures { kernel: kernel(), missing: Features::AVX512_VBMI }.into(), ErrorKind::Machine),
            (KernelError::from(JitError::Architecture { found: "aarch64" }).into(), ErrorKind::Machine),
            (PackedError::BigEndian { path: path() }.into(), ErrorKind::Machine),
            (PackedError::NotPacked { path: path(), found: String::new() }.into(), ErrorKind::InvalidFile),
            (PackedError::NeedsWeights { path: path(), what: String::new(), remedy: "" }.into(), ErrorKind::Missing),
            (PackedError::Decided { option: "--block", found: String::new() }.into(), ErrorKind::InvalidOption),
            (PackedError::Alignment { path: path(), found: 8, expected: 64 }.into(), ErrorKind::InvalidInput),
            (JitError::Architecture { found: "aarch64" }.into(), ErrorKind::Machine),
            (HubError::NoCache.into(), ErrorKind::NotFound),
            (lacuna_model::Error::Forked { process: 2, parent: 1 }.into(), ErrorKind::Machine),
            (CalibrationError::UnknownRange { found: String::new() }.into(), ErrorKind::InvalidOption),
            (
                TuningError::File { path: path(), error: std::io::ErrorKind::NotFound.into() }.into(),
                ErrorKind::NotFound,
            ),
            (
                TuningError::Stale { path: path(), what: "CPU", found: String::new(), expected: String::new() }.into(),
                ErrorKind::Unsupported,
            ),
            (RecordError::ReservedField { field: "embedding" }.into(), ErrorKind::InvalidInput),
        ];
        for (error, kind) in cases {
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
