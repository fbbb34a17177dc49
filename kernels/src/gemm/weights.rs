//! Dense weights, packed in the order the register blocks read them.

use std::sync::Arc;

use bytes::Bytes;

use super::plan::{GemmPlan, ROW_BLOCK, ROW_BLOCKS};
use super::twos::Twos;
use crate::epilogue::{BlockParams, PARAMS, RowParams};
use crate::{Buffer, KernelError, Plan, SharedSlice};

/// Weights of one layer, packed for [`super::GemmKernel`].
///
/// **Layout**: `[block][k/4][row block of the block][4 output features][4 input features]` s8; the last block has as many row blocks as
/// remain. Features beyond M and K are zeros.
#[derive(Debug, Clone)]
pub struct GemmWeights {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) packed: SharedSlice<u8>,
    /// One record per row block.
    pub(super) params: BlockParams,
    /// What kernels of [`GemmPlan::needs_twos`] read in place of the packed weights.
    pub(super) twos: Option<Arc<Twos>>,
}

impl GemmWeights {
    /// Packs `weights` (row-major `[M][K]`) with one [`RowParams`] per output feature for kernels of `plan`.
    ///
    /// # Errors
    /// [`KernelError::Length`] for buffers that do not fit the plan's shape, [`KernelError::Parameter`] for parameters
    /// [`Epilogue::check`](crate::epilogue::Epilogue::check) refuses.
    pub fn pack(plan: &GemmPlan, weights: &[i8], params: &[RowParams]) -> Result<GemmWeights, KernelError> {
        let (m, k) = (plan.m, plan.k);
        for (buffer, found, expected) in [("weights", weights.len(), m * k), ("row parameters", params.len(), m)] {
            if found != expected {
                return Err(KernelError::Length { kernel: plan.name(), buffer, found, expected });
            }
        }
        let params = BlockParams::pack(&plan.epilogue, params, row_blocks(plan), k, &plan.name())?;

        let mut packed = Buffer::new(packed_bytes(plan));
        let mut dwords = packed.chunks_exact_mut(4);
        for block in 0..plan.blocks() {
            let first = block * ROW_BLOCKS * ROW_BLOCK;
            let rows = (ROW_BLOCKS * ROW_BLOCK).min(plan.row_blocks() * ROW_BLOCK - first);
            for step in 0..plan.steps() {
                for (row, dword) in (first..first + rows).zip(&mut dwords) {
                    if row < m {
                        let columns = &weights[row * k + step * 4..row * k + k.min(step * 4 + 4)];
                        dword.iter_mut().zip(columns).for_each(|(byte, &w)| *byte = w as u8);
                    }
                }
            }
        }
        Ok(GemmWeights { m, k, packed: packed.into(), params, twos: None }.for_plan(plan))
    }

    /// The names of the sections, in the order of [`GemmWeights::sections`].
    pub const SECTIONS: [&str; 2] = [WEIGHTS, PARAMS];

    /// The weights as bytes: packed weights, and parameters.
    pub fn sections(&self) -> [&[u8]; 2] {
        [&self.packed, self.params.as_bytes()]
    }

    /// Weights for kernels of `plan` from sections that [`GemmWeights::sections`] gave for a plan of the same descriptor. They are
    /// borrowed.
    ///
    /// # Errors
    /// [`KernelError::Section`] for sections of a wrong length, and for weights of features beyond M and K that are not 0;
    /// [`KernelError::Parameter`] for parameters that no epilogue takes.
    pub fn from_sections(plan: &GemmPlan, sections: [Bytes; 2]) -> Result<GemmWeights, KernelError> {
        let (name, [packed, params]) = (plan.name(), sections);
        let expected = packed_bytes(plan);
        if packed.len() != expected {
            let (found, expected) = (format!("{} bytes", packed.len()), expected.to_string());
            return Err(KernelError::Section { kernel: name, section: WEIGHTS, found, expected });
        }
        check_padding(plan, &packed)?;
        let params = BlockParams::shared(&plan.epilogue, params, row_blocks(plan), (plan.m, plan.k), &name)?;
        let packed = SharedSlice::shared(packed, &name, WEIGHTS)?;
        Ok(GemmWeights { m: plan.m, k: plan.k, packed, params, twos: None }.for_plan(plan))
    }

    /// These weights for kernels of `plan`, which may be of another instruction set than that they were packed for, and of no other difference.
    /// Kernels of AVX2 without VNNI read codes of seven bits with weights of their own order, which is made here.
    pub fn for_plan(self, plan: &GemmPlan) -> GemmWeights {
        let twos = plan.needs_twos().then(|| {
            Arc::new(Twos::new(plan, |row_block, step| {
                let (block, within) = (row_block / ROW_BLOCKS, row_block % ROW_BLOCKS);
                let row_blocks = ROW_BLOCKS.min(plan.row_blocks() - block * ROW_BLOCKS);
                let at = block * plan.block_bytes() + (step * row_blocks + within) * STEP_BYTES;
                let rows: &[[u8; 4]] = self.packed[at..at + STEP_BYTES].as_chunks().0;
                std::array::from_fn(|row| rows[row].map(|weight| weight as i8))
            }))
        });
        GemmWeights { twos, ..self }
    }

    /// Bytes of the packed weights and their parameters.
    pub fn bytes(&self) -> usize {
        self.packed.len() + self.params.bytes() + self.twos.as_deref().map_or(0, Twos::bytes)
    }
}

const WEIGHTS: &str = "weights";
/// Bytes of a step of a row block.
const STEP_BYTES: usize = 4 * ROW_BLOCK;

/// Bytes of all packed weights.
fn packed_bytes(plan: &GemmPlan) -> usize {
    plan.row_blocks() * ROW_BLOCK * plan.steps() * 4
}

/// The output features of every row block.
fn row_blocks(plan: &GemmPlan) -> impl ExactSizeIterator<Item = [usize; ROW_BLOCK]> {
    (0..plan.row_blocks()).map(|row_block| std::array::from_fn(|row| row_block * ROW_BLOCK + row))
}

/// Weights of features beyond M and K must be 0: what kernels multiply them by is not specified.
fn check_padding(plan: &GemmPlan, packed: &[u8]) -> Result<(), KernelError> {
    let (steps, padded_rows) = (plan.steps(), plan.row_blocks() * ROW_BLOCK);
    for block in 0..plan.blocks() {
        let first = block * ROW_BLOCKS * ROW_BLOCK;
        let rows = (ROW_BLOCKS * ROW_BLOCK).min(padded_rows - first);
        let dword = |step: usize, row: usize| {
            let at = (first * steps + step * rows + row) * 4;
            &packed[at..at + 4]
        };
        let beyond_k = (!plan.k.is_multiple_of(4))
            .then(|| (0..rows).flat_map(|row| &dword(steps - 1, row)[plan.k % 4..]).any(|&byte| byte != 0));
        let beyond_m =
            (plan.m.saturating_sub(first).min(rows)..rows).any(|row| (0..steps).any(|step| dword(step, row) != [0; 4]));
        if beyond_m || beyond_k == Some(true) {
            return Err(KernelError::Section {
                kernel: plan.name(),
                section: WEIGHTS,
                found: "a weight of a feature beyond M or K that is not 0".into(),
                expected: "zeros there".into(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lacuna_jit::Isa;
    use proptest::prelude::*;

    use super::super::GemmDesc;
    use super::*;
    use crate::ActivationBits;
    use crate::epilogue::Epilogue;

    /// Where the documented layout puts the weight of an output and an input feature.
    fn packed_index(plan: &GemmPlan, output: usize, input: usize) -> usize {
        let (row_block, row) = (output / ROW_BLOCK, output % ROW_BLOCK);
        let (block, within) = (row_block / ROW_BLOCKS, row_block % ROW_BLOCKS);
        let row_blocks = ROW_BLOCKS.min(plan.row_blocks() - block * ROW_BLOCKS);
        let steps = plan.k.div_ceil(4);
        let step = block * ROW_BLOCKS * steps + input / 4 * row_blocks + within; // in row blocks of 16 bytes
        step * ROW_BLOCK * 4 + row * 4 + input % 4
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn packing_moves_every_weight_and_pads_with_zeros(
            (m, k, weights) in (1usize..40, 1usize..40)
                .prop_flat_map(|(m, k)| (Just(m), Just(k), prop::collection::vec(any::<i8>(), m * k))),
        ) {
            let plan = GemmDesc { m, k, epilogue: Epilogue::f32(false), activation_bits: ActivationBits::Eight }.plan(Isa::Portable).unwrap();
            let params: Vec<RowParams> =
                (0..m).map(|row| RowParams { addend: row as f32, ..RowParams::default() }).collect();
            let packed = GemmWeights::pack(&plan, &weights, &params).unwrap();
            let mut left = packed.packed.to_vec();
            prop_assert_eq!(left.len(), m.next_multiple_of(4) * k.next_multiple_of(4));
            for (i, &weight) in weights.iter().enumerate() {
                let found = std::mem::take(&mut left[packed_index(&plan, i / k, i % k)]);
                prop_assert_eq!(found as i8, weight, "output {}, input {}", i / k, i % k);
            }
            prop_assert!(left.iter().all(|&byte| byte == 0));
            let BlockParams::Float(found) = &packed.params else { panic!("{:?}", packed.params) };
            prop_assert!(found.as_flattened().iter().take(m).eq(&params));
        }
    }
}
