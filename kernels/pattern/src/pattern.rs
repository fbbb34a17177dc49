//! Which weights are zero, as the sparse kernels see it.

use crate::nonzero::nonzero_blocks;
use crate::shape::{check_shape, sparse_shape};
use crate::{Block, PatternError};

/// The blocks of an `[M][K]` matrix that hold a weight other than zero: per block row the sorted block columns.
///
/// A block is [`Block::outputs`] x [`Block::inputs`] weights. M and K need not be multiples of them: what is missing in the last
/// block row and column counts as zeros. [`Block::Unstructured`] is covered by 4x1 blocks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockPattern {
    m: usize,
    k: usize,
    outputs: usize,
    inputs: usize,
    nnz: usize,
    /// `offsets[r]..offsets[r + 1]` are block row r's entries in `columns`.
    offsets: Vec<usize>,
    columns: Vec<u32>,
}

impl BlockPattern {
    /// The pattern of `weights`, row-major `[m][k]`.
    ///
    /// # Errors
    /// [`PatternError::Dimension`] if M or K is 0 or above [`MAX_M`](crate::MAX_M) or [`MAX_K`](crate::MAX_K), [`PatternError::Length`] if `weights` is not M x K,
    /// [`PatternError::Block`] for [`Block::Dense`], which has no pattern.
    pub fn of(weights: &[i8], m: usize, k: usize, block: Block) -> Result<BlockPattern, PatternError> {
        let (outputs, inputs) = sparse_shape("spmm", block)?;
        check_shape("spmm", m, k)?;
        if weights.len() != m * k {
            return Err(PatternError::Length {
                kernel: format!("spmm pattern m{m}k{k}"),
                buffer: "weights",
                found: weights.len(),
                expected: m * k,
            });
        }
        let mut offsets = vec![0];
        let mut columns = Vec::new();
        for rows in weights.chunks(outputs * k) {
            columns.extend(nonzero_blocks(rows, k, inputs).map(|column| column as u32));
            offsets.push(columns.len());
        }
        let nnz = weights.iter().filter(|&&w| w != 0).count();
        Ok(BlockPattern { m, k, outputs, inputs, nnz, offsets, columns })
    }

    /// Output features.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Input features.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Output features of a block.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Input features of a block.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Non-zero weights.
    pub fn nnz(&self) -> usize {
        self.nnz
    }

    /// Non-zero blocks.
    pub fn blocks(&self) -> usize {
        self.columns.len()
    }

    /// Block rows: M over the outputs of a block, rounded up.
    pub fn block_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The block columns of block row `row`, ascending; column c starts at input feature c x [`BlockPattern::inputs`].
    pub fn block_row(&self, row: usize) -> &[u32] {
        &self.columns[self.offsets[row]..self.offsets[row + 1]]
    }

    /// Stored blocks over all blocks: the share of the dense work that remains.
    pub fn density(&self) -> f64 {
        self.blocks() as f64 / (self.block_rows() * self.k.div_ceil(self.inputs)) as f64
    }

    /// Non-zero weights over stored weights: 1 if the zeros come in whole blocks, less if blocks hold zeros of their own.
    pub fn fill_ratio(&self) -> f64 {
        let stored = self.blocks() * self.outputs * self.inputs;
        if stored == 0 { 1.0 } else { self.nnz as f64 / stored as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_kept_if_any_row_is_not_zero() {
        #[rustfmt::skip]
        let weights = [
            0, 1, 0,
            0, 0, 0,
            0, 0, 0,
            0, 2, 0,
            3, 0, 0, // second block row, three rows missing
        ];
        let p = BlockPattern::of(&weights, 5, 3, Block::B4x1).unwrap();
        assert_eq!((p.block_rows(), p.blocks(), p.nnz()), (2, 2, 3));
        assert_eq!((p.block_row(0), p.block_row(1)), (&[1][..], &[0][..]));
        assert_eq!(p.fill_ratio(), 3.0 / 8.0);
    }

    #[test]
    fn bad_shapes_are_named() {
        assert!(matches!(
            BlockPattern::of(&[], 0, 3, Block::B4x1),
            Err(PatternError::Dimension { dimension: "M", found: 0, .. })
        ));
        assert!(matches!(
            BlockPattern::of(&[], 3, 0, Block::B4x1),
            Err(PatternError::Dimension { dimension: "K", found: 0, .. })
        ));
        assert!(matches!(
            BlockPattern::of(&[1], 1, 2, Block::B4x1),
            Err(PatternError::Length { found: 1, expected: 2, .. })
        ));
    }
}
