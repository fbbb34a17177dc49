//! The Cholesky factor of a symmetric positive definite matrix, and its inverse.

use rayon::prelude::*;

use super::product::{View, ViewMut, product};
use super::real::Real;
use super::triangular::solve_lower;

/// Columns of a panel that is factored with plain loops.
const NARROW: usize = 32;
/// Rows of the trailing matrix that are updated by one product.
const WIDE: usize = 128;
/// Columns of the identity that one thread solves for.
const SOLVED: usize = 96;

/// Replaces the lower triangle of `a` by L, where `A = L L^T`. The part above the diagonal is not read, and what
/// it holds afterwards has no meaning.
///
/// # Shapes
/// `a` is `n x n` with rows of `stride` elements.
///
/// # Errors
/// The index of the first pivot that is not positive, or not finite.
///
/// # Panics
/// When `a` is too short.
pub(crate) fn cholesky<T: Real>(a: &mut [T], stride: usize, n: usize) -> Result<(), usize> {
    let mut panel = Vec::new();
    for first in (0..n).step_by(NARROW) {
        let wide = NARROW.min(n - first);
        for i in first..n {
            let (done, rest) = a.split_at_mut(i * stride);
            let row = &mut rest[first..];
            for j in 0..wide.min(i - first) {
                let factors = &done[(first + j) * stride + first..];
                row[j] = (row[j] - dot(&row[..j], &factors[..j])) / factors[j];
            }
            if i < first + wide {
                let pivot = row[i - first] - dot(&row[..i - first], &row[..i - first]);
                if !(pivot > T::ZERO && pivot.finite()) {
                    return Err(i);
                }
                row[i - first] = pivot.root();
            }
        }
        let after = first + wide;
        panel.clear();
        for i in after..n {
            panel.extend_from_slice(&a[i * stride + first..][..wide]);
        }
        for top in (after..n).step_by(WIDE) {
            let bottom = n.min(top + WIDE);
            let rows = View::new(&panel[(top - after) * wide..], bottom - top, wide, wide);
            let columns = View::new(&panel, bottom - after, wide, wide).transposed();
            let out = ViewMut::new(&mut a[top * stride + after..], bottom - top, bottom - after, stride);
            product(out, T::ONE, rows, columns, -T::ONE);
        }
    }
    Ok(())
}

/// The inverse of a symmetric positive definite matrix, of which the lower triangle is read. Both triangles of the result are set.
///
/// # Shapes
/// `a` is `n x n`, and so is the result.
///
/// # Numerics
/// `A^-1 = Y^T Y` with `Y = L^-1`. The same bits on any number of threads.
///
/// # Errors
/// Those of [`cholesky`].
pub(crate) fn inverse<T: Real>(a: &[T], n: usize) -> Result<Vec<T>, usize> {
    let mut l = a.to_vec();
    cholesky(&mut l, n, n)?;
    // Column panels of Y; of a panel that starts at `first`, the rows above it are zero.
    let starts: Vec<usize> = (0..n).step_by(SOLVED).collect();
    let panels: Vec<(usize, usize, Vec<T>)> = starts
        .into_par_iter()
        .map(|first| {
            let wide = SOLVED.min(n - first);
            let mut y = vec![T::ZERO; (n - first) * wide];
            (0..wide).for_each(|c| y[c * wide + c] = T::ONE);
            solve_lower(&l[first * n + first..], n, n - first, &mut y, wide);
            (first, wide, y)
        })
        .collect();
    let mut out = vec![T::ZERO; n * n];
    out.par_chunks_mut((SOLVED * n).max(1)).zip(&panels).for_each(|(rows, (first, wide, y))| {
        // Block (i, j) with j <= i: both panels are zero above row `first` of panel i.
        for (start, across, other) in panels.iter().take_while(|panel| panel.0 <= *first) {
            let common = View::new(&other[(first - start) * across..], n - first, *across, *across);
            let to = ViewMut::new(&mut rows[*start..], *wide, *across, n);
            product(to, T::ZERO, View::new(y, n - first, *wide, *wide).transposed(), common, T::ONE);
        }
    });
    for r in 0..n {
        for c in 0..r {
            out[c * n + r] = out[r * n + c];
        }
    }
    Ok(out)
}

/// `sum x[i] * y[i]`, with eight partial sums.
fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
    let mut partial = [T::ZERO; 8];
    for (x, y) in xs.iter().zip(ys) {
        for ((p, &x), &y) in partial.iter_mut().zip(x).zip(y) {
            *p += x * y;
        }
    }
    let mut sum = partial.into_iter().fold(T::ZERO, |sum, p| sum + p);
    for (&x, &y) in x_rest.iter().zip(y_rest) {
        sum += x * y;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::triangular::solve_lower_transposed;
    use super::*;

    /// A matrix of condition about `n`, made of sines.
    fn spd(n: usize) -> Vec<f64> {
        let x: Vec<f64> = (0..n * (n + 3)).map(|i| ((i * i) as f64 * 0.7).sin()).collect();
        let mut a = vec![0.0; n * n];
        let view = View::new(&x, n, n + 3, n + 3);
        product(ViewMut::new(&mut a, n, n, n), 0.0, view, view.transposed(), 1.0);
        (0..n).for_each(|i| a[i * n + i] += 1.0);
        a
    }

    const SIZES: [usize; 10] = [0, 1, 2, 31, 32, 33, 95, 97, 160, 200];

    #[test]
    fn the_factor_gives_the_matrix_back() {
        for n in SIZES {
            let a = spd(n);
            let mut l = a.clone();
            cholesky(&mut l, n, n).unwrap();
            for r in 0..n {
                for c in 0..=r {
                    let sum: f64 = (0..=c).map(|k| l[r * n + k] * l[c * n + k]).sum();
                    assert!((sum - a[r * n + c]).abs() < 1e-10 * n as f64, "{n}: {r}, {c}");
                }
            }
        }
    }

    #[test]
    fn the_inverse_times_the_matrix_is_one() {
        for n in SIZES {
            let a = spd(n);
            let inverse = inverse(&a, n).unwrap();
            let mut one = vec![0.0; n * n];
            let (x, y) = (View::new(&a, n, n, n), View::new(&inverse, n, n, n));
            product(ViewMut::new(&mut one, n, n, n), 0.0, x, y, 1.0);
            for (i, x) in one.iter().enumerate() {
                let expected = f64::from(u8::from(i / n == i % n));
                assert!((x - expected).abs() < 1e-9, "{n}: {i}: {x}");
            }
        }
    }

    #[test]
    fn both_solves_together_divide_by_the_matrix() {
        for n in SIZES {
            for cols in [1, 4, 40] {
                let a = spd(n);
                let mut l = a.clone();
                cholesky(&mut l, n, n).unwrap();
                let b: Vec<f64> = (0..n * cols).map(|i| (i as f64).cos()).collect();
                let mut x = b.clone();
                solve_lower(&l, n, n, &mut x, cols);
                solve_lower_transposed(&l, n, n, &mut x, cols);
                let mut back = vec![0.0; n * cols];
                let (a, x) = (View::new(&a, n, n, n), View::new(&x, n, cols, cols));
                product(ViewMut::new(&mut back, n, cols, cols), 0.0, a, x, 1.0);
                assert!(back.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-9));
            }
        }
    }

    #[test]
    fn a_pivot_that_is_not_positive_is_named() {
        assert_eq!(cholesky(&mut [1.0, 0.0, 2.0, 1.0], 2, 2), Err(1));
        assert_eq!(cholesky(&mut [f64::NAN], 1, 1), Err(0));
        assert_eq!(cholesky(&mut [f32::INFINITY], 1, 1), Err(0));
    }
}
