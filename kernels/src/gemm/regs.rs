//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, Mask, RegFile, Zmm};

use super::plan::{ROW_BLOCK, ROW_BLOCKS};

/// Vectors of 16 columns per register block.
pub(super) const BLOCK_VECTORS: usize = 2;

/// REGISTER LAYOUT
///
/// | registers | in the step loop | in the epilogue |
/// | --- | --- | --- |
/// | acc, 24 | `acc[m][v]`: s32, output feature m of 12, columns 16v..16v+16 of the half-tile | the same as f32 or words, then packed |
/// | temp 0-1 | X of four input features, v = 0, 1 | parameters |
/// | temp 2-7 | weights of output features m, m+1, .. | activation |
///
/// `blocks` and `last_row_blocks` share a register: first the whole register blocks left, then the row blocks of the last one.
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) x: Gpr,
    pub(super) x_step: Gpr,
    pub(super) y: Gpr,
    pub(super) weights: Gpr,
    pub(super) params: Gpr,
    pub(super) constants: Gpr,
    pub(super) columns: Gpr,
    pub(super) blocks: Gpr,
    /// Row blocks of the last register block, in the register of `blocks` once that is 0.
    pub(super) last_row_blocks: Gpr,
    pub(super) steps: Gpr,
    pub(super) half: Gpr,
    pub(super) out: Gpr,
    /// Bits of the mask `lanes`, for the first half-tile and for the second.
    pub(super) dwords: [Gpr; 2],
    pub(super) lanes: Mask,
    pub(super) acc: Vec<Zmm>,
    pub(super) temp: Vec<Zmm>,
}

impl Regs {
    pub(super) fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        let (steps, x_step) = (file.gpr("steps left")?, file.gpr("four input features of X")?);
        let (weights, x, y) = (file.gpr("weights")?, file.gpr("tile of X")?, file.gpr("tile of Y")?);
        let (params, constants) = (file.gpr("row parameters")?, file.gpr("constants")?);
        let (out, columns) = (file.gpr("output of the row block")?, file.gpr("columns left")?);
        let blocks = file.gpr("register blocks left; row blocks of the last one")?;
        Ok(Regs {
            steps,
            x_step,
            weights,
            x,
            y,
            params,
            constants,
            out,
            columns,
            blocks,
            last_row_blocks: blocks,
            half: file.gpr("0 or 128: byte offset of the half-tile")?,
            dwords: [file.gpr("bits of the mask")?, file.gpr("bits of the second half-tile's mask")?],
            lanes: file.mask("dwords of a plain row that this half-tile owns")?,
            acc: file.zmms(ROW_BLOCKS * ROW_BLOCK * BLOCK_VECTORS, "acc[m][v]")?,
            temp: file.zmms(8, "X, weights; epilogue temporaries")?,
            file,
        })
    }
}
