//! Parameters, checked once.

use bytemuck::{Pod, Zeroable};

use super::plan::ColumnRescalePlan;
use crate::output::check_length;
use crate::{Buffer, KernelError, Plan};

/// Parameters of one feature, as the kernels read them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct RescaleParams {
    /// Added to the scaled sum.
    pub bias: f32,
    /// 1 / scale of the panel; used with a panel only.
    pub out_scale: f32,
    /// Zero point of the panel; used with a panel only.
    pub out_zero: f32,
    /// Not read; 0.
    pub unused: f32,
}

/// Parameters of all features, checked once.
#[derive(Debug, Clone)]
pub struct RescaleRows {
    pub(super) rows: Buffer<RescaleParams>,
}

impl RescaleRows {
    /// Packs the parameters of the M features of `plan`.
    ///
    /// # Errors
    /// [`KernelError::Length`] unless there are M rows, [`KernelError::Parameter`] if any parameter is not finite, or the unused one is
    /// not 0.
    pub fn pack(plan: &ColumnRescalePlan, rows: &[RescaleParams]) -> Result<RescaleRows, KernelError> {
        check_length(plan, "rescaling parameters", rows.len(), plan.features)?;
        for (row, p) in rows.iter().enumerate() {
            if p.unused.to_bits() != 0 {
                let (kernel, parameter, expected) = (plan.name(), "unused parameter", "0");
                return Err(KernelError::Parameter { kernel, parameter, row, found: p.unused, expected });
            }
            for (parameter, found) in
                [("bias", p.bias), ("output scale", p.out_scale), ("output zero point", p.out_zero)]
            {
                if !found.is_finite() {
                    let (kernel, expected) = (plan.name(), "a finite number");
                    return Err(KernelError::Parameter { kernel, parameter, row, found, expected });
                }
            }
        }
        let mut packed = Buffer::new(rows.len());
        packed.copy_from_slice(rows);
        Ok(RescaleRows { rows: packed })
    }

    /// One per feature.
    pub fn rows(&self) -> &[RescaleParams] {
        &self.rows
    }
}
