//! The two streams of groups while they are written.

use super::plan::{GROUP_WEIGHT_BYTES, SpmmPlan};
use crate::{Block, Buffer};

/// Indices and weights, group by group. Both end with space for one more vector, which a load of the last group may read.
pub(super) struct Stream {
    pub(super) indices: Buffer<u8>,
    pub(super) weights: Buffer<u8>,
    pub(super) groups: usize,
}

/// Bytes behind the streams.
pub(super) const OVERREAD: usize = 64;

impl Stream {
    /// Room for `groups` groups.
    pub(super) fn new(plan: &SpmmPlan, groups: usize) -> Stream {
        Stream {
            indices: Buffer::new(groups * plan.group_index_bytes() + OVERREAD),
            weights: Buffer::new(groups * GROUP_WEIGHT_BYTES + OVERREAD),
            groups: 0,
        }
    }

    /// Appends `groups` groups of a row block: `lists` are its block columns, one list for all outputs or one for each.
    /// `weight(output, feature)` is a weight of the row block, 0 outside the matrix.
    pub(super) fn push(
        &mut self,
        plan: &SpmmPlan,
        lists: &[&[u32]],
        groups: usize,
        weight: impl Fn(usize, usize) -> i8,
    ) {
        for group in 0..groups.next_multiple_of(plan.stored_multiple()) {
            // Block column i of the group and whether it is a real one: behind its end a list repeats its last.
            let column = |i: usize| {
                let (list, at) = match plan.cover() {
                    Block::B1x4 => (lists[i], group),
                    Block::B4x4 => (lists[0], group),
                    _ => (lists[0], group * 4 + i),
                };
                (list.get(at).or(list.last()).copied().unwrap_or(0) as usize, at < list.len())
            };
            for i in 0..plan.group_indices() {
                self.push_index(plan, i, column(i).0 * plan.cover().inputs());
            }
            let dwords = self.weights[self.groups * GROUP_WEIGHT_BYTES..][..GROUP_WEIGHT_BYTES].chunks_exact_mut(4);
            for (output, dword) in dwords.enumerate() {
                for (i, byte) in dword.iter_mut().enumerate() {
                    let ((column, real), offset) = match plan.cover() {
                        Block::B1x4 | Block::B4x4 => (column(output), i),
                        _ => (column(i), 0),
                    };
                    let feature = column * plan.cover().inputs() + offset;
                    *byte = if real { weight(output, feature) } else { 0 } as u8;
                }
            }
            self.groups += 1;
        }
    }

    fn push_index(&mut self, plan: &SpmmPlan, i: usize, feature: usize) {
        let width = plan.index.bytes();
        let at = self.groups * plan.group_index_bytes() + i * width;
        self.indices[at..at + width].copy_from_slice(&(feature as u32 * 8).to_le_bytes()[..width]);
    }
}
