//! The weight stream: the pattern and its weights as tables that a small loop walks.

use bytemuck::{Pod, Zeroable};

use super::plan::{IndexWidth, STRIP, SpmmPlan};
use crate::epilogue::{BlockParams, RowParams};
use crate::pattern::BlockPattern;
use crate::{Block, Buffer, KernelError, Plan, TILE};

/// One list of input features: those of one block row of the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct List {
    /// Groups to compute. Stored are as many as make a [`SpmmPlan::stored_multiple`].
    pub(super) groups: u32,
    /// Output features before its row block times 64: the offset of the output within a tile, in elements.
    pub(super) out_offset: u32,
}

/// Weights of one layer, packed for [`super::SpmmKernel`].
///
/// **Layout**: *lists* of input features, one per block row of the pattern; four lists of single outputs (1x4) or one list of 4,
/// 8 or 16 outputs are a *row block*, finished together. Row blocks are sorted by ascending number of groups. Blocks of one input
/// feature come in *groups* of four, whose last repeats its last index with zero weights; a block of four input features is a
/// group of its own. Two parallel streams hold, per group, the indices (feature x 8, [`IndexWidth`]) and the s8 weights
/// `[output][4]`.
#[derive(Debug, Clone)]
pub struct SpmmWeights {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) block: Block,
    pub(super) index: IndexWidth,
    /// Group by group, then one vector of padding.
    pub(super) indices: Buffer<u8>,
    /// Group by group, then one vector of padding.
    pub(super) weights: Buffer<u8>,
    /// `[row block][list]`
    pub(super) lists: Vec<List>,
    /// One record per strip of four outputs, `[row block][strip]` in stream order.
    pub(super) params: BlockParams,
    /// Stored groups before each row block, and the total at the end.
    pub(super) group_offsets: Vec<usize>,
    nnz: usize,
    density: f64,
    fill_ratio: f64,
    computed: usize,
}

/// Bytes behind the streams that a vector load of the last group may touch.
const OVERREAD: usize = 64;

impl SpmmWeights {
    /// Packs `weights` (row-major `[M][K]`) with one [`RowParams`] per output feature for kernels of `plan`.
    ///
    /// # Errors
    /// [`KernelError::Length`] for buffers that do not fit the plan's shape, [`KernelError::Parameter`] for parameters
    /// [`Epilogue::check`](crate::epilogue::Epilogue::check) refuses.
    pub fn pack(plan: &SpmmPlan, weights: &[i8], params: &[RowParams]) -> Result<SpmmWeights, KernelError> {
        let (m, k) = (plan.m, plan.k);
        if params.len() != m {
            return Err(KernelError::Length {
                kernel: plan.name(),
                buffer: "row parameters",
                found: params.len(),
                expected: m,
            });
        }
        let pattern = BlockPattern::of(weights, m, k, plan.block)?;

        let blocks_per_group = plan.group_indices();
        let lists_per_row = plan.lists_per_row();
        let list_groups = |list: usize| match list < pattern.block_rows() {
            true => pattern.block_row(list).len().div_ceil(blocks_per_group),
            false => 0,
        };
        let lists_of = |row: usize| row * lists_per_row..(row + 1) * lists_per_row;
        let mut order: Vec<usize> = (0..plan.rows()).collect();
        order.sort_by_cached_key(|&row| lists_of(row).map(list_groups).sum::<usize>()); // stable: ties stay in matrix order

        let strips = plan.row_outputs() / STRIP;
        let in_order = order.iter().flat_map(|&row| row * strips..(row + 1) * strips);
        let params = BlockParams::pack(&plan.epilogue, params, in_order, k, &plan.name())?;

        let multiple = plan.stored_multiple();
        let stored: usize = (0..pattern.block_rows()).map(|list| list_groups(list).next_multiple_of(multiple)).sum();
        let mut packer = Packer {
            indices: Buffer::new(stored * plan.group_index_bytes() + OVERREAD),
            weights: Buffer::new(stored * plan.group_weight_bytes() + OVERREAD),
            groups: 0,
        };
        let mut lists = Vec::with_capacity(order.len() * lists_per_row);
        let mut group_offsets = vec![0];
        let mut computed = 0;
        for &row in &order {
            for list in lists_of(row) {
                let columns = if list < pattern.block_rows() { pattern.block_row(list) } else { &[] };
                packer.list(plan, columns, |output, feature| {
                    let output = list * pattern.outputs() + output;
                    if output < m && feature < k { weights[output * k + feature] } else { 0 }
                });
                computed += list_groups(list);
                let out_offset = (row * plan.row_outputs() * TILE) as u32;
                lists.push(List { groups: list_groups(list) as u32, out_offset });
            }
            group_offsets.push(packer.groups);
        }
        Ok(SpmmWeights {
            m,
            k,
            block: plan.block,
            index: plan.index,
            indices: packer.indices,
            weights: packer.weights,
            lists,
            params,
            group_offsets,
            nnz: pattern.nnz(),
            density: pattern.density(),
            fill_ratio: pattern.fill_ratio(),
            computed: computed * plan.group_weight_bytes(),
        })
    }

    /// Weights that a full tile is multiplied by, explicit zeros within groups included.
    pub fn stored(&self) -> usize {
        self.computed
    }

    /// Groups that a full tile takes.
    pub(super) fn groups(&self) -> usize {
        self.lists.iter().map(|list| list.groups as usize).sum()
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

    /// Bytes of the streams and their tables.
    pub fn bytes(&self) -> usize {
        self.indices.len() + self.weights.len() + size_of_val(&self.lists[..]) + self.params.bytes()
    }

    /// The indices of group `group`, times 8.
    pub(super) fn group_indices(&self, plan: &SpmmPlan, group: usize) -> impl Iterator<Item = usize> {
        let bytes = &self.indices[group * plan.group_index_bytes()..][..plan.group_index_bytes()];
        bytes.chunks_exact(self.index.bytes()).map(|b| b.iter().rev().fold(0, |i, &b| i << 8 | usize::from(b)))
    }

    /// The weights of group `group`: four of every output.
    pub(super) fn group_weights(&self, plan: &SpmmPlan, group: usize) -> &[u8] {
        &self.weights[group * plan.group_weight_bytes()..][..plan.group_weight_bytes()]
    }
}

/// The streams while they are written.
struct Packer {
    indices: Buffer<u8>,
    weights: Buffer<u8>,
    groups: usize,
}

impl Packer {
    /// Appends the groups of one list. `weight(output, feature)` is that of an output of the list.
    fn list(&mut self, plan: &SpmmPlan, columns: &[u32], weight: impl Fn(usize, usize) -> i8) {
        let inputs = plan.block.inputs();
        let Some(&last) = columns.last() else { return };
        let groups = columns.len().div_ceil(plan.group_indices()).next_multiple_of(plan.stored_multiple());
        for group in 0..groups {
            let at = |i: usize| columns.get(group * plan.group_indices() + i).copied();
            for i in 0..plan.group_indices() {
                self.index(plan, i, at(i).unwrap_or(last) as usize * inputs);
            }
            let (first, bytes) = (self.groups * plan.group_weight_bytes(), plan.group_weight_bytes());
            for (output, four) in self.weights[first..first + bytes].chunks_exact_mut(4).enumerate() {
                for (i, byte) in four.iter_mut().enumerate() {
                    // Four blocks of one input, or one block of four.
                    let feature =
                        if inputs == 1 { at(i).map(|c| c as usize) } else { at(0).map(|c| c as usize * 4 + i) };
                    *byte = feature.map_or(0, |feature| weight(output, feature)) as u8;
                }
            }
            self.groups += 1;
        }
    }

    fn index(&mut self, plan: &SpmmPlan, i: usize, feature: usize) {
        let width = plan.index.bytes();
        let at = self.groups * plan.group_index_bytes() + i * width;
        self.indices[at..at + width].copy_from_slice(&(feature as u32 * 8).to_le_bytes()[..width]);
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

    /// The row-major matrix that the streams say, from their bytes alone. Every stored weight must be at a place of its own.
    fn unpack(plan: &SpmmPlan, packed: &SpmmWeights) -> Vec<i8> {
        let (m, k) = (packed.m, packed.k);
        let mut weights = vec![0; m * k];
        let mut group = 0;
        for (i, list) in packed.lists.iter().enumerate() {
            if i % plan.lists_per_row() == 0 {
                assert_eq!(group, packed.group_offsets[i / plan.lists_per_row()]);
            }
            let first_output = list.out_offset as usize / TILE + i % plan.lists_per_row() * plan.list_outputs();
            let stored = (list.groups as usize).next_multiple_of(plan.stored_multiple());
            for g in group..group + stored {
                let indices: Vec<usize> = packed.group_indices(plan, g).collect();
                for (place, &weight) in packed.group_weights(plan, g).iter().enumerate() {
                    let feature = match indices[..] {
                        [first] => first / 8 + place % 4,
                        _ => indices[place % 4] / 8,
                    };
                    if weight != 0 {
                        assert!(g < group + list.groups as usize, "a weight in a group that is not computed");
                        let at = (first_output + place / 4) * k + feature;
                        assert_eq!(std::mem::replace(&mut weights[at], weight as i8), 0, "stored twice");
                    }
                }
            }
            group += stored;
        }
        assert_eq!(group, packed.group_offsets[packed.group_offsets.len() - 1]);
        weights
    }

    fn matrix() -> impl Strategy<Value = (usize, usize, Vec<i8>)> {
        let k = prop_oneof![1usize..40, Just(8192), 8190usize..8200];
        (1usize..40, k, 0.0..=1.0f64, any::<u64>()).prop_map(|(m, k, density, seed)| {
            let mut rng = StdRng::seed_from_u64(seed);
            let weights = (0..m * k).map(|_| if rng.random_bool(density) { rng.random() } else { 0 });
            (m, k, weights.collect())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn the_stream_is_the_matrix(
            (m, k, weights) in matrix(),
            block in prop::sample::select(&Block::ALL[..6]),
        ) {
            let plan = SpmmDesc { m, k, block, epilogue: Epilogue::f32(false) }.plan(Isa::Portable).unwrap();
            let params: Vec<RowParams> =
                (0..m).map(|row| RowParams { addend: row as f32, ..RowParams::default() }).collect();
            let packed = SpmmWeights::pack(&plan, &weights, &params).unwrap();
            prop_assert_eq!(unpack(&plan, &packed), &weights[..]);

            let rows: Vec<u32> =
                packed.lists.chunks(plan.lists_per_row()).map(|row| row.iter().map(|l| l.groups).sum()).collect();
            prop_assert!(rows.is_sorted());
            let mut outputs: Vec<u32> =
                packed.lists.iter().step_by(plan.lists_per_row()).map(|list| list.out_offset).collect();
            let strips = plan.row_outputs() / STRIP;
            let BlockParams::Float(params_found) = &packed.params else { panic!("{:?}", packed.params) };
            for (row, strip) in params_found.chunks(strips).enumerate() {
                let first = outputs[row] as usize / TILE;
                for (output, found) in (first..).zip(strip.iter().flatten()) {
                    prop_assert_eq!(*found, params.get(output).copied().unwrap_or_default());
                }
            }
            outputs.sort_unstable();
            prop_assert!(outputs.iter().enumerate().all(|(i, &o)| o as usize == i * plan.row_outputs() * TILE));
            prop_assert_eq!(outputs.len(), m.div_ceil(plan.row_outputs()));

            let nnz = weights.iter().filter(|&&w| w != 0).count();
            prop_assert_eq!(packed.nnz(), nnz);
            let (r, c) = (plan.block.outputs(), plan.block.inputs());
            let in_blocks = packed.density() * (m.div_ceil(r) * k.div_ceil(c) * r * c) as f64;
            prop_assert!(nnz as f64 <= in_blocks + 1e-6 && in_blocks <= packed.stored() as f64 + 1e-6);
            if nnz > 0 {
                prop_assert!((packed.fill_ratio() - nnz as f64 / in_blocks).abs() < 1e-9);
            }
        }
    }
}
