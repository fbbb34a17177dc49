//! The matrix product, on strided views.

use gemm::{Parallelism, gemm};

use super::real::Real;

/// A strided view of a matrix: element `(r, c)` is `data[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// Rows of `stride` elements each, of which the first `cols` belong to the view.
    ///
    /// # Panics
    /// When `data` is too short.
    pub(crate) fn new(data: &'a [T], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(data.len() >= span(rows, cols, stride, 1), "view of {rows} x {cols} by {stride}: {}", data.len());
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// The same elements with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }
}

/// A mutable view of rows.
pub(crate) struct ViewMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a, T> ViewMut<'a, T> {
    /// Rows of `stride` elements each, of which the first `cols` belong to the view.
    ///
    /// # Panics
    /// When `data` is too short, or rows overlap.
    pub(crate) fn new(data: &'a mut [T], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(data.len() >= span(rows, cols, stride, 1), "view of {rows} x {cols} by {stride}: {}", data.len());
        assert!(rows <= 1 || stride >= cols, "rows overlap");
        Self { data, rows, cols, stride }
    }
}

/// Elements from the first to one past the last of a strided matrix.
fn span(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 {
        return 0;
    }
    (rows - 1) * row_stride + (cols - 1) * col_stride + 1
}

/// `out = keep * out + scale * a * b` on the calling thread; `keep = 0` overwrites whatever `out` held, NaN too.
///
/// # Shapes
/// `a` is `R x K`, `b` is `K x C`, `out` is `R x C`.
///
/// # Panics
/// When the shapes disagree.
pub(crate) fn product<T: Real>(out: ViewMut<'_, T>, keep: T, a: View<'_, T>, b: View<'_, T>, scale: T) {
    assert!(a.cols == b.rows && out.rows == a.rows && out.cols == b.cols, "shapes of a product");
    if out.rows == 0 || out.cols == 0 {
        return;
    }
    // SAFETY: gemm reads and writes exactly the elements of the three strided matrices. Every slice is at least as long as its matrix
    // spans (asserted when the views were made), strides fit in isize because the slices exist, rows of `out` do not overlap, and `out`
    // is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm(
            a.rows,
            b.cols,
            a.cols,
            out.data.as_mut_ptr(),
            1,
            out.stride as isize,
            keep != T::ZERO,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            keep,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_definition() {
        let a: Vec<f64> = (0..6).map(f64::from).collect();
        let b: Vec<f64> = (0..12).map(|i| f64::from(i) - 4.0).collect();
        let mut out = vec![f64::NAN; 8];
        product(ViewMut::new(&mut out, 2, 4, 4), 0.0, View::new(&a, 2, 3, 3), View::new(&b, 3, 4, 4), 2.0);
        for r in 0..2 {
            for c in 0..4 {
                let sum: f64 = (0..3).map(|k| a[r * 3 + k] * b[k * 4 + c]).sum();
                assert_eq!(out[r * 4 + c], 2.0 * sum);
            }
        }
        let before = out.clone();
        let transposed = View::new(&a, 2, 3, 3).transposed();
        let mut square = vec![1.0; 9];
        product(ViewMut::new(&mut square, 3, 3, 3), 1.0, transposed, View::new(&a, 2, 3, 3), -1.0);
        assert_eq!(square[4], 1.0 - (a[1] * a[1] + a[4] * a[4]));
        product(ViewMut::new(&mut out, 2, 4, 4), 1.0, View::new(&[], 2, 0, 0), View::new(&[], 0, 4, 4), 1.0);
        assert_eq!(out, before);
    }
}
