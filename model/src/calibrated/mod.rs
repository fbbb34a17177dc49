//! A model and how it is quantised, and the way there.

mod basis;
mod builder;
#[allow(clippy::module_inception)] // the type itself
mod calibrated;

pub use self::basis::{CalibrationBasis, CalibrationSource};
pub use self::builder::{Calibration, TEXTS};
pub use self::calibrated::CalibratedModel;
