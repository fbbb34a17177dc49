//! What rounding costs: errors of linear layers' outputs on rows that were not used to fit anything.

use super::collect::TapStats;
use crate::codes::LinearCodes;
use crate::matrix::Matrix;
use crate::precision::Precision;
use crate::quantize::ActivationQuant;
use crate::reference::{linear, reader_weights, round_tensor};
use crate::weights::Linear;

/// A linear layer that reads a tensor.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) name: &'static str,
    pub(super) linear: &'a Linear,
    /// What the file has of its weights.
    pub(super) codes: Option<&'a LinearCodes>,
}

/// Rows of a tensor, and what its readers make of them in f32.
pub(super) struct Judge<'a> {
    rows: Matrix,
    readers: &'a [Reader<'a>],
    exact: Vec<Matrix>,
    /// Sum of squares of `exact`.
    signal: f64,
}

impl<'a> Judge<'a> {
    pub(super) fn new(stats: &TapStats, readers: &'a [Reader<'a>]) -> Judge<'a> {
        let rows = Matrix {
            rows: stats.rows().len(),
            cols: stats.features(),
            data: stats.rows().flatten().copied().collect(),
        };
        let exact: Vec<Matrix> = readers.iter().map(|reader| linear(&rows, reader.linear)).collect();
        let signal = exact.iter().flat_map(|y| &y.data).map(|&y| f64::from(y).powi(2)).sum();
        Judge { rows, readers, exact, signal }
    }

    /// The weights of the readers as a precision has them, in f32.
    pub(super) fn weights(&self, quant: &ActivationQuant, precision: Precision) -> Vec<Linear> {
        let weights = |reader: &Reader<'_>| reader_weights(reader.linear, reader.codes, quant, precision);
        self.readers.iter().map(weights).collect()
    }

    /// `sqrt(sum |y - yq|^2 / sum |y|^2)` over rows and readers, `y = W x + b` in f32 and `yq` with rounded weights and inputs.
    pub(super) fn error(&self, quant: &ActivationQuant, weights: &[Linear], precision: Precision) -> f64 {
        let mut rounded = self.rows.clone();
        round_tensor(&mut rounded.data, self.rows.cols, quant, precision);
        let noise =
            |(exact, weights): (&Matrix, &Linear)| squared_distance(&exact.data, &linear(&rounded, weights).data);
        relative(self.exact.iter().zip(weights).map(noise).sum(), self.signal)
    }

    /// Fraction of values outside the codes.
    pub(super) fn clipped(&self, quant: &ActivationQuant) -> f64 {
        let (zero, largest) = (f32::from(quant.zero_point), f32::from(quant.bits.largest()));
        let outside = |(x, scale): (&f32, &f32)| !(-zero - 0.5..=largest + 0.5 - zero).contains(&(x / scale));
        let rows = self.rows.data.chunks_exact(self.rows.cols.max(1));
        let outside: usize = rows.map(|row| row.iter().zip(&quant.scale).filter(|pair| outside(*pair)).count()).sum();
        outside as f64 / self.rows.data.len().max(1) as f64
    }
}

/// Error and clipped fraction of an operand of attention with symmetric codes and a scale per `features` neighbouring features:
/// `sqrt(sum |x - xq|^2 / sum |x|^2)`.
pub(super) fn symmetric_error(stats: &TapStats, scales: &[f32], features: usize, codes: f32) -> (f64, f64) {
    let (mut noise, mut signal, mut clipped, mut count) = (0.0, 0.0, 0usize, 0usize);
    for row in stats.rows() {
        for (group, scale) in row.chunks(features).zip(scales) {
            for &x in group {
                let code = crate::quantize::round_code(x / scale, -codes, codes);
                noise += f64::from(x - code * scale).powi(2);
                signal += f64::from(x).powi(2);
                clipped += usize::from((x / scale).abs() > codes + 0.5);
                count += 1;
            }
        }
    }
    (relative(noise, signal), clipped as f64 / count.max(1) as f64)
}

/// Without a signal, no noise is 0 and any is 1.
fn relative(noise: f64, signal: f64) -> f64 {
    match (noise > 0.0, signal > 0.0) {
        (false, _) => 0.0,
        (true, true) => (noise / signal).sqrt(),
        (true, false) => 1.0,
    }
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}
