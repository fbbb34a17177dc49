//! Which range, smoothing and precision a tensor gets.

use super::collect::{Halves, TapStats};
use super::measure::{Judge, Reader};
use super::options::{CalibrationOptions, Choice, Keep};
use super::range::RangeMethod;
use super::report::{CandidateReport, PrecisionReport, TensorReport, decibels};
use super::smooth::{self, Smoothing};
use crate::codes::TensorQuant;
use crate::precision::Precision;
use crate::quantize::ActivationQuant;
use crate::reference::Tap;
use crate::weights::Linear;

/// Ranges that [`Choice::Measured`] tries.
const RANGES: [RangeMethod; 5] = [
    RangeMethod::MinMax,
    RangeMethod::Percentile(99.99),
    RangeMethod::Percentile(99.9),
    RangeMethod::Mse,
    RangeMethod::Kl,
];
/// Smoothing that it tries.
const SMOOTHINGS: [Smoothing; 5] =
    [Smoothing::Alpha(0.75), Smoothing::Alpha(0.65), Smoothing::Alpha(0.85), Smoothing::Alpha(0.5), Smoothing::None];
/// Another pair than that of the options must have at most this much of its error.
const CLEARLY_LESS: f64 = 0.95;

/// The common input of some linear layers.
pub(super) struct Input<'a> {
    pub(super) layer: Option<usize>,
    pub(super) tap: Tap,
    pub(super) halves: &'a Halves,
    pub(super) readers: Vec<Reader<'a>>,
    /// What the file says of it.
    pub(super) given: Option<TensorQuant>,
    /// Whether the readers can compute in other precisions.
    pub(super) has_precision: bool,
}

/// What an input gets.
pub(super) struct Chosen {
    /// Fitted on all sequences.
    pub(super) quant: ActivationQuant,
    pub(super) precision: Precision,
    /// What it was judged by, if anything was measured.
    pub(super) judged: Option<Judged>,
}

/// What was measured on held-out rows.
pub(super) struct Judged {
    /// Fitted on the other half.
    pub(super) quant: ActivationQuant,
    pub(super) report: TensorReport,
}

impl Input<'_> {
    pub(super) fn choose(&self, options: &CalibrationOptions) -> Chosen {
        let widened = |stats: &TapStats| stats.widened(options.headroom, options.floor);
        let all = widened(&self.halves.all());
        let own = self.own(options);
        if !options.measures() {
            let quant = self.fit(&all, own, options);
            return Chosen { quant, precision: Precision::Static, judged: None };
        }
        // Of a single sequence nothing can be held out.
        let held_out = match self.halves.held_out.features() {
            0 => &self.halves.fit,
            _ => &self.halves.held_out,
        };
        let judge = Judge::new(held_out, &self.readers);
        let fitted = widened(&self.halves.fit);
        let mut candidates = vec![self.candidate(&judge, &fitted, &[own.0], own.1, options)];
        if options.choice == Choice::Measured && self.given.is_none() {
            for smoothing in SMOOTHINGS.into_iter().filter(|&smoothing| self.allows(smoothing)) {
                let ranges: Vec<RangeMethod> = RANGES.into_iter().filter(|range| (*range, smoothing) != own).collect();
                candidates.push(self.candidate(&judge, &fitted, &ranges, smoothing, options));
            }
        }
        let candidates: Vec<_> = candidates.into_iter().flatten().collect();
        let limit = candidates.first().map_or(0.0, |(own, _)| CLEARLY_LESS * own.relative_error);
        let best = candidates.iter().min_by(|a, b| a.0.relative_error.total_cmp(&b.0.relative_error));
        let best = best.filter(|best| best.0.relative_error < limit).or(candidates.first());
        let Some((chosen, quant)) = best.cloned() else {
            let quant = self.fit(&all, own, options);
            return Chosen { quant, precision: Precision::Static, judged: None };
        };
        let errors = match self.has_precision {
            true => Precision::ALL
                .map(|precision| match precision {
                    Precision::Static => (precision, chosen.relative_error),
                    Precision::F32 => (precision, 0.0),
                    _ => (precision, judge.error(&quant, &judge.weights(&quant, precision), precision)),
                })
                .to_vec(),
            false => vec![(Precision::Static, chosen.relative_error)],
        };
        let (precision, reason) = options.keep.map_or((Precision::Static, None), |keep| kept(keep, &errors));
        let of_precision = errors.iter().find(|(of, _)| *of == precision);
        let relative_error = of_precision.map_or(chosen.relative_error, |(_, error)| *error);
        let report = TensorReport {
            layer: self.layer,
            tensor: self.tap.name(),
            readers: self.readers.iter().map(|reader| reader.name).collect(),
            given: self.given.is_some(),
            range: chosen.range,
            smoothing: Some(chosen.smoothing),
            snr_db: decibels(relative_error),
            relative_error,
            clipped: if precision == Precision::Static { judge.clipped(&quant) } else { 0.0 },
            precision,
            reason,
            precisions: match self.has_precision {
                true => {
                    errors.iter().map(|&(precision, e)| PrecisionReport { precision, snr_db: decibels(e) }).collect()
                }
                false => Vec::new(),
            },
            candidates: candidates.iter().map(|(candidate, _)| *candidate).collect(),
        };
        let all = self.fit(&all, (chosen.range, chosen.smoothing), options);
        Chosen { quant: all, precision, judged: Some(Judged { quant, report }) }
    }

    /// The pair of the options. If the file already has codes, the pair is one scale for all features, since others would change the
    /// codes, with a range that is not ruined by outliers, which no smoothing takes away.
    fn own(&self, options: &CalibrationOptions) -> (RangeMethod, Smoothing) {
        match (self.allows(options.smoothing), options.range) {
            (true, range) => (range, options.smoothing),
            (false, RangeMethod::MinMax) => (RangeMethod::Mse, Smoothing::None),
            (false, range) => (range, Smoothing::None),
        }
    }

    fn allows(&self, smoothing: Smoothing) -> bool {
        smoothing == Smoothing::None || self.readers.iter().all(|reader| reader.codes.is_none())
    }

    /// Candidates that share their smoothing. A range changes the scales of all features by the same factor, which does not change
    /// rounded weights, so these are made once.
    fn candidate(
        &self,
        judge: &Judge<'_>,
        fitted: &TapStats,
        ranges: &[RangeMethod],
        smoothing: Smoothing,
        options: &CalibrationOptions,
    ) -> Vec<(CandidateReport, ActivationQuant)> {
        let mut weights = None;
        let measure = |&range: &RangeMethod| {
            let quant = self.fit(fitted, (range, smoothing), options);
            let weights = weights.get_or_insert_with(|| judge.weights(&quant, Precision::Static));
            let relative_error = judge.error(&quant, weights, Precision::Static);
            (CandidateReport { range, smoothing, relative_error }, quant)
        };
        ranges.iter().map(measure).collect()
    }

    fn fit(
        &self,
        stats: &TapStats,
        (range, smoothing): (RangeMethod, Smoothing),
        options: &CalibrationOptions,
    ) -> ActivationQuant {
        if let Some(given) = self.given {
            return ActivationQuant::spread(given, stats.features());
        }
        let readers: Vec<&Linear> = self.readers.iter().map(|reader| reader.linear).collect();
        let mut quant = smooth::fit(stats, &readers, range, smoothing, options.activation_bits);
        if !options.bias_correction {
            quant.mean.fill(0.0);
        }
        quant
    }
}

/// The cheapest precision that reaches the limit, and why it is not static; or static where none does, and that it should not be.
pub(super) fn kept(keep: Keep, errors: &[(Precision, f64)]) -> (Precision, Option<String>) {
    let reaches = |error: f64| decibels(error).is_none_or(|db| db >= keep.below_db);
    let mut reason = Vec::new();
    for &(precision, error) in errors.iter().filter(|(precision, _)| keep.bf16 || *precision != Precision::Bf16) {
        if reaches(error) {
            let moved = precision != Precision::Static;
            return (precision, moved.then(|| format!("{}, below {} dB", reason.join(", "), keep.below_db)));
        }
        reason.push(format!("{precision} {:.1} dB", decibels(error).unwrap_or(f64::INFINITY)));
    }
    let reason = format!("{}, below {} dB: it has no other precision", reason.join(", "), keep.below_db);
    (Precision::Static, Some(reason))
}
