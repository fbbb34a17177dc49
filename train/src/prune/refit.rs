//! What the kept weights become.

use lacuna_model::{Linear, Matrix};
use rayon::prelude::*;

use super::error::PruneError;
use super::grid::Mask;
use super::linalg::{cholesky, solve_lower, solve_lower_transposed};
use super::problem::{Inputs, Target};

/// The linear layer that is nearest to a target with the zeros of a mask.
///
/// ```text
/// w_K = rhs_K H[K][K]^-1, b = mean(y) - w_K mean(s)_K
/// ```
///
/// # Numerics
/// f64, rounded once. The same bits on any number of threads.
///
/// # Errors
/// [`PruneError::Shape`] when the mask is not of the target's shape, [`PruneError::NotPositive`].
pub fn refit(inputs: &Inputs, target: &Target, mask: &Mask, name: &str) -> Result<Linear, PruneError> {
    let (grid, size) = (mask.grid(), inputs.features);
    PruneError::fit("columns of a mask", grid.cols(), size)?;
    PruneError::fit("rows of a mask", grid.rows(), target.outputs)?;
    let solve = |group: usize| -> Result<(Vec<f32>, Vec<f32>), PruneError> {
        let (rows, columns) = (grid.rows_of(group), mask.columns(group));
        let (count, left) = (rows.len(), columns.len());
        let mut factor = Vec::with_capacity(left * left);
        for (i, r) in columns.iter().enumerate() {
            let row = &inputs.hessian[r * size..][..size];
            factor.extend(columns[..=i].iter().map(|c| row[*c]));
            factor.resize((i + 1) * left, 0.0);
        }
        let mut solved: Vec<f64> = columns
            .iter()
            .flat_map(|c| target.rhs[rows.start * size + c..].iter().step_by(size).take(count))
            .copied()
            .collect();
        cholesky(&mut factor, left, left)
            .map_err(|i| PruneError::NotPositive { matrix: name.to_owned(), input: columns[i] })?;
        solve_lower(&factor, left, left, &mut solved, count);
        solve_lower_transposed(&factor, left, left, &mut solved, count);
        let mut weights = vec![0.0f32; count * size];
        let mut bias = Vec::with_capacity(count);
        for (i, row) in rows.enumerate() {
            let mut sum = target.mean[row];
            for (solved, &c) in solved.iter().skip(i).step_by(count).zip(&columns) {
                weights[i * size + c] = *solved as f32;
                sum -= solved * inputs.mean[c];
            }
            bias.push(sum as f32);
        }
        Ok((weights, bias))
    };
    let groups: Vec<(Vec<f32>, Vec<f32>)> = (0..grid.groups()).into_par_iter().map(solve).collect::<Result<_, _>>()?;
    let mut weight = Matrix { rows: target.outputs, cols: size, data: Vec::with_capacity(target.outputs * size) };
    let mut bias = Vec::with_capacity(target.outputs);
    for (weights, biases) in groups {
        weight.data.extend(weights);
        bias.extend(biases);
    }
    Ok(Linear { weight, bias })
}
