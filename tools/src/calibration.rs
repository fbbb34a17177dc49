//! Options of calibration, for every command that quantises.

use std::fmt;
use std::path::{Path, PathBuf};

use lacuna::calibration::{
    ActivationBits, CalibrationBasis, CalibrationOptions, CalibrationSource, CalibrationTexts, Choice, Keep,
    RangeMethod, Smoothing,
};
use lacuna::tasks::Record;
use lacuna::{CalibratedModel, Model, PackedModel, Tier};
use lacuna_console::args;
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Spinner;
use lacuna_console::sentences::{CALIBRATION_SENTENCES, calibration_file};
use lacuna_console::table::plural;
use lacuna_console::text::read_lines;
use lacuna_jit::{Avx512Bf16, Isa};
use serde::Serialize;

use crate::packed::{decided, needs_weights};

/// How activations are quantised, and on which texts.
#[derive(clap::Args)]
#[command(next_help_heading = "Calibration")]
pub(crate) struct CalibrationArgs {
    /// Calibration texts, of every kind that the model will see: a text file (no pipe), one per line; a .csv or .tsv, whose column is found as that
    /// of --input: one named "text" in a first row of names, else the first; or a .jsonl of objects like those of --jsonl [default: lacuna-calibration.jsonl in the model's folder, else a built-in collection]
    #[arg(long, value_name = "FILE")]
    pub(crate) calibrate: Option<PathBuf>,

    /// How many of the calibration texts to use, spread evenly over all of them [default: 200]
    #[arg(long, value_name = "N", value_parser = args::at_least_one)]
    pub(crate) sentences: Option<usize>,

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

    /// Bits of the codes that linear layers read: 8, or 7, which are less accurate and faster on CPUs with AVX2 alone [default: 8]
    #[arg(long, value_name = "BITS")]
    activation_bits: Option<ActivationBits>,

    /// Choose range and smoothing tensor by tensor, by the error they measure on held-out sentences; --range and --smoothing
    /// are used where no other choice is clearly better
    #[arg(long)]
    choose: bool,

    /// Compute tensors whose signal to noise ratio is below this many decibels in a more exact arithmetic: the cheapest of
    /// dynamic, bf16 (where this CPU runs it), f32 that reaches it
    #[arg(long, value_name = "DB", allow_hyphen_values = true, value_parser = decibels)]
    keep_below: Option<f64>,
}

impl SchemeArgs {
    /// The options of the library, with precisions that this machine runs.
    pub(crate) fn options(&self, tier: Tier) -> CalibrationOptions {
        let keep = |db| if runs_bf16(tier) { Keep::below(db) } else { Keep::below(db).without_bf16() };
        let default = CalibrationOptions::default();
        CalibrationOptions {
            range: self.range.unwrap_or(default.range),
            smoothing: self.smoothing.unwrap_or(default.smoothing),
            activation_bits: self.activation_bits.unwrap_or(default.activation_bits),
            choice: if self.choose { Choice::Measured } else { Choice::Fixed },
            keep: self.keep_below.map(keep),
            ..default
        }
    }

    /// The options that were given, with their values.
    fn given(&self) -> impl Iterator<Item = (&'static str, Option<String>)> {
        let range = self.range.map(|range| ("--range", Some(range.to_string())));
        let smoothing = self.smoothing.map(|smoothing| ("--smoothing", Some(smoothing.to_string())));
        let bits = self.activation_bits.map(|bits| ("--activation-bits", Some(bits.to_string())));
        let choose = self.choose.then_some(("--choose", None));
        let keep = self.keep_below.map(|db| ("--keep-below", Some(db.to_string())));
        [range, smoothing, bits, choose, keep].into_iter().flatten()
    }

    /// The first option that was given, for refusing it.
    pub(crate) fn first(&self) -> Option<(&'static str, String)> {
        self.given().next().map(|(option, value)| (option, value.unwrap_or_else(|| "set".into())))
    }

    /// The options as they are given again.
    pub(crate) fn again(&self) -> Vec<String> {
        self.given().flat_map(|(option, value)| [Some(option.to_owned()), value]).flatten().collect()
    }
}

impl CalibrationArgs {
    /// The most texts that are used.
    pub(crate) fn limit(&self) -> usize {
        self.sentences.unwrap_or(CALIBRATION_SENTENCES)
    }

    /// All texts of `--calibrate`; nothing without. Of empty texts one is kept. A line of a `.jsonl` file is a record of a task.
    pub(crate) fn texts<R: Record>(&self) -> Result<Option<CalibrationTexts>> {
        self.calibrate.as_deref().map(texts_of::<R>).transpose()
    }

    /// Calibrates on these texts, or else on those that are stored beside the model, or else on the built-in collection.
    pub(crate) fn run(&self, model: Model, texts: Option<&CalibrationTexts>, tier: Tier) -> Result<CalibratedModel> {
        self.run_with(model, texts, &self.scheme.options(tier))
    }

    /// The same with other options.
    pub(crate) fn run_with(
        &self,
        model: Model,
        texts: Option<&CalibrationTexts>,
        options: &CalibrationOptions,
    ) -> Result<CalibratedModel> {
        let _spinner = Spinner::new(match texts {
            Some(texts) => format!("calibrating on {}", plural(self.limit().min(texts.len()), "text")),
            None => "calibrating".into(),
        });
        let calibration = model.calibration().options(*options).at_most(self.limit());
        Ok(match texts {
            Some(texts) => calibration.run(texts.inputs())?,
            None => calibration.run_default()?,
        })
    }

    /// What is said of a calibration.
    pub(crate) fn summary(&self, basis: &CalibrationBasis) -> CalibrationSummary {
        CalibrationSummary::of(basis, self.calibrate.as_deref())
    }

    /// Refuses the options for a packed model, which is calibrated already.
    pub(crate) fn check_packed(&self, packed: &PackedModel) -> Result<()> {
        if self.calibrate.is_some() {
            return Err(needs_weights(packed, "--calibrate", "calibrate with lacuna pack --calibrate"));
        }
        if let Some(count) = self.sentences {
            return Err(decided("--sentences", count.to_string()));
        }
        match self.scheme.first() {
            Some((option, found)) => Err(decided(option, found)),
            None => Ok(()),
        }
    }
}

/// The source of texts without a name.
const GIVEN: &str = "given";

/// What is said of a calibration: in words, or as JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CalibrationSummary {
    /// A file, "built-in", or "given": a packed model does not name the file of its own texts.
    pub(crate) source: String,
    /// Texts that were used.
    pub(crate) texts: usize,
    /// Texts that there were.
    pub(crate) of: usize,
    /// Sequences of the model's own tokens, where the texts show too little of its vocabulary.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) drawn: usize,
    #[serde(skip)]
    is_built_in: bool,
    /// Whether it is decided, in a packed model.
    #[serde(skip)]
    is_packed: bool,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl CalibrationSummary {
    /// `given` is the file of texts that the user gave.
    fn of(basis: &CalibrationBasis, given: Option<&Path>) -> CalibrationSummary {
        let source = match (&basis.source, given) {
            (CalibrationSource::BuiltIn, _) => "built-in".to_owned(),
            (CalibrationSource::Stored(path), _) => path.display().to_string(),
            (_, Some(path)) => path.display().to_string(),
            _ => GIVEN.to_owned(),
        };
        let is_built_in = basis.source == CalibrationSource::BuiltIn;
        let CalibrationBasis { texts, of, drawn, .. } = *basis;
        CalibrationSummary { source, texts, of, drawn, is_built_in, is_packed: false }
    }

    /// Of a packed model, as the file says it.
    pub(crate) fn packed(model: &PackedModel) -> Option<CalibrationSummary> {
        let basis = model.calibration()?;
        Some(CalibrationSummary { is_packed: true, ..CalibrationSummary::of(basis, None) })
    }

    /// What a user should know who gave no texts.
    pub(crate) fn remark(&self) -> Option<String> {
        (self.is_built_in && !self.is_packed)
            .then(|| format!("calibrated on {self}; --calibrate FILE takes texts of your own"))
    }
}

impl fmt::Display for CalibrationSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CalibrationSummary { source, texts, of, drawn, is_built_in, .. } = self;
        match texts == of {
            true => f.write_str(&plural(*texts, "text"))?,
            false => write!(f, "{texts} of {}", plural(*of, "text"))?,
        }
        match (*is_built_in, &source[..]) {
            (true, _) => f.write_str(" of the built-in collection")?,
            (false, GIVEN) => {}
            (false, path) => write!(f, " of {path}")?,
        }
        match drawn {
            0 => Ok(()),
            _ => write!(f, " and {} drawn from the model's vocabulary", plural(*drawn, "sequence")),
        }
    }
}

/// All texts of a file.
pub(crate) fn texts_of<R: Record>(path: &Path) -> Result<CalibrationTexts> {
    let is_records = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
    let texts = match is_records {
        false => CalibrationTexts::new(&one_blank(calibration_file(path, usize::MAX)?)),
        true => {
            let mut records = Vec::new();
            for (line, number) in read_lines(path)?.iter().zip(1..) {
                records.push(R::parse(line).map_err(|found| Error::Row {
                    path: path.to_owned(),
                    line: number,
                    found: found.to_string(),
                    expected: R::FORMAT,
                })?);
            }
            CalibrationTexts::new(records.iter().flat_map(R::inputs))
        }
    };
    match texts.is_empty() {
        false => Ok(texts),
        true => Err(Error::Argument {
            option: "--calibrate",
            found: format!("no texts in {}", path.display()),
            expected: "at least 1, better 200 of the kind that the model will see".into(),
        }),
    }
}

/// The texts, of which at most the first blank one is kept: many would leave no room for texts that show something.
fn one_blank(texts: Vec<String>) -> Vec<String> {
    let mut blank = 0;
    let keep = |text: &String| {
        blank += usize::from(text.trim().is_empty());
        !text.trim().is_empty() || blank == 1
    };
    texts.into_iter().filter(keep).collect()
}

/// Whether layers in bf16 run in this tier on this machine: the portable tier needs no instructions for it.
pub(crate) fn runs_bf16(tier: Tier) -> bool {
    Isa::for_tier(tier).or_portable_for_avx2() == Isa::Portable || Avx512Bf16::detect().is_some()
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
        assert_eq!(of(&[]).unwrap().options(Tier::Portable), CalibrationOptions::default());
        let line = [
            "--range",
            "percentile:99.9",
            "--smoothing",
            "search",
            "--activation-bits",
            "7",
            "--choose",
            "--keep-below",
            "35",
        ];
        let scheme = of(&line).unwrap();
        let expected = CalibrationOptions {
            range: RangeMethod::Percentile(99.9),
            smoothing: Smoothing::Search,
            activation_bits: ActivationBits::Seven,
            choice: Choice::Measured,
            keep: Some(Keep::below(35.0)),
            ..CalibrationOptions::default()
        };
        assert_eq!(scheme.options(Tier::Portable), expected);
        assert_eq!(scheme.again(), line);
        for bad in [
            ["--range", "percentile:40"],
            ["--smoothing", "2"],
            ["--keep-below", "-1"],
            ["--sentences", "0"],
            ["--activation-bits", "6"],
        ] {
            assert!(of(&bad).is_err(), "{bad:?}");
        }
    }
}
