//! From the model that was opened to an encoder that runs: pruned, calibrated and compiled as the options say.

use lacuna::report::TensorSaturation;
use lacuna::tasks::{Judged, Record};
use lacuna::{CalibratedModel, Encoder};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};

use super::args::TaskArgs;
use crate::calibration::CalibrationSummary;
use crate::model::FormArg;
use crate::packed::{Opened, decided, needs_weights};

/// An encoder, ready to run.
pub(super) struct Ready {
    pub(super) encoder: Encoder,
    /// The model that it was compiled from; `None` for a packed model.
    pub(super) calibrated: Option<CalibratedModel>,
    /// None of a packed model that does not say it.
    pub(super) calibration: Option<CalibrationSummary>,
    /// What pruning did.
    pub(super) remarks: Vec<String>,
    /// What makes results less accurate than they could be.
    pub(super) warnings: Vec<String>,
}

impl TaskArgs {
    /// The encoder, calibrated and compiled as the options say; of a packed model only compiled, and options that it cannot follow
    /// are refused. A line of a `.jsonl` file of calibration texts is a record of the task.
    pub(super) fn ready<R: Record>(&self, model: Opened, context: &Context) -> Result<Ready> {
        let packed = match model {
            Opened::Packed(packed) => packed,
            Opened::Directory(model) => {
                let pruning = &self.model.pruning;
                let texts = self.calibration.texts::<R>()?; // a wrong file is refused before the work is done
                let pruned = pruning.prune(*model)?;
                let warnings = pruned.warning().map(str::to_owned).into_iter().collect();
                let remarks = pruned.remark().into_iter().collect();
                let calibrated = self.calibration.run(pruned.model, texts.as_ref(), context.tier)?;
                let encoder = self.tuning.compile(&calibrated, self.form.into(), context)?;
                let calibration = Some(self.calibration.summary(calibrated.basis()));
                return Ok(Ready { encoder, calibrated: Some(calibrated), calibration, remarks, warnings });
            }
        };
        if self.verify {
            return Err(needs_weights(&packed, "--verify", "verify with it before packing"));
        }
        self.calibration.check_packed(&packed)?;
        if !matches!(self.form, FormArg::Auto) {
            return Err(decided("--form", format!("{:?}", self.form).to_lowercase()));
        }
        self.tuning.check_packed()?;
        let encoder = packed.compiler().tier(context.tier).compile()?;
        let calibration = CalibrationSummary::packed(&packed);
        Ok(Ready { encoder, calibrated: None, calibration, remarks: vec![], warnings: vec![] })
    }
}

/// What is said of texts that the calibration does not fit.
pub(super) fn saturated(tensor: &TensorSaturation) -> String {
    format!(
        "values outside the calibrated ranges: {tensor}; the texts are unlike those of the calibration, and results are less exact: \
         calibrate on texts like these with --calibrate FILE (a packed model with lacuna pack --calibrate FILE)"
    )
}

/// Whether results agree well enough with the f32 reference.
///
/// # Errors
/// [`Error::Check`] if not.
pub(super) fn check<A: Judged>(agreement: &A, least: Option<f64>) -> Result<()> {
    let (found, least) = (agreement.measure(), least.unwrap_or(A::ENOUGH));
    match found >= least {
        true => Ok(()),
        // Also if it is not a number.
        false => Err(Error::Check(format!(
            "{} is {found:.5}; expected at least {least} (--verify-least). Calibrate on texts like yours with --calibrate FILE, or see \
             lacuna calibrate for tensors that need a more exact arithmetic",
            A::MEASURE
        ))),
    }
}
