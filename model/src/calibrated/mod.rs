//! A model and how it is quantised, and the way there.

mod builder;
#[allow(clippy::module_inception)] // the type itself
mod calibrated;

pub use self::builder::Calibration;
pub use self::calibrated::CalibratedModel;
