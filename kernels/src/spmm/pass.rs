//! One pass over the stream: which part of a tile it computes, and how it addresses its operands.

use lacuna_jit::{Gpr, Scale};

use super::plan::{GROUP_WEIGHT_BYTES, SpmmPlan};

/// Some vectors of a tile: what one walk over the stream computes.
pub(super) struct Pass {
    /// First vector of the tile.
    pub(super) first: usize,
    /// Vectors.
    pub(super) vectors: usize,
    /// Where it reads X.
    pub(super) x: X,
    /// Whether it computes several row blocks in one loop.
    pub(super) abreast: bool,
    /// Where the next tile of X is prefetched from.
    pub(super) prefetch: Option<Gpr>,
}

/// Where a pass reads X.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum X {
    /// In its tile.
    Tile,
    /// In rows packed by [`super::narrow::emit_pack_rows`].
    NarrowRows,
    /// In dwords packed by [`super::narrow::emit_pack_dwords`].
    Dwords,
}

/// The factor on `group` that addresses the weights of the next group; indices have factor 1.
pub(super) fn weight_scale(plan: &SpmmPlan) -> Scale {
    match GROUP_WEIGHT_BYTES / plan.group_index_bytes() {
        1 => Scale::X1,
        2 => Scale::X2,
        4 => Scale::X4,
        _ => Scale::X8,
    }
}
