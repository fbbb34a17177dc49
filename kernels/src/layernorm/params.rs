//! Parameters, checked once.

use bytemuck::{Pod, Zeroable};

use super::plan::LayerNormPlan;
use crate::{Buffer, KernelError, Plan};

/// Parameters of one feature, as the kernels read them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct NormParams {
    /// Factor of the normalised value.
    pub gamma: f32,
    /// Addend of the normalised value.
    pub beta: f32,
    /// 1 / scale of the panel; used with a panel only.
    pub out_scale: f32,
    /// Zero point of the panel, the same for all features; used with a panel only.
    pub out_zero: f32,
}

/// Parameters of all features of one layernorm.
#[derive(Debug, Clone)]
pub struct NormRows {
    pub(super) rows: Buffer<NormParams>,
    pub(super) epsilon: f32,
}

impl NormRows {
    /// Packs the parameters of the F features of `plan`.
    ///
    /// # Errors
    /// [`KernelError::Length`] unless there are F rows. [`KernelError::Parameter`] if epsilon is negative or any
    /// parameter is not finite, if zero points differ (kernels read that of the first feature), or if a quantised value could leave the range of s32: a normalised value is below
    /// sqrt(F), so `(sqrt(F) |gamma| + |beta|) |out_scale| + |out_zero| < 2^31` is asked for.
    pub fn pack(plan: &LayerNormPlan, rows: &[NormParams], epsilon: f32) -> Result<NormRows, KernelError> {
        if rows.len() != plan.features {
            return Err(KernelError::Length {
                kernel: plan.name(),
                buffer: "layernorm parameters",
                found: rows.len(),
                expected: plan.features,
            });
        }
        let error = |parameter, row, found, expected| {
            Err(KernelError::Parameter { kernel: plan.name(), parameter, row, found, expected })
        };
        if !(epsilon.is_finite() && epsilon >= 0.0) {
            return error("epsilon", 0, epsilon, "a finite number, 0 or more");
        }
        let largest_normalised = (plan.features as f64).sqrt();
        for (row, p) in rows.iter().enumerate() {
            for (parameter, value) in
                [("gamma", p.gamma), ("beta", p.beta), ("output scale", p.out_scale), ("output zero point", p.out_zero)]
            {
                if !value.is_finite() {
                    return error(parameter, row, value, "a finite number");
                }
            }
            if p.out_zero.to_bits() != rows[0].out_zero.to_bits() {
                return error("output zero point", row, p.out_zero, "that of the first feature: a panel has one");
            }
            let y = largest_normalised * f64::from(p.gamma.abs()) + f64::from(p.beta.abs());
            if y * f64::from(p.out_scale.abs()) + f64::from(p.out_zero.abs()) >= 2f64.powi(31) {
                return error(
                    "output scale",
                    row,
                    p.out_scale,
                    "(sqrt(F) |gamma| + |beta|) |output scale| + |zero point| below 2^31",
                );
            }
        }
        let mut packed = Buffer::new(rows.len());
        packed.copy_from_slice(rows);
        Ok(NormRows { rows: packed, epsilon })
    }

    /// One per feature.
    pub fn rows(&self) -> &[NormParams] {
        &self.rows
    }

    /// Features F.
    pub fn features(&self) -> usize {
        self.rows.len()
    }
}
