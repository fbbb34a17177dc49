//! Dense weights, packed in the order the register blocks read them.

use super::plan::{BLOCK_STRIPS, GemmPlan, STRIP};
use crate::epilogue::RowParams;
use crate::{Buffer, KernelError, Plan};

/// Weights of one layer, packed for [`super::GemmKernel`].
///
/// **Layout**: `[block][k/4][strip of the block][4 output features][4 input features]` s8; the last block has as many strips as
/// remain. Features beyond M and K are zeros.
#[derive(Debug, Clone)]
pub struct GemmWeights {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) packed: Buffer<u8>,
    /// `[strip][4]`.
    pub(super) params: Vec<[RowParams; STRIP]>,
}

impl GemmWeights {
    /// Packs `weights` (row-major `[M][K]`) with one [`RowParams`] per output feature for kernels of `plan`.
    ///
    /// # Errors
    /// [`KernelError::Length`] for buffers that do not fit the plan's shape, [`KernelError::Parameter`] for parameters
    /// [`RowParams::check`] refuses.
    pub fn pack(plan: &GemmPlan, weights: &[i8], params: &[RowParams]) -> Result<GemmWeights, KernelError> {
        let (m, k) = (plan.m, plan.k);
        for (buffer, found, expected) in [("weights", weights.len(), m * k), ("row parameters", params.len(), m)] {
            if found != expected {
                return Err(KernelError::Length { kernel: plan.name(), buffer, found, expected });
            }
        }
        RowParams::check(params, k, &plan.name())?;

        let mut packed = Buffer::new(plan.strips() * STRIP * plan.steps() * 4);
        let mut dwords = packed.chunks_exact_mut(4);
        for block in 0..plan.blocks() {
            let first = block * BLOCK_STRIPS * STRIP;
            let rows = (BLOCK_STRIPS * STRIP).min(plan.strips() * STRIP - first);
            for step in 0..plan.steps() {
                for (row, dword) in (first..first + rows).zip(&mut dwords) {
                    if row < m {
                        let columns = &weights[row * k + step * 4..row * k + k.min(step * 4 + 4)];
                        dword.iter_mut().zip(columns).for_each(|(byte, &w)| *byte = w as u8);
                    }
                }
            }
        }
        let params = params
            .chunks(STRIP)
            .map(|rows| {
                let mut four = [RowParams::default(); STRIP];
                four[..rows.len()].copy_from_slice(rows);
                four
            })
            .collect();
        Ok(GemmWeights { m, k, packed, params })
    }

    /// Bytes of the packed weights and their parameters.
    pub fn bytes(&self) -> usize {
        self.packed.len() + size_of_val(&self.params[..])
    }
}
