//! Packed weights as sections of bytes, which may be borrowed from a file.
//!
//! What the generated code relies on is checked here and nowhere later: sections may come from anybody.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::check::{Counts, Misfit, check_stream};
use super::plan::{GROUP_WEIGHT_BYTES, IndexWidth, ROW_BLOCK, SpmmPlan};
use super::row_block::RowBlock;
use super::stream::OVERREAD;
use super::weights::{SpmmWeights, repeats};
use crate::epilogue::{BlockParams, PARAMS};
use crate::layout::padded;
use crate::{Block, KernelError, Plan, SharedSlice, TILE};

/// What is known of packed weights in addition to their bytes; kernels do not read it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpmmFacts {
    /// [`SpmmWeights::nnz`]
    pub nnz: usize,
    /// [`SpmmWeights::density`]
    pub density: f64,
    /// [`SpmmWeights::fill_ratio`]
    pub fill_ratio: f64,
    /// [`SpmmWeights::fill_ratio_in_order`]
    pub fill_ratio_in_order: f64,
}

const INDICES: &str = "indices";
const WEIGHTS: &str = "weights";
const ROWS: &str = "rows";
const FACTS: &str = "facts";

impl SpmmWeights {
    /// The names of the sections, in the order of [`SpmmWeights::sections`].
    pub const SECTIONS: [&str; 4] = [INDICES, WEIGHTS, ROWS, PARAMS];

    /// What is known in addition to the sections.
    pub fn facts(&self) -> SpmmFacts {
        SpmmFacts {
            nnz: self.nnz,
            density: self.density,
            fill_ratio: self.fill_ratio,
            fill_ratio_in_order: self.fill_ratio_in_order,
        }
    }

    /// The weights as bytes: both streams with the padding behind them, one record per row block, and the parameters.
    pub fn sections(&self) -> [&[u8]; 4] {
        [&self.indices, &self.weights, bytemuck::cast_slice(&self.rows), self.params.as_bytes()]
    }

    /// Weights for kernels of `plan` from sections that [`SpmmWeights::sections`] gave for a plan of the same descriptor.
    /// Streams and parameters are borrowed; the row blocks, which say where results are written, are copied.
    ///
    /// # Errors
    /// [`KernelError::Section`] for what [`SpmmWeights::pack`] cannot have written: sections of a wrong length, an input feature
    /// beyond K, an output feature that is beyond M or has not exactly one row, padding that is not 0, words that do not repeat what
    /// they should, row blocks in another order, facts that are not those of the stream. [`KernelError::Parameter`] for parameters
    /// that no epilogue takes.
    pub fn from_sections(plan: &SpmmPlan, facts: SpmmFacts, sections: [Bytes; 4]) -> Result<SpmmWeights, KernelError> {
        let name = plan.name();
        let [indices, weights, rows, params] = sections;
        let rows = row_blocks(plan, &rows)?;
        let mut group_offsets = Vec::with_capacity(rows.len() + 1);
        let mut groups = 0usize;
        group_offsets.push(0);
        for row in &rows {
            // Each is below 2^32 and there are at most 2^20 of them.
            groups += (row.groups as usize).next_multiple_of(plan.stored_multiple());
            group_offsets.push(groups);
        }
        for (section, bytes, group_bytes) in
            [(INDICES, &indices, plan.group_index_bytes()), (WEIGHTS, &weights, GROUP_WEIGHT_BYTES)]
        {
            let expected = groups.saturating_mul(group_bytes).saturating_add(OVERREAD);
            if bytes.len() != expected {
                let expected = format!("{expected} for {groups} groups");
                return Err(error(plan, section, format!("{} bytes", bytes.len()), expected));
            }
        }
        check_indices(plan, &indices)?;
        let counts = check_stream(plan, &rows, &group_offsets, &indices, &weights).map_err(
            |Misfit { of_indices, found, expected }| {
                error(plan, if of_indices { INDICES } else { WEIGHTS }, found, expected.into())
            },
        )?;
        check_order(plan, &rows, &group_offsets, &weights)?;
        let facts = checked_facts(plan, facts, counts)?;
        let outputs = rows.iter().map(|row| row.outputs.map(|offset| offset as usize / TILE));
        let params = BlockParams::shared(&plan.epilogue, params, outputs, (plan.m, plan.k), &name)?;
        let weights = SpmmWeights {
            m: plan.m,
            k: plan.k,
            cover: plan.cover(),
            index: plan.index,
            epilogue: plan.epilogue,
            repeats: repeats(plan, &rows, &group_offsets, &indices),
            indices: SharedSlice::shared(indices, &name, INDICES)?,
            weights: SharedSlice::shared(weights, &name, WEIGHTS)?,
            computed: rows.iter().map(|row| row.groups as usize * GROUP_WEIGHT_BYTES).sum(),
            rows,
            params,
            group_offsets,
            nnz: facts.nnz,
            density: facts.density,
            fill_ratio: facts.fill_ratio,
            fill_ratio_in_order: facts.fill_ratio_in_order,
            paired: None,
        };
        Ok(weights.for_plan(plan))
    }
}

fn error(plan: &SpmmPlan, section: &'static str, found: String, expected: String) -> KernelError {
    KernelError::Section { kernel: plan.name(), section, found, expected }
}

/// The row blocks: as many as the plan has, each output feature below M, rounded up to whole row blocks, in one of them.
fn row_blocks(plan: &SpmmPlan, bytes: &[u8]) -> Result<Vec<RowBlock>, KernelError> {
    let expected = plan.rows() * size_of::<RowBlock>();
    if bytes.len() != expected {
        return Err(error(plan, ROWS, format!("{} bytes", bytes.len()), format!("{expected}")));
    }
    let rows: Vec<RowBlock> = bytes.chunks_exact(size_of::<RowBlock>()).map(bytemuck::pod_read_unaligned).collect();
    // More groups than all of K makes would be a list that repeats itself.
    let most = plan.k.div_ceil(4) as u32;
    let mut seen = vec![false; padded(plan.m)];
    for (i, row) in rows.iter().enumerate() {
        if row.groups > most {
            return Err(error(
                plan,
                ROWS,
                format!("{} groups in row block {i}", row.groups),
                format!("at most {most}"),
            ));
        }
        let first = row.outputs[0] as usize;
        for (place, &output) in row.outputs.iter().enumerate() {
            let (output, in_order) = (output as usize, first.saturating_add(place * TILE));
            let fresh = seen.get_mut(output / TILE).is_some_and(|seen| !std::mem::replace(seen, true));
            if !fresh || !output.is_multiple_of(TILE) {
                let found = format!("output offset {output} in row block {i}");
                let expected = format!("each multiple of {TILE} below {} once", padded(plan.m) * TILE);
                return Err(error(plan, ROWS, found, expected));
            }
            if !reorders(plan) && (output != in_order || !first.is_multiple_of(ROW_BLOCK * TILE)) {
                let found = format!("output offset {output} at place {place} of row block {i}");
                let expected = format!("four outputs in a row for {} blocks and this output", plan.block);
                return Err(error(plan, ROWS, found, expected));
            }
        }
    }
    Ok(rows)
}

/// Whether packing chooses which outputs share a row block.
fn reorders(plan: &SpmmPlan) -> bool {
    plan.scatters() && matches!(plan.block, Block::B1x4 | Block::Unstructured)
}

/// Row blocks by ascending number of groups; equal ones in matrix order where packing keeps it. 1x4 blocks that are reordered are so by
/// the length of each output's list.
pub(super) fn check_order(
    plan: &SpmmPlan,
    rows: &[RowBlock],
    first_groups: &[usize],
    weights: &[u8],
) -> Result<(), KernelError> {
    let sorted = match (reorders(plan), plan.block) {
        (false, _) => rows.is_sorted_by_key(|row| (row.groups, row.outputs[0])),
        (true, Block::B1x4) => {
            let lists = rows.iter().zip(first_groups).flat_map(|(row, &first)| {
                let groups = &weights[first * GROUP_WEIGHT_BYTES..][..row.groups as usize * GROUP_WEIGHT_BYTES];
                (0..ROW_BLOCK).map(move |place| {
                    let has_weight = |group: &&[u8]| group[4 * place..][..4] != [0; 4];
                    (groups.chunks_exact(GROUP_WEIGHT_BYTES).filter(has_weight).count(), row.outputs[place])
                })
            });
            lists.is_sorted()
        }
        (true, _) => rows.is_sorted_by_key(|row| row.groups),
    };
    match sorted {
        true => Ok(()),
        false => {
            let (found, expected) = ("row blocks in another order", "shorter lists first, and equal ones in order");
            Err(error(plan, ROWS, found.into(), expected.into()))
        }
    }
}

/// The facts, computed from the stream but for [`SpmmFacts::fill_ratio_in_order`] of rows that were reordered.
fn checked_facts(plan: &SpmmPlan, facts: SpmmFacts, counts: Counts) -> Result<SpmmFacts, KernelError> {
    let (outputs, inputs) = (plan.cover().outputs(), plan.cover().inputs());
    let all = plan.m.div_ceil(outputs) * plan.k.div_ceil(inputs);
    let stored = counts.blocks * outputs * inputs;
    let fill_ratio = if stored == 0 { 1.0 } else { counts.nnz as f64 / stored as f64 };
    let is_reordered = reorders(plan) && plan.block == Block::Unstructured;
    let in_order = if is_reordered { facts.fill_ratio_in_order } else { fill_ratio };
    let expected = SpmmFacts {
        nnz: counts.nnz,
        density: counts.blocks as f64 / all as f64,
        fill_ratio,
        fill_ratio_in_order: in_order,
    };
    // Numbers that went through text.
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let same = facts.nnz == expected.nnz
        && near(facts.density, expected.density)
        && near(facts.fill_ratio, expected.fill_ratio)
        && near(facts.fill_ratio_in_order, in_order)
        && (0.0..=1.0).contains(&in_order);
    match same {
        true => Ok(expected),
        false => Err(error(plan, FACTS, format!("{facts:?}"), format!("{expected:?}, as the weights say"))),
    }
}

/// Every index must be that of a block inside K, and the padding zero: a kernel may read its indices ahead.
fn check_indices(plan: &SpmmPlan, bytes: &[u8]) -> Result<(), KernelError> {
    let last_block = (plan.k - 1) / plan.cover().inputs() * plan.cover().inputs();
    let unit = 8 * plan.cover().inputs() as u32;
    let (stream, padding) = bytes.split_at(bytes.len() - OVERREAD);
    if padding.iter().any(|&byte| byte != 0) {
        return Err(error(plan, INDICES, "padding that is not zero".into(), "zeros behind the last group".into()));
    }
    let (max, bits) = match plan.index {
        IndexWidth::U16 => extent16(stream),
        IndexWidth::U32 => extent32(stream),
    };
    let most = last_block as u32 * 8;
    if max > most || bits % unit != 0 {
        let found = if max > most { format!("index {max}") } else { format!("an index that is no multiple of {unit}") };
        let expected = format!("multiples of {unit} up to {most} for K = {}", plan.k);
        return Err(error(plan, INDICES, found, expected));
    }
    Ok(())
}

/// The largest u16, and all bits that any has.
fn extent16(stream: &[u8]) -> (u32, u32) {
    let all = stream.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
    let (max, bits) = all.fold((0, 0), |(max, bits): (u16, u16), index| (max.max(index), bits | index));
    (max.into(), bits.into())
}

/// The same of u32.
fn extent32(stream: &[u8]) -> (u32, u32) {
    let all = stream.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    all.fold((0, 0), |(max, bits), index| (max.max(index), bits | index))
}
