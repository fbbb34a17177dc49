//! How resolution is shared between activations and weights, feature by feature.
//!
//! The product `W[m][k] * x[k]` does not change when `x[k]` is divided and `W[m][k]` multiplied by
//! the same number. Large activations of a feature can so be made small at the expense of its
//! weights (Xiao et al., "SmoothQuant", 2023); here it costs nothing at run time.

use lacuna_pattern::ActivationBits;

use super::collect::TapStats;
use super::range::{RangeMethod, affine_range};
use crate::quantize::{ActivationQuant, WEIGHT_MAX};
use crate::weights::Linear;

/// How scales are distributed over the features of an input.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Smoothing {
    /// One scale for the tensor.
    None,
    /// `scale[k]` proportional to `max |x[k]|^alpha / max_m |W[m][k]|^(1 - alpha)`:
    /// 0 gives all resolution to the weights, 1 all to the activations.
    Alpha(f32),
    /// The alpha of least estimated output error, per tensor.
    Search,
}

/// Values of alpha that [`Smoothing::Search`] tries.
const ALPHAS: [f32; 9] = [0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0];

/// The quantisation of a tensor by a range and a smoothing, to codes of `bits`.
pub(super) fn fit(
    stats: &TapStats,
    readers: &[&Linear],
    range: RangeMethod,
    smoothing: Smoothing,
    bits: ActivationBits,
) -> ActivationQuant {
    let relative = match smoothing {
        Smoothing::None => vec![1.0; stats.features()],
        Smoothing::Alpha(alpha) => relative_scales(stats, readers, alpha),
        Smoothing::Search => return search(stats, readers, range, bits),
    };
    with_relative(stats, readers, relative, range, bits)
}

/// Relative scales of the features for a given alpha.
fn relative_scales(stats: &TapStats, readers: &[&Linear], alpha: f32) -> Vec<f32> {
    let largest: Vec<f32> = stats.min.iter().zip(&stats.max).map(|(lo, hi)| lo.abs().max(hi.abs())).collect();
    let weights = column_max(stats.features(), readers);
    let defined = |k: usize| largest[k] > 0.0 && weights[k] > 0.0;
    let relative = |k: usize| largest[k].powf(alpha) / weights[k].powf(1.0 - alpha);
    let features = 0..stats.features();
    // The largest |x| / scale of the features that matter; 1 when none does.
    let ratio = features.clone().filter(|&k| defined(k)).map(|k| largest[k] / relative(k)).fold(0.0, f32::max);
    let ratio = if ratio > 0.0 { ratio } else { 1.0 };
    features
        .map(|k| match (defined(k), largest[k] > 0.0) {
            (true, _) => relative(k),
            // Nobody reads this feature: as fine as it can be without widening the range.
            (false, true) => largest[k] / ratio,
            // Never seen to be anything but zero: any scale does.
            (false, false) => 1.0 / ratio,
        })
        .collect()
}

/// The quantisation with given relative scales.
fn with_relative(
    stats: &TapStats,
    readers: &[&Linear],
    relative: Vec<f32>,
    method: RangeMethod,
    bits: ActivationBits,
) -> ActivationQuant {
    let energy = column_energy(stats.features(), readers);
    let importance: Vec<f32> = energy.iter().zip(&relative).map(|(e, s)| e * s * s).collect();
    let range = affine_range(stats, &relative, &importance, method, bits);
    let scale = relative.iter().map(|s| (s * range.step).max(f32::MIN_POSITIVE)).collect();
    ActivationQuant { scale, zero_point: range.zero_point, bits, mean: stats.mean() }
}

/// The quantisation with the best of [`ALPHAS`].
fn search(stats: &TapStats, readers: &[&Linear], method: RangeMethod, bits: ActivationBits) -> ActivationQuant {
    let energy = column_energy(stats.features(), readers);
    let candidates = ALPHAS.map(|alpha| {
        let quant = with_relative(stats, readers, relative_scales(stats, readers, alpha), method, bits);
        (estimated_error(stats, readers, &energy, &quant), quant)
    });
    let [first, rest @ ..] = candidates;
    rest.into_iter().fold(first, |best, next| if next.0 < best.0 { next } else { best }).1
}

/// Expected squared error of the readers' outputs per token: measured rounding and clipping of the
/// activations, plus rounding of the weights as uniform noise of one step (variance step^2 / 12) on
/// what varies in the activations (their mean is corrected in the bias).
fn estimated_error(stats: &TapStats, readers: &[&Linear], energy: &[f32], quant: &ActivationQuant) -> f64 {
    let features = stats.features();
    let (mut squares, mut rows) = (vec![0.0f64; features], 0usize);
    let mut activation_error = 0.0;
    for row in stats.rows() {
        rows += 1;
        for k in 0..features {
            let rounded = quant.dequantize(k, quant.quantize(k, row[k]));
            activation_error += f64::from(energy[k]) * f64::from(row[k] - rounded).powi(2);
            squares[k] += f64::from((row[k] - quant.mean[k]) / quant.scale[k]).powi(2);
        }
    }
    let mut weight_error = 0.0;
    for reader in readers {
        for row in reader.weight.data.chunks_exact(features) {
            let folded = row.iter().zip(&quant.scale).map(|(w, s)| (w * s).abs());
            let step = f64::from(folded.fold(0.0, f32::max) / WEIGHT_MAX);
            let kept = row.iter().zip(&squares).filter(|(w, _)| **w != 0.0);
            weight_error += step * step / 12.0 * kept.map(|(_, s)| s).sum::<f64>();
        }
    }
    (activation_error + weight_error) / rows.max(1) as f64
}

/// `max_m |W[m][k]|` over all readers, per input feature.
fn column_max(features: usize, readers: &[&Linear]) -> Vec<f32> {
    let mut max = vec![0.0f32; features];
    for row in readers.iter().flat_map(|r| r.weight.data.chunks_exact(features)) {
        max.iter_mut().zip(row).for_each(|(m, w)| *m = m.max(w.abs()));
    }
    max
}

/// `sum_m W[m][k]^2` over all readers, per input feature.
fn column_energy(features: usize, readers: &[&Linear]) -> Vec<f32> {
    let mut energy = vec![0.0f32; features];
    for row in readers.iter().flat_map(|r| r.weight.data.chunks_exact(features)) {
        energy.iter_mut().zip(row).for_each(|(e, w)| *e += w * w);
    }
    energy
}
