//! The table by which rows of a plain panel are packed densely, and the memory that packed rows need.

use crate::LANES;
use crate::layout::padded;

/// Most vectors of 16 columns of a narrow tail.
pub(super) const MAX_VECTORS: usize = 2;

/// Bytes of packed rows that a kernel of K = `k` may need.
pub(super) fn scratch_bytes(k: usize) -> usize {
    padded(k) * MAX_VECTORS * LANES
}

/// The dwords of two plain rows (16..32 are the second row's) that are two packed rows, of 16 and of 32 columns.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct PackIndices([[i32; 16]; MAX_VECTORS]);

impl PackIndices {
    pub(super) const TABLE: &'static PackIndices = &PackIndices([pack_indices(1), pack_indices(2)]);
}

const fn pack_indices(vectors: usize) -> [i32; 16] {
    let mut indices = [0; 16];
    let dwords = 4 * vectors; // of one packed row
    let mut i = 0;
    while i < 2 * dwords {
        let (row, j, q) = (i / dwords, i % dwords / 4, i % 4);
        let column = if vectors == 1 { 4 * q } else { 8 * q + 4 * j };
        indices[i] = (16 * row + crate::layout::lane_position(column) / 4) as i32;
        i += 1;
    }
    indices
}
