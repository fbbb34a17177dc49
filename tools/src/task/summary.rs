//! What is said about a run, apart from its results: in words, or as one JSON object.

use std::fmt::Display;
use std::io;

use lacuna::report::{LoadReport, Saturation};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::calibration::CalibrationSummary;
use lacuna_console::output::{say, write_json};
use lacuna_console::remarks::{take, tell, warn};
use lacuna_console::table::plural;

use super::truncations::Truncations;

/// Everything that is said. `about` is what only the command knows, `verify` the comparison with the f32 reference.
#[derive(Serialize)]
pub(crate) struct Summary<'a, T, V> {
    #[serde(flatten)]
    pub(crate) about: T,
    pub(crate) tier: &'static str,
    /// None of a packed model that does not say it.
    pub(crate) calibration: Option<CalibrationSummary>,
    #[serde(flatten)]
    pub(crate) ran: Ran,
    pub(crate) verify: Option<V>,
    pub(crate) report: Option<&'a LoadReport>,
    /// In words only with the report.
    pub(crate) saturation: Saturation,
}

/// What ran.
pub(crate) struct Ran {
    /// Lines, rows or objects of the input that this run answered.
    pub(crate) texts: u64,
    pub(crate) tokens: u64,
    /// Without loading the model.
    pub(crate) seconds: f64,
    /// Lines that gave no result.
    pub(crate) bad: u64,
    pub(crate) truncated: Truncations,
}

impl Ran {
    fn rate(&self) -> f64 {
        self.texts as f64 / self.seconds.max(1e-9)
    }
}

impl Serialize for Ran {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("texts", &self.texts)?;
        map.serialize_entry("tokens", &self.tokens)?;
        map.serialize_entry("seconds", &self.seconds)?;
        map.serialize_entry("without_result", &self.bad)?;
        map.serialize_entry("truncated_count", &self.truncated.count)?;
        map.serialize_entry("truncated", self.truncated.first())?;
        map.end()
    }
}

/// The summary with the remarks of the run.
#[derive(Serialize)]
struct WithRemarks<'a, T> {
    #[serde(flatten)]
    summary: &'a T,
    remarks: Vec<String>,
}

impl<T: Serialize, V: Serialize + Display> Summary<'_, T, V> {
    /// Says it on standard error.
    pub(crate) fn say(&self, json: bool) {
        if json {
            let said = WithRemarks { summary: self, remarks: take() };
            // Results matter more than what is said about them: a closed standard error is no failure.
            let _ = write_json(&mut io::stderr().lock(), &said);
            return;
        }
        if self.ran.truncated.count > 0 {
            warn(&self.ran.truncated);
        }
        self.verify.iter().for_each(tell);
        if let Some(report) = self.report {
            tell(report.to_string().trim_end());
            tell(format_args!("{:<12} {}", "saturation", self.saturation));
        }
        let Ran { texts, tokens, seconds, bad, truncated } = &self.ran;
        let mut line = format!(
            "{}, {} in {seconds:.2} s, {:.0} texts/s",
            plural(*texts, "text"),
            plural(*tokens, "token"),
            self.ran.rate()
        );
        if truncated.count > 0 {
            line += &format!("; {} truncated", truncated.count);
        }
        if *bad > 0 {
            line += &format!("; {bad} without a result");
        }
        say(line);
    }
}
