//! The weight stream: the pattern and its weights as a table that a small loop walks.

use bytemuck::{Pod, Zeroable};

use super::plan::{IndexWidth, SpmmPlan};
use crate::epilogue::RowParams;
use crate::pattern::Pattern4x1;
use crate::{Buffer, KernelError, Plan, TILE};

/// Blocks per group: `vpdpbusd` multiplies four bytes per lane.
const GROUP: usize = 4;

/// One block row of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct BlockRow {
    /// Groups of this block row.
    pub(super) groups: u32,
    /// Output features before it times 64: the offset of its output within a tile, in elements.
    pub(super) out_offset: u32,
}

/// Weights of one layer, packed for [`super::SpmmKernel`].
///
/// **Layout**: block rows by ascending number of groups. A group is four row offsets ([`IndexWidth`]) and 16 s8 weights,
/// `[output feature 0..4][index 0..4]`. The last group of a block row repeats its last index with zero weights.
#[derive(Debug, Clone)]
pub struct SpmmWeights {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) index: IndexWidth,
    pub(super) stream: Buffer<u8>,
    pub(super) block_rows: Vec<BlockRow>,
    /// `[block row][4]`, in stream order.
    pub(super) params: Vec<[RowParams; 4]>,
    /// Groups before each block row, and the total at the end.
    pub(super) group_offsets: Vec<usize>,
    nnz: usize,
    density: f64,
    fill_ratio: f64,
}

impl SpmmWeights {
    /// Packs `weights` (row-major `[M][K]`) with one [`RowParams`] per output feature for kernels of `plan`.
    ///
    /// # Errors
    /// [`KernelError::Length`] for buffers that do not fit the plan's shape, [`KernelError::Parameter`] for parameters
    /// [`RowParams::check`] refuses.
    pub fn pack(plan: &SpmmPlan, weights: &[i8], params: &[RowParams]) -> Result<SpmmWeights, KernelError> {
        let (m, k, index) = (plan.m, plan.k, plan.index);
        if params.len() != m {
            return Err(KernelError::Length {
                kernel: plan.name(),
                buffer: "row parameters",
                found: params.len(),
                expected: m,
            });
        }
        RowParams::check(params, k, &plan.name())?;
        let pattern = Pattern4x1::of(weights, m, k)?;

        let groups = |row: usize| pattern.block_row(row).len().div_ceil(GROUP);
        let mut order: Vec<usize> = (0..pattern.block_rows()).collect();
        order.sort_by_key(|&row| groups(row)); // stable: equal lengths stay in matrix order

        let total: usize = order.iter().map(|&row| groups(row)).sum();
        let mut stream = Buffer::new(total * index.record_bytes());
        let mut records = stream.chunks_exact_mut(index.record_bytes());
        let mut packed = Vec::with_capacity(order.len());
        let mut packed_params = Vec::with_capacity(order.len());
        let mut group_offsets = vec![0];
        for &row in &order {
            for (group, record) in pattern.block_row(row).chunks(GROUP).zip(&mut records) {
                write_record(record, index, group, |r, column| {
                    let output = row * Pattern4x1::ROWS + r;
                    if output < m { weights[output * k + column as usize] } else { 0 }
                });
            }
            let rows = &params[row * Pattern4x1::ROWS..m.min((row + 1) * Pattern4x1::ROWS)];
            let mut four = [RowParams::default(); Pattern4x1::ROWS];
            four[..rows.len()].copy_from_slice(rows);
            packed.push(BlockRow { groups: groups(row) as u32, out_offset: (row * Pattern4x1::ROWS * TILE) as u32 });
            packed_params.push(four);
            group_offsets.push(group_offsets[group_offsets.len() - 1] + groups(row));
        }
        Ok(SpmmWeights {
            m,
            k,
            index,
            stream,
            block_rows: packed,
            params: packed_params,
            group_offsets,
            nnz: pattern.nnz(),
            density: pattern.density(),
            fill_ratio: pattern.fill_ratio(),
        })
    }

    /// Weights the kernel multiplies by, explicit zeros within groups included.
    pub fn stored(&self) -> usize {
        self.group_offsets[self.group_offsets.len() - 1] * GROUP * Pattern4x1::ROWS
    }

    /// Non-zero weights.
    pub fn nnz(&self) -> usize {
        self.nnz
    }

    /// Stored blocks over all blocks.
    pub fn density(&self) -> f64 {
        self.density
    }

    /// Non-zero weights over weights in stored blocks.
    pub fn fill_ratio(&self) -> f64 {
        self.fill_ratio
    }

    /// Bytes of the stream and its tables.
    pub fn bytes(&self) -> usize {
        self.stream.len() + size_of_val(&self.block_rows[..]) + size_of_val(&self.params[..])
    }
}

/// Writes four indices and `[row][index]` weights; positions past the end of `columns` repeat the last index with weight 0.
fn write_record(record: &mut [u8], index: IndexWidth, columns: &[u32], weight: impl Fn(usize, u32) -> i8) {
    let (indices, weights) = record.split_at_mut(4 * index.bytes());
    let last = columns[columns.len() - 1];
    for (i, bytes) in indices.chunks_exact_mut(index.bytes()).enumerate() {
        let column = columns.get(i).copied().unwrap_or(last);
        match index {
            IndexWidth::U16 => bytes.copy_from_slice(&((column * 8) as u16).to_le_bytes()),
            IndexWidth::U32 => bytes.copy_from_slice(&(column * TILE as u32).to_le_bytes()),
        }
    }
    for (r, row) in weights.chunks_exact_mut(GROUP).enumerate() {
        for (i, byte) in row.iter_mut().enumerate() {
            *byte = columns.get(i).map_or(0, |&column| weight(r, column)) as u8;
        }
    }
}
