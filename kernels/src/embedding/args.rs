//! What the kernel is called with.

use std::mem::offset_of;

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct EmbeddingArgs {
    /// Tables, `[rows][F]`.
    pub(super) word: *const f32,
    pub(super) kind: *const f32,
    pub(super) position: *const f32,
    /// Rows of the tile's columns, up to a multiple of 16.
    pub(super) word_ids: *const u32,
    pub(super) kind_ids: *const u32,
    pub(super) position_ids: *const u32,
    /// The f32 tile.
    pub(super) x: *mut f32,
    /// Columns of this tile, 1..=64.
    pub(super) columns: usize,
}

/// Offsets of the tables and their indices in the argument struct.
pub(super) const TABLES: [(usize, usize); 3] = [
    (offset_of!(EmbeddingArgs, word), offset_of!(EmbeddingArgs, word_ids)),
    (offset_of!(EmbeddingArgs, kind), offset_of!(EmbeddingArgs, kind_ids)),
    (offset_of!(EmbeddingArgs, position), offset_of!(EmbeddingArgs, position_ids)),
];
