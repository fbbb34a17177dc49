//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, Mem, RegFile, Zmm, ptr};

use super::plan::CHAINS;
use crate::math::EXP_R;
use crate::{VECTORS, rows};

/// REGISTER LAYOUT, W = vectors of 16 columns
///
/// | registers | maximum | exponentials | scaling |
/// | --- | --- | --- | --- |
/// | acc, 2 W of 8 | `maxima[f mod 2][v]` | `sums[f mod 2][v]` | |
/// | column, W of 4 | | max of all features | scale: 1 / sum |
/// | 4 | | `x`: `x[f] - max`, then r; after the last `one`: 1 | `y`: `y[f]` |
/// | power, 4 | | `(x[f] - max) log2(e)` to the nearest 1/16, then 2^ that | |
/// | e, 4 | | that as a number, then `e[f]` | |
/// | powers, r, log2_e, magic, min | | constants | |
///
/// [`Columns`] gives acc and column the name that they have in a pass.
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) row: Gpr,
    pub(super) constants: Gpr,
    pub(super) columns: Gpr,
    pub(super) count: Gpr,
    acc: Vec<Zmm>,
    column: Vec<Zmm>,
    pub(super) x: Vec<Zmm>,
    /// In a register of `x`, as are the results.
    pub(super) one: Zmm,
    pub(super) y: Vec<Zmm>,
    pub(super) power: Vec<Zmm>,
    pub(super) e: Vec<Zmm>,
    pub(super) powers: Zmm,
    pub(super) r: Vec<Zmm>,
    pub(super) log2_e: Zmm,
    pub(super) magic: Zmm,
    pub(super) min: Zmm,
}

impl Regs {
    pub(super) fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        let (row, constants) = (file.gpr("row of the tile")?, file.gpr("constants")?);
        let (columns, count) = (file.gpr("columns")?, file.gpr("groups of four rows left")?);
        let acc = file.zmms(CHAINS * VECTORS, "max[f mod 2][v]; sum[f mod 2][v]")?;
        let column = file.zmms(VECTORS, "max[v]; 1 / sum[v]")?;
        let x = file.zmms(VECTORS, "x - max; r; 1; y")?;
        Ok(Regs {
            row,
            constants,
            columns,
            count,
            acc,
            column,
            one: x[0],
            y: x.clone(),
            x,
            power: file.zmms(VECTORS, "2^(n/16)")?,
            e: file.zmms(VECTORS, "n/16; e")?,
            powers: file.zmm("2^(i/16)")?,
            r: file.zmms(EXP_R.len(), "coefficients of 2^-r")?,
            log2_e: file.zmm("log2(e)")?,
            magic: file.zmm("rounds to 1/16")?,
            min: file.zmm("least exponent")?,
            file,
        })
    }

    pub(super) fn constant(&self, offset: usize) -> Mem {
        ptr(self.constants) + offset as i32
    }

    /// Row `row` of the group, columns 16v..16v+16.
    pub(super) fn element(&self, row: usize, v: usize) -> Mem {
        rows::element(self.row, row, v)
    }

    /// The registers of `vectors` vectors of columns.
    pub(super) fn columns(&self, vectors: usize) -> Columns<'_> {
        let (even, odd) = self.acc.split_at(VECTORS);
        let (acc, column) = ([&even[..vectors], &odd[..vectors]], &self.column[..vectors]);
        Columns { maxima: acc, sums: acc, max: column, scale: column }
    }
}

/// The registers of the vectors of one tile, by their names in each pass.
pub(super) struct Columns<'a> {
    /// `[f mod 2][v]`: the greatest so far.
    pub(super) maxima: [&'a [Zmm]; CHAINS],
    /// `[f mod 2][v]`, in the registers of `maxima` once these are done.
    pub(super) sums: [&'a [Zmm]; CHAINS],
    /// `[v]`: the greatest of all features.
    pub(super) max: &'a [Zmm],
    /// `[v]`: 1 / sum, in the registers of `max` once these are done.
    pub(super) scale: &'a [Zmm],
}

impl Columns<'_> {
    /// The vectors of `rows` rows as (row, v), from the last row on, four at a time: enough to hide each other's latency.
    pub(super) fn fours(&self, rows: usize) -> Vec<Vec<(usize, usize)>> {
        let all: Vec<_> = (0..rows).rev().flat_map(|row| (0..self.max.len()).map(move |v| (row, v))).collect();
        all.chunks(VECTORS).map(<[_]>::to_vec).collect()
    }
}
