//! Errors of a model, its files, or the calls that use it.

mod calibration;
mod hub;
mod kind;
mod model;
mod onnx;
mod weights;

pub use self::calibration::CalibrationError;
pub use self::hub::HubError;
pub use self::kind::ErrorKind;
pub use self::model::{Error, Result};
pub use self::onnx::OnnxError;
pub use self::weights::WeightError;
