//! What calibration says about its choices.

use lacuna_pattern::ActivationBits;
use serde::Serialize;

use super::options::Choice;
use super::range::RangeMethod;
use super::smooth::Smoothing;
use crate::precision::Precision;

/// What quantisation does to a model, tensor by tensor.
///
/// Everything is measured on held-out sequences, with scales that were fitted on the others; the model's own scales are fitted on all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// Calibration sequences.
    pub sequences: usize,
    /// Of these, how many were held out. With a single sequence none can be: then `sequences` and what is measured are the same.
    pub held_out: usize,
    /// Tokens of all sequences.
    pub tokens: usize,
    /// Shortest, median and longest sequence, in tokens. Texts of other lengths were not seen, and may fare worse.
    pub lengths: [usize; 3],
    /// Rows of every tensor on which errors were measured.
    pub rows: usize,
    /// How ranges and smoothing were found.
    pub choice: Choice,
    /// Bits of the codes that linear layers read.
    pub activation_bits: ActivationBits,
    /// The signal to noise ratio below which tensors were kept in another precision, in dB.
    pub keep_below_db: Option<f64>,
    /// Mean cosine between the embeddings of the f32 model and of the simulated quantised one, over held-out sequences.
    pub cosine_mean: f64,
    /// The least of these cosines.
    pub cosine_min: f64,
    /// Every tensor that is rounded, the worst signal to noise ratio first.
    pub tensors: Vec<TensorReport>,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorReport {
    /// Encoder layer; none for the input of the embeddings' projection.
    pub layer: Option<usize>,
    /// `attn_in`, `q`, `k`, `v`, `attn_out`, `ffn_in`, `gelu_out`, `proj_in`.
    pub tensor: &'static str,
    /// Who reads it: linear layers, or `attention`, for which the operand itself is measured.
    pub readers: Vec<&'static str>,
    /// Whether its scale and zero point are those of the model's file; `range` and `smoothing` say nothing then.
    pub given: bool,
    /// Where its range ends.
    pub range: RangeMethod,
    /// How its scales are distributed over features; none for operands of attention.
    pub smoothing: Option<Smoothing>,
    /// Signal to noise ratio of the readers' outputs in dB, in the tensor's precision; none where nothing is lost.
    pub snr_db: Option<f64>,
    /// `sqrt(sum |error|^2 / sum |output|^2)` of the readers' outputs.
    pub relative_error: f64,
    /// Fraction of values outside the range of codes.
    pub clipped: f64,
    /// In which arithmetic its readers compute.
    pub precision: Precision,
    /// Why it is that one, if it is not static; or that static is too noisy, where there is no other.
    pub reason: Option<String>,
    /// What every precision would give; empty for tensors that have no choice.
    pub precisions: Vec<PrecisionReport>,
    /// What was tried, in the order it was.
    pub candidates: Vec<CandidateReport>,
}

/// What a precision would give for one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PrecisionReport {
    /// The precision.
    pub precision: Precision,
    /// Signal to noise ratio of the readers' outputs in dB; none where nothing is lost.
    pub snr_db: Option<f64>,
}

/// A candidate of [`Choice::Measured`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CandidateReport {
    /// Where the range ends.
    pub range: RangeMethod,
    /// How scales are distributed over features.
    pub smoothing: Smoothing,
    /// As [`TensorReport::relative_error`], for static 8 bit.
    pub relative_error: f64,
}

/// The signal to noise ratio of a relative error, in dB; none of none.
pub(super) fn decibels(relative_error: f64) -> Option<f64> {
    (relative_error > 0.0).then(|| -20.0 * relative_error.log10())
}
