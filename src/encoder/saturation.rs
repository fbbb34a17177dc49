//! What was counted of codes at the ends of their ranges, as a value that prints well.

use std::fmt;

use serde::Serialize;

/// A share below this is never remarkable.
const FEW: f64 = 2e-3;
/// Fewer codes than this are chance.
const CHANCE: u64 = 16;
/// A share must be so many times that of calibration to be remarkable.
const TIMES: f64 = 10.0;

/// How many codes of the static tensors were at an end of their calibrated ranges: values outside the range come to lie there.
///
/// The first 1024 tokens of every session are counted, and then a sixteenth of all. The output of an activation function counts at its upper
/// end alone.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Saturation {
    /// Every tensor with a calibrated range, in the order in which the model computes them.
    pub tensors: Vec<TensorSaturation>,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorSaturation {
    /// The encoder layer that reads it; none for the input of the embeddings' projection.
    pub layer: Option<usize>,
    /// Its name, as in reports of calibration.
    pub tensor: &'static str,
    /// Codes that were counted.
    pub codes: u64,
    /// Of these, how many were at an end of the range.
    pub saturated: u64,
    /// `saturated / codes`; 0 without codes.
    pub share: f64,
    /// The same share of the calibration texts.
    pub calibrated: f64,
}

impl TensorSaturation {
    /// Whether the share is far above that of the calibration texts.
    pub fn is_remarkable(&self) -> bool {
        self.saturated >= CHANCE && self.share > FEW.max(TIMES * self.calibrated)
    }
}

impl Saturation {
    /// Of all tensors together, the share of codes at the ends of ranges.
    pub fn share(&self) -> f64 {
        let sum = |of: fn(&TensorSaturation) -> u64| self.tensors.iter().map(of).sum::<u64>();
        sum(|tensor| tensor.saturated) as f64 / sum(|tensor| tensor.codes).max(1) as f64
    }

    /// The tensor with the largest share among those whose share is far above that of the calibration texts; none if all is well.
    pub fn worst(&self) -> Option<&TensorSaturation> {
        self.tensors.iter().filter(|tensor| tensor.is_remarkable()).max_by(|a, b| a.share.total_cmp(&b.share))
    }
}

/// One line.
impl fmt::Display for Saturation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = self.tensors.iter().max_by(|a, b| a.share.total_cmp(&b.share));
        match largest {
            Some(tensor) if tensor.saturated > 0 => write!(
                f,
                "{:.4} % of the counted codes lie at the ends of their calibrated ranges, most of {tensor}",
                self.share() * 1e2
            ),
            _ => f.write_str("no counted code lies at the end of its calibrated range"),
        }
    }
}

/// The tensor with its shares.
impl fmt::Display for TensorSaturation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "layer {layer}, {}", self.tensor)?,
            None => f.write_str(self.tensor)?,
        }
        write!(f, ": {:.3} % (calibration: {:.3} %)", self.share * 1e2, self.calibrated * 1e2)
    }
}
