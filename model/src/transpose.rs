//! Matrices between the order of checkpoints and that of ONNX.

use rayon::prelude::*;

/// `[M][K]` as `[K][M]`.
pub(crate) fn transposed<T: Copy + Default + Send + Sync>(m: usize, k: usize, data: &[T]) -> Vec<T> {
    /// Output rows of one task: what a cache line of the input holds.
    const ROWS: usize = 16;
    let mut out = vec![T::default(); m * k];
    out.par_chunks_mut((m * ROWS).max(1)).enumerate().for_each(|(task, rows)| {
        for (r, line) in data.chunks_exact(k.max(1)).enumerate() {
            for (c, &x) in line[task * ROWS..].iter().take(ROWS).enumerate() {
                rows[c * m + r] = x;
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_moves_every_element() {
        for (m, k) in [(1, 1), (3, 17), (16, 16), (33, 15), (5, 64)] {
            let data: Vec<usize> = (0..m * k).collect();
            let out = transposed(m, k, &data);
            for (r, c) in (0..m).flat_map(|r| (0..k).map(move |c| (r, c))) {
                assert_eq!(out[c * m + r], data[r * k + c], "{m} x {k}");
            }
        }
    }
}
