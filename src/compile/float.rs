//! Which kernels run the linear layers that compute in f32 or bf16.

use lacuna_jit::Isa;
use lacuna_kernels::float::{DType, FloatDesc, FloatPlan, SumOrder};
use lacuna_kernels::{Block, Sink};

use super::Form;
use crate::error::Result;

/// Time of a stored weight, dense ones take 1: from the shares of the peak that the kernels reach. 16x1 zeros run as 8x1.
///
/// | block | why |
/// | --- | --- |
/// | dense | 12 output features share a vector of the input |
/// | 8x1 | 8 do, and rows of the input are found through indices |
/// | 4x1 | 4 do |
/// | unstructured | every multiplication loads a vector of its own |
const TIME_PER_WEIGHT: [(Block, f64); 4] =
    [(Block::Dense, 1.0), (Block::B8x1, 1.05), (Block::B4x1, 1.1), (Block::Unstructured, 3.0)];

/// Plans a product of row-major `[m][k]` weights: with [`Form::Auto`] in the form that is predicted to be fastest for its zeros,
/// with [`Form::Sparse`] in the fastest sparse one. Sums are added in an order that does not depend on a token's neighbours.
pub(super) fn plan(
    form: Form,
    isa: Isa,
    (m, k): (usize, usize),
    dtype: DType,
    weights: &[f32],
    sink: Sink,
) -> Result<FloatPlan> {
    let time = |(block, time): (Block, f64)| (block, time * stored(weights, k, block) as f64);
    let allowed = TIME_PER_WEIGHT.into_iter().filter(|(block, _)| match form {
        Form::Auto => true,
        Form::Dense => *block == Block::Dense,
        Form::Sparse => *block != Block::Dense,
    });
    let fastest = allowed.map(time).min_by(|(_, a), (_, b)| a.total_cmp(b));
    let block = fastest.map_or(Block::Dense, |(block, _)| block);
    Ok(FloatDesc { m, k, dtype, block, sink }.plan(isa)?.with_order(SumOrder::Fixed))
}

/// Weights in blocks that are not all zero.
fn stored(weights: &[f32], k: usize, block: Block) -> usize {
    let rows = block.outputs();
    match block {
        Block::Dense => weights.len(),
        _ => {
            let kept = |rows: &[f32]| (0..k).filter(|&c| rows.iter().skip(c).step_by(k).any(|&w| w != 0.0)).count();
            weights.chunks(rows * k).map(kept).sum::<usize>() * rows
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zeros in blocks of some rows, one column of four kept.
    fn weights(m: usize, k: usize, rows: usize) -> Vec<f32> {
        (0..m * k).map(|i| f32::from((i % k + i / k / rows).is_multiple_of(4))).collect()
    }

    #[test]
    fn zeros_find_the_form_they_pay_in() {
        let (m, k) = (48, 64);
        let sink = Sink::f32(false);
        let block =
            |form, weights: &[f32]| plan(form, Isa::Portable, (m, k), DType::F32, weights, sink).unwrap().block();
        for (rows, expected) in [(16, Block::B8x1), (8, Block::B8x1), (4, Block::B4x1), (1, Block::Unstructured)] {
            let weights = weights(m, k, rows);
            assert_eq!(block(Form::Auto, &weights), expected, "blocks of {rows}");
            assert_eq!(block(Form::Sparse, &weights), expected, "blocks of {rows}");
            assert_eq!(block(Form::Dense, &weights), Block::Dense, "blocks of {rows}");
        }
        let full = vec![1.0; m * k];
        assert_eq!(block(Form::Auto, &full), Block::Dense);
        assert_eq!(block(Form::Sparse, &full), Block::B8x1);
    }
}
