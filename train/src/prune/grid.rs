//! The blocks of a matrix.

use std::ops::Range;

use lacuna_model::Block;

use super::error::PruneError;
use crate::error::Result;

/// How a matrix is cut into blocks.
///
/// `M x K` weights have `ceil(M / outputs)` groups of rows, and `ceil(K / inputs)` blocks in each. Rows of one group share their zeros.
/// Blocks at the lower and right edge may be cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    rows: usize,
    cols: usize,
    outputs: usize,
    inputs: usize,
}

impl Grid {
    /// The grid of an `rows x cols` matrix.
    ///
    /// # Errors
    /// [`PruneError::NoBlocks`] for [`Block::Dense`].
    pub fn new(rows: usize, cols: usize, block: Block) -> Result<Self, PruneError> {
        if block == Block::Dense {
            return Err(PruneError::NoBlocks { block });
        }
        Ok(Self { rows, cols, outputs: block.outputs(), inputs: block.inputs() })
    }

    /// One group of all rows, and blocks of `inputs` columns: whole inputs of a layer are kept or removed.
    ///
    /// # Errors
    /// [`PruneError::Setting`] for blocks of no columns.
    pub fn of_inputs(rows: usize, cols: usize, inputs: usize) -> Result<Self, PruneError> {
        if inputs == 0 {
            return Err(PruneError::Setting { setting: "inputs of a block", found: 0.0, expected: "at least 1" });
        }
        Ok(Self { rows, cols, outputs: rows.max(1), inputs })
    }

    /// Groups of rows.
    pub fn groups(&self) -> usize {
        self.rows.div_ceil(self.outputs)
    }

    /// Blocks in one group.
    pub fn across(&self) -> usize {
        self.cols.div_ceil(self.inputs)
    }

    /// All blocks.
    pub fn blocks(&self) -> usize {
        self.groups() * self.across()
    }

    /// M, rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// K, columns of the matrix.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Input features of a whole block.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Rows of a group.
    pub fn rows_of(&self, group: usize) -> Range<usize> {
        group * self.outputs..self.rows.min((group + 1) * self.outputs)
    }

    /// Columns of a block of any group.
    pub fn cols_of(&self, block: usize) -> Range<usize> {
        block * self.inputs..self.cols.min((block + 1) * self.inputs)
    }
}

/// Which blocks of a matrix are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    grid: Grid,
    /// `[groups][across]`
    kept: Vec<bool>,
}

impl Mask {
    /// A mask of `[groups][across]` flags.
    ///
    /// # Errors
    /// [`PruneError::Shape`] when their number is not that of the blocks.
    pub fn new(grid: Grid, kept: Vec<bool>) -> Result<Self, PruneError> {
        PruneError::fit("blocks of a mask", kept.len(), grid.blocks())?;
        Ok(Self { grid, kept })
    }

    /// A mask that keeps every block.
    pub fn full(grid: Grid) -> Self {
        Self { grid, kept: vec![true; grid.blocks()] }
    }

    /// A mask without the blocks whose weights are all zero.
    ///
    /// # Errors
    /// [`PruneError::Shape`] when the weights are not those of the grid.
    pub fn of_zeros(grid: Grid, weights: &[f32]) -> Result<Self, PruneError> {
        PruneError::fit("weights of a matrix", weights.len(), grid.rows * grid.cols)?;
        let holds = |group: usize, block: usize| {
            grid.rows_of(group).any(|row| weights[row * grid.cols..][grid.cols_of(block)].iter().any(|&w| w != 0.0))
        };
        let kept = (0..grid.groups()).flat_map(|group| (0..grid.across()).map(move |block| holds(group, block)));
        Ok(Self { grid, kept: kept.collect() })
    }

    /// How the matrix is cut.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// The flags, `[groups][across]`.
    pub fn kept(&self) -> &[bool] {
        &self.kept
    }

    /// The fraction of blocks that are zero; 0 for a matrix without blocks.
    pub fn sparsity(&self) -> f64 {
        let zero = self.kept.iter().filter(|kept| !**kept).count();
        zero as f64 / self.kept.len().max(1) as f64
    }

    /// The columns that a group keeps, ascending.
    pub fn columns(&self, group: usize) -> Vec<usize> {
        let across = self.grid.across();
        let flags = &self.kept[group * across..(group + 1) * across];
        let kept = flags.iter().enumerate().filter(|(_, kept)| **kept);
        kept.flat_map(|(block, _)| self.grid.cols_of(block)).collect()
    }

    /// The same mask as training takes it.
    ///
    /// # Errors
    /// Those of [`mask::Mask::new`](crate::mask::Mask::new).
    pub fn lock(&self) -> Result<crate::mask::Mask> {
        let kept = self.weights().iter().map(|kept| *kept != 0.0).collect();
        crate::mask::Mask::new(self.grid.rows, self.grid.cols, kept)
    }

    /// 1 for every weight of a kept block and 0 for the others, `[M][K]`.
    pub fn weights(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.grid.rows * self.grid.cols];
        for group in 0..self.grid.groups() {
            let columns = self.columns(group);
            for row in self.grid.rows_of(group) {
                columns.iter().for_each(|column| out[row * self.grid.cols + column] = 1.0);
            }
        }
        out
    }
}
