//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, RegFile, Zmm};

use super::plan::FloatPlan;

/// REGISTER LAYOUT, for a register tile of R output features x V vectors
///
/// | registers | in the step loop | in the epilogue |
/// | --- | --- | --- |
/// | acc, 16 or 24 | `acc[chain][r][v]`: f32, output feature r, columns 16v..16v+16 of the part | the results |
/// | rows, V (bf16 only) | rows of X of two input features, 32 columns each | activation; interleave (bf16 store) |
/// | x, V | X of one (f32) or two (bf16) input features, columns 16v.. | activation |
/// | weights, the rest of 32 | weights of output features r, r+1, .. in every lane | activation |
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) x: Gpr,
    pub(super) y: Gpr,
    pub(super) stream: Gpr,
    pub(super) block_row: Gpr,
    pub(super) bias: Gpr,
    pub(super) constants: Gpr,
    pub(super) columns: Gpr,
    pub(super) count: Gpr,
    pub(super) steps: Gpr,
    /// Stream form: row offsets of X.
    pub(super) row: [Gpr; 2],
    /// Dense form: the next row of X, in the register of the first row offset.
    pub(super) next_row: Gpr,
    /// Output features before the block row times 64, in the register of `out` before that is known.
    pub(super) out_offset: Gpr,
    pub(super) out: Gpr,
    pub(super) second_half: Gpr,
    pub(super) acc: Vec<Zmm>,
    pub(super) temp: Vec<Zmm>,
}

impl Regs {
    pub(super) fn new(plan: &FloatPlan) -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        let steps = file.gpr("steps left in the block row")?;
        let row = [file.gpr("row of X")?, file.gpr("row of X")?];
        let out = file.gpr("output of the block row")?;
        Ok(Regs {
            steps,
            row,
            next_row: row[0],
            out_offset: out,
            out,
            x: file.gpr("part of X")?,
            y: file.gpr("part of Y")?,
            stream: file.gpr("step record")?,
            block_row: file.gpr("block row")?,
            bias: file.gpr("biases")?,
            constants: file.gpr("constants")?,
            columns: file.gpr("columns left")?,
            count: file.gpr("block rows left")?,
            second_half: file.gpr("1 in the second half of a tile")?,
            acc: file.zmms(plan.tile.accumulators, "acc[chain][r][v]")?,
            temp: file.zmms(32 - plan.tile.accumulators, "X rows, X, weights; epilogue temporaries")?,
            file,
        })
    }
}
