//! Shapes that kernels can have.

use crate::{Block, PatternError};

/// Largest M: byte offsets of an f32 tile (features * 4 * 64) stay below 2^31, a displacement and a 32-bit index.
pub const MAX_M: usize = 1 << 22;

/// Largest K: any 65793 products of u8 and s8 fit in s32, 65794 may not.
pub const MAX_K: usize = i32::MAX as usize / (255 * 128);

/// Output and input features of the blocks that a sparse kernel sees.
///
/// # Errors
/// [`PatternError::Block`] for [`Block::Dense`], which has no pattern.
pub fn sparse_shape(kernel: &'static str, block: Block) -> Result<(usize, usize), PatternError> {
    match block {
        Block::Dense => {
            Err(PatternError::Block { kernel, found: block, expected: "a sparse shape; use gemm for dense" })
        }
        Block::Unstructured => Ok((Block::B4x1.outputs(), Block::B4x1.inputs())),
        _ => Ok((block.outputs(), block.inputs())),
    }
}

/// Refuses matrices without elements, those whose offsets would not fit, and those whose sums would not.
///
/// # Errors
/// [`PatternError::Dimension`] if M or K is 0 or above [`MAX_M`] or [`MAX_K`].
pub fn check_shape(kernel: &'static str, m: usize, k: usize) -> Result<(), PatternError> {
    for (dimension, found, max, expected) in [("M", m, MAX_M, "1 to 4194304"), ("K", k, MAX_K, "1 to 65793")] {
        if found == 0 || found > max {
            return Err(PatternError::Dimension { kernel, dimension, found, expected });
        }
    }
    Ok(())
}
