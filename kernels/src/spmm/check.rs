//! Whether a stream of groups is one that [`SpmmWeights::pack`](super::SpmmWeights::pack) writes.
//!
//! Not all bytes of a stream are read by all kernels: groups that are stored but not computed, for example, are read by the form for
//! few columns only. If such bytes could be anything, results would depend on the kernel. So every byte that repeats or pads
//! must be what it repeats, or 0.

use super::plan::{GROUP_WEIGHT_BYTES, IndexWidth, ROW_BLOCK, SpmmPlan};
use super::row_block::RowBlock;
use crate::{Block, TILE};

/// What a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Weights other than zero.
    pub(super) nnz: usize,
    /// Blocks of the cover with such a weight.
    pub(super) blocks: usize,
}

/// What is wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Which stream: indices, or weights.
    pub(super) of_indices: bool,
    pub(super) found: String,
    pub(super) expected: &'static str,
}

type Checked<T = ()> = Result<T, Misfit>;

fn weights(group: usize, found: &str, expected: &'static str) -> Misfit {
    Misfit { of_indices: false, found: format!("{found} in group {group}"), expected }
}

fn indices(group: usize, found: u32, expected: &'static str) -> Misfit {
    Misfit { of_indices: true, found: format!("index {found} in group {group}"), expected }
}

/// Checks the groups of all row blocks; `first_groups` are the stored groups before each. Both streams are long enough, and the indices
/// are those of blocks inside K.
pub(super) fn check_stream(
    plan: &SpmmPlan,
    rows: &[RowBlock],
    first_groups: &[usize],
    index_bytes: &[u8],
    weight_bytes: &[u8],
) -> Checked<Counts> {
    let stream = Stream { plan, indices: index_bytes, weights: weight_bytes };
    let mut counts = Counts::default();
    for (row, groups) in rows.iter().zip(first_groups.windows(2)) {
        let lists = Lists::of(plan, row);
        let (first, computed, stored) = (groups[0], groups[0] + row.groups as usize, groups[1]);
        match plan.cover() {
            Block::B1x4 => stream.check_single(&lists, first..computed, &mut counts)?,
            Block::B4x4 => stream.check_square(&lists, first..computed, &mut counts)?,
            _ => stream.check_tall(&lists, first..computed, &mut counts)?,
        }
        stream.check_not_computed(first, computed..stored)?;
    }
    let padding = &weight_bytes[first_groups.last().map_or(0, |groups| groups * GROUP_WEIGHT_BYTES)..];
    match padding.iter().all(|&byte| byte == 0) {
        true => Ok(counts),
        false => {
            let (found, expected) = ("padding that is not zero".into(), "zeros behind the last group");
            Err(Misfit { of_indices: false, found, expected })
        }
    }
}

/// What the four outputs of a row block may hold.
struct Lists {
    /// Bits of the weights of outputs below M.
    outputs: [u32; ROW_BLOCK],
    /// Index of the last block of four input features, and the bits of its weights that are inside K.
    last: (u32, u32),
}

impl Lists {
    fn of(plan: &SpmmPlan, row: &RowBlock) -> Lists {
        let outputs = row.outputs.map(|offset| if offset as usize / TILE < plan.m { u32::MAX } else { 0 });
        let inside = match plan.k % 4 {
            0 => u32::MAX,
            features => (1 << (8 * features)) - 1,
        };
        Lists { outputs, last: (((plan.k - 1) / 4 * 4 * 8) as u32, inside) }
    }

    /// Whether the weights of four input features of an output have bits beyond M or K.
    fn is_beyond(&self, output: usize, index: u32, weights: u32) -> bool {
        let (last, inside) = self.last;
        weights & !self.outputs[output] != 0 || index == last && weights & !inside != 0
    }
}

struct Stream<'a> {
    plan: &'a SpmmPlan,
    indices: &'a [u8],
    weights: &'a [u8],
}

const ZERO_BEYOND: &str = "0 for features beyond M and K";
const ASCENDING: &str = "ascending indices, and behind the end of a list its last one";
const NOT_EMPTY: &str = "a weight other than 0 in every block but those behind the end of a list";

impl Stream<'_> {
    #[inline(always)]
    fn index(&self, group: usize, i: usize) -> u32 {
        let at = group * self.plan.group_index_bytes() + i * self.plan.index.bytes();
        match self.plan.index {
            IndexWidth::U16 => u16::from_le_bytes([self.indices[at], self.indices[at + 1]]).into(),
            IndexWidth::U32 => u32::from_le_bytes(std::array::from_fn(|byte| self.indices[at + byte])),
        }
    }

    #[inline(always)]
    fn group(&self, group: usize) -> [u32; ROW_BLOCK] {
        let bytes = &self.weights[group * GROUP_WEIGHT_BYTES..][..GROUP_WEIGHT_BYTES];
        std::array::from_fn(|output| u32::from_le_bytes(std::array::from_fn(|i| bytes[4 * output + i])))
    }

    /// 4x1 blocks: one list of single input features.
    fn check_tall(&self, lists: &Lists, groups: std::ops::Range<usize>, counts: &mut Counts) -> Checked {
        let (mut previous, end) = (None, groups.end);
        for group in groups {
            let weights_of = self.group(group);
            if (0..ROW_BLOCK).any(|output| weights_of[output] & !lists.outputs[output] != 0) {
                return Err(weights(group, "a weight of a feature beyond M", ZERO_BEYOND));
            }
            counts.nnz += nonzero_bytes(weights_of);
            let any = weights_of.iter().fold(0, |any, weights| any | weights).to_le_bytes();
            let mut ended = false;
            for (i, any) in any.into_iter().enumerate() {
                let index = self.index(group, i);
                match any != 0 {
                    true if ended => return Err(weights(group, "a weight behind the end of a list", NOT_EMPTY)),
                    true if previous.is_some_and(|previous| previous >= index) => {
                        return Err(indices(group, index, ASCENDING));
                    }
                    true => (previous, counts.blocks) = (Some(index), counts.blocks + 1),
                    false if i == 0 || group + 1 < end => {
                        return Err(weights(group, "a block of zeros", NOT_EMPTY));
                    }
                    false if previous != Some(index) => return Err(indices(group, index, ASCENDING)),
                    false => ended = true,
                }
            }
        }
        Ok(())
    }

    /// 1x4 blocks: a list for every output, of four input features each.
    fn check_single(&self, lists: &Lists, groups: std::ops::Range<usize>, counts: &mut Counts) -> Checked {
        let (mut previous, mut ended) = ([None; ROW_BLOCK], [false; ROW_BLOCK]);
        for group in groups {
            let weights_of = self.group(group);
            counts.nnz += nonzero_bytes(weights_of);
            for (output, &four) in weights_of.iter().enumerate() {
                let index = self.index(group, output);
                if lists.is_beyond(output, index, four) {
                    return Err(weights(group, "a weight of a feature beyond M or K", ZERO_BEYOND));
                }
                match four != 0 {
                    true if ended[output] => {
                        return Err(weights(group, "a weight behind the end of a list", NOT_EMPTY));
                    }
                    true if previous[output].is_some_and(|previous| previous >= index) => {
                        return Err(indices(group, index, ASCENDING));
                    }
                    true => (previous[output], counts.blocks) = (Some(index), counts.blocks + 1),
                    false if index != previous[output].unwrap_or(0) => return Err(indices(group, index, ASCENDING)),
                    false => ended[output] = true,
                }
            }
            if ended == [true; ROW_BLOCK] {
                return Err(weights(group, "zeros only", NOT_EMPTY));
            }
        }
        Ok(())
    }

    /// 4x4 blocks: one list, of four input features each.
    fn check_square(&self, lists: &Lists, groups: std::ops::Range<usize>, counts: &mut Counts) -> Checked {
        let mut previous = None;
        for group in groups {
            let (weights_of, index) = (self.group(group), self.index(group, 0));
            if (0..ROW_BLOCK).any(|output| lists.is_beyond(output, index, weights_of[output])) {
                return Err(weights(group, "a weight of a feature beyond M or K", ZERO_BEYOND));
            }
            if weights_of == [0; ROW_BLOCK] {
                return Err(weights(group, "zeros only", NOT_EMPTY));
            }
            if previous.is_some_and(|previous| previous >= index) {
                return Err(indices(group, index, ASCENDING));
            }
            counts.nnz += nonzero_bytes(weights_of);
            counts.blocks += 1;
            previous = Some(index);
        }
        Ok(())
    }

    /// Groups of a row block that begins at group `first`, which are stored so that there is a whole number of vectors.
    fn check_not_computed(&self, first: usize, groups: std::ops::Range<usize>) -> Checked {
        if groups.is_empty() {
            return Ok(());
        }
        let indices_of = self.plan.group_indices();
        let last = if groups.start > first { self.index(groups.start - 1, indices_of - 1) } else { 0 };
        for group in groups {
            if self.group(group) != [0; ROW_BLOCK] {
                return Err(weights(group, "a weight", "0 in groups that are stored but not computed"));
            }
            if let Some(index) = (0..indices_of).map(|i| self.index(group, i)).find(|&index| index != last) {
                return Err(indices(group, index, ASCENDING));
            }
        }
        Ok(())
    }
}

#[inline(always)]
fn nonzero_bytes(weights: [u32; ROW_BLOCK]) -> usize {
    let bytes: [u8; GROUP_WEIGHT_BYTES] = bytemuck::cast(weights);
    bytes.iter().map(|&byte| usize::from(byte != 0)).sum()
}

#[cfg(test)]
mod tests;
