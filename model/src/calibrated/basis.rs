//! What a model was calibrated on.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::tokens::TokenIds;
use crate::words::plural;

/// Where calibration texts came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CalibrationSource {
    /// The caller: texts or token ids.
    Given,
    /// This file, beside the model.
    Stored(PathBuf),
    /// The built-in collection.
    BuiltIn,
}

/// What a model was calibrated on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CalibrationBasis {
    /// Where the texts came from.
    pub source: CalibrationSource,
    /// Texts that were used.
    pub texts: usize,
    /// Texts that there were.
    pub of: usize,
    /// Sequences of the model's own tokens that were added, since the texts show too little of its vocabulary.
    pub drawn: usize,
    /// Texts that were longer than the model's limit, and were truncated. Of the built-in collection they are not counted.
    pub truncated: usize,
    /// Tokens of the shortest and of the longest sequence.
    pub lengths: (usize, usize),
}

impl CalibrationBasis {
    /// Sequences of the caller.
    pub(crate) fn given<S: TokenIds>(ids: &[S]) -> CalibrationBasis {
        let lengths = || ids.iter().map(|tokens| tokens.ids().len());
        let (texts, lengths) = (ids.len(), (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0)));
        CalibrationBasis { source: CalibrationSource::Given, texts, of: texts, drawn: 0, truncated: 0, lengths }
    }
}

impl fmt::Display for CalibrationBasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CalibrationBasis { source, texts, of, drawn, .. } = self;
        match texts == of {
            true => f.write_str(&plural(*texts, "text"))?,
            false => write!(f, "{texts} of {}", plural(*of, "text"))?,
        }
        match source {
            CalibrationSource::Given => {}
            CalibrationSource::Stored(path) => write!(f, " of {}", path.display())?,
            CalibrationSource::BuiltIn => write!(f, " of the built-in collection")?,
        }
        match drawn {
            0 => Ok(()),
            _ => write!(f, " and {} drawn from the vocabulary", plural(*drawn, "sequence")),
        }
    }
}
