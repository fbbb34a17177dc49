//! Second moments of a linear layer's inputs.

use lacuna_model::Matrix;
use rayon::prelude::*;

use super::error::PruneError;
use super::linalg::{View, ViewMut, product};

/// Rows of moments that one product computes.
const PANEL: usize = 128;

/// Sums over tokens of what least squares needs to know about a linear layer.
///
/// With the student's input `s`, the dense model's input `t` and a residual `r`, each followed by a constant 1 where it is an input:
///
/// ```text
/// second[i][j]   = sum c s[i] s[j]
/// cross[i][j]    = sum c t[i] s[j]
/// residual[m][j] = sum c r[m] s[j]
/// ```
///
/// where c is the weight of the token, 1 by default.
///
/// # Shapes
/// With D = K + 1: `second` and `cross` are `[D][D]`, `residual` is `[M][D]`. Of `second` the lower triangle is set.
///
/// # Numerics
/// Every call of [`Moments::add`] sums in f32; calls are summed in f64. The same bits on any number of threads.
#[derive(Debug, Clone)]
pub struct Moments {
    inputs: usize,
    tokens: usize,
    second: Vec<f64>,
    cross: Vec<f64>,
    residual: Option<(usize, Vec<f64>)>,
}

impl Moments {
    /// Moments of no tokens, for a layer of `inputs` features; `outputs` is the size of a residual, if there is one.
    pub fn new(inputs: usize, outputs: Option<usize>) -> Self {
        let features = inputs + 1;
        let square = vec![0.0; features * features];
        let residual = outputs.map(|outputs| (outputs, vec![0.0; outputs * features]));
        Self { inputs, tokens: 0, second: square.clone(), cross: square, residual }
    }

    /// Moments of inputs in batches, with the difference of two residual streams (the dense model's minus the student's) if they are given
    /// as student's and dense.
    /// Tokens have the given weights, or all 1.
    pub(super) fn of_streams(
        student: &[Matrix],
        dense: &[Matrix],
        streams: Option<(&[Matrix], &[Matrix])>,
        weights: Option<&[f32]>,
    ) -> Result<Self, PruneError> {
        let features = |x: &[Matrix]| x.first().map_or(0, |x| x.cols);
        let mut moments = Self::new(features(student), streams.map(|(_, dense)| features(dense)));
        let mut first = 0;
        for (i, (student, dense)) in student.iter().zip(dense).enumerate() {
            let weights = weights.map(|weights| &weights[first..first + student.rows]);
            first += student.rows;
            let difference = streams.map(|(have, want)| {
                let data = want[i].data.iter().zip(&have[i].data).map(|(want, have)| want - have).collect();
                Matrix { data, ..want[i] }
            });
            moments.add_weighted(student, dense, difference.as_ref(), weights)?;
        }
        Ok(moments)
    }

    /// Adds tokens, row-major: the student's inputs and the dense model's, `[N][K]`, and residuals `[N][M]` if the moments have them.
    ///
    /// # Errors
    /// [`PruneError::Shape`] when sizes disagree.
    pub fn add(&mut self, student: &Matrix, dense: &Matrix, residual: Option<&Matrix>) -> Result<(), PruneError> {
        self.add_weighted(student, dense, residual, None)
    }

    /// The same, where every token counts by its weight. Weights are at least 0.
    ///
    /// # Errors
    /// [`PruneError::Shape`] when sizes disagree.
    pub fn add_weighted(
        &mut self,
        student: &Matrix,
        dense: &Matrix,
        residual: Option<&Matrix>,
        weights: Option<&[f32]>,
    ) -> Result<(), PruneError> {
        let check = PruneError::fit;
        check("features of student inputs", student.cols, self.inputs)?;
        check("features of dense inputs", dense.cols, self.inputs)?;
        check("tokens of dense inputs", dense.rows, student.rows)?;
        let wanted = self.residual.as_ref().map_or(0, |(outputs, _)| *outputs);
        check("features of residuals", residual.map_or(0, |residual| residual.cols), wanted)?;
        check("tokens of residuals", residual.map_or(student.rows, |residual| residual.rows), student.rows)?;
        check("weights of tokens", weights.map_or(student.rows, <[f32]>::len), student.rows)?;
        let features = self.inputs + 1;
        let s = with_one(student, None);
        let left = with_one(student, weights);
        add_products(&mut self.second, features, &left, &s, student.rows, features, true);
        add_products(&mut self.cross, features, &with_one(dense, weights), &s, student.rows, features, false);
        if let (Some((outputs, sums)), Some(residual)) = (&mut self.residual, residual) {
            let mut residual = residual.data.clone();
            scale(&mut residual, *outputs, weights);
            add_products(sums, features, &residual, &s, student.rows, *outputs, false);
        }
        self.tokens += student.rows;
        Ok(())
    }

    /// K, the number of input features.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Tokens so far.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The sum of the tokens' weights.
    pub(super) fn weight(&self) -> f64 {
        self.second.last().copied().unwrap_or(0.0)
    }

    /// Moments of the student's inputs, `[D][D]`, of which the lower triangle is set.
    pub(super) fn second(&self) -> &[f64] {
        &self.second
    }

    /// Moments of the dense model's inputs (rows) with the student's (columns), `[D][D]`.
    pub(super) fn cross(&self) -> &[f64] {
        &self.cross
    }

    /// Moments of residuals (rows) with the student's inputs (columns), `[M][D]`.
    pub(super) fn residual(&self) -> Option<&[f64]> {
        self.residual.as_ref().map(|(_, sums)| &sums[..])
    }
}

/// Rows with a constant 1 behind each, times the weight of each.
fn with_one(x: &Matrix, weights: Option<&[f32]>) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.rows * (x.cols + 1));
    for row in 0..x.rows {
        out.extend_from_slice(x.row(row));
        out.push(1.0);
    }
    scale(&mut out, x.cols + 1, weights);
    out
}

fn scale(rows: &mut [f32], cols: usize, weights: Option<&[f32]>) {
    for (row, weight) in rows.chunks_exact_mut(cols.max(1)).zip(weights.unwrap_or_default()) {
        row.iter_mut().for_each(|x| *x *= weight);
    }
}

/// `sums += a^T b`, with `a` of `[N][rows]`, `b` of `[N][cols]`; only the lower triangle if `lower`.
fn add_products(sums: &mut [f64], cols: usize, a: &[f32], b: &[f32], tokens: usize, rows: usize, lower: bool) {
    if tokens == 0 {
        return;
    }
    sums.par_chunks_mut(PANEL * cols).enumerate().for_each(|(panel, sums)| {
        let first = panel * PANEL;
        let count = sums.len() / cols;
        let wide = if lower { cols.min(first + count) } else { cols };
        let mut part = vec![0.0f32; count * wide];
        let left = View::new(&a[first..], tokens, count, rows).transposed();
        product(ViewMut::new(&mut part, count, wide, wide), 0.0, left, View::new(b, tokens, wide, cols), 1.0);
        for (sums, part) in sums.chunks_exact_mut(cols).zip(part.chunks_exact(wide)) {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(*part));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Student inputs, dense inputs and residuals.
    type Parts = (Matrix, Matrix, Matrix);

    #[test]
    fn sums_are_those_of_the_definition() {
        let value = |i: usize, seed: f32| (i as f32 * 0.37 + seed).sin();
        let matrix = |rows, cols, seed| {
            Matrix::from_vec(rows, cols, (0..rows * cols).map(|i| value(i, seed)).collect()).unwrap()
        };
        let inputs = 140;
        let mut moments = Moments::new(inputs, Some(3));
        let mut all = vec![];
        for tokens in [5, 0, 7] {
            let parts = (matrix(tokens, inputs, 1.0), matrix(tokens, inputs, 2.0), matrix(tokens, 3, tokens as f32));
            moments.add(&parts.0, &parts.1, Some(&parts.2)).unwrap();
            all.push(parts);
        }
        let at = |m: &Matrix, row: usize, i: usize| if i == m.cols { 1.0 } else { f64::from(m.row(row)[i]) };
        for i in [0, 1, 127, 128, 139, 140] {
            for j in [0, 3, 128, 140] {
                let sum = |f: &dyn Fn(&Parts, usize) -> f64| -> f64 {
                    let rows = all.iter().flat_map(|parts: &Parts| (0..parts.0.rows).map(move |row| (parts, row)));
                    rows.map(|(parts, row)| f(parts, row)).sum()
                };
                let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-5, "{i}, {j}");
                if j <= i {
                    close(moments.second()[i * 141 + j], sum(&|p, r| at(&p.0, r, i) * at(&p.0, r, j)));
                }
                close(moments.cross()[i * 141 + j], sum(&|p, r| at(&p.1, r, i) * at(&p.0, r, j)));
                let m = i % 3;
                close(moments.residual().unwrap()[m * 141 + j], sum(&|p, r| f64::from(p.2.row(r)[m]) * at(&p.0, r, j)));
            }
        }
        assert_eq!(moments.tokens(), 12);
    }

    #[test]
    fn shapes_that_disagree_are_refused() {
        let mut moments = Moments::new(4, None);
        let (right, wrong) = (Matrix::zeros(2, 4), Matrix::zeros(2, 5));
        assert!(matches!(moments.add(&wrong, &right, None), Err(PruneError::Shape { found: 5, expected: 4, .. })));
        assert!(matches!(moments.add(&right, &wrong, None), Err(PruneError::Shape { found: 5, .. })));
        assert!(matches!(moments.add(&right, &Matrix::zeros(3, 4), None), Err(PruneError::Shape { .. })));
        assert!(matches!(moments.add(&right, &right, Some(&right)), Err(PruneError::Shape { .. })));
    }
}
