//! Sentences to calibrate on, from text and CSV files.

use std::path::Path;

pub use lacuna::calibration::spread;

use crate::error::{Error, Result};
use crate::table::plural;
use crate::text::read_texts;

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

/// An error of the csv reader, in the words of this command.
pub fn csv_error(path: &Path, error: &csv::Error) -> Error {
    Error::Row {
        path: path.to_owned(),
        line: error.position().map_or(0, csv::Position::line),
        found: match error.kind() {
            csv::ErrorKind::Utf8 { err, .. } => format!("invalid UTF-8 in field {}", err.field() + 1),
            csv::ErrorKind::UnequalLengths { len, .. } => plural(*len, "field"),
            _ => error.to_string(),
        },
        expected: "comma-separated UTF-8 fields, quoted where they hold commas, the same number in every row",
    }
}
