//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, RegFile, Zmm};

use crate::rows::{GROUP, RowVerbs};

/// REGISTER LAYOUT, W = vectors of columns: 4 of 16 columns, or 2 of 8
///
/// | registers | role |
/// | --- | --- |
/// | y, 4 W | `y[f mod 4][v]`: vector v, then packed |
/// | temp, 13 or 8 | activation; `scale` and `zero` point; byte transpose |
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) x: Gpr,
    pub(super) panel: Gpr,
    pub(super) params: Gpr,
    pub(super) constants: Gpr,
    pub(super) columns: Gpr,
    pub(super) count: Gpr,
    pub(super) y: Vec<Zmm>,
    pub(super) scale: Zmm,
    pub(super) zero: Zmm,
    /// All of these, for the activation and the store.
    pub(super) temp: Vec<Zmm>,
}

impl Regs {
    /// Draws from `file`, the registers of the assembler `A`.
    pub(super) fn new<A: RowVerbs>(mut file: RegFile) -> Result<Regs, JitError> {
        let (x, panel) = (file.gpr("row of the f32 tile")?, file.gpr("row of the panel")?);
        let (params, constants) = (file.gpr("parameters of the feature")?, file.gpr("constants")?);
        let (columns, count) = (file.gpr("columns")?, file.gpr("groups of four rows left")?);
        let y = file.zmms(GROUP * A::VECTORS, "y[f mod 4][v]")?;
        let temp = file.zmms(A::ACTIVATION_TEMPS, "activation; scale and zero point; byte transpose")?;
        Ok(Regs { x, panel, params, constants, columns, count, y, scale: temp[0], zero: temp[1], temp, file })
    }
}
