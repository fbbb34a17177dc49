//! Which weights are zero, as the sparse kernels see it.

use crate::KernelError;

/// The non-zero 4x1 blocks of an `[M][K]` matrix: per block row of 4 output features, the sorted input features at which any
/// of the 4 weights is not zero.
///
/// M need not be a multiple of 4: the rows missing in the last block row count as zeros.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern4x1 {
    m: usize,
    k: usize,
    nnz: usize,
    /// `offsets[r]..offsets[r + 1]` are block row r's entries in `columns`.
    offsets: Vec<usize>,
    columns: Vec<u32>,
}

impl Pattern4x1 {
    /// Output features per block row.
    pub const ROWS: usize = 4;

    /// The pattern of `weights`, row-major `[m][k]`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M or K is 0 or above [`MAX_M`] or [`MAX_K`], [`KernelError::Length`] if `weights` is not M x K.
    pub fn of(weights: &[i8], m: usize, k: usize) -> Result<Pattern4x1, KernelError> {
        check_shape("spmm", m, k)?;
        if weights.len() != m * k {
            return Err(KernelError::Length {
                kernel: format!("spmm pattern m{m}k{k}"),
                buffer: "weights",
                found: weights.len(),
                expected: m * k,
            });
        }
        let mut offsets = vec![0];
        let mut columns = Vec::new();
        for rows in weights.chunks(Self::ROWS * k) {
            columns.extend((0..k as u32).filter(|&c| rows.iter().skip(c as usize).step_by(k).any(|&w| w != 0)));
            offsets.push(columns.len());
        }
        let nnz = weights.iter().filter(|&&w| w != 0).count();
        Ok(Pattern4x1 { m, k, nnz, offsets, columns })
    }

    /// Output features.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Input features.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Non-zero weights.
    pub fn nnz(&self) -> usize {
        self.nnz
    }

    /// Non-zero blocks.
    pub fn blocks(&self) -> usize {
        self.columns.len()
    }

    /// Block rows: M / 4, rounded up.
    pub fn block_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The input features of block row `row`, ascending.
    pub fn block_row(&self, row: usize) -> &[u32] {
        &self.columns[self.offsets[row]..self.offsets[row + 1]]
    }

    /// Stored blocks over all blocks: the share of the dense work that remains.
    pub fn density(&self) -> f64 {
        self.blocks() as f64 / (self.block_rows() * self.k) as f64
    }

    /// Non-zero weights over stored weights: 1 if the zeros come in whole blocks, less if blocks hold zeros of their own.
    pub fn fill_ratio(&self) -> f64 {
        if self.columns.is_empty() { 1.0 } else { self.nnz as f64 / (self.blocks() * Self::ROWS) as f64 }
    }
}

/// Refuses matrices without elements, those whose offsets would not fit, and those whose sums would not.
pub(crate) fn check_shape(kernel: &'static str, m: usize, k: usize) -> Result<(), KernelError> {
    for (dimension, found, max, expected) in [("M", m, MAX_M, "1 to 4194304"), ("K", k, MAX_K, "1 to 65793")] {
        if found == 0 || found > max {
            return Err(KernelError::Dimension { kernel, dimension, found, expected });
        }
    }
    Ok(())
}

/// Largest M: byte offsets of an f32 tile (features * 4 * 64) stay below 2^31, a displacement and a 32-bit index.
pub const MAX_M: usize = 1 << 22;

/// Largest K: 65793 products of u8 and s8 fit s32 whatever they are, 65794 do not.
pub const MAX_K: usize = i32::MAX as usize / (255 * 128);

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
        let p = Pattern4x1::of(&weights, 5, 3).unwrap();
        assert_eq!((p.block_rows(), p.blocks(), p.nnz()), (2, 2, 3));
        assert_eq!((p.block_row(0), p.block_row(1)), (&[1][..], &[0][..]));
        assert_eq!(p.fill_ratio(), 3.0 / 8.0);
    }

    #[test]
    fn bad_shapes_are_named() {
        assert!(matches!(Pattern4x1::of(&[], 0, 3), Err(KernelError::Dimension { dimension: "M", found: 0, .. })));
        assert!(matches!(Pattern4x1::of(&[], 3, 0), Err(KernelError::Dimension { dimension: "K", found: 0, .. })));
        assert!(matches!(Pattern4x1::of(&[1], 1, 2), Err(KernelError::Length { found: 1, expected: 2, .. })));
    }
}
