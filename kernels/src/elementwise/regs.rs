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
/// | temp, 13 | activation; `scale` and `zero` point; byte transpose |
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
    pub(super) fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        let (x, panel) = (file.gpr("row of the f32 tile")?, file.gpr("row of the panel")?);
        let (params, constants) = (file.gpr("parameters of the feature")?, file.gpr("constants")?);
        let (columns, count) = (file.gpr("columns")?, file.gpr("groups of four rows left")?);
        let y = file.zmms(GROUP * VECTORS, "y[f mod 4][v]")?;
        let temp = file.zmms(gelu_temps(VECTORS), "activation; scale and zero point; byte transpose")?;
        Ok(Regs { x, panel, params, constants, columns, count, y, scale: temp[0], zero: temp[1], temp, file })
    }
}
