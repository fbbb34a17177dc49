//! An earlier run to compare with.

use std::fmt;
use std::path::Path;

use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::table::plural;
use serde_json::{Map, Value};

use super::report::{Row, Unit};

/// The rows of a file that `--json` printed.
#[derive(Debug)]
pub(super) struct Baseline {
    file: String,
    rows: Vec<Map<String, Value>>,
}

impl Baseline {
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Argument`] if it holds no rows of measured kernels.
    pub(super) fn read(path: &Path) -> Result<Baseline> {
        let text = lacuna_files::read(path, lacuna_files::SETTINGS_LIMIT).map_err(Error::unread(path))?;
        let file = path.display().to_string();
        let wrong = |found: String| Error::Argument {
            option: "--baseline",
            found: format!("{file}: {found}"),
            expected: "what lacuna bench KERNEL --json printed".into(),
        };
        let rows: Vec<Map<String, Value>> =
            serde_json::from_slice(&text).map_err(|error| wrong(format!("no JSON array of objects ({error})")))?;
        for (i, row) in rows.iter().enumerate() {
            for (key, right) in [("kernel", row.get("kernel").is_some_and(Value::is_string)), ("median_us", time(row))]
            {
                if !right {
                    let value = row.get(key).map_or_else(|| "absent".to_owned(), Value::to_string);
                    return Err(wrong(format!("{key} of row {} is {value}", i + 1)));
                }
            }
        }
        Ok(Baseline { file, rows })
    }

    /// Adds the earlier time and the ratio old / new to every row, and says how many rows have none.
    pub(super) fn compare(&self, rows: &mut [Row]) {
        let mut missing = 0;
        for row in rows.iter_mut() {
            let earlier = self.rows.iter().find(|earlier| row.is_same_measurement(earlier));
            missing += usize::from(earlier.is_none());
            let earlier = earlier.and_then(|earlier| earlier["median_us"].as_f64());
            let ratio = earlier.zip(row.number("median_us")).map(|(old, new)| old / new);
            row.figure("baseline_us", None, earlier, Unit::Decimals(2));
            row.figure("ratio_to_baseline", Some("x baseline"), ratio, Unit::Ratio("no match"));
        }
        if missing > 0 {
            say(format_args!("{}: no match for {missing} of {}", self.file, plural(rows.len(), "row")));
        }
    }
}

/// Whether a row has a time; null is one that was not measured.
fn time(row: &Map<String, Value>) -> bool {
    row.get("median_us").is_some_and(|time| time.is_null() || time.as_f64().is_some_and(|us| us > 0.0))
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)
    }
}
