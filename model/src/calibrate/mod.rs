//! Calibration: which scales and zero points the activations get, and in which arithmetic their readers compute.
//!
//! The f32 model runs over some sentences; of every tensor that will be rounded, the range per
//! feature and a sample of rows are kept. From those, per tensor: a relative scale per feature
//! (smoothing), then the range of codes. What they cost can be measured, on sentences that were not used to find them.

mod built_in;
mod choose;
mod collect;
mod kl;
mod measure;
mod names;
mod options;
mod range;
mod report;
mod run;
mod saturated;
mod smooth;
mod spread;
mod stored;
#[cfg(test)]
mod tests;

pub(crate) use built_in::BuiltIn;
pub use options::{CalibrationOptions, Choice, Keep};
pub use range::RangeMethod;
pub use report::{CalibrationReport, CandidateReport, PrecisionReport, TensorReport};
pub(crate) use run::{Quantisation, calibrate};
pub use saturated::SaturatedShares;
pub use smooth::Smoothing;
pub use spread::spread;
#[cfg(feature = "hub")]
pub(crate) use stored::CALIBRATION_FILE;
pub use stored::CalibrationTexts;
