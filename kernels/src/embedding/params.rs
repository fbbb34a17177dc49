//! What an embedding reads: tables, and for every column a row of each.

/// The tables of an embedding, each `[rows][F]`. A model without one of them passes a single row of zeros.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingTables<'a> {
    /// One row per token id.
    pub word: &'a [f32],
    /// One row per token type (segment).
    pub kind: &'a [f32],
    /// One row per position.
    pub position: &'a [f32],
}

/// Rows of the token of each column, in whole tiles.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingIds<'a> {
    /// Row of the word table.
    pub word: &'a [u32],
    /// Row of the type table.
    pub kind: &'a [u32],
    /// Row of the position table.
    pub position: &'a [u32],
}
