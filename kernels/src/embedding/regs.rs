//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, Mask, RegFile, Zmm};

use crate::LANES;

/// One table while its features are walked.
pub(super) struct Table {
    /// Feature 16 b of row 0.
    pub(super) base: Gpr,
    /// Rows of the 16 columns.
    pub(super) ids: Gpr,
    /// Byte offset of a column's row.
    pub(super) row: Gpr,
}

/// REGISTER LAYOUT
///
/// | registers | role |
/// | --- | --- |
/// | block, 16 | `block[i]`: features 16b.. of column i; transposed: `block[j]`: 16 columns of feature 16b + j |
/// | temp, 16 | half-transposed |
/// | tail | mask of the features in the last block |
///
/// `count` is `tail_bits`, the bits of the mask `tail`, before the first block.
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) tables: [Table; 3],
    pub(super) x: Gpr,
    pub(super) first: Gpr,
    pub(super) left: Gpr,
    pub(super) count: Gpr,
    /// In the register of `count`, before that is needed.
    pub(super) tail_bits: Gpr,
    pub(super) block: Vec<Zmm>,
    pub(super) temp: Vec<Zmm>,
    pub(super) tail: Mask,
}

impl Regs {
    pub(super) fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        let mut table = |base, ids, row| -> Result<Table, JitError> {
            Ok(Table { base: file.gpr(base)?, ids: file.gpr(ids)?, row: file.gpr(row)? })
        };
        let tables = [
            table("word table", "word rows", "offset of the word's row")?,
            table("type table", "type rows", "offset of the type's row")?,
            table("position table", "position rows", "offset of the position's row")?,
        ];
        let (x, first) = (file.gpr("row of the tile")?, file.gpr("first row of the 16 columns")?);
        let (left, count) = (file.gpr("columns left")?, file.gpr("bits of a mask; blocks of 16 features left")?);
        Ok(Regs {
            tables,
            x,
            first,
            left,
            count,
            tail_bits: count,
            block: file.zmms(LANES, "16 features of column i; 16 columns of feature j")?,
            temp: file.zmms(LANES, "half-transposed")?,
            tail: file.mask("features in the last block")?,
            file,
        })
    }
}
