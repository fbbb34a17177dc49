//! Weights as tables that a small loop walks.

use std::borrow::Cow;

use super::order;
use super::paired::Paired;
use super::plan::{GROUP_WEIGHT_BYTES, IndexWidth, ROW_BLOCK, SpmmPlan};
use super::row_block::RowBlock;
use super::stream::Stream;
use crate::epilogue::{BlockParams, Epilogue, RowParams};
use crate::pattern::BlockPattern;
use crate::{Block, KernelError, Plan, SharedSlice, TILE};

/// Weights of one layer, packed for [`super::SpmmKernel`].
///
/// **Layout**: *row blocks* of four outputs, sorted by ascending number of *groups*. A group is 16 weights `[output][4]`:
/// - 4x1: four input features with the weights of all four outputs; the last group of a row block repeats its last feature
///   with zero weights;
/// - 4x4: one block;
/// - 1x4: the i-th block of each of the four outputs; an output with fewer blocks than the longest repeats its last with zero
///   weights.
///
/// Two parallel streams hold the indices (input feature x 8, [`IndexWidth`]) and the s8 weights of each group.
///
/// **Order**: which four outputs make a row block is free where each has a row of its own, in plain panels and f32 tiles: of 1x4
/// blocks those of similar length, so that little is repeated; of unstructured zeros those whose input features coincide, so
/// that fewer 4x1 blocks cover them. Otherwise, and for VNNI panels, they are four consecutive ones.
#[derive(Debug, Clone)]
pub struct SpmmWeights {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) cover: Block,
    pub(super) index: IndexWidth,
    pub(super) epilogue: Epilogue,
    /// Group by group, then one vector of padding.
    pub(super) indices: SharedSlice<u8>,
    /// Group by group, then one vector of padding.
    pub(super) weights: SharedSlice<u8>,
    pub(super) rows: Vec<RowBlock>,
    /// One record per row block.
    pub(super) params: BlockParams,
    /// Which row blocks have the same list of input features as the row block before them: 1, else 0.
    pub(super) repeats: Vec<u8>,
    /// Stored groups before each row block, and the total at the end.
    pub(super) group_offsets: Vec<usize>,
    pub(super) nnz: usize,
    pub(super) density: f64,
    pub(super) fill_ratio: f64,
    pub(super) fill_ratio_in_order: f64,
    pub(super) computed: usize,
    /// What kernels of [`SpmmPlan::needs_pairs`] read in place of the stream.
    pub(super) paired: Option<Box<Paired>>,
}

/// A stream as a kernel reads it.
pub(super) struct StreamRef<'a> {
    pub(super) indices: &'a [u8],
    pub(super) weights: &'a [u8],
    pub(super) rows: &'a [RowBlock],
    pub(super) group_offsets: &'a [usize],
}

impl SpmmWeights {
    /// Packs `weights` (row-major `[M][K]`) with one [`RowParams`] per output feature for kernels of `plan`.
    ///
    /// # Errors
    /// [`KernelError::Length`] for buffers that do not fit the plan's shape, [`KernelError::Parameter`] for parameters
    /// [`Epilogue::check`] refuses.
    pub fn pack(plan: &SpmmPlan, weights: &[i8], params: &[RowParams]) -> Result<SpmmWeights, KernelError> {
        let (m, k, cover) = (plan.m, plan.k, plan.cover());
        if params.len() != m {
            return Err(KernelError::Length {
                kernel: plan.name(),
                buffer: "row parameters",
                found: params.len(),
                expected: m,
            });
        }
        let in_order = BlockPattern::of(weights, m, k, cover)?;
        let (outputs, ordered) = match order::row_blocks(plan, weights) {
            Some(outputs) => {
                let ordered = order::gather(weights, k, &outputs);
                (outputs, Cow::Owned(ordered))
            }
            None => (order::in_order(m), Cow::Borrowed(weights)),
        };
        let reordered = match &ordered {
            Cow::Borrowed(_) => None,
            Cow::Owned(weights) => Some(BlockPattern::of(weights, weights.len() / k, k, cover)?),
        };
        let pattern = reordered.as_ref().unwrap_or(&in_order);

        // The block columns of each list: one list per row block, or one for each of its outputs.
        let list = |i: usize| if i < pattern.block_rows() { pattern.block_row(i) } else { &[] };
        let lists_of =
            |row: usize| (0..ROW_BLOCK / cover.outputs()).map(move |i| list(row * (ROW_BLOCK / cover.outputs()) + i));
        let groups = |row: usize| {
            let longest = lists_of(row).map(<[u32]>::len).max().unwrap_or(0);
            if cover == Block::B4x1 { longest.div_ceil(4) } else { longest }
        };
        let mut order: Vec<usize> = (0..plan.rows()).collect();
        order.sort_by_cached_key(|&row| groups(row)); // stable: ties stay in matrix order

        let in_stream = order.iter().map(|&row| outputs[row]);
        let params = BlockParams::pack(&plan.epilogue, params, in_stream.clone(), k, &plan.name())?;
        let stored = order.iter().map(|&row| groups(row).next_multiple_of(plan.stored_multiple())).sum();
        let mut stream = Stream::new(plan, stored);
        let mut rows = Vec::with_capacity(order.len());
        let mut group_offsets = vec![0];
        for (&row, outputs) in order.iter().zip(in_stream) {
            let lists: Vec<&[u32]> = lists_of(row).collect();
            stream.push(plan, &lists, groups(row), |output, feature| {
                ordered.get((row * ROW_BLOCK + output) * k + feature).copied().filter(|_| feature < k).unwrap_or(0)
            });
            rows.push(RowBlock { groups: groups(row) as u32, outputs: outputs.map(|m| (m * TILE) as u32) });
            group_offsets.push(stream.groups);
        }
        let computed = rows.iter().map(|row| row.groups as usize * GROUP_WEIGHT_BYTES).sum();
        let blocks = m.div_ceil(cover.outputs()) * k.div_ceil(cover.inputs());
        let weights = SpmmWeights {
            m,
            k,
            cover,
            index: plan.index,
            epilogue: plan.epilogue,
            repeats: repeats(plan, &rows, &group_offsets, &stream.indices),
            indices: stream.indices.into(),
            weights: stream.weights.into(),
            rows,
            params,
            group_offsets,
            nnz: pattern.nnz(),
            density: pattern.blocks() as f64 / blocks as f64,
            fill_ratio: pattern.fill_ratio(),
            fill_ratio_in_order: in_order.fill_ratio(),
            computed,
            paired: None,
        };
        Ok(weights.for_plan(plan))
    }

    /// These weights for kernels of `plan`, which may be of another instruction set than that they were packed for, and of no other difference.
    /// Kernels of AVX2 without VNNI read a stream of their own, which is made here.
    pub fn for_plan(self, plan: &SpmmPlan) -> SpmmWeights {
        let paired = plan.needs_pairs().then(|| {
            let indices = |group| {
                let mut indices = self.group_indices(plan, group);
                std::array::from_fn(|_| indices.next().unwrap_or(0))
            };
            let weights = |group| {
                let weights: &[[u8; 4]] = self.group_weights(group).as_chunks().0;
                std::array::from_fn(|output| weights[output].map(|weight| weight as i8))
            };
            Box::new(Paired::new(plan, &self.rows, &self.group_offsets, indices, weights))
        });
        SpmmWeights { paired, ..self }
    }

    /// Weights that a full tile is multiplied by, explicit zeros within groups included.
    pub fn stored(&self) -> usize {
        self.computed
    }

    /// Groups that a full tile takes.
    pub fn groups(&self) -> usize {
        self.rows.iter().map(|row| row.groups as usize).sum()
    }

    /// Non-zero weights.
    pub fn nnz(&self) -> usize {
        self.nnz
    }

    /// Stored blocks of [`SpmmPlan::cover`] over all blocks.
    pub fn density(&self) -> f64 {
        self.density
    }

    /// Non-zero weights over weights in stored blocks.
    pub fn fill_ratio(&self) -> f64 {
        self.fill_ratio
    }

    /// What [`SpmmWeights::fill_ratio`] would be if every four outputs in a row were covered together. Less for unstructured
    /// zeros, whose rows are reordered.
    pub fn fill_ratio_in_order(&self) -> f64 {
        self.fill_ratio_in_order
    }

    /// Bytes of the streams and their tables.
    pub fn bytes(&self) -> usize {
        let paired = self.paired.as_deref().map_or(0, Paired::bytes);
        self.indices.len() + self.weights.len() + size_of_val(&self.rows[..]) + self.params.bytes() + paired
    }

    /// The stream that kernels of `plan` read.
    pub(super) fn stream(&self, plan: &SpmmPlan) -> StreamRef<'_> {
        match self.paired.as_deref() {
            Some(Paired { indices, weights, rows, group_offsets }) if plan.needs_pairs() => {
                StreamRef { indices, weights, rows, group_offsets }
            }
            _ => {
                let SpmmWeights { indices, weights, rows, group_offsets, .. } = self;
                StreamRef { indices, weights, rows, group_offsets }
            }
        }
    }

    /// The indices of group `group`, times 8.
    pub(super) fn group_indices(&self, plan: &SpmmPlan, group: usize) -> impl Iterator<Item = usize> {
        let bytes = &self.indices[group * plan.group_index_bytes()..][..plan.group_index_bytes()];
        bytes.chunks_exact(self.index.bytes()).map(|b| b.iter().rev().fold(0, |i, &b| i << 8 | usize::from(b)))
    }

    /// The weights of group `group`: four of every output.
    pub(super) fn group_weights(&self, group: usize) -> &[u8] {
        &self.weights[group * GROUP_WEIGHT_BYTES..][..GROUP_WEIGHT_BYTES]
    }
}

/// [`SpmmWeights::repeats`] of row blocks with these lists.
pub(super) fn repeats(plan: &SpmmPlan, rows: &[RowBlock], group_offsets: &[usize], indices: &[u8]) -> Vec<u8> {
    let list = |row: usize| {
        let first = group_offsets[row] * plan.group_index_bytes();
        &indices[first..][..rows[row].groups as usize * plan.group_index_bytes()]
    };
    (0..rows.len()).map(|row| u8::from(row > 0 && list(row) == list(row - 1))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use lacuna_jit::Isa;
    use proptest::prelude::*;
    use rand::prelude::*;

    use super::super::SpmmDesc;
    use super::*;
    use crate::{ActivationBits, PanelLayout, Sign};

    /// The row-major matrix, rebuilt from the bytes of the streams only. Every stored weight must be at a place of its own.
    pub(in super::super) fn unpack(plan: &SpmmPlan, packed: &SpmmWeights) -> Vec<i8> {
        let (m, k) = (packed.m, packed.k);
        let mut weights = vec![0; m * k];
        let mut group = 0;
        for (row, &first) in packed.rows.iter().zip(&packed.group_offsets) {
            assert_eq!(group, first);
            let stored = (row.groups as usize).next_multiple_of(plan.stored_multiple());
            for g in group..group + stored {
                let indices: Vec<usize> = packed.group_indices(plan, g).map(|index| index / 8).collect();
                for (place, &weight) in packed.group_weights(g).iter().enumerate() {
                    let (output, input) = (place / 4, place % 4);
                    let feature = match plan.cover() {
                        Block::B1x4 => indices[output] + input,
                        Block::B4x4 => indices[0] + input,
                        _ => indices[input],
                    };
                    if weight != 0 {
                        assert!(g < group + row.groups as usize, "a weight in a group that is not computed");
                        let at = row.outputs[output] as usize / TILE * k + feature;
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
            epilogue in prop::sample::select(vec![Epilogue::f32(false), Epilogue::gelu(PanelLayout::Vnni, Sign::Unsigned)]),
        ) {
            let plan = SpmmDesc { m, k, block, epilogue, activation_bits: ActivationBits::Eight }.plan(Isa::Portable).unwrap();
            let params: Vec<RowParams> =
                (0..m).map(|row| RowParams { addend: row as f32, ..RowParams::default() }).collect();
            let packed = SpmmWeights::pack(&plan, &weights, &params).unwrap();
            prop_assert_eq!(unpack(&plan, &packed), &weights[..]);
            prop_assert!(packed.rows.is_sorted_by_key(|row| row.groups));

            // Each output is in one row block, with its own parameters; a VNNI panel wants four in a row.
            let outputs = |row: &RowBlock| row.outputs.map(|output| output as usize / TILE);
            let BlockParams::Float(found) = &packed.params else { panic!("parameters of another arithmetic") };
            for (row, found) in packed.rows.iter().zip(found.iter()) {
                let expected = outputs(row).map(|output| params.get(output).copied().unwrap_or_default());
                prop_assert_eq!(found, &expected);
                if !plan.scatters() {
                    let first = outputs(row)[0];
                    prop_assert_eq!(outputs(row), [first, first + 1, first + 2, first + 3]);
                    prop_assert_eq!(first % ROW_BLOCK, 0);
                }
            }
            let mut all: Vec<usize> = packed.rows.iter().flat_map(outputs).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..m.next_multiple_of(ROW_BLOCK)).collect::<Vec<_>>());

            let nnz = weights.iter().filter(|&&w| w != 0).count();
            prop_assert_eq!(packed.nnz(), nnz);
            let (r, c) = (plan.cover().outputs(), plan.cover().inputs());
            let in_blocks = packed.density() * (m.div_ceil(r) * k.div_ceil(c) * r * c) as f64;
            prop_assert!(nnz as f64 <= in_blocks + 1e-6 && in_blocks <= packed.stored() as f64 + 1e-6);
            if nnz > 0 {
                prop_assert!((packed.fill_ratio() - nnz as f64 / in_blocks).abs() < 1e-9);
            }
            if block != Block::Unstructured {
                prop_assert_eq!(packed.fill_ratio(), packed.fill_ratio_in_order());
            }
        }
    }

    /// Rows of 4x1 blocks that were shuffled are found again.
    #[test]
    fn shuffled_blocks_are_found() {
        let (m, k) = (64, 100);
        let mut rng = StdRng::seed_from_u64(3);
        let mut rows: Vec<Vec<i8>> = Vec::new();
        for _ in 0..m / ROW_BLOCK {
            let row: Vec<i8> = (0..k).map(|_| i8::from(rng.random_bool(0.2))).collect();
            rows.extend(vec![row; ROW_BLOCK]);
        }
        rows.shuffle(&mut rng);
        let plan = |epilogue| {
            SpmmDesc { m, k, block: Block::Unstructured, epilogue, activation_bits: ActivationBits::Eight }
                .plan(Isa::Portable)
                .unwrap()
        };
        let pack = |plan| SpmmWeights::pack(&plan, &rows.concat(), &vec![RowParams::default(); m]).unwrap();
        let free = pack(plan(Epilogue::f32(false)));
        assert_eq!(free.fill_ratio(), 1.0);
        assert!(free.fill_ratio_in_order() < 0.5);
        let fixed = pack(plan(Epilogue::requantize(PanelLayout::Vnni, Sign::Unsigned)));
        assert_eq!(fixed.fill_ratio(), free.fill_ratio_in_order());
    }

    /// A row block of single outputs is as long as its longest, so the lengths of the four are alike.
    #[test]
    fn single_outputs_of_a_row_block_are_alike() {
        let (m, k) = (64, 400);
        let weights: Vec<i8> = (0..m * k).map(|i| i8::from(i % k / 4 < i / k * 37 % 64)).collect();
        let stored = |epilogue| {
            let plan = SpmmDesc { m, k, block: Block::B1x4, epilogue, activation_bits: ActivationBits::Eight }
                .plan(Isa::Portable)
                .unwrap();
            SpmmWeights::pack(&plan, &weights, &vec![RowParams::default(); m]).unwrap().stored()
        };
        let nnz = 4 * (0..64).sum::<usize>();
        assert_eq!(stored(Epilogue::f32(false)), nnz + 4 * 16 * 6, "lengths 4i, 4i + 1, 4i + 2, 4i + 3");
        assert!(stored(Epilogue::requantize(PanelLayout::Vnni, Sign::Unsigned)) > nnz * 5 / 4);
    }
}
