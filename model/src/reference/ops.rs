//! The arithmetic of the forward pass.

use gemm::{Parallelism, gemm};

use crate::matrix::Matrix;
use crate::weights::{LayerNorm, Linear};

/// A strided view of an f32 matrix: element `(r, c)` is `data[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl View<'_> {
    /// The same elements with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    fn span(&self) -> usize {
        span(self.rows, self.cols, self.row_stride, self.col_stride)
    }
}

/// Elements from the first to one past the last of a strided matrix.
fn span(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 {
        return 0;
    }
    (rows - 1) * row_stride + (cols - 1) * col_stride + 1
}

/// Tokens in one call of `gemm`.
///
/// The products here have few tokens and many weights, and `gemm` runs at twice to four times the
/// speed when it need not repack the weights: when the tokens of the other operand and of the result
/// lie side by side, and are at most this many.
const CHUNK: usize = 32;

/// `out = x * w^T` on the calling thread: `x` is `[N][K]`, `w` is `[M][K]`, `out` is `[N][M]` with
/// `row_stride` elements between rows.
///
/// # Panics
/// When the shapes disagree or a slice is too short; all callers are in this module's parent.
pub(super) fn matmul(out: &mut [f32], row_stride: usize, x: View<'_>, w: View<'_>) {
    assert_eq!(x.cols, w.cols, "inner dimensions");
    assert!(x.data.len() >= x.span() && w.data.len() >= w.span(), "operand too short");
    assert!(out.len() >= span(x.rows, w.rows, row_stride, 1), "result too short");
    let (inputs, outputs) = (x.cols, w.rows);
    let mut chunk_in = vec![0.0f32; inputs * CHUNK.min(x.rows)];
    let mut chunk_out = vec![0.0f32; outputs * CHUNK.min(x.rows)];
    for first in (0..x.rows).step_by(CHUNK) {
        let tokens = CHUNK.min(x.rows - first);
        let rows = View { data: &x.data[first * x.row_stride..], rows: tokens, ..x };
        transpose(&mut chunk_in, tokens, rows);
        product(&mut chunk_out, &chunk_in, tokens, w);
        let columns = View { data: &chunk_out, rows: outputs, cols: tokens, row_stride: tokens, col_stride: 1 };
        transpose(&mut out[first * row_stride..], row_stride, columns);
    }
}

/// Copies `m[r][c]` to `out[c * out_stride + r]`, in squares that fit in registers.
fn transpose(out: &mut [f32], out_stride: usize, m: View<'_>) {
    const SIDE: usize = 16;
    for first_col in (0..m.cols).step_by(SIDE) {
        let cols = SIDE.min(m.cols - first_col);
        for first_row in (0..m.rows).step_by(SIDE) {
            let rows = SIDE.min(m.rows - first_row);
            let mut square = [[0.0f32; SIDE]; SIDE];
            for (r, line) in square.iter_mut().enumerate().take(rows) {
                let from = &m.data[(first_row + r) * m.row_stride + first_col * m.col_stride..];
                match from.first_chunk::<SIDE>() {
                    Some(chunk) if m.col_stride == 1 => *line = *chunk,
                    _ => line.iter_mut().zip(from.iter().step_by(m.col_stride)).for_each(|(to, x)| *to = *x),
                }
            }
            for c in 0..cols {
                let column: [f32; SIDE] = std::array::from_fn(|r| square[r][c]);
                let to = &mut out[(first_col + c) * out_stride + first_row..];
                match to.first_chunk_mut::<SIDE>() {
                    Some(chunk) if rows == SIDE => *chunk = column,
                    _ => to[..rows].copy_from_slice(&column[..rows]),
                }
            }
        }
    }
}

/// `out = w * x` with `x` of shape `[K][tokens]` and `out` of shape `[M][tokens]`, both row-major.
fn product(out: &mut [f32], x: &[f32], tokens: usize, w: View<'_>) {
    assert!(x.len() >= w.cols * tokens && out.len() >= w.rows * tokens && w.data.len() >= w.span());
    // SAFETY: gemm reads and writes exactly the elements of the three strided matrices. Each slice
    // is at least as long as its matrix spans (asserted above), strides are non-negative and small
    // enough for isize because the slices exist, and `out` is borrowed mutably, so it overlaps
    // neither operand.
    unsafe {
        gemm(
            w.rows,
            tokens,
            w.cols,
            out.as_mut_ptr(),
            1,
            tokens as isize,
            false,
            w.data.as_ptr(),
            w.col_stride as isize,
            w.row_stride as isize,
            x.as_ptr(),
            1,
            tokens as isize,
            0.0f32,
            1.0f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `y = x * w^T` with `x` of shape `[N][K]` and `w` of shape `[M][K]`; the result is `[N][M]`.
///
/// # Panics
/// When `x.cols != w.cols`.
pub fn matmul_transposed(x: &Matrix, w: &Matrix) -> Matrix {
    let mut y = Matrix::zeros(x.rows, w.rows);
    matmul(&mut y.data, w.rows, whole(x), whole(w));
    y
}

fn whole(m: &Matrix) -> View<'_> {
    View { data: &m.data, rows: m.rows, cols: m.cols, row_stride: m.cols, col_stride: 1 }
}

/// `y[n] = linear(x[n])` for every row.
pub(crate) fn linear(x: &Matrix, layer: &Linear) -> Matrix {
    let mut y = matmul_transposed(x, &layer.weight);
    for row in y.data.chunks_exact_mut(layer.bias.len()) {
        row.iter_mut().zip(&layer.bias).for_each(|(y, b)| *y += b);
    }
    y
}

/// `x += y`, element by element.
pub(super) fn add(x: &mut Matrix, y: &Matrix) {
    x.data.iter_mut().zip(&y.data).for_each(|(x, y)| *x += y);
}

/// Layer normalisation of every row, in place:
/// `y[k] = gamma[k] * (x[k] - mean) / sqrt(var + eps) + beta[k]`.
///
/// # Numerics
/// Two passes in f32 (mean, then variance about it), sixteen partial sums.
pub fn layer_norm(x: &mut Matrix, weights: &LayerNorm, eps: f32) {
    let features = x.cols;
    if features == 0 {
        return;
    }
    for row in x.data.chunks_exact_mut(features) {
        let mean = sum_by(row, |v| v) / features as f32;
        let variance = sum_by(row, |v| (v - mean) * (v - mean)) / features as f32;
        let scale = 1.0 / (variance + eps).sqrt();
        for ((v, gamma), beta) in row.iter_mut().zip(&weights.gamma).zip(&weights.beta) {
            *v = (*v - mean) * scale * gamma + beta;
        }
    }
}

/// Sum of `f(x)` with sixteen partial sums, which the compiler turns into vector additions.
pub(super) fn sum_by(xs: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = xs.as_chunks::<16>();
    let mut partial = [0.0f32; 16];
    for chunk in chunks {
        for (p, &x) in partial.iter_mut().zip(chunk) {
            *p += f(x);
        }
    }
    partial.iter().sum::<f32>() + rest.iter().map(|&x| f(x)).sum::<f32>()
}

/// In place `exp(x - max(x))`, the unnormalised softmax of one row.
pub(crate) fn exp_minus_max(row: &mut [f32]) {
    let (chunks, rest) = row.as_chunks::<16>();
    let mut partial = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        partial.iter_mut().zip(chunk).for_each(|(p, x)| *p = p.max(*x));
    }
    let max = partial.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = (*x - max).exp());
}

/// `out = x w` for rows of `k` features side by side: `w` is `[K][N]`, or `[N][K]` where `by_output` says so.
///
/// # Panics
/// When a slice is too short.
#[cfg_attr(not(feature = "onnx"), allow(dead_code))]
pub(crate) fn rows_times(out: &mut [f32], x: &[f32], k: usize, w: &[f32], n: usize, by_output: bool) {
    let x = View { data: x, rows: x.len() / k.max(1), cols: k, row_stride: k, col_stride: 1 };
    let (row_stride, col_stride) = if by_output { (k, 1) } else { (1, n) };
    matmul(out, n, x, View { data: w, rows: n, cols: k, row_stride, col_stride });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_by_covers_the_tail() {
        for n in [0, 1, 15, 16, 17, 100] {
            let xs: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum_by(&xs, |x| x), (n * n.max(1) - n) as f32 / 2.0);
        }
    }
}
