//! An encoder, ready to run: calibrated and compiled as the options say, or taken from a packed file.

use lacuna::tasks::Record;
use lacuna::{CalibratedModel, Encoder, Model, TextInput};

use super::TaskArgs;
use super::summary::Calibration;
use crate::model::FormArg;
use crate::packed::{Opened, decided, needs_weights};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Spinner;
use lacuna_console::sentences::{CALIBRATION_SENTENCES, calibration_file};
use lacuna_console::text;
use std::path::Path;

/// An encoder, ready to run.
pub(super) struct Ready {
    pub(super) encoder: Encoder,
    /// The model that it was compiled from; `None` for a packed model.
    pub(super) calibrated: Option<CalibratedModel>,
    pub(super) calibration: Calibration,
}

impl TaskArgs {
    /// The encoder, calibrated and compiled as the options say; of a packed model only compiled, and options that it cannot follow
    /// are refused.
    pub(super) fn ready<R: Record>(&self, model: Opened, records: &[R], context: &Context) -> Result<Ready> {
        let packed = match model {
            Opened::Packed(packed) => packed,
            Opened::Directory(model) => {
                let (calibrated, calibration) = self.calibrated(self.model.pruning.apply(*model)?, records)?;
                let encoder = self.tuning.compile(&calibrated, self.form.into(), context)?;
                return Ok(Ready { encoder, calibrated: Some(calibrated), calibration });
            }
        };
        if self.verify {
            return Err(needs_weights(&packed, "--verify", "verify with it before packing"));
        }
        if self.calibrate.is_some() {
            return Err(needs_weights(&packed, "--calibrate", "calibrate with lacuna pack --calibrate"));
        }
        if let Some((option, found)) = self.scheme.first() {
            return Err(decided(option, found));
        }
        if !matches!(self.form, FormArg::Auto) {
            return Err(decided("--form", format!("{:?}", self.form).to_lowercase()));
        }
        self.tuning.check_packed()?;
        let encoder = packed.compiler().tier(context.tier).compile()?;
        let source = packed.path().map_or_else(String::new, |path| path.display().to_string());
        Ok(Ready { encoder, calibrated: None, calibration: Calibration { source, texts: 0, from_input: false } })
    }

    /// The calibrated model, and what it was calibrated on: the file, or else the beginning of the input.
    fn calibrated<R: Record>(&self, model: Model, records: &[R]) -> Result<(CalibratedModel, Calibration)> {
        let from_input = self.calibrate.is_none();
        let source = self.calibrate.as_ref().map_or_else(|| "input".into(), |path| path.display().to_string());
        let (of_file, texts);
        let inputs: Vec<TextInput<'_>> = match &self.calibrate {
            None if records.is_empty() => ["the cat sat on a mat", "a dog", "Zoë met Émile in Paris, by the river."]
                .iter()
                .map(|t| TextInput::new(t))
                .collect(),
            None => records.iter().flat_map(R::inputs).take(CALIBRATION_SENTENCES).collect(),
            Some(path) if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl")) => {
                of_file = parse::<R>(path, &text::read_lines(path)?)?;
                of_file.iter().flat_map(R::inputs).collect()
            }
            Some(path) => {
                texts = calibration_file(path, usize::MAX)?;
                texts.iter().map(|text| TextInput::new(text)).collect()
            }
        };
        let _spinner = Spinner::new(format!("calibrating on {} texts", inputs.len()));
        let calibrated = model.calibration().options(self.scheme.options()).run(&inputs)?;
        Ok((calibrated, Calibration { source, texts: inputs.len(), from_input }))
    }
}

fn parse<R: Record>(path: &Path, lines: &[String]) -> Result<Vec<R>> {
    let parse = |(i, line): (usize, &String)| {
        R::parse(line).map_err(|found| Error::Row {
            path: path.to_owned(),
            line: i as u64 + 1,
            found: found.to_string(),
            expected: R::FORMAT,
        })
    };
    lines.iter().enumerate().map(parse).collect()
}
