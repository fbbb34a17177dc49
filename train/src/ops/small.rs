//! Products of small matrices, for the heads of attention.

#[cfg(target_arch = "x86_64")]
use crate::cpu::{Level, level};

/// f32 lanes of a vector.
pub(crate) const LANES: usize = 16;

/// The left operand of a product: element `(r, k)` is `data[r * row_stride + k * depth_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) row_stride: usize,
    pub(crate) depth_stride: usize,
}

/// `out[r][c] = sum_k a[r][k] b[k][c]`.
///
/// # Layout
/// `b` is `[depth][columns]` and `out` is `[rows][columns]`, both row-major; `columns` is a multiple of [`LANES`].
///
/// # Numerics
/// Fused steps in order of k.
///
/// # Panics
/// If a buffer is too short.
pub(crate) fn product(a: Left<'_>, b: &[f32], columns: usize, out: &mut [f32]) {
    let last = |count: usize, stride: usize| count.saturating_sub(1) * stride;
    assert!(columns.is_multiple_of(LANES) && a.rows > 0 && a.depth > 0, "shape of a product");
    assert!(last(a.rows, a.row_stride) + last(a.depth, a.depth_stride) < a.data.len(), "left operand");
    assert!(b.len() >= a.depth * columns && out.len() >= a.rows * columns, "right operand or result");
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 {
        // SAFETY: the features of the level were detected, and the lengths were checked above.
        return unsafe { avx512::product(a, b, columns, out) };
    }
    plain(a, b, columns, out);
}

fn plain(a: Left<'_>, b: &[f32], columns: usize, out: &mut [f32]) {
    for (r, out) in out.chunks_exact_mut(columns).enumerate().take(a.rows) {
        out.fill(0.0);
        for (k, b) in b.chunks_exact(columns).enumerate().take(a.depth) {
            let a = a.data[r * a.row_stride + k * a.depth_stride];
            out.iter_mut().zip(b).for_each(|(out, b)| *out = a.mul_add(*b, *out));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{LANES, Left};

    /// # Safety
    /// - The CPU has AVX512F.
    /// - `a`, `b` and `out` have the elements that the shapes say.
    #[target_feature(enable = "avx512f,fma")]
    pub(super) unsafe fn product(a: Left<'_>, b: &[f32], columns: usize, out: &mut [f32]) {
        const ROWS: usize = 8;
        let (pairs, mut row) = (columns / (2 * LANES), 0);
        while row < a.rows {
            let rows = ROWS.min(a.rows - row);
            for column in (0..pairs).map(|pair| pair * 2 * LANES) {
                // SAFETY: the caller's promise; the block is inside the result.
                unsafe { rows_of::<2>(rows, a, row, b, column, columns, out) };
            }
            if !columns.is_multiple_of(2 * LANES) {
                // SAFETY: as above.
                unsafe { rows_of::<1>(rows, a, row, b, columns - LANES, columns, out) };
            }
            row += rows;
        }
    }

    /// # Safety
    /// As [`product`]; `row + rows` and `column + V * 16` are inside the result.
    #[target_feature(enable = "avx512f,fma")]
    unsafe fn rows_of<const V: usize>(
        rows: usize,
        a: Left<'_>,
        row: usize,
        b: &[f32],
        column: usize,
        columns: usize,
        out: &mut [f32],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            match rows {
                8 => block::<8, V>(a, row, b, column, columns, out),
                4..8 => {
                    block::<4, V>(a, row, b, column, columns, out);
                    (row + 4..row + rows).for_each(|row| block::<1, V>(a, row, b, column, columns, out));
                }
                _ => (row..row + rows).for_each(|row| block::<1, V>(a, row, b, column, columns, out)),
            }
        }
    }

    /// R x V vectors of the result.
    ///
    /// # Safety
    /// As [`rows_of`].
    #[target_feature(enable = "avx512f,fma")]
    unsafe fn block<const R: usize, const V: usize>(
        a: Left<'_>,
        row: usize,
        b: &[f32],
        column: usize,
        columns: usize,
        out: &mut [f32],
    ) {
        let mut acc = [[_mm512_setzero_ps(); V]; R];
        for k in 0..a.depth {
            // SAFETY: row k of `b` has `columns` elements, and the block's are among them.
            let b: [__m512; V] =
                std::array::from_fn(|v| unsafe { _mm512_loadu_ps(b.as_ptr().add(k * columns + column + v * LANES)) });
            for (r, acc) in acc.iter_mut().enumerate() {
                // SAFETY: rows and depth of `a` were checked by the caller.
                let a = unsafe { *a.data.get_unchecked((row + r) * a.row_stride + k * a.depth_stride) };
                let a = _mm512_set1_ps(a);
                for (acc, b) in acc.iter_mut().zip(b) {
                    *acc = _mm512_fmadd_ps(a, b, *acc);
                }
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            for (v, acc) in acc.into_iter().enumerate() {
                // SAFETY: the block is inside the result.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr().add((row + r) * columns + column + v * LANES), acc) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_the_bits_of_the_plain_loop() {
        for (rows, depth, columns) in [(1, 1, 16), (7, 3, 32), (8, 5, 48), (9, 32, 16), (21, 4, 64), (32, 17, 80)] {
            let data: Vec<f32> = (0..rows * depth).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..depth * columns).map(|i| (i as f32 * 0.3).cos()).collect();
            for (row_stride, depth_stride) in [(depth, 1), (1, rows)] {
                let a = Left { data: &data, rows, depth, row_stride, depth_stride };
                let (mut found, mut expected) = (vec![f32::NAN; rows * columns], vec![f32::NAN; rows * columns]);
                product(a, &b, columns, &mut found);
                plain(a, &b, columns, &mut expected);
                assert_eq!(found, expected, "{rows} {depth} {columns}");
            }
        }
    }
}
