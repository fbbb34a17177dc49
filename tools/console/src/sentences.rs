//! Sentences to calibrate on, from text and CSV files.

use std::path::Path;

pub use lacuna::calibration::spread;
use lacuna_data::text::read_texts;

use crate::error::{Error, Result};

/// Calibration sentences that are used of a file or of the built-in collection, where no option says another number.
pub const CALIBRATION_SENTENCES: usize = lacuna::calibration::TEXTS;

/// Calibration sentences of a file: one column of a table, the lines of anything else, as [`read_texts`] reads them. `limit` of them, spread evenly over
/// the file: files are often sorted by where texts come from, and calibration has to see all kinds.
pub fn calibration_file(path: &Path, limit: usize) -> Result<Vec<String>> {
    let sentences = spread(read_texts(path)?, limit);
    match sentences.is_empty() {
        false => Ok(sentences),
        true => Err(Error::Argument {
            option: "--calibrate",
            found: format!("no sentences in {}", path.display()),
            expected: "at least 1, better 200 of the kind that will be embedded".into(),
        }),
    }
}
