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

#[cfg(test)]
mod tests {
    use lacuna_jit::Isa;
    use proptest::prelude::*;
    use rand::prelude::*;

    use super::super::SpmmDesc;
    use super::*;
    use crate::epilogue::Epilogue;

    /// The row-major matrix that the stream says, from its bytes alone. Every stored weight must be at a place of its own.
    fn unpack(packed: &SpmmWeights) -> Vec<i8> {
        let (m, k, width) = (packed.m, packed.k, packed.index.bytes());
        let mut weights = vec![0; m * k];
        for (i, row) in packed.block_rows.iter().enumerate() {
            let first_output = row.out_offset as usize / TILE;
            assert_eq!(packed.group_offsets[i + 1] - packed.group_offsets[i], row.groups as usize);
            let records = packed.stream.chunks_exact(packed.index.record_bytes());
            for record in records.skip(packed.group_offsets[i]).take(row.groups as usize) {
                let (indices, values) = record.split_at(4 * width);
                for place in 0..GROUP {
                    let index = &indices[place * width..][..width];
                    let column = index.iter().rev().fold(0, |index, &byte| index << 8 | usize::from(byte))
                        / match packed.index {
                            IndexWidth::U16 => 8,
                            IndexWidth::U32 => TILE,
                        };
                    assert!(column < k);
                    for r in 0..Pattern4x1::ROWS {
                        let weight = values[4 * r + place] as i8;
                        if weight != 0 {
                            let at = (first_output + r) * k + column;
                            assert_eq!(std::mem::replace(&mut weights[at], weight), 0, "stored twice");
                        }
                    }
                }
            }
        }
        weights
    }

    fn matrix() -> impl Strategy<Value = (usize, usize, Vec<i8>)> {
        let k = prop_oneof![1usize..40, Just(8192), 8190usize..8200];
        (1usize..14, k, 0.0..=1.0f64, any::<u64>()).prop_map(|(m, k, density, seed)| {
            let mut rng = StdRng::seed_from_u64(seed);
            let weights = (0..m * k).map(|_| if rng.random_bool(density) { rng.random() } else { 0 });
            (m, k, weights.collect())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn the_stream_is_the_matrix((m, k, weights) in matrix()) {
            let plan = SpmmDesc { m, k, epilogue: Epilogue::f32(false) }.plan(Isa::Portable).unwrap();
            let params: Vec<RowParams> =
                (0..m).map(|row| RowParams { addend: row as f32, ..RowParams::default() }).collect();
            let packed = SpmmWeights::pack(&plan, &weights, &params).unwrap();
            prop_assert_eq!(unpack(&packed), &weights[..]);

            prop_assert!(packed.block_rows.is_sorted_by_key(|row| row.groups));
            let mut outputs: Vec<u32> = packed.block_rows.iter().map(|row| row.out_offset).collect();
            outputs.sort_unstable();
            prop_assert!(outputs.iter().enumerate().all(|(i, &offset)| offset as usize == i * 4 * TILE));
            prop_assert_eq!(outputs.len(), m.div_ceil(4));
            for (row, four) in packed.block_rows.iter().zip(&packed.params) {
                for (output, found) in (row.out_offset as usize / TILE..).zip(four) {
                    prop_assert_eq!(*found, params.get(output).copied().unwrap_or_default());
                }
            }

            let nnz = weights.iter().filter(|&&w| w != 0).count();
            prop_assert_eq!(packed.nnz(), nnz);
            prop_assert_eq!(packed.stored() * packed.index.record_bytes() / 16, packed.stream.len());
            let blocks = packed.density() * (m.div_ceil(4) * k) as f64;
            prop_assert!(nnz as f64 <= blocks * 4.0 + 1e-6 && blocks * 4.0 <= packed.stored() as f64 + 1e-6);
            if nnz > 0 {
                prop_assert!((packed.fill_ratio() - nnz as f64 / (blocks * 4.0)).abs() < 1e-9);
            }
        }
    }
}
