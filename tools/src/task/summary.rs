//! What is said about a run, apart from its results: in words, or as one JSON object.

use std::fmt::Display;
use std::io;

use lacuna::report::{LoadReport, Saturation};
use lacuna::tasks::TruncatedInput;
use serde::Serialize;

use crate::calibration::CalibrationSummary;
use lacuna_console::output::{say, write_json};

/// Everything that is said. `about` is what only the command knows, `verify` the comparison with the f32 reference.
#[derive(Serialize)]
pub(crate) struct Summary<'a, T, V> {
    #[serde(flatten)]
    pub(crate) about: T,
    pub(crate) tier: &'static str,
    pub(crate) calibration: CalibrationSummary,
    /// What makes results less accurate than they could be.
    pub(crate) warnings: Vec<String>,
    /// What was assumed about the model, and what is easily missed.
    pub(crate) remarks: Vec<String>,
    pub(crate) truncated: Vec<TruncatedInput>,
    pub(crate) verify: Option<V>,
    pub(crate) report: Option<&'a LoadReport>,
    /// With the report.
    pub(crate) saturation: Option<Saturation>,
}

impl<T: Serialize, V: Serialize + Display> Summary<'_, T, V> {
    /// Says it on standard error.
    pub(crate) fn say(&self, json: bool) {
        if json {
            // Results matter more than what is said about them: a closed standard error is no failure.
            let _ = write_json(&mut io::stderr().lock(), self);
            return;
        }
        self.remarks.iter().for_each(say);
        self.calibration.remark().iter().for_each(say);
        self.warnings.iter().for_each(say);
        self.truncated.iter().for_each(say);
        self.verify.iter().for_each(say);
        if let Some(report) = self.report {
            say(report.to_string().trim_end());
        }
        if let Some(saturation) = &self.saturation {
            say(format_args!("{:<12} {saturation}", "saturation"));
        }
    }
}
