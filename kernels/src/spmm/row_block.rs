//! What a kernel knows of a row block.

use bytemuck::{Pod, Zeroable};

use super::plan::ROW_BLOCK;

/// Four outputs that are finished together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct RowBlock {
    /// Groups to compute. The stored number is rounded up to a [`super::plan::SpmmPlan::stored_multiple`].
    pub(super) groups: u32,
    /// Output features times 64: the offsets of the output rows within a tile, in elements.
    pub(super) outputs: [u32; ROW_BLOCK],
}
