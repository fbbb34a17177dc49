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
    /// How it walks the row blocks.
    pub(super) rows: Rows,
    /// Where the next tile of X is prefetched from.
    pub(super) prefetch: Option<Gpr>,
}

impl Pass {
    /// Bytes from one row of X to the next, over 8. Rows of packed dwords have a half or a quarter of the bytes.
    pub(super) fn row_scale(&self) -> Scale {
        match (self.x, self.vectors) {
            (X::Dwords, 1) => Scale::X2,
            (X::Dwords, 2) => Scale::X4,
            _ => Scale::X8,
        }
    }
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

/// How a pass walks the row blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// One after the other.
    Alone,
    /// Several in one loop, by [`super::abreast`].
    Abreast,
    /// One after the other; those with equal lists share interleaved rows of X, by [`super::shared`].
    Shared,
}

impl Rows {
    /// What the plan's schedule says for `vectors` vectors.
    pub(super) fn of(plan: &SpmmPlan, vectors: usize, x: X) -> Rows {
        match x {
            _ if plan.runs_abreast(vectors) => Rows::Abreast,
            X::Tile if plan.schedule.shared > 0 => Rows::Shared,
            _ => Rows::Alone,
        }
    }
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
