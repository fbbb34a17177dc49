//! Patterns of zeros that tests of sparse and dense products share.

use rand::prelude::*;

/// Zeroes blocks of `rows` x 1 at random: a block row keeps none, all, or about `density` of its blocks, so that lengths differ.
pub(crate) fn mask_blocks<T: Copy + Default>(weights: &mut [T], k: usize, rows: usize, density: f64, rng: &mut StdRng) {
    for block_row in weights.chunks_mut(rows * k) {
        let keep = match rng.random_range(0..8) {
            0 => 0.0,
            1 => 1.0,
            _ => density,
        };
        for column in 0..k {
            if !rng.random_bool(keep) {
                block_row.iter_mut().skip(column).step_by(k).for_each(|w| *w = T::default());
            }
        }
    }
}

/// Matrices of 22 x 19 whose zeros are where something could go wrong, by name: made of the weights `dense`, and of `single` where
/// there is only one.
pub(crate) fn special_patterns<T: Copy + Default>(dense: &[T], single: T) -> Vec<(&'static str, Vec<T>)> {
    let (m, k, zero) = (22, 19, T::default());
    assert_eq!(dense.len(), m * k);
    let only = |row: usize, column: usize| {
        let mut weights = vec![zero; m * k];
        weights[row * k + column] = single;
        weights
    };
    let keep_if = |kept: &dyn Fn(usize, usize) -> bool| {
        let weights = dense.iter().enumerate().map(|(i, &weight)| if kept(i / k, i % k) { weight } else { zero });
        weights.collect::<Vec<T>>()
    };
    vec![
        ("all zero", vec![zero; m * k]),
        ("dense", dense.to_vec()),
        ("first weight only", only(0, 0)),
        ("last weight only", only(m - 1, k - 1)),
        ("one weight in the middle", only(9, 11)),
        ("first block row empty", keep_if(&|row, _| row >= 4)),
        ("all block rows but the last empty", keep_if(&|row, _| row >= 20)),
        ("unsorted lengths", keep_if(&|row, column| column < (row / 4 * 7) % 20)),
        ("blocks with zeros of their own", keep_if(&|row, column| row % 4 == (row * k + column) % 4)),
    ]
}
