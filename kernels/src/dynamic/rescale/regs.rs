//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, RegFile, Zmm};

use crate::rows::{GROUP, RowVerbs};

/// REGISTER LAYOUT, W = vectors of columns: 4 of 16 columns, or 2 of 8
///
/// | registers | role |
/// | --- | --- |
/// | y, 4 W | `y[f mod 4][v]`: vector v, then packed |
/// | temp, 13 or 8 | `bias`; activation; `out_scale` and `out_zero`; byte transpose |
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) t: Gpr,
    pub(super) out: Gpr,
    pub(super) params: Gpr,
    pub(super) scales: Gpr,
    pub(super) constants: Gpr,
    pub(super) columns: Gpr,
    pub(super) count: Gpr,
    pub(super) y: Vec<Zmm>,
    pub(super) bias: Zmm,
    pub(super) out_scale: Zmm,
    pub(super) out_zero: Zmm,
    /// All of these, for the activation and the store.
    pub(super) temp: Vec<Zmm>,
}

impl Regs {
    /// Draws from `file`, the registers of the assembler `A`.
    pub(super) fn new<A: RowVerbs>(mut file: RegFile) -> Result<Regs, JitError> {
        let t = file.gpr("row of sums")?;
        let out = file.gpr("row of the residual stream or of the panel")?;
        let params = file.gpr("parameters of the feature")?;
        let (scales, constants) = (file.gpr("scales of the columns")?, file.gpr("constants")?);
        let (columns, count) = (file.gpr("columns")?, file.gpr("groups of four rows left")?);
        let y = file.zmms(GROUP * A::VECTORS, "y[f mod 4][v]")?;
        let temp = file.zmms(A::ACTIVATION_TEMPS, "bias; activation; scale and zero point; byte transpose")?;
        let (bias, out_scale, out_zero) = (temp[0], temp[0], temp[1]);
        Ok(Regs { t, out, params, scales, constants, columns, count, y, bias, out_scale, out_zero, temp, file })
    }
}
