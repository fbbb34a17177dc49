//! Packed weights as sections of bytes, which may be borrowed from a file. What the generated code relies on is checked here.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::check::check_stream;
use super::plan::FloatPlan;
use super::weights::{BlockRow, FloatWeights, Shape};
use crate::layout::padded;
use crate::{KernelError, Plan, SharedSlice, TILE};

/// What is known of packed weights in addition to their bytes; kernels do not read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloatFacts {
    /// Stored blocks.
    pub blocks: usize,
    /// [`FloatWeights::nnz`]
    pub nnz: usize,
}

const STREAM: &str = "stream";
const ROWS: &str = "rows";
const BIAS: &str = "bias";
const FACTS: &str = "facts";

impl FloatWeights {
    /// The names of the sections, in the order of [`FloatWeights::sections`].
    pub const SECTIONS: [&str; 3] = [STREAM, ROWS, BIAS];

    /// What is known in addition to the sections.
    pub fn facts(&self) -> FloatFacts {
        FloatFacts { blocks: self.blocks, nnz: self.nnz }
    }

    /// The weights as bytes: the stream, one record per block row, and the biases.
    pub fn sections(&self) -> [&[u8]; 3] {
        [&self.stream, bytemuck::cast_slice(&self.block_rows), bytemuck::cast_slice(&self.bias)]
    }

    /// Weights for kernels of `plan` from sections that [`FloatWeights::sections`] gave for a plan of the same descriptor. The stream
    /// is borrowed; block rows, which say where results are written, and biases are copied.
    ///
    /// # Errors
    /// [`KernelError::Section`] for what [`FloatWeights::pack`] cannot have written: sections of a wrong length, a row of X beyond K,
    /// an output feature that is beyond M or has not exactly one row, weights and biases that are not finite, padding that is not 0,
    /// block rows in another order, facts that are not those of the stream.
    pub fn from_sections(
        plan: &FloatPlan,
        facts: FloatFacts,
        sections: [Bytes; 3],
    ) -> Result<FloatWeights, KernelError> {
        let [stream, rows, bias] = sections;
        let block_rows = block_rows(plan, &rows)?;
        let most = plan.k.div_ceil(plan.dtype.inputs());
        let mut step_offsets = Vec::with_capacity(block_rows.len() + 1);
        let mut steps = 0usize;
        step_offsets.push(0);
        for row in &block_rows {
            // The dense form's last step may have one input only, which is not counted.
            steps += if plan.is_dense() { most } else { row.steps as usize };
            step_offsets.push(steps);
        }
        check_length(plan, STREAM, stream.len(), steps * plan.record_bytes())?;
        check_indices(plan, &stream)?;
        check_length(plan, BIAS, bias.len(), block_rows.len() * plan.tile.rows * size_of::<f32>())?;
        let bias: Vec<f32> = bias.chunks_exact(size_of::<f32>()).map(bytemuck::pod_read_unaligned).collect();
        if let Some(found) = bias.iter().find(|bias| !bias.is_finite()) {
            return Err(error(plan, BIAS, found.to_string(), "finite numbers".into()));
        }
        let counts = check_stream(plan, &block_rows, &step_offsets, &stream)
            .map_err(|(found, expected)| error(plan, STREAM, found, expected.into()))?;
        for (row, bias) in block_rows.iter().zip(bias.chunks_exact(plan.tile.rows)) {
            let inside = plan.m.saturating_sub(row.out_offset as usize / TILE).min(bias.len());
            if bias[inside..].iter().any(|bias| bias.to_bits() != 0) {
                return Err(error(plan, BIAS, "a bias of a feature beyond M".into(), "zeros there".into()));
            }
        }
        let expected = FloatFacts { blocks: counts.blocks, nnz: counts.nnz };
        if facts != expected {
            let expected = format!("{expected:?}, as the weights say");
            return Err(error(plan, FACTS, format!("{facts:?}"), expected));
        }
        Ok(FloatWeights {
            shape: Shape::of(plan),
            stream: SharedSlice::shared(stream, &plan.name(), STREAM)?,
            block_rows,
            bias,
            step_offsets,
            blocks: facts.blocks,
            nnz: facts.nnz,
        })
    }
}

fn error(plan: &FloatPlan, section: &'static str, found: String, expected: String) -> KernelError {
    KernelError::Section { kernel: plan.name(), section, found, expected }
}

fn check_length(plan: &FloatPlan, section: &'static str, found: usize, expected: usize) -> Result<(), KernelError> {
    match found == expected {
        true => Ok(()),
        false => Err(error(plan, section, format!("{found} bytes"), expected.to_string())),
    }
}

/// The block rows: each of the matrix once, with the row blocks that the output has rows for, and no more steps than K has.
fn block_rows(plan: &FloatPlan, bytes: &[u8]) -> Result<Vec<BlockRow>, KernelError> {
    let rows = plan.tile.rows;
    let count = plan.m.div_ceil(rows);
    check_length(plan, ROWS, bytes.len(), count * size_of::<BlockRow>())?;
    let block_rows: Vec<BlockRow> =
        bytes.chunks_exact(size_of::<BlockRow>()).map(bytemuck::pod_read_unaligned).collect();
    let mut seen = vec![false; count];
    for (i, row) in block_rows.iter().enumerate() {
        let first = row.out_offset as usize / TILE;
        let fresh = seen.get_mut(first / rows).is_some_and(|seen| !std::mem::replace(seen, true));
        if !fresh || !(row.out_offset as usize).is_multiple_of(TILE * rows) {
            let found = format!("output offset {} in block row {i}", row.out_offset);
            return Err(error(plan, ROWS, found, format!("each multiple of {} once", TILE * rows)));
        }
        let row_blocks = rows.min(padded(plan.m) - first) / plan.row_block();
        let (least, most) = match plan.is_dense() {
            true => (plan.k / plan.dtype.inputs(), plan.k / plan.dtype.inputs()),
            false => (0, plan.k.div_ceil(plan.dtype.inputs())),
        };
        if row.row_blocks as usize != row_blocks || !(least..=most).contains(&(row.steps as usize)) {
            let found = format!("{} row blocks and {} steps in block row {i}", row.row_blocks, row.steps);
            return Err(error(plan, ROWS, found, format!("{row_blocks} row blocks and {least} to {most} steps")));
        }
    }
    if !block_rows.is_sorted_by_key(|row| (row.steps, row.out_offset)) {
        let (found, expected) = ("block rows in another order", "shorter ones first, and equal ones in matrix order");
        return Err(error(plan, ROWS, found.into(), expected.into()));
    }
    Ok(block_rows)
}

/// Every index must be that of a row of X inside K.
fn check_indices(plan: &FloatPlan, stream: &[u8]) -> Result<(), KernelError> {
    if plan.is_dense() {
        return Ok(());
    }
    let row_bytes = plan.x_row_bytes();
    for record in stream.chunks_exact(plan.record_bytes()) {
        for index in record[..plan.index_bytes()].chunks_exact(plan.index.bytes()) {
            let offset = plan.index.offset(index);
            if offset >= plan.k * row_bytes || !offset.is_multiple_of(row_bytes) {
                let expected = format!("multiples of {row_bytes} below {}", plan.k * row_bytes);
                return Err(error(plan, STREAM, format!("offset {offset} of a row of X"), expected));
            }
        }
    }
    Ok(())
}
