//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, Mem, RegFile, Zmm, ptr};

use super::plan::CHAINS;
use crate::rows::{GROUP, RowVerbs, group_of};

/// REGISTER LAYOUT, W = vectors of columns: 4 of 16 columns, or 2 of 8
///
/// | registers | shift | statistics | normalising |
/// | --- | --- | --- | --- |
/// | acc, 4 W | `sums[f mod 2][v]` of x | `sums[f mod 2][v]` of d, `squares[f mod 2][v]` of d^2 | `y[f mod 4][v]`, then packed |
/// | mean, W | `shift[v]` | `shift[v]`, then `mean[v]` | `mean[v]` |
/// | rstd, W | | 1 / sqrt(variance + epsilon) | the same |
/// | temp, 4 | | `d`: deviations; after them `zero`, `scratch` | gamma, beta, out_scale, out_zero; in a store temporaries |
///
/// [`Columns`] gives acc and mean the name that they have in a pass; the roles of temp have names of their own.
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) x: Gpr,
    pub(super) panel: Gpr,
    pub(super) params: Gpr,
    pub(super) constants: Gpr,
    pub(super) columns: Gpr,
    pub(super) count: Gpr,
    acc: Vec<Zmm>,
    mean: Vec<Zmm>,
    rstd: Vec<Zmm>,
    /// `[v]`: deviations.
    pub(super) d: Vec<Zmm>,
    pub(super) zero: Zmm,
    /// A register of `d` beside `zero`.
    pub(super) scratch: Zmm,
    pub(super) gamma: Zmm,
    pub(super) beta: Zmm,
    pub(super) out_scale: Zmm,
    pub(super) out_zero: Zmm,
    /// All of these, for a store.
    pub(super) temp: Vec<Zmm>,
}

impl Regs {
    /// Draws from `file`, the registers of the assembler `A`.
    pub(super) fn new<A: RowVerbs>(mut file: RegFile) -> Result<Regs, JitError> {
        let (x, panel) = (file.gpr("row of the f32 tile")?, file.gpr("row of the panel")?);
        let (params, constants) = (file.gpr("parameters of the feature")?, file.gpr("constants")?);
        let (columns, count) = (file.gpr("columns")?, file.gpr("groups of four rows left")?);
        let acc = file.zmms(GROUP * A::VECTORS, "sums of d and d^2 [f mod 2][v]; y[f mod 4][v]")?;
        let (mean, rstd) = (file.zmms(A::VECTORS, "shift[v]; mean[v]")?, file.zmms(A::VECTORS, "rstd[v]")?);
        let temp = file.zmms(4, "deviations; zero; gamma, beta, out_scale, out_zero; byte transpose")?;
        Ok(Regs {
            x,
            panel,
            params,
            constants,
            columns,
            count,
            acc,
            mean,
            rstd,
            d: temp.clone(),
            zero: temp[0],
            scratch: temp[1],
            gamma: temp[0],
            beta: temp[1],
            out_scale: temp[2],
            out_zero: temp[3],
            temp,
            file,
        })
    }

    pub(super) fn arg(&self, offset: usize) -> Mem {
        ptr(self.file.args()) + offset as i32
    }

    /// The registers of `vectors` vectors of columns.
    pub(super) fn columns(&self, vectors: usize) -> Columns<'_> {
        let y = group_of(&self.acc, vectors);
        let (sums, squares) = y.split_at(CHAINS);
        let mean = &self.mean[..vectors];
        let (sums, squares) = (sums.to_vec(), squares.to_vec());
        Columns { sums, squares, shift: mean, mean, rstd: &self.rstd[..vectors], y }
    }
}

/// The registers of the vectors of one tile, by their names in each pass.
pub(super) struct Columns<'a> {
    /// `[f mod 2][v]`: of x, then of d.
    pub(super) sums: Vec<Vec<Zmm>>,
    /// `[f mod 2][v]`: of d^2.
    pub(super) squares: Vec<Vec<Zmm>>,
    /// `[v]`: the value that the statistics are taken about.
    pub(super) shift: &'a [Zmm],
    /// `[v]`, in the registers of `shift` once this is done.
    pub(super) mean: &'a [Zmm],
    /// `[v]`
    pub(super) rstd: &'a [Zmm],
    /// `[f mod 4][v]`, in the registers of `sums` and `squares` once these are done.
    pub(super) y: Vec<Vec<Zmm>>,
}
