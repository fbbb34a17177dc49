//! What is said about a run, apart from its results: in words, or as one JSON object.

use std::fmt::Display;
use std::io;

use lacuna::report::LoadReport;
use lacuna::tasks::TruncatedInput;
use serde::Serialize;

use lacuna_console::output::{say, write_json};

/// Everything that is said. `about` is what only the command knows, `verify` the comparison with the f32 reference.
#[derive(Serialize)]
pub(crate) struct Summary<'a, T, V> {
    #[serde(flatten)]
    pub(crate) about: T,
    pub(crate) tier: &'static str,
    pub(crate) calibration: Calibration,
    /// What was assumed about the model, and what is easily missed.
    pub(crate) remarks: Vec<String>,
    pub(crate) truncated: Vec<TruncatedInput>,
    pub(crate) verify: Option<V>,
    pub(crate) report: Option<&'a LoadReport>,
}

#[derive(Serialize)]
pub(crate) struct Calibration {
    /// A file, or "input"; for a packed model that file, and no texts.
    pub(crate) source: String,
    pub(crate) texts: usize,
    /// Whether the command's own input had to do.
    #[serde(skip)]
    pub(crate) from_input: bool,
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
        let Calibration { texts, from_input, .. } = self.calibration;
        if from_input {
            say(format_args!(
                "calibrated on the first {texts} input texts; --calibrate FILE takes others (about 200 are enough)"
            ));
        }
        self.truncated.iter().for_each(say);
        self.verify.iter().for_each(say);
        if let Some(report) = self.report {
            say(report.to_string().trim_end());
        }
    }
}
