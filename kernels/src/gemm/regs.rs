//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, Mask, RegFile, Zmm};

use super::plan::{BLOCK_STRIPS, STRIP};

/// Vectors of 16 columns per register block.
pub(super) const BLOCK_VECTORS: usize = 2;

/// REGISTER LAYOUT
///
/// | registers | in the step loop | in the epilogue |
/// | --- | --- | --- |
/// | acc, 24 | `acc[m][v]`: s32, output feature m of 12, tokens 16v..16v+16 of the half-tile | the same as f32 or words, then packed |
/// | temp 0-1 | X of four input features, v = 0, 1 | parameters |
/// | temp 2-7 | weights of output features m, m+1, .. | activation |
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) x: Gpr,
    pub(super) x_step: Gpr,
    pub(super) y: Gpr,
    pub(super) weights: Gpr,
    pub(super) params: Gpr,
    pub(super) constants: Gpr,
    pub(super) tokens: Gpr,
    pub(super) blocks: Gpr,
    pub(super) steps: Gpr,
    pub(super) half: Gpr,
    pub(super) out: Gpr,
    pub(super) scratch: [Gpr; 2],
    pub(super) lanes: Mask,
    pub(super) acc: Vec<Zmm>,
    pub(super) temp: Vec<Zmm>,
}

impl Regs {
    pub(super) fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            steps: file.gpr("steps left")?,
            x_step: file.gpr("four input features of X")?,
            weights: file.gpr("weights")?,
            x: file.gpr("tile of X")?,
            y: file.gpr("tile of Y")?,
            params: file.gpr("row parameters")?,
            constants: file.gpr("constants")?,
            out: file.gpr("output of the strip")?,
            tokens: file.gpr("tokens left")?,
            blocks: file.gpr("register blocks left")?,
            half: file.gpr("0 or 128: byte offset of the half-tile")?,
            scratch: [file.gpr("scratch")?, file.gpr("scratch")?],
            lanes: file.mask("dwords of a plain row that this half-tile owns")?,
            acc: file.zmms(BLOCK_STRIPS * STRIP * BLOCK_VECTORS, "acc[m][v]")?,
            temp: file.zmms(8, "X, weights; epilogue temporaries")?,
            file,
        })
    }
}
