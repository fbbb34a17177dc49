//! Block pruning keeps its promises on matrices of any size.

use lacuna_model::{Block, BlockZeros, EncoderConfig, Error, Matrix, Model, Preset, prune};
use proptest::prelude::*;

fn matrix() -> impl Strategy<Value = Matrix> {
    (1usize..40, 1usize..40).prop_flat_map(|(rows, cols)| {
        // Never zero, so that every zero found later was made by pruning.
        prop::collection::vec((0.01f32..1.0, any::<bool>()), rows * cols).prop_map(move |values| {
            let data = values.into_iter().map(|(x, negative)| if negative { -x } else { x }).collect();
            Matrix { rows, cols, data }
        })
    })
}

fn sparse_block() -> impl Strategy<Value = Block> {
    let sparse: Vec<Block> = Block::ALL.into_iter().filter(|b| *b != Block::Dense).collect();
    prop::sample::select(sparse)
}

/// Mean square of the weights of every block, in row-major order, the obvious way.
fn energies(matrix: &Matrix, block: Block) -> Vec<f32> {
    let mut energies = Vec::new();
    for r in (0..matrix.rows).step_by(block.outputs()) {
        for c in (0..matrix.cols).step_by(block.inputs()) {
            let rows = r..(r + block.outputs()).min(matrix.rows);
            let cols = c..(c + block.inputs()).min(matrix.cols);
            let count = rows.len() * cols.len();
            let sum: f32 = rows.flat_map(|r| matrix.row(r)[cols.clone()].iter()).map(|x| x * x).sum();
            energies.push(sum / count as f32);
        }
    }
    energies
}

fn count(zeros: &BlockZeros, block: Block) -> (usize, usize) {
    let found = zeros.all().into_iter().find(|z| z.block == block).unwrap();
    (found.zero, found.total)
}

proptest! {
    #[test]
    fn drops_the_weakest_blocks_and_nothing_else(
        before in matrix(),
        block in sparse_block(),
        sparsity in 0.0f64..1.0,
    ) {
        let mut after = before.clone();
        prune(&mut after, block, sparsity).unwrap();
        let (zero, total) = count(&BlockZeros::of(&after), block);
        prop_assert_eq!(zero, (sparsity * total as f64 + 1e-9).floor() as usize);
        prop_assert!(zero < total);
        for (a, b) in after.data.iter().zip(&before.data) {
            prop_assert!(*a == 0.0 || a.to_bits() == b.to_bits());
        }
        let was = energies(&before, block);
        let is = energies(&after, block);
        let strongest_dropped = was.iter().zip(&is).filter(|(_, is)| **is == 0.0).map(|(was, _)| *was).fold(0.0, f32::max);
        let weakest_kept = is.iter().copied().filter(|is| *is > 0.0).fold(f32::INFINITY, f32::min);
        prop_assert!(strongest_dropped <= weakest_kept * 1.000_01);
    }

    #[test]
    fn block_zeros_agree_with_the_obvious_count(
        mut matrix in matrix(),
        zeros in prop::collection::vec(any::<prop::sample::Index>(), 0..600),
    ) {
        for index in zeros {
            let at = index.index(matrix.data.len());
            matrix.data[at] = 0.0;
        }
        let counted = BlockZeros::of(&matrix);
        for zeros in counted.all() {
            let energies = energies(&matrix, zeros.block);
            prop_assert_eq!(zeros.total, energies.len());
            prop_assert_eq!(zeros.zero, energies.iter().filter(|e| **e == 0.0).count());
        }
    }
}

#[test]
fn ties_are_broken_from_the_end() {
    let mut matrix = Matrix { rows: 4, cols: 4, data: vec![1.0; 16] };
    prune(&mut matrix, Block::B4x1, 0.5).unwrap();
    assert_eq!(matrix.data, [1.0, 1.0, 0.0, 0.0].repeat(4));
}

#[test]
fn sparsities_outside_the_range_are_errors() {
    let mut matrix = Matrix::zeros(4, 4);
    for sparsity in [-0.1, 1.0, 1.5, f64::NAN, f64::INFINITY] {
        assert!(matches!(prune(&mut matrix, Block::B4x1, sparsity), Err(Error::Sparsity { .. })), "{sparsity}");
    }
    assert!(matches!(prune(&mut matrix, Block::Dense, 0.5), Err(Error::DensePruning { .. })));
    assert!(prune(&mut matrix, Block::Dense, 0.0).is_ok());
}

#[test]
fn every_linear_layer_of_a_model_is_pruned_alike() {
    let model = Model::seeded(EncoderConfig { vocab_size: 50, ..Preset::BertMini.config() }, 3)
        .unwrap()
        .prune(Block::B4x1, 0.9)
        .unwrap();
    let zeros = model.zeros();
    assert_eq!(zeros.len(), 4 * 6);
    for linear in zeros {
        let fraction = linear.zeros.b4x1.fraction();
        assert!((fraction - 0.9).abs() < 1e-4, "layer {} {}: {fraction}", linear.layer, linear.name);
    }
}
