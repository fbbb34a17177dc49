//! Ways to quantise, beside each other: accuracy and time.

use std::time::{Duration, Instant};

use lacuna::{CalibrationOptions, Choice, Encoder, Form, Model};
use serde::Serialize;

use super::pairs::Pairs;
use crate::calibration::{SchemeArgs, calibrate};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::model;
use crate::progress::Spinner;
use crate::stats::Cosines;
use crate::table::{Table, number};
use crate::timing::{Samples, Timed};

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
    /// Embeddings of the f32 model.
    pub(super) reference: &'a [Vec<f32>],
    pub(super) calibration: &'a [String],
}

/// One scheme.
#[derive(Serialize)]
pub(super) struct Row {
    scheme: String,
    spearman: f64,
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
    pub(super) fn compare(&self, model: &Model, own: &SchemeArgs, context: &Context) -> Result<Vec<Row>> {
        let default = CalibrationOptions::default();
        let mut schemes = vec![
            ("plain static int8".to_owned(), CalibrationOptions::plain()),
            ("default".to_owned(), default),
            ("measured choice".to_owned(), CalibrationOptions { choice: Choice::Measured, ..default }),
        ];
        if schemes.iter().all(|(_, options)| *options != own.options()) {
            schemes.push((own.again().trim_start().to_owned(), own.options()));
        }
        let mut rows = vec![Row {
            scheme: "f32 reference".into(),
            spearman: self.pairs.spearman(self.reference),
            cosine_mean: None,
            cosine_min: None,
            milliseconds: None,
            speed: None,
            calibration_seconds: None,
        }];
        let mut encoders = Vec::with_capacity(schemes.len());
        for (scheme, options) in schemes {
            let calibrated = calibrate(model.clone(), self.calibration, &options)?;
            let encoder = model::compile(&calibrated, Form::Auto, context)?;
            let embeddings = {
                let _spinner = Spinner::new(format!("embedding {} sentences: {scheme}", self.ids.len()));
                encoder.embed_ids(self.ids)?
            };
            let cosines = Cosines::between(&embeddings, self.reference);
            rows.push(Row {
                scheme,
                spearman: self.pairs.spearman(&embeddings),
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
    let headings = ["<scheme", "Spearman", "cosine to f32: mean", "least", "ms", "speed x plain", "calibration s"];
    let mut table = Table::new(&headings);
    for row in rows {
        table.row([
            row.scheme.clone(),
            format!("{:.4}", row.spearman),
            number(row.cosine_mean, 5),
            number(row.cosine_min, 5),
            number(row.milliseconds, 1),
            number(row.speed, 3),
            number(row.calibration_seconds, 2),
        ]);
    }
    table
}
