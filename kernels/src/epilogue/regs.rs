//! What the epilogue is given.

use lacuna_jit::{Gpr, Mem, Zmm};

/// Registers the epilogue reads and may change.
pub(crate) struct EpilogueRegs<'a> {
    /// This row block's record of [`super::BlockParams`].
    pub(crate) params: Mem,
    /// Output of each of the four rows, first computed vector (plain panels: start of the row). A VNNI panel has one row for all
    /// four, the first of these.
    pub(crate) rows: [Mem; 4],
    /// [`super::Constants::address`].
    pub(crate) constants: Gpr,
    /// At least 2 vector registers, with GELU [`super::gelu_temps`] of the vectors of a row and in 16-bit arithmetic 8.
    pub(crate) temps: &'a [Zmm],
}

impl EpilogueRegs<'_> {
    /// Four rows one behind the other, `row_bytes` apart.
    pub(crate) fn rows_from(first: Mem, row_bytes: i32) -> [Mem; 4] {
        std::array::from_fn(|row| first + row as i32 * row_bytes)
    }
}
