//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, RegFile, Zmm};

use crate::VECTORS;
use crate::elementwise::gelu::gelu_temps;
use crate::rows::GROUP;

/// REGISTER LAYOUT, W = vectors of 16 columns
///
/// | registers | role |
/// | --- | --- |
/// | y, 4 W of 16 | `y[f mod 4][v]`: columns 16v..16v+16, then packed |
/// | temp, 13 | bias; activation; scale and zero point; byte transpose |
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
    pub(super) temp: Vec<Zmm>,
}

impl Regs {
    pub(super) fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            t: file.gpr("row of sums")?,
            out: file.gpr("row of the residual stream or of the panel")?,
            params: file.gpr("parameters of the feature")?,
            scales: file.gpr("scales of the columns")?,
            constants: file.gpr("constants")?,
            columns: file.gpr("columns")?,
            count: file.gpr("groups of four rows left")?,
            y: file.zmms(GROUP * VECTORS, "y[f mod 4][v]")?,
            temp: file.zmms(gelu_temps(VECTORS), "bias; activation; scale and zero point; byte transpose")?,
            file,
        })
    }
}
