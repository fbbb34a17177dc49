//! Triangular solves.

use super::product::{View, ViewMut, product};
use super::real::Real;

/// Unknowns that are solved with plain loops; the rest goes through products.
const NARROW: usize = 32;

/// `B := L^-1 B`.
///
/// # Shapes
/// `l` is `n x n` with rows of `stride` elements; its part above the diagonal is not read. `b` is `n x cols`.
///
/// # Panics
/// When a slice is too short.
pub(crate) fn solve_lower<T: Real>(l: &[T], stride: usize, n: usize, b: &mut [T], cols: usize) {
    for first in (0..n).step_by(NARROW) {
        let wide = NARROW.min(n - first);
        let (above, here) = b.split_at_mut(first * cols);
        let here = &mut here[..wide * cols];
        if first > 0 {
            let left = View::new(&l[first * stride..], wide, first, stride);
            let out = ViewMut::new(here, wide, cols, cols);
            product(out, T::ONE, left, View::new(above, first, cols, cols), -T::ONE);
        }
        for i in 0..wide {
            let (done, rest) = here.split_at_mut(i * cols);
            let row = &mut rest[..cols];
            let factors = &l[(first + i) * stride + first..];
            for (j, solved) in done.chunks_exact(cols.max(1)).enumerate() {
                subtract(row, factors[j], solved);
            }
            let scale = T::ONE / factors[i];
            row.iter_mut().for_each(|x| *x = *x * scale);
        }
    }
}

/// `B := L^-T B`, with the shapes of [`solve_lower`].
///
/// # Panics
/// When a slice is too short.
pub(crate) fn solve_lower_transposed<T: Real>(l: &[T], stride: usize, n: usize, b: &mut [T], cols: usize) {
    for first in (0..n).step_by(NARROW).rev() {
        let wide = NARROW.min(n - first);
        let after = first + wide;
        let (head, below) = b.split_at_mut(after * cols);
        let here = &mut head[first * cols..];
        if after < n {
            let right = View::new(&l[after * stride + first..], n - after, wide, stride).transposed();
            let out = ViewMut::new(here, wide, cols, cols);
            product(out, T::ONE, right, View::new(below, n - after, cols, cols), -T::ONE);
        }
        for i in (0..wide).rev() {
            let (rest, done) = here.split_at_mut((i + 1) * cols);
            let row = &mut rest[i * cols..];
            for (j, solved) in done.chunks_exact(cols.max(1)).enumerate() {
                subtract(row, l[(first + i + 1 + j) * stride + first + i], solved);
            }
            let scale = T::ONE / l[(first + i) * stride + first + i];
            row.iter_mut().for_each(|x| *x = *x * scale);
        }
    }
}

/// `row -= factor * solved`.
fn subtract<T: Real>(row: &mut [T], factor: T, solved: &[T]) {
    for (x, &y) in row.iter_mut().zip(solved) {
        *x -= factor * y;
    }
}
