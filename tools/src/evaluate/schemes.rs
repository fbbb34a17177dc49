//! Ways to quantise, beside each other: accuracy and time.

use std::time::{Duration, Instant};

use lacuna::calibration::{ActivationBits, CalibrationOptions, CalibrationTexts, Choice, LayerPrecision};
use lacuna::{Encoder, Form, Model, Precision};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::progress::Spinner;
use lacuna_console::stats::Cosines;
use lacuna_console::table::{Table, number, plural};
use lacuna_console::timing::{Samples, Timed};
use serde::Serialize;

use crate::calibration::CalibrationArgs;
use crate::model;
use lacuna_data::pairs::Pairs;

/// Sentences of one sample, spread over all: many short samples in turn see the same disturbances.
const TIMED_SENTENCES: usize = 96;
/// Rounds, one sample of every scheme in each.
const ROUNDS: usize = 151;
/// No new round after this, once there are three.
const TIME: Duration = Duration::from_secs(15);

/// What all schemes are measured on.
pub(super) struct Schemes<'a> {
    pub(super) pairs: &'a Pairs,
    pub(super) ids: &'a [Vec<u32>],
    /// How many tokens at the beginning of each are a prompt.
    pub(super) prompt_tokens: usize,
    /// Embeddings of the f32 model.
    pub(super) reference: &'a [Vec<f32>],
    pub(super) calibration: &'a CalibrationArgs,
    /// Of `--calibrate`.
    pub(super) texts: Option<&'a CalibrationTexts>,
}

/// How a model is quantised.
struct Scheme {
    name: String,
    options: CalibrationOptions,
    /// The arithmetic of all tensors; static leaves it to the options.
    all: Precision,
}

/// One scheme.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    scheme: String,
    spearman: f64,
    pearson: f64,
    cosine_mean: Option<f64>,
    cosine_min: Option<f64>,
    /// Median time of the timed sentences.
    milliseconds: Option<f64>,
    /// Median of the ratios to plain static int8, sample by sample: 0.9 is a tenth slower.
    speed: Option<f64>,
    calibration_seconds: Option<f64>,
}

impl Schemes<'_> {
    /// Plain static int8 first, which speed is relative to.
    pub(super) fn compare(&self, model: &Model, context: &Context) -> Result<Vec<Row>> {
        let own = &self.calibration.scheme;
        let options = own.options(context.tier);
        let default = CalibrationOptions::default();
        let all = |precision: Precision| Scheme { name: precision.name().to_owned(), options: default, all: precision };
        let with = |name: &str, options| Scheme { name: name.to_owned(), options, all: Precision::Static };
        let mut schemes = vec![
            with("plain static int8", CalibrationOptions::plain()),
            with("default", default),
            with("measured choice", CalibrationOptions { choice: Choice::Measured, ..default }),
            with("7-bit activations", CalibrationOptions { activation_bits: ActivationBits::Seven, ..default }),
            all(Precision::Dynamic),
            all(Precision::Bf16),
        ];
        if schemes.iter().all(|scheme| scheme.options != options) {
            schemes.push(with(&own.again().join(" "), options));
        }
        let mut rows = vec![Row {
            scheme: "f32 reference".into(),
            spearman: self.pairs.spearman(self.reference),
            pearson: self.pairs.pearson(self.reference),
            cosine_mean: None,
            cosine_min: None,
            milliseconds: None,
            speed: None,
            calibration_seconds: None,
        }];
        let mut encoders = Vec::with_capacity(schemes.len());
        for Scheme { name: scheme, options, all } in schemes {
            let mut calibrated = self.calibration.run_with(model.clone(), self.texts, &options)?;
            if all != Precision::Static {
                let layers = vec![LayerPrecision::all(all); calibrated.quant().len()];
                calibrated = calibrated.with_precision(layers)?;
            }
            let encoder = match model::compile(&calibrated, Form::Auto, context) {
                // A CPU may lack what bf16 needs.
                Err(error) if all == Precision::Bf16 => {
                    say(format_args!("{scheme}: left out: {error}"));
                    continue;
                }
                encoder => encoder?,
            };
            let embeddings = {
                let _spinner = Spinner::new(format!("embedding {}: {scheme}", plural(self.ids.len(), "sentence")));
                encoder.embed_prompted_ids(self.ids, self.prompt_tokens)?
            };
            let cosines = Cosines::between(&embeddings, self.reference);
            rows.push(Row {
                scheme,
                spearman: self.pairs.spearman(&embeddings),
                pearson: self.pairs.pearson(&embeddings),
                cosine_mean: Some(cosines.mean),
                cosine_min: Some(cosines.min),
                milliseconds: None,
                speed: None,
                calibration_seconds: Some(calibrated.model().timings().calibrate.as_secs_f64()),
            });
            encoders.push(encoder);
        }
        let samples = self.time(&encoders)?;
        for (row, of_row) in rows.iter_mut().skip(1).zip(&samples) {
            row.milliseconds = Some(of_row.median() * 1e3);
            row.speed = samples.first().map(|plain| plain.ratio_to(of_row));
        }
        Ok(rows)
    }

    /// Times all encoders in turn.
    fn time(&self, encoders: &[Encoder]) -> Result<Vec<Samples>> {
        let _spinner = Spinner::new("timing");
        let ids: Vec<&[u32]> =
            self.ids.iter().step_by(self.ids.len().div_ceil(TIMED_SENTENCES).max(1)).map(Vec::as_slice).collect();
        let ids = &ids;
        let mut calls: Vec<_> = encoders
            .iter()
            .map(|encoder| {
                move || -> Result<()> {
                    std::hint::black_box(encoder.embed_ids(ids).map_err(Error::from)?);
                    Ok(())
                }
            })
            .collect();
        let mut timed = calls.iter_mut().map(|call| Timed::new(call, Duration::ZERO)).collect::<Result<Vec<_>>>()?;
        let start = Instant::now();
        for round in 0..ROUNDS {
            if round >= 3 && start.elapsed() > TIME {
                break;
            }
            timed.iter_mut().try_for_each(Timed::sample)?;
        }
        Ok(timed.into_iter().map(Timed::into_samples).collect())
    }
}

pub(super) fn table(rows: &[Row]) -> Table {
    let headings =
        ["<scheme", "Spearman", "Pearson", "cosine to f32: mean", "least", "ms", "speed x plain", "calibration s"];
    let mut table = Table::new(&headings);
    for row in rows {
        table.row([
            row.scheme.clone(),
            format!("{:.4}", row.spearman),
            format!("{:.4}", row.pearson),
            number(row.cosine_mean, 5),
            number(row.cosine_min, 5),
            number(row.milliseconds, 2),
            number(row.speed, 3),
            number(row.calibration_seconds, 2),
        ]);
    }
    table
}
