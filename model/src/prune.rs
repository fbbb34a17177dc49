//! Magnitude pruning in blocks, and counting the zeros that are there.

use lacuna_pattern::{Block, nonzero_blocks};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::weights::EncoderWeights;

/// A sparsity and the block shape it was made with.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pruning {
    /// The block shape.
    pub block: Block,
    /// The fraction of blocks of every matrix that were set to zero.
    pub sparsity: f64,
}

/// Sets the weakest blocks of every linear layer to zero, the same fraction of each matrix.
///
/// Embeddings and their projection, the pooler, biases and layer normalisations stay as they are. Returns whether any weight became zero: a
/// model that already has that many zero blocks does not change.
///
/// # Errors
/// [`Error::Sparsity`] unless `0 <= sparsity < 1`; [`Error::DensePruning`] for [`Block::Dense`] with
/// a positive sparsity.
pub(crate) fn prune_encoder(weights: &mut EncoderWeights, block: Block, sparsity: f64) -> Result<bool> {
    check(block, sparsity)?;
    let matrices: Vec<&mut Matrix> =
        weights.layers.iter_mut().flat_map(|layer| layer.linears_mut()).map(|linear| &mut linear.weight).collect();
    let changed: Vec<bool> = matrices.into_par_iter().map(|matrix| prune_checked(matrix, block, sparsity)).collect();
    Ok(changed.contains(&true))
}

/// Sets the weakest `floor(sparsity * blocks)` blocks of one matrix to zero.
///
/// Blocks are ranked by the root mean square of their weights, which for whole blocks is the order
/// of their L2 norm; blocks cut off at the edges of the matrix compete on the same terms. Among
/// equals the later in row-major order goes first. Kept weights do not change.
///
/// # Errors
/// [`Error::Sparsity`] and [`Error::DensePruning`], as [`Model::prune`](crate::Model::prune).
pub fn prune(matrix: &mut Matrix, block: Block, sparsity: f64) -> Result<()> {
    check(block, sparsity)?;
    prune_checked(matrix, block, sparsity);
    Ok(())
}

fn check(block: Block, sparsity: f64) -> Result<()> {
    if !(0.0..1.0).contains(&sparsity) {
        return Err(Error::Sparsity { found: sparsity });
    }
    if block == Block::Dense && sparsity > 0.0 {
        return Err(Error::DensePruning { block, sparsity });
    }
    Ok(())
}

/// Whether any weight became zero.
fn prune_checked(matrix: &mut Matrix, block: Block, sparsity: f64) -> bool {
    let grid = Grid::new(matrix, block);
    // The small constant makes 0.7 * 10 seven blocks, not six.
    let drop = (sparsity * grid.blocks() as f64 + 1e-9).floor() as usize;
    if drop == 0 {
        return false;
    }
    let mut ranked: Vec<(f32, usize)> = (0..grid.blocks()).map(|i| (grid.mean_square(matrix, i), i)).collect();
    ranked.select_nth_unstable_by(drop - 1, |a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    for &(_, i) in &ranked[..drop] {
        grid.for_each(i, |at| matrix.data[at] = 0.0);
    }
    ranked[..drop].iter().any(|(mean_square, _)| *mean_square != 0.0)
}

/// The blocks of a matrix; those at the lower and right edge may be cut off.
struct Grid {
    rows: usize,
    cols: usize,
    outputs: usize,
    inputs: usize,
    across: usize,
    down: usize,
}

impl Grid {
    fn new(matrix: &Matrix, block: Block) -> Self {
        let (outputs, inputs) = (block.outputs(), block.inputs());
        Self {
            rows: matrix.rows,
            cols: matrix.cols,
            outputs,
            inputs,
            across: matrix.cols.div_ceil(inputs),
            down: matrix.rows.div_ceil(outputs),
        }
    }

    fn blocks(&self) -> usize {
        self.across * self.down
    }

    /// Calls `f` with the flat index of every element of a block.
    fn for_each(&self, block: usize, mut f: impl FnMut(usize)) {
        let (row, col) = (block / self.across * self.outputs, block % self.across * self.inputs);
        for r in row..(row + self.outputs).min(self.rows) {
            for c in col..(col + self.inputs).min(self.cols) {
                f(r * self.cols + c);
            }
        }
    }

    fn mean_square(&self, matrix: &Matrix, block: usize) -> f32 {
        let (mut sum, mut count) = (0.0f32, 0u32);
        self.for_each(block, |at| {
            sum += matrix.data[at] * matrix.data[at];
            count += 1;
        });
        sum / count as f32
    }

    fn zero_blocks(&self, matrix: &Matrix) -> usize {
        let nonzero = |block_row: &[f32]| nonzero_blocks(block_row, self.cols, self.inputs).count();
        let block_rows = matrix.data.par_chunks((self.outputs * self.cols).max(1)); // no elements: no chunks
        self.blocks() - block_rows.map(nonzero).sum::<usize>()
    }
}

/// Blocks of one shape in a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZeroCount {
    /// The shape.
    pub block: Block,
    /// Blocks that are zero as a whole.
    pub zero: usize,
    /// All blocks, those cut off at the edges included.
    pub total: usize,
}

impl ZeroCount {
    /// The fraction of blocks that are zero; 0 for a matrix without elements.
    pub fn fraction(&self) -> f64 {
        self.zero as f64 / self.total.max(1) as f64
    }
}

/// The zeros of a matrix, seen as blocks of every shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockZeros {
    /// 4 outputs of one input.
    pub b4x1: ZeroCount,
    /// 4 inputs of one output.
    pub b1x4: ZeroCount,
    /// 4 outputs by 4 inputs.
    pub b4x4: ZeroCount,
    /// 8 outputs of one input.
    pub b8x1: ZeroCount,
    /// 16 outputs of one input.
    pub b16x1: ZeroCount,
    /// Single weights.
    pub unstructured: ZeroCount,
}

impl BlockZeros {
    /// Counts the zero blocks of a matrix.
    pub fn of(matrix: &Matrix) -> Self {
        let count = |block| {
            let grid = Grid::new(matrix, block);
            ZeroCount { block, zero: grid.zero_blocks(matrix), total: grid.blocks() }
        };
        Self {
            b4x1: count(Block::B4x1),
            b1x4: count(Block::B1x4),
            b4x4: count(Block::B4x4),
            b8x1: count(Block::B8x1),
            b16x1: count(Block::B16x1),
            unstructured: count(Block::Unstructured),
        }
    }

    /// The counts of all shapes.
    pub fn all(&self) -> [ZeroCount; 6] {
        [self.b4x1, self.b1x4, self.b4x4, self.b8x1, self.b16x1, self.unstructured]
    }
}
