//! What a caller may choose.

use lacuna_pattern::ActivationBits;
use serde::Serialize;

use super::range::RangeMethod;
use super::smooth::Smoothing;
use crate::error::{Error, Result};

/// How ranges are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationOptions {
    /// Where the range of the inputs of linear layers ends.
    pub range: RangeMethod,
    /// How scales are distributed over the features of an input.
    pub smoothing: Smoothing,
    /// Bits of the codes of these inputs. Queries, keys, values and attention weights have eight.
    pub activation_bits: ActivationBits,
    /// Where the range of queries, keys and values ends.
    pub attention_range: RangeMethod,
    /// Factor on every range that belongs to one feature alone. A few thousand calibration tokens
    /// show the extremes of a whole tensor well, those of a single feature less so.
    pub headroom: f32,
    /// Least range of a feature, as a fraction of the root mean square of the tensor's ranges.
    pub floor: f32,
    /// Whether the mean error of rounded weights is put into the bias.
    pub bias_correction: bool,
    /// Rows of every tensor kept for searches, half of them of the sequences that candidates are judged on.
    pub sample_rows: usize,
    /// Whether `range` and `smoothing` are taken as they are, or others where they measure better.
    pub choice: Choice,
    /// Which tensors get another precision than [`Precision::Static`](crate::Precision::Static); none without.
    pub keep: Option<Keep>,
    /// Whether a [`CalibrationReport`](crate::CalibrationReport) is made, which takes about as long again. With [`Choice::Measured`]
    /// or `keep` there always is one.
    pub report: bool,
}

/// How the range and the smoothing of every linear layer's input are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Choice {
    /// [`CalibrationOptions::range`] and [`CalibrationOptions::smoothing`], for all tensors.
    #[default]
    Fixed,
    /// Per tensor the pair with the least error of what its readers compute.
    ///
    /// Candidates are all pairs of min-max, percentiles 99.9 and 99.99, MSE and KL with smoothing none, 0.5, 0.65, 0.75 and 0.85, and
    /// the pair of the options. Each is fitted on one half of the sequences. On sampled rows of the other half the error
    /// is measured: `sum |W x - Wq xq|^2 / sum |W x|^2` over rows and readers, with weights and activations really rounded. The best
    /// pair is then fitted on all sequences. Another pair than that of the options must have an error at least 5 % less: smaller
    /// differences do not outlast a change of sentences.
    Measured,
}

/// Which tensors are kept out of [`Precision::Static`](crate::Precision::Static): those whose readers' outputs have too much noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Keep {
    /// A tensor with a signal to noise ratio below this, in dB, gets the cheapest precision that reaches it.
    pub below_db: f64,
    /// Whether bf16 is among the choices.
    pub bf16: bool,
}

impl Keep {
    /// Keeps what is below a signal to noise ratio in dB, measured on held-out rows as [`Choice::Measured`] says.
    pub const fn below(db: f64) -> Keep {
        Keep { below_db: db, bf16: true }
    }

    /// The same for CPUs without AVX512_BF16, which run bf16 only in the portable tier: f32 takes its place.
    #[must_use]
    pub const fn without_bf16(self) -> Keep {
        Keep { bf16: false, ..self }
    }
}

impl Default for CalibrationOptions {
    fn default() -> Self {
        Self {
            range: RangeMethod::MinMax,
            smoothing: Smoothing::Alpha(0.75),
            activation_bits: ActivationBits::Eight,
            attention_range: RangeMethod::MinMax,
            headroom: 1.25,
            floor: 1.0,
            bias_correction: true,
            sample_rows: 512,
            choice: Choice::Fixed,
            keep: None,
            report: false,
        }
    }
}

impl CalibrationOptions {
    /// Options for graphs whose tensors have one scale each, as ONNX needs. The range of least error is taken, since no smoothing hides
    /// what outliers cost.
    pub fn per_tensor() -> Self {
        Self { smoothing: Smoothing::None, range: RangeMethod::Mse, ..Self::default() }
    }

    /// What int8 usually is: min-max, one scale per tensor, nothing corrected. For comparison.
    pub fn plain() -> Self {
        let (smoothing, bias_correction) = (Smoothing::None, false);
        Self { smoothing, bias_correction, headroom: 1.0, floor: 0.0, ..Self::default() }
    }

    /// Whether candidates are measured on held-out rows.
    pub(super) fn measures(&self) -> bool {
        self.report || self.choice == Choice::Measured || self.keep.is_some()
    }

    pub(super) fn validate(&self) -> Result<()> {
        let check = |option, found: f64, valid: bool, expected| match valid {
            true => Ok(()),
            false => Err(Error::CalibrationOption { option, found, expected }),
        };
        for range in [self.range, self.attention_range] {
            if let RangeMethod::Percentile(p) = range {
                check("percentile", p, p > 50.0 && p <= 100.0, "50 < percentile <= 100")?;
            }
        }
        if let Smoothing::Alpha(alpha) = self.smoothing {
            check("smoothing alpha", alpha.into(), (0.0..=1.0).contains(&alpha), "0 <= alpha <= 1")?;
        }
        if let Some(Keep { below_db, .. }) = self.keep {
            check("keep below", below_db, (0.0..=200.0).contains(&below_db), "0 <= dB <= 200")?;
        }
        check("headroom", self.headroom.into(), (1.0..=16.0).contains(&self.headroom), "1 <= headroom <= 16")?;
        check("floor", self.floor.into(), (0.0..=16.0).contains(&self.floor), "0 <= floor <= 16")?;
        check("sample_rows", self.sample_rows as f64, self.sample_rows > 0, "at least 1")
    }
}
