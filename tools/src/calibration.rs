//! Options of calibration, for every command that quantises.

use std::path::PathBuf;

use lacuna::calibration::{CalibrationOptions, Choice, Keep, RangeMethod, Smoothing};
use lacuna::{CalibratedModel, Model};
use lacuna_console::args;
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Spinner;
use lacuna_console::sentences::{CALIBRATION_SENTENCES, calibration_file};

/// How activations are quantised, and on which texts.
#[derive(clap::Args)]
#[command(next_help_heading = "Calibration")]
pub(crate) struct CalibrationArgs {
    /// Calibration sentences, of every kind that will be embedded: a text file, one per line, or the first column of a .csv
    #[arg(long, value_name = "FILE")]
    pub(crate) calibrate: Option<PathBuf>,

    /// How many of the calibration sentences to use, spread evenly over the file
    #[arg(long, value_name = "N", default_value_t = CALIBRATION_SENTENCES, value_parser = args::at_least_one)]
    pub(crate) sentences: usize,

    #[command(flatten)]
    pub(crate) scheme: SchemeArgs,
}

/// How activations are quantised.
#[derive(clap::Args)]
pub(crate) struct SchemeArgs {
    /// Where the range of codes ends: minmax, percentile:P, mse, kl [default: minmax]
    #[arg(long, value_name = "HOW")]
    range: Option<RangeMethod>,

    /// How scales are distributed over features: none, search, or alpha from 0 to 1 [default: 0.75]
    #[arg(long, value_name = "ALPHA", allow_hyphen_values = true)]
    smoothing: Option<Smoothing>,

    /// Choose range and smoothing tensor by tensor, by the error they measure on held-out sentences; --range and --smoothing
    /// are used where no other choice is clearly better
    #[arg(long)]
    choose: bool,

    /// Compute tensors whose signal to noise ratio is below this many decibels in a more exact arithmetic: the cheapest of
    /// dynamic, bf16, f32 that reaches it
    #[arg(long, value_name = "DB", allow_hyphen_values = true, value_parser = decibels)]
    keep_below: Option<f64>,
}

impl SchemeArgs {
    /// The options of the library.
    pub(crate) fn options(&self) -> CalibrationOptions {
        let default = CalibrationOptions::default();
        CalibrationOptions {
            range: self.range.unwrap_or(default.range),
            smoothing: self.smoothing.unwrap_or(default.smoothing),
            choice: if self.choose { Choice::Measured } else { Choice::Fixed },
            keep: self.keep_below.map(Keep::below),
            ..default
        }
    }

    /// The options that were given, with their values.
    fn given(&self) -> impl Iterator<Item = (&'static str, Option<String>)> {
        let range = self.range.map(|range| ("--range", Some(range.to_string())));
        let smoothing = self.smoothing.map(|smoothing| ("--smoothing", Some(smoothing.to_string())));
        let choose = self.choose.then_some(("--choose", None));
        let keep = self.keep_below.map(|db| ("--keep-below", Some(db.to_string())));
        [range, smoothing, choose, keep].into_iter().flatten()
    }

    /// The first option that was given, for refusing it.
    pub(crate) fn first(&self) -> Option<(&'static str, String)> {
        self.given().next().map(|(option, value)| (option, value.unwrap_or_else(|| "set".into())))
    }

    /// The options as they are given again, each with a space before it.
    pub(crate) fn again(&self) -> String {
        let words = self.given().flat_map(|(option, value)| [Some(option.to_owned()), value]).flatten();
        words.map(|word| format!(" {word}")).collect()
    }
}

impl CalibrationArgs {
    /// The sentences of `--calibrate`, which cannot be left out.
    pub(crate) fn require(&self) -> Result<Vec<String>> {
        self.read()?.ok_or_else(|| Error::Argument {
            option: "--calibrate",
            found: "nothing".into(),
            expected: "a file of sentences, about 200 of the kind that will be embedded".into(),
        })
    }

    /// The sentences of `--calibrate`; nothing without.
    pub(crate) fn read(&self) -> Result<Option<Vec<String>>> {
        self.calibrate.as_deref().map(|path| calibration_file(path, self.sentences)).transpose()
    }
}

/// Calibrates on sentences with the given options.
pub(crate) fn calibrate(model: Model, sentences: &[String], options: &CalibrationOptions) -> Result<CalibratedModel> {
    let _spinner = Spinner::new(format!("calibrating on {} sentences", sentences.len()));
    Ok(model.calibration().options(*options).run(sentences)?)
}

/// A signal to noise ratio that can be asked for.
fn decibels(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(found) if (0.0..=200.0).contains(&found) => Ok(found),
        _ => Err(format!("found {text:?}; expected a number of decibels from 0 to 200")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        calibration: CalibrationArgs,
    }

    #[test]
    fn options_are_the_library_s() {
        let of = |args: &[&str]| Line::try_parse_from([&["x"], args].concat()).map(|line| line.calibration.scheme);
        assert_eq!(of(&[]).unwrap().options(), CalibrationOptions::default());
        let line = ["--range", "percentile:99.9", "--smoothing", "search", "--choose", "--keep-below", "35"];
        let scheme = of(&line).unwrap();
        let expected = CalibrationOptions {
            range: RangeMethod::Percentile(99.9),
            smoothing: Smoothing::Search,
            choice: Choice::Measured,
            keep: Some(Keep::below(35.0)),
            ..CalibrationOptions::default()
        };
        assert_eq!(scheme.options(), expected);
        assert_eq!(scheme.again(), format!(" {}", line.join(" ")));
        for bad in [["--range", "percentile:40"], ["--smoothing", "2"], ["--keep-below", "-1"], ["--sentences", "0"]] {
            assert!(of(&bad).is_err(), "{bad:?}");
        }
    }
}
