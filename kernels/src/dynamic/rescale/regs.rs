//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, RegFile, Zmm};

use crate::VECTORS;
use crate::epilogue::gelu_temps;
use crate::rows::GROUP;

/// REGISTER LAYOUT, W = vectors of 16 columns
///
/// | registers | role |
/// | --- | --- |
/// | y, 4 W of 16 | `y[f mod 4][v]`: columns 16v..16v+16, then packed |
/// | temp, 13 | `bias`; activation; `out_scale` and `out_zero`; byte transpose |
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
    pub(super) fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        let t = file.gpr("row of sums")?;
        let out = file.gpr("row of the residual stream or of the panel")?;
        let params = file.gpr("parameters of the feature")?;
        let (scales, constants) = (file.gpr("scales of the columns")?, file.gpr("constants")?);
        let (columns, count) = (file.gpr("columns")?, file.gpr("groups of four rows left")?);
        let y = file.zmms(GROUP * VECTORS, "y[f mod 4][v]")?;
        let temp = file.zmms(gelu_temps(VECTORS), "bias; activation; scale and zero point; byte transpose")?;
        let (bias, out_scale, out_zero) = (temp[0], temp[0], temp[1]);
        Ok(Regs { t, out, params, scales, constants, columns, count, y, bias, out_scale, out_zero, temp, file })
    }
}
