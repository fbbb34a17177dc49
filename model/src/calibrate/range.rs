//! Where the range of codes ends: at all values seen, at nearly all, or where the cost is least.

use lacuna_pattern::ActivationBits;

use super::collect::TapStats;
use super::kl;
use crate::quantize::round_code;

/// How much of a distribution the codes cover. The rest is clipped to the ends.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum RangeMethod {
    /// Everything that was seen: nothing is clipped.
    MinMax,
    /// This percentage of the sampled values, as much on either side; 50 < percentile <= 100.
    Percentile(f64),
    /// The range with the least weighted squared error on the sample, searched in 2 % steps from
    /// min-max down to 40 % of it.
    Mse,
    /// The range whose codes keep most of the sample's distribution: the least Kullback-Leibler divergence, over a histogram of 2048
    /// bins, of the clipped distribution from its rounded form (Migacz, "8-bit inference with TensorRT", 2017). Both ends are
    /// searched, in 1/128 of min-max. With fewer than 16 values per code a histogram says nothing, and the range is that of
    /// [`RangeMethod::MinMax`].
    Kl,
}

/// Candidate ranges of [`RangeMethod::Mse`] relative to min-max.
fn shrink_factors() -> impl Iterator<Item = f32> {
    (0..=30).map(|i| 1.0 - 0.02 * i as f32)
}

/// An affine range of codes from 0 on of values that are comparable across features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AffineRange {
    /// Value of one step.
    pub(super) step: f32,
    /// The code of zero.
    pub(super) zero_point: u8,
    pub(super) bits: ActivationBits,
}

impl AffineRange {
    /// The range that covers `[low, high]` and zero.
    fn new(low: f32, high: f32, bits: ActivationBits) -> Self {
        let largest = f32::from(bits.largest());
        let (low, high) = (low.min(0.0), high.max(0.0));
        let step = ((high - low) / largest).max(f32::MIN_POSITIVE);
        Self { step, zero_point: (-low / step).round_ties_even().clamp(0.0, largest) as u8, bits }
    }

    /// The value after rounding to a code and back.
    fn round(self, x: f32) -> f32 {
        let (least, largest) = self.ends();
        round_code(x / self.step, least, largest) * self.step
    }

    /// The code of a value.
    fn code(self, x: f32) -> i32 {
        let (least, largest) = self.ends();
        round_code(x / self.step, least, largest) as i32
    }

    /// The least and the largest code, less that of zero.
    fn ends(self) -> (f32, f32) {
        let zero = f32::from(self.zero_point);
        (-zero, f32::from(self.bits.largest()) - zero)
    }
}

/// The range of `x[k] / relative[k]` over all features; squared errors count `importance[k]`.
pub(super) fn affine_range(
    stats: &TapStats,
    relative: &[f32],
    importance: &[f32],
    method: RangeMethod,
    bits: ActivationBits,
) -> AffineRange {
    let range = |low, high| AffineRange::new(low, high, bits);
    let scaled = |xs: &[f32]| -> Vec<f32> { xs.iter().zip(relative).map(|(x, s)| x / s).collect() };
    let low = scaled(&stats.min).into_iter().fold(0.0, f32::min);
    let high = scaled(&stats.max).into_iter().fold(0.0, f32::max);
    match method {
        RangeMethod::MinMax => range(low, high),
        RangeMethod::Percentile(percent) => {
            let mut values: Vec<f32> = stats.rows().flat_map(scaled).collect();
            let tail = (100.0 - percent) / 200.0;
            range(quantile(&mut values, tail), quantile(&mut values, 1.0 - tail))
        }
        RangeMethod::Mse => {
            let values: Vec<f32> = stats.rows().flat_map(scaled).collect();
            let error = |range: AffineRange| -> f64 {
                let row_error = |row: &[f32]| {
                    let mut sum = 0.0f32;
                    for (x, weight) in row.iter().zip(importance) {
                        let e = x - range.round(*x);
                        sum += weight * e * e;
                    }
                    f64::from(sum)
                };
                values.chunks(relative.len().max(1)).map(row_error).sum()
            };
            let shrink_high = least(shrink_factors(), |f| error(range(low, high * f)));
            let high = high * shrink_high;
            let shrink_low = least(shrink_factors(), |f| error(range(low * f, high)));
            range(low * shrink_low, high)
        }
        RangeMethod::Kl => {
            let values: Vec<f32> = stats.rows().flat_map(scaled).collect();
            let code = |low, high| {
                let range = range(low, high);
                move |x| range.code(x)
            };
            let (low, high) = kl::clip(&values, (low, high), usize::from(bits.largest()) + 1, code);
            range(low, high)
        }
    }
}

/// Scales `max |x| / codes`, one per run of `features` neighbouring features.
pub(super) fn symmetric_scales(stats: &TapStats, features: usize, codes: f32, method: RangeMethod) -> Vec<f32> {
    let groups = stats.min.chunks(features).zip(stats.max.chunks(features));
    groups
        .enumerate()
        .map(|(g, (min, max))| {
            let largest = min.iter().chain(max).fold(0.0f32, |m, x| m.max(x.abs()));
            let values = || {
                let range = g * features..g * features + min.len();
                stats.rows().flat_map(move |row| row[range.clone()].iter().copied())
            };
            let limit = match method {
                RangeMethod::MinMax => largest,
                RangeMethod::Percentile(percent) => {
                    let mut values: Vec<f32> = values().map(f32::abs).collect();
                    quantile(&mut values, percent / 100.0)
                }
                RangeMethod::Mse => {
                    let error = |limit: f32| -> f64 {
                        let step = limit / codes;
                        let square = |x: f32| {
                            let code = round_code(x / step, -codes, codes);
                            f64::from(x - code * step).powi(2)
                        };
                        values().map(square).sum()
                    };
                    largest * least(shrink_factors(), |f| error(largest * f))
                }
                RangeMethod::Kl => {
                    let values: Vec<f32> = values().map(f32::abs).collect();
                    let code = |_: f32, limit: f32| move |x: f32| round_code(x * codes / limit, 0.0, codes) as i32;
                    kl::clip(&values, (0.0, largest), codes as usize + 1, code).1
                }
            };
            (limit / codes).max(f32::MIN_POSITIVE)
        })
        .collect()
}

/// The candidate of least cost, the first among equals; 1 when the cost is never a number.
pub(super) fn least(candidates: impl Iterator<Item = f32>, cost: impl Fn(f32) -> f64) -> f32 {
    let mut best = (f64::INFINITY, 1.0);
    for candidate in candidates {
        let cost = cost(candidate);
        if cost < best.0 {
            best = (cost, candidate);
        }
    }
    best.1
}

/// The value below which a fraction of the values lies; zero of none.
fn quantile(values: &mut [f32], fraction: f64) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let index = ((values.len() - 1) as f64 * fraction).round() as usize;
    *values.select_nth_unstable_by(index, f32::total_cmp).1
}
