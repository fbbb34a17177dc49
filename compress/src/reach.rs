//! Which sparsity whole blocks make, looked at before the work begins.

use lacuna::Block;
use lacuna::weights::LayerWeights;

use crate::error::{Error, Result};

/// A model may fall short of its sparsity by this much, because blocks are taken whole.
const TOLERANCE: f64 = 0.005;

/// Refuses a sparsity that blocks of this shape do not reach in these layers: of every matrix at most `floor(sparsity * blocks)` become zero.
///
/// # Errors
/// [`Error::Argument`] with the sparsity that is reached.
pub(crate) fn check_reach(sparsity: f64, block: Block, layers: &[LayerWeights]) -> Result<()> {
    let sizes = layers.iter().flat_map(LayerWeights::linears).map(|linear| (linear.outputs(), linear.inputs()));
    let reached = reach(sparsity, block, sizes);
    match sparsity - reached <= TOLERANCE {
        true => Ok(()),
        false => Err(Error::Argument {
            option: "`sparsity`",
            found: format!("{sparsity} in blocks of {block}, which the matrices of this model are too small for"),
            expected: format!("a smaller block or another sparsity: whole blocks make {reached:.4}"),
        }),
    }
}

/// The fraction of zeros in matrices of M x K.
fn reach(sparsity: f64, block: Block, sizes: impl Iterator<Item = (usize, usize)>) -> f64 {
    let (mut zeros, mut all) = (0.0, 0.0);
    for (m, k) in sizes {
        let blocks = m.div_ceil(block.outputs()) * k.div_ceil(block.inputs());
        let share = (sparsity * blocks as f64 + 1e-9).floor() / blocks.max(1) as f64;
        zeros += share * (m * k) as f64;
        all += (m * k) as f64;
    }
    if all > 0.0 { zeros / all } else { sparsity }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_whole() {
        let of = |sparsity, block, m, k| reach(sparsity, block, [(m, k)].into_iter());
        assert_eq!(of(0.5, Block::B4x4, 16, 16), 0.5);
        assert_eq!(of(0.99, Block::B4x4, 16, 16), 15.0 / 16.0);
        assert_eq!(of(0.9, Block::B16x1, 16, 8), 7.0 / 8.0);
        assert!((of(0.8, Block::B4x1, 384, 384) - 0.8).abs() < 1e-4);
        assert!((of(0.8, Block::Unstructured, 384, 1536) - 0.8).abs() < 1e-5);
    }
}
