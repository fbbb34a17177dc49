//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, RegFile, Zmm};

use super::gelu::gelu_temps;
use crate::VECTORS;
use crate::rows::GROUP;

/// REGISTER LAYOUT, W = vectors of 16 columns
///
/// | registers | role |
/// | --- | --- |
/// | y, 4 W of 16 | `y[f mod 4][v]`: columns 16v..16v+16, then packed |
/// | temp, 13 | activation; scale and zero point; byte transpose |
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) x: Gpr,
    pub(super) panel: Gpr,
    pub(super) params: Gpr,
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
            x: file.gpr("row of the f32 tile")?,
            panel: file.gpr("row of the panel")?,
            params: file.gpr("parameters of the feature")?,
            constants: file.gpr("constants")?,
            columns: file.gpr("columns")?,
            count: file.gpr("groups of four rows left")?,
            y: file.zmms(GROUP * VECTORS, "y[f mod 4][v]")?,
            temp: file.zmms(gelu_temps(VECTORS), "activation; scale and zero point; byte transpose")?,
            file,
        })
    }
}
