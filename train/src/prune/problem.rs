//! The least squares problem of one linear layer.

use lacuna_model::{Linear, Matrix};
use rayon::prelude::*;

use super::error::PruneError;
use super::linalg::{View, ViewMut, inverse, product};
use super::moments::Moments;

/// Rows of weights that one product computes.
const ROWS: usize = 32;

/// The inputs' side of least squares: centred, damped second moments and their inverse.
///
/// With N tokens, inputs `s` of mean `mu`, and `H0 = sum (s - mu) (s - mu)^T`:
///
/// ```text
/// lambda = damping * mean(diagonal(H0))
/// H = H0 + lambda I
/// ```
///
/// Layers that read the same inputs share one.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub(super) features: usize,
    pub(super) lambda: f64,
    pub(super) mean: Vec<f64>,
    /// H, `[K][K]`, both triangles.
    pub(super) hessian: Vec<f64>,
    /// H^-1, `[K][K]`, both triangles.
    pub(super) inverse: Vec<f64>,
}

impl Inputs {
    /// Centres and damps moments. `name` is the matrix in messages.
    ///
    /// # Errors
    /// [`PruneError::NoTokens`]; [`PruneError::Setting`] for a damping that is not positive; [`PruneError::NonFinite`] for moments of
    /// NaN and infinite inputs; [`PruneError::NotPositive`].
    pub fn new(moments: &Moments, damping: f64, name: &str) -> Result<Self, PruneError> {
        if !(damping > 0.0 && damping.is_finite()) {
            return Err(PruneError::Setting { setting: "damping", found: damping, expected: "a positive number" });
        }
        if moments.tokens() == 0 || moments.weight() <= 0.0 {
            return Err(PruneError::NoTokens);
        }
        let features = moments.inputs();
        let size = features + 1;
        let second = moments.second();
        let tokens = moments.weight();
        let mean: Vec<f64> = second[features * size..][..features].iter().map(|sum| sum / tokens).collect();
        let mut hessian = vec![0.0; features * features];
        for r in 0..features {
            for c in 0..=r {
                let centred = second[r * size + c] - tokens * mean[r] * mean[c];
                hessian[r * features + c] = centred;
                hessian[c * features + r] = centred;
            }
        }
        if !hessian.iter().all(|x| x.is_finite()) {
            return Err(PruneError::NonFinite { matrix: name.to_owned(), what: "moments of inputs" });
        }
        let trace: f64 = (0..features).map(|i| hessian[i * features + i].max(0.0)).sum();
        // Inputs that never change leave only the damping; any positive number then gives the weights back.
        let lambda = if trace > 0.0 { damping * trace / features as f64 } else { 1.0 };
        (0..features).for_each(|i| hessian[i * features + i] += lambda);
        let inverse =
            inverse(&hessian, features).map_err(|input| PruneError::NotPositive { matrix: name.to_owned(), input })?;
        Ok(Self { features, lambda, mean, hessian, inverse })
    }

    /// K, the number of input features.
    pub fn features(&self) -> usize {
        self.features
    }

    /// What is added to the diagonal of the centred moments.
    pub fn lambda(&self) -> f64 {
        self.lambda
    }
}

/// The outputs' side of least squares: what a linear layer should compute from the student's inputs.
///
/// The layer minimises, over weights W and bias b,
///
/// ```text
/// sum over tokens |W s + b - y|^2 + lambda |W - W_dense|^2, with y = W_dense t + b_dense + r
/// ```
///
/// where s are the student's inputs, t the dense model's, and r the residual, or 0 without one.
#[derive(Debug, Clone)]
pub struct Target {
    pub(super) outputs: usize,
    /// Centred moments of targets with inputs, and `lambda W_dense`: `[M][K]`. `W H = rhs` is the dense solution.
    pub(super) rhs: Vec<f64>,
    /// Means of targets, `[M]`.
    pub(super) mean: Vec<f64>,
    /// The dense solution, `[M][K]`.
    pub(super) solution: Vec<f64>,
    /// What an error of each row costs, `[M]`.
    pub(super) importance: Vec<f64>,
    /// `sum over rows w H w^T` of the dense solution.
    pub(super) energy: f64,
}

impl Target {
    /// The target of a dense layer, with the moments that `inputs` were made of.
    ///
    /// # Errors
    /// [`PruneError::Shape`] when the layer does not fit the moments, [`PruneError::NonFinite`] for weights and moments that are NaN or
    /// infinite.
    pub fn new(inputs: &Inputs, moments: &Moments, dense: &Linear, name: &str) -> Result<Self, PruneError> {
        let (outputs, features) = (dense.outputs(), inputs.features);
        let check = PruneError::fit;
        check("inputs of a linear layer", dense.inputs(), features)?;
        check("inputs of moments", moments.inputs(), features)?;
        check("biases of a linear layer", dense.bias.len(), outputs)?;
        let size = features + 1;
        if let Some(residual) = moments.residual() {
            check("sums of residuals", residual.len(), outputs * size)?;
        }
        let extended: Vec<f64> = (0..outputs)
            .flat_map(|m| dense.weight.row(m).iter().chain(std::iter::once(&dense.bias[m])))
            .map(|x| f64::from(*x))
            .collect();
        let mut sums = moments.residual().map_or_else(|| vec![0.0; outputs * size], <[f64]>::to_vec);
        multiply(&mut sums, &extended, moments.cross(), size, 1.0);
        let tokens = moments.weight();
        let mean: Vec<f64> = (0..outputs).map(|m| sums[m * size + features] / tokens).collect();
        let mut rhs = Vec::with_capacity(outputs * features);
        for (m, sums) in sums.chunks_exact(size).enumerate() {
            let weights = dense.weight.row(m).iter().zip(&inputs.mean).zip(sums);
            rhs.extend(
                weights
                    .map(|((weight, input), sum)| sum - tokens * mean[m] * input + inputs.lambda * f64::from(*weight)),
            );
        }
        let mut solution = vec![0.0; outputs * features];
        multiply(&mut solution, &rhs, &inputs.inverse, features, 0.0);
        if !solution.iter().chain(&mean).all(|x| x.is_finite()) {
            return Err(PruneError::NonFinite { matrix: name.to_owned(), what: "weights or moments of targets" });
        }
        let energy = solution.iter().zip(&rhs).map(|(x, y)| x * y).sum();
        Ok(Self { outputs, rhs, mean, solution, importance: vec![1.0; outputs], energy })
    }

    /// The same target, where a squared error of row m costs `importance[m]`, for example from
    /// [`Sensitivity`](super::Sensitivity). Losses and the energy then count it. What [`refit`](super::refit()) gives for a mask does not
    /// depend on it.
    ///
    /// # Errors
    /// [`PruneError::Shape`] for another number of rows; [`PruneError::Setting`] for values that are negative or not finite.
    pub fn weighted(mut self, importance: &[f64]) -> Result<Self, PruneError> {
        PruneError::fit("importance of rows", importance.len(), self.outputs)?;
        if let Some(&found) = importance.iter().find(|x| !(**x >= 0.0 && x.is_finite())) {
            return Err(PruneError::Setting { setting: "importance", found, expected: "at least 0" });
        }
        self.importance = importance.to_vec();
        self.energy = self.weigh(&self.solution, &self.rhs);
        Ok(self)
    }

    /// `sum over rows importance * a . b`
    fn weigh(&self, a: &[f64], b: &[f64]) -> f64 {
        let features = (a.len() / self.outputs.max(1)).max(1);
        let rows = a.chunks_exact(features).zip(b.chunks_exact(features)).zip(&self.importance);
        rows.map(|((a, b), importance)| importance * a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>()).sum()
    }

    /// The dense solution: least squares without zeros. With equal inputs of student and dense model it is the dense weight.
    pub fn solution(&self) -> Matrix {
        let features = self.solution.len().checked_div(self.outputs).unwrap_or(0);
        let data = self.solution.iter().map(|x| *x as f32).collect();
        Matrix { rows: self.outputs, cols: features, data }
    }

    /// `sum over rows w H w^T` of the dense solution: what relative errors and normalised losses are relative to.
    pub fn energy(&self) -> f64 {
        self.energy
    }

    /// How far a layer is from the dense solution, relative to [`Target::energy`]: `sum d H d^T / energy` with `d = w - w_dense`.
    ///
    /// # Panics
    /// When `weight` has another shape than the target.
    pub fn relative_error(&self, inputs: &Inputs, weight: &Matrix) -> f64 {
        assert_eq!(weight.data.len(), self.solution.len(), "shape of weights");
        let delta: Vec<f64> = weight.data.iter().zip(&self.solution).map(|(w, x)| f64::from(*w) - x).collect();
        let mut moved = vec![0.0; delta.len()];
        multiply(&mut moved, &delta, &inputs.hessian, inputs.features, 0.0);
        let error = self.weigh(&delta, &moved);
        if self.energy > 0.0 { error / self.energy } else { 0.0 }
    }
}

/// `out = keep * out + a * square` with `a` and `out` of `[rows][size]`, in parallel over rows.
fn multiply(out: &mut [f64], a: &[f64], square: &[f64], size: usize, keep: f64) {
    let step = (ROWS * size).max(1);
    out.par_chunks_mut(step).zip(a.par_chunks(step)).for_each(|(out, a)| {
        let rows = out.len() / size;
        let (a, square) = (View::new(a, rows, size, size), View::new(square, size, size, size));
        product(ViewMut::new(out, rows, size, size), keep, a, square, 1.0);
    });
}
