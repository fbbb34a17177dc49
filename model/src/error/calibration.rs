//! What calibration refuses.

use std::fmt;
use std::path::PathBuf;

use lacuna_pattern::ActivationBits;

use super::ErrorKind;

/// Ways in which calibration can fail, apart from options out of their bounds.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// Activations that are infinite or no numbers.
    #[error(
        "layer {layer}, {tensor}: found activations that are infinite or not a number; expected finite ones: check the weights \
         of the model, which overflow f32 on these texts"
    )]
    NotFinite {
        /// Encoder layer.
        layer: usize,
        /// The tensor.
        tensor: &'static str,
    },

    /// A file of calibration texts beside a model that cannot be used.
    #[error("{}: {}found {found}; expected {expected}", path.display(), InLine(*line))]
    StoredTexts {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1; 0 for the whole file.
        line: usize,
        /// What is there.
        found: String,
        /// What should be there.
        expected: &'static str,
    },

    /// A quantisation that is not one of this model.
    #[error("quantisation: {what}: found {found}; expected {expected}")]
    Quantisation {
        /// The part.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        expected: String,
    },

    /// Codes of activations that the model's file has, and that have other bits than those that were asked for.
    #[error(
        "{}{tensor}: the model's file has scales for codes of {found} bits; expected none for codes of {expected} bits: read a model in f32, \
         or leave the {found} bits", OfLayer(*layer)
    )]
    FileCodes {
        /// Encoder layer; none for the input of the embeddings' projection.
        layer: Option<usize>,
        /// The tensor.
        tensor: &'static str,
        /// Bits of the file's codes.
        found: ActivationBits,
        /// What was asked for.
        expected: ActivationBits,
    },

    /// A name that is no way to choose a range.
    #[error("range {found:?}: expected minmax, percentile:P with 50 < P <= 100, mse or kl")]
    UnknownRange {
        /// What was given.
        found: String,
    },

    /// A name that is no smoothing.
    #[error("smoothing {found:?}: expected none, search, or a number from 0 to 1")]
    UnknownSmoothing {
        /// What was given.
        found: String,
    },
}

impl CalibrationError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            CalibrationError::NotFinite { .. } | CalibrationError::StoredTexts { .. } => ErrorKind::InvalidInput,
            CalibrationError::Quantisation { .. }
            | CalibrationError::FileCodes { .. }
            | CalibrationError::UnknownRange { .. }
            | CalibrationError::UnknownSmoothing { .. } => ErrorKind::InvalidOption,
        }
    }
}

/// A layer in a message; nothing for none.
struct OfLayer(Option<usize>);

impl fmt::Display for OfLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(layer) => write!(f, "layer {layer}, "),
        }
    }
}

/// A line in a message; nothing for 0.
struct InLine(usize);

impl fmt::Display for InLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            line => write!(f, "line {line}: "),
        }
    }
}
