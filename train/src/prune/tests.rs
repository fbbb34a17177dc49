//! Cases with known answers.

use lacuna_model::{Block, Linear, Matrix};

use super::*;

/// Numbers from -1 to 1 without a pattern.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn matrix(rows: usize, cols: usize, seed: u64) -> Matrix {
    Matrix { rows, cols, data: noise(rows * cols, seed) }
}

fn linear(outputs: usize, inputs: usize, seed: u64) -> Linear {
    Linear { weight: matrix(outputs, inputs, seed), bias: noise(outputs, seed + 1) }
}

/// Correlated inputs: noise times a random square.
fn correlated(tokens: usize, features: usize, seed: u64) -> Matrix {
    lacuna_model::reference::matmul_transposed(&matrix(tokens, features, seed), &matrix(features, features, seed + 1))
}

fn problem(student: &Matrix, dense: &Matrix, layer: &Linear, damping: f64) -> (Inputs, Target) {
    let mut moments = Moments::new(layer.inputs(), None);
    moments.add(student, dense, None).unwrap();
    let inputs = Inputs::new(&moments, damping, "test").unwrap();
    let target = Target::new(&inputs, &moments, layer, "test").unwrap();
    (inputs, target)
}

const BLOCKS: [Block; 6] = [Block::B4x1, Block::B1x4, Block::B4x4, Block::B8x1, Block::B16x1, Block::Unstructured];

const ALL: Elimination = Elimination { fraction: 1.0 / 12.0, keep: 0.0 };
const ONE_BY_ONE: Elimination = Elimination { fraction: 1e-9, keep: 0.0 };

/// The error of least squares with the zeros of a mask.
fn error(inputs: &Inputs, target: &Target, mask: &Mask) -> f64 {
    target.relative_error(inputs, &refit(inputs, target, mask, "test").unwrap().weight)
}

#[test]
fn a_full_support_gives_the_dense_layer_back() {
    let (x, layer) = (correlated(200, 24, 1), linear(20, 24, 3));
    let (inputs, target) = problem(&x, &x, &layer, 1e-6);
    for block in BLOCKS {
        let grid = Grid::new(20, 24, block).unwrap();
        let losses = eliminate(&inputs, &target, grid, ALL, "test").unwrap();
        let mask = choose(&losses, 0.0).unwrap();
        assert_eq!(mask.sparsity(), 0.0);
        let found = refit(&inputs, &target, &mask, "test").unwrap();
        let differs = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-4);
        assert!(!differs(&found.weight.data, &layer.weight.data) && !differs(&found.bias, &layer.bias), "{block}");
        assert!(target.relative_error(&inputs, &found.weight) < 1e-9);
    }
}

#[test]
fn with_uncorrelated_inputs_elimination_is_magnitude_times_norm() {
    // Inputs +-a[i] on their own tokens: mean 0, moments diagonal.
    let features = 16;
    let mut x = Matrix::zeros(2 * features, features);
    for i in 0..features {
        let size = 1.0 + (i as f32 * 1.7).sin().abs();
        x.row_mut(2 * i)[i] = size;
        x.row_mut(2 * i + 1)[i] = -size;
    }
    let layer = linear(16, features, 5);
    let (inputs, target) = problem(&x, &x, &layer, 1e-9);
    for block in BLOCKS {
        let grid = Grid::new(16, features, block).unwrap();
        let losses = eliminate(&inputs, &target, grid, ONE_BY_ONE, "test").unwrap();
        for group in 0..grid.groups() {
            for b in 0..grid.across() {
                let weights = grid.rows_of(group).flat_map(|row| grid.cols_of(b).map(move |col| (row, col)));
                let expected: f32 =
                    weights.map(|(r, c)| layer.weight.row(r)[c].powi(2) * 2.0 * x.row(2 * c)[c].powi(2)).sum();
                let found = losses.losses()[group * grid.across() + b];
                assert!((found - expected).abs() < 1e-4 * expected, "{block}: {found} {expected}");
            }
        }
    }
}

#[test]
fn eliminating_everything_costs_the_energy() {
    let (x, layer) = (correlated(300, 40, 7), linear(16, 40, 9));
    let (inputs, target) = problem(&x, &x, &layer, 0.01);
    let grid = Grid::new(16, 40, Block::B16x1).unwrap();
    let losses = eliminate(&inputs, &target, grid, ONE_BY_ONE, "test").unwrap();
    // Losses are raised to the highest before them, so their sum may exceed the energy, but not fall short of it.
    let sum: f64 = losses.losses().iter().map(|x| f64::from(*x)).sum();
    assert!(sum > 0.999 * target.energy() && sum < 1.2 * target.energy(), "{sum} {}", target.energy());
}

#[test]
fn elimination_is_close_to_the_best_support() {
    // One group of 6 blocks, of which 3 stay: 20 supports.
    for block in [Block::B4x1, Block::B4x4] {
        let (rows, cols) = (4, 6 * block.inputs());
        let mut ratios = vec![];
        for seed in 0..20 {
            let (x, layer) = (correlated(80, cols, 10 * seed), linear(rows, cols, 10 * seed + 5));
            let (inputs, target) = problem(&x, &x, &layer, 0.01);
            let grid = Grid::new(rows, cols, block).unwrap();
            let losses = eliminate(&inputs, &target, grid, ONE_BY_ONE, "test").unwrap();
            let found = error(&inputs, &target, &choose(&losses, 0.5).unwrap());
            let supports = (0u32..64).filter(|bits| bits.count_ones() == 3);
            let masks = supports.map(|bits| Mask::new(grid, (0..6).map(|i| bits >> i & 1 == 1).collect()).unwrap());
            let best = masks.map(|mask| error(&inputs, &target, &mask)).fold(f64::INFINITY, f64::min);
            assert!(found >= best * 0.999_999);
            ratios.push(found / best);
        }
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        assert!(mean < 1.15, "{block}: {mean}: {ratios:?}");
    }
}

#[test]
fn second_order_beats_magnitude_on_every_shape() {
    let (x, layer) = (correlated(500, 50, 11), linear(34, 50, 13));
    let (inputs, target) = problem(&x, &x, &layer, 0.01);
    for block in BLOCKS {
        let grid = Grid::new(34, 50, block).unwrap();
        let losses = eliminate(&inputs, &target, grid, ALL, "test").unwrap();
        let mask = choose(&losses, 0.6).unwrap();
        assert!((mask.sparsity() - 0.6).abs() <= 1.0 / grid.blocks() as f64, "{block}");
        let layer_after = refit(&inputs, &target, &mask, "test").unwrap();
        let zeros = mask.weights();
        assert!(layer_after.weight.data.iter().zip(&zeros).all(|(w, kept)| (*w == 0.0) == (*kept == 0.0)));
        let mut magnitude = layer.weight.clone();
        lacuna_model::prune(&mut magnitude, block, 0.6).unwrap();
        let (ours, theirs) = (error(&inputs, &target, &mask), target.relative_error(&inputs, &magnitude));
        assert!(ours < 0.6 * theirs, "{block}: {ours} {theirs}");
    }
}

#[test]
fn a_refit_follows_other_inputs() {
    // The student's inputs are the dense ones times 2, plus 1: half the weights and another bias give the same outputs.
    let (dense, layer) = (correlated(200, 12, 15), linear(8, 12, 17));
    let student = Matrix { data: dense.data.iter().map(|x| 2.0 * x + 1.0).collect(), ..dense.clone() };
    let (inputs, target) = problem(&student, &dense, &layer, 1e-9);
    let grid = Grid::new(8, 12, Block::B4x1).unwrap();
    let mask = Mask::new(grid, vec![true; 24]).unwrap();
    let found = refit(&inputs, &target, &mask, "test").unwrap();
    for m in 0..8 {
        let sum: f32 = layer.weight.row(m).iter().sum();
        assert!((found.bias[m] - (layer.bias[m] - 0.5 * sum)).abs() < 1e-2);
        assert!(found.weight.row(m).iter().zip(layer.weight.row(m)).all(|(a, b)| (a - 0.5 * b).abs() < 3e-3));
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let (x, layer) = (correlated(50, 12, 19), linear(8, 12, 21));
    let (inputs, target) = problem(&x, &x, &layer, 0.01);
    let grid = Grid::new(8, 12, Block::B4x1).unwrap();
    let options = Elimination { keep: 0.5, ..ALL };
    let losses = eliminate(&inputs, &target, grid, options, "2.down").unwrap();
    assert_eq!(losses.reachable(), 0.5);
    let unreachable = PruneError::Unreachable { matrix: "2.down".into(), wanted: 0.75, reachable: 0.5 };
    assert_eq!(choose(&losses, 0.75), Err(unreachable));
    assert_eq!(choose(&losses, 1.0), Err(PruneError::Sparsity { found: 1.0 }));
    assert!(matches!(choose(&losses, f64::NAN), Err(PruneError::Sparsity { .. })));
    let spread = allocate(&[&losses], &[1.0], 0.9, Bounds::default());
    assert!(matches!(spread, Err(PruneError::Unreachable { reachable: 0.5, .. })));
    assert!(matches!(Grid::new(8, 12, Block::Dense), Err(PruneError::NoBlocks { .. })));
    let other = Grid::new(8, 16, Block::B4x1).unwrap();
    assert!(matches!(eliminate(&inputs, &target, other, ALL, ""), Err(PruneError::Shape { .. })));

    let mut moments = Moments::new(12, None);
    assert!(matches!(Inputs::new(&moments, 0.01, ""), Err(PruneError::NoTokens)));
    let mut bad = x.clone();
    bad.data[5] = f32::NAN;
    moments.add(&bad, &x, None).unwrap();
    assert!(matches!(Inputs::new(&moments, 0.01, "0.q"), Err(PruneError::NonFinite { matrix, .. }) if matrix == "0.q"));
    assert!(matches!(Inputs::new(&moments, f64::NAN, ""), Err(PruneError::Setting { .. })));
    let mut weights = layer.clone();
    weights.weight.data[3] = f32::INFINITY;
    let mut moments = Moments::new(12, None);
    moments.add(&x, &x, None).unwrap();
    let found = Target::new(&inputs, &moments, &weights, "0.q");
    assert!(matches!(found, Err(PruneError::NonFinite { .. })));
}

#[test]
fn zeros_are_spread_within_bounds() {
    let layers = [linear(16, 40, 23), linear(16, 40, 25)];
    let x = correlated(300, 40, 27);
    let losses: Vec<Losses> = layers
        .iter()
        .map(|layer| {
            let (inputs, target) = problem(&x, &x, layer, 0.01);
            eliminate(&inputs, &target, Grid::new(16, 40, Block::B4x1).unwrap(), ALL, "test").unwrap()
        })
        .collect();
    let both: Vec<&Losses> = losses.iter().collect();
    let bounds = Bounds { lowest: 0.5, highest: 0.95 };
    let weights = [1.0 / losses[0].energy(), 100.0 / losses[1].energy()];
    let found = allocate(&both, &weights, 0.7, bounds).unwrap();
    assert!((found[0] + found[1] - 1.4).abs() < 0.01 && found[0] > found[1]);
    assert!(found.iter().all(|s| (0.5 - 1e-9..=0.95).contains(s)), "{found:?}");
    for (losses, sparsity) in both.iter().zip(&found) {
        assert!((choose(losses, *sparsity).unwrap().sparsity() - sparsity).abs() < 1e-9);
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (x, layer) = (correlated(700, 150, 29), linear(36, 150, 31));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (inputs, target) = problem(&x, &x, &layer, 0.01);
            let grid = Grid::new(36, 150, Block::B4x4).unwrap();
            let losses = eliminate(&inputs, &target, grid, ALL, "test").unwrap();
            let mask = choose(&losses, 0.7).unwrap();
            let layer = refit(&inputs, &target, &mask, "test").unwrap();
            (losses, mask, layer)
        })
    };
    assert_eq!(run(1), run(2));
}

/// A group that has lost blocks costs what the same problem without their inputs costs.
#[test]
fn blocks_that_are_gone_stay_gone_and_cost_nothing() {
    let (x, layer) = (correlated(300, 22, 31), linear(18, 22, 33));
    let (inputs, target) = problem(&x, &x, &layer, 0.01);
    for block in BLOCKS {
        let grid = Grid::new(18, 22, block).unwrap();
        let first = eliminate(&inputs, &target, grid, ALL, "test").unwrap();
        let left = choose(&first, 0.4).unwrap();
        let sparse = refit(&inputs, &target, &left, "test").unwrap();
        assert_eq!(Mask::of_zeros(grid, &sparse.weight.data).unwrap(), left, "{block}");
        let second = eliminate_rest(&inputs, &target, &left, ONE_BY_ONE, "test").unwrap();
        for sparsity in [0.4, 0.7, 0.9] {
            let mask = choose(&second, sparsity).unwrap();
            assert!(mask.kept().iter().zip(left.kept()).all(|(now, before)| !now || *before), "{block} {sparsity}");
            // The losses are relative to the refitted sparse layer.
            let rise = error(&inputs, &target, &mask) - error(&inputs, &target, &left);
            let lost = lost(&second, &[sparsity])[0].unwrap() / target.energy();
            assert!(lost >= 0.999 * rise - 1e-9 && lost <= 1.3 * rise + 1e-6, "{block} {sparsity}: {lost} {rise}");
        }
        assert!(second.losses().iter().zip(left.kept()).all(|(loss, kept)| (*loss > 0.0) == *kept), "{block}");
        // All gone, or none: nothing is left to remove, or everything is as without a mask.
        let none = Mask::new(grid, vec![false; grid.blocks()]).unwrap();
        assert!(eliminate_rest(&inputs, &target, &none, ALL, "").unwrap().losses().iter().all(|loss| *loss == 0.0));
        assert_eq!(eliminate_rest(&inputs, &target, &Mask::full(grid), ALL, "test").unwrap(), first);
    }
    assert!(Mask::of_zeros(Grid::new(18, 22, Block::B4x1).unwrap(), &[0.0; 7]).is_err());
}
