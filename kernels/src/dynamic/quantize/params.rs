//! Scales of the features, checked once.

use super::plan::ColumnQuantPlan;
use crate::output::check_length;
use crate::{Buffer, KernelError, Plan};

/// Relative scales of the features, checked once.
#[derive(Debug, Clone)]
pub struct FeatureScales {
    /// 1 / scale, `[K]`.
    pub(super) inverse: Buffer<f32>,
}

impl FeatureScales {
    /// Packs one relative scale per feature of `plan`: what the codes of a feature are multiples of is this times the column's scale.
    ///
    /// # Errors
    /// [`KernelError::Length`] unless there are K, [`KernelError::Parameter`] unless each is positive and finite, and so is its
    /// inverse.
    pub fn pack(plan: &ColumnQuantPlan, scales: &[f32]) -> Result<FeatureScales, KernelError> {
        check_length(plan, "feature scales", scales.len(), plan.features)?;
        let mut inverse = Buffer::new(scales.len());
        for (row, (inverse, &found)) in inverse.iter_mut().zip(scales).enumerate() {
            *inverse = 1.0 / found;
            if !(found.is_finite() && inverse.is_finite() && *inverse > 0.0) {
                let (kernel, parameter, expected) =
                    (plan.name(), "feature scale", "a positive number that is finite, as its inverse");
                return Err(KernelError::Parameter { kernel, parameter, row, found, expected });
            }
        }
        Ok(FeatureScales { inverse })
    }

    /// The same from the inverses that [`FeatureScales::inverse`] gives.
    ///
    /// # Errors
    /// Those of [`FeatureScales::pack`].
    pub fn from_inverse(plan: &ColumnQuantPlan, inverse: &[f32]) -> Result<FeatureScales, KernelError> {
        check_length(plan, "feature scales", inverse.len(), plan.features)?;
        if let Some((row, &found)) =
            inverse.iter().enumerate().find(|(_, inverse)| !(inverse.is_finite() && **inverse > 0.0))
        {
            let (kernel, parameter, expected) =
                (plan.name(), "inverse feature scale", "a positive number that is finite");
            return Err(KernelError::Parameter { kernel, parameter, row, found, expected });
        }
        let mut copy = Buffer::new(inverse.len());
        copy.copy_from_slice(inverse);
        Ok(FeatureScales { inverse: copy })
    }

    /// 1 / scale of every feature.
    pub fn inverse(&self) -> &[f32] {
        &self.inverse
    }
}
