//! Sentences to calibrate on, from text and CSV files.

use std::path::Path;

use crate::error::{Error, Result};
use crate::text::read_texts;

/// Calibration sentences taken from a command's own input when no file is given.
pub const CALIBRATION_SENTENCES: usize = 200;

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

/// At most `limit` of the sentences, evenly spread, in their order.
pub fn spread(sentences: Vec<String>, limit: usize) -> Vec<String> {
    let count = sentences.len();
    if count <= limit {
        return sentences;
    }
    // The i-th interval of `limit` equal ones ends at the first index that it does not contain.
    let taken = |i: usize| (i + 1) * limit / count > i * limit / count;
    sentences.into_iter().enumerate().filter(|(i, _)| taken(*i)).map(|(_, sentence)| sentence).collect()
}

/// An error of the csv reader, in the words of this command.
pub fn csv_error(path: &Path, error: &csv::Error) -> Error {
    Error::Row {
        path: path.to_owned(),
        line: error.position().map_or(0, csv::Position::line),
        found: match error.kind() {
            csv::ErrorKind::Utf8 { err, .. } => format!("invalid UTF-8 in field {}", err.field() + 1),
            csv::ErrorKind::UnequalLengths { len, .. } => format!("{len} fields"),
            _ => error.to_string(),
        },
        expected: "comma-separated UTF-8 fields, quoted where they hold commas, the same number in every row",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_spread_evenly() {
        for (count, limit) in [(0, 3), (1, 1), (3, 5), (5, 5), (10, 3), (7, 2), (100, 99), (1000, 1), (1000, 200)] {
            let all: Vec<String> = (0..count).map(|i| i.to_string()).collect();
            let taken: Vec<usize> = spread(all, limit).iter().map(|s| s.parse().unwrap()).collect();
            assert_eq!(taken.len(), count.min(limit), "{count}, {limit}");
            let gaps: Vec<usize> = taken.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(gaps.iter().all(|&gap| gap == count / limit || gap == count.div_ceil(limit)), "{gaps:?}");
        }
    }
}
