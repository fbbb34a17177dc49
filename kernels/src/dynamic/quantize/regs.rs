//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, Mem, RegFile, Zmm, ptr};

use crate::rows::{GROUP, RowVerbs, group_of};

/// REGISTER LAYOUT, W = vectors of columns: 4 of 16 columns, or 2 of 8
///
/// | registers | maxima | scales | codes |
/// | --- | --- | --- | --- |
/// | y, 4 W | row 0: magnitudes `d[v]` | row 0: `scale[v]` | `y[f mod 4][v]`, then packed |
/// | factor, W | `max[v]` | `max[v]`, then `factor[v]`, 127 / maximum | `factor[v]` |
/// | temp, 2 | `inverse_scale`, `magnitude` (a mask) | `least` maximum, `codes` (127) | `inverse_scale`, `zero` (128); in a store temporaries |
///
/// [`Columns`] gives y and factor the name that they have in a pass; the roles of temp have names of their own.
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) x: Gpr,
    pub(super) panel: Gpr,
    pub(super) inverse: Gpr,
    pub(super) scales: Gpr,
    pub(super) constants: Gpr,
    pub(super) columns: Gpr,
    pub(super) count: Gpr,
    y: Vec<Zmm>,
    factor: Vec<Zmm>,
    pub(super) inverse_scale: Zmm,
    pub(super) magnitude: Zmm,
    pub(super) least: Zmm,
    pub(super) codes: Zmm,
    pub(super) zero: Zmm,
    /// All of these, for a store.
    pub(super) temp: Vec<Zmm>,
}

impl Regs {
    /// Draws from `file`, the registers of the assembler `A`.
    pub(super) fn new<A: RowVerbs>(mut file: RegFile) -> Result<Regs, JitError> {
        let (x, panel) = (file.gpr("row of the f32 tile")?, file.gpr("row of the panel")?);
        let (inverse, scales) = (file.gpr("inverse scale of the feature")?, file.gpr("scales of the columns")?);
        let (constants, columns) = (file.gpr("constants")?, file.gpr("columns")?);
        let count = file.gpr("groups of four rows left")?;
        let y = file.zmms(GROUP * A::VECTORS, "magnitudes; scale[v]; y[f mod 4][v]")?;
        let factor = file.zmms(A::VECTORS, "maximum[v]; 127 / maximum[v]")?;
        let temp = file.zmms(2, "inverse scale, mask; least maximum, 127; inverse scale, 128; byte transpose")?;
        Ok(Regs {
            x,
            panel,
            inverse,
            scales,
            constants,
            columns,
            count,
            y,
            factor,
            inverse_scale: temp[0],
            magnitude: temp[1],
            least: temp[0],
            codes: temp[1],
            zero: temp[1],
            temp,
            file,
        })
    }

    pub(super) fn arg(&self, offset: usize) -> Mem {
        ptr(self.file.args()) + offset as i32
    }

    /// The registers of `vectors` vectors of columns.
    pub(super) fn columns(&self, vectors: usize) -> Columns<'_> {
        let (first, factor) = (&self.y[..vectors], &self.factor[..vectors]);
        Columns { d: first, max: factor, scale: first, factor, y: group_of(&self.y, vectors) }
    }
}

/// The registers of the vectors of one tile, by their names in each pass.
pub(super) struct Columns<'a> {
    /// `[v]`: magnitudes of the feature at hand.
    pub(super) d: &'a [Zmm],
    /// `[v]`: the greatest magnitude so far.
    pub(super) max: &'a [Zmm],
    /// `[v]`, in the registers of `d` once the maxima are done.
    pub(super) scale: &'a [Zmm],
    /// `[v]`: 127 / maximum, in the registers of `max` once the scale is done.
    pub(super) factor: &'a [Zmm],
    /// `[f mod 4][v]`, over `d` and `scale` once these are done.
    pub(super) y: Vec<Vec<Zmm>>,
}
