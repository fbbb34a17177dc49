//! The tables by which rows of a plain panel are packed densely and packed rows are interleaved, and the memory that packed rows need.

use crate::LANES;
use crate::layout::padded;

/// Most vectors of 16 columns of a narrow tail.
pub(super) const MAX_VECTORS: usize = 2;

/// Bytes of packed rows that a kernel of K = `k` may need.
pub(super) fn scratch_bytes(k: usize) -> usize {
    padded(k) * MAX_VECTORS * LANES
}

#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct PackIndices {
    /// The dwords of two plain rows (16..32 are the second row's) that are two packed rows, of 16 and of 32 columns.
    pub(super) pack: [[i32; 16]; MAX_VECTORS],
    /// The bytes of two vectors (64..128 are the second vector's) that are dwords of four features per column. The vectors hold packed rows of 16
    /// columns: of features 0 and 1, and of features 2 and 3.
    pub(super) bytes: [u8; 64],
    /// The same in two steps, for CPUs without VBMI: dwords of the two vectors first, so that each 128-bit lane has four columns of each feature,
    pub(super) dwords: [i32; 16],
    /// then the bytes of each lane.
    pub(super) transpose: [u8; 64],
}

impl PackIndices {
    pub(super) const TABLE: &'static PackIndices = &PackIndices {
        pack: [pack_indices(1), pack_indices(2)],
        bytes: interleave(),
        dwords: interleave_dwords(),
        transpose: transpose(),
    };
}

/// Where the packed row of feature `feature` begins in two vectors.
const fn row_start(feature: usize) -> usize {
    64 * (feature / 2) + 16 * (feature % 2)
}

const fn interleave() -> [u8; 64] {
    let mut indices = [0; 64];
    let mut i = 0;
    while i < 64 {
        let (column, feature) = (i / 4, i % 4);
        indices[i] = (row_start(feature) + column) as u8;
        i += 1;
    }
    indices
}

const fn interleave_dwords() -> [i32; 16] {
    let mut indices = [0; 16];
    let mut i = 0;
    while i < 16 {
        let (lane, feature) = (i / 4, i % 4);
        indices[i] = (row_start(feature) / 4 + lane) as i32;
        i += 1;
    }
    indices
}

const fn transpose() -> [u8; 64] {
    let mut indices = [0; 64];
    let mut i = 0;
    while i < 64 {
        let (column, feature) = (i / 4 % 4, i % 4);
        indices[i] = (4 * feature + column) as u8;
        i += 1;
    }
    indices
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
