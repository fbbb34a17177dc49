//! What calibration refuses.

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
            CalibrationError::NotFinite { .. } => ErrorKind::InvalidInput,
            CalibrationError::UnknownRange { .. } | CalibrationError::UnknownSmoothing { .. } => {
                ErrorKind::InvalidOption
            }
        }
    }
}
