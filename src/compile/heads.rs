//! Attention heads as they are stored.

use lacuna_kernels::layout;

/// Heads as stored: each padded with zero features to a multiple of 4, so that K's dwords never straddle heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(super) count: usize,
    pub(super) size: usize,
}

impl Heads {
    pub(super) fn padded(self) -> usize {
        layout::padded(self.size)
    }

    /// Features of Q, K, V and the attention output.
    pub(crate) fn features(self) -> usize {
        self.count * self.padded()
    }

    /// Where feature `f` (of `count * size`) is stored.
    fn place(self, f: usize) -> usize {
        f / self.size * self.padded() + f % self.size
    }

    /// One value per stored feature: `values` where there is a feature, `padding` elsewhere.
    pub(super) fn spread<T: Copy>(self, values: &[T], padding: T) -> Vec<T> {
        let mut stored = vec![padding; self.features()];
        values.iter().enumerate().for_each(|(f, &value)| stored[self.place(f)] = value);
        stored
    }

    /// Rows of a `[M][K]` matrix, spread over stored output features.
    pub(super) fn spread_rows<T: Copy + Default>(self, weights: &[T], k: usize) -> Vec<T> {
        let mut stored = vec![T::default(); self.features() * k];
        for (f, row) in weights.chunks_exact(k).enumerate() {
            stored[self.place(f) * k..][..k].copy_from_slice(row);
        }
        stored
    }

    /// Columns of a `[M][K]` matrix, spread over stored input features.
    pub(super) fn spread_columns<T: Copy + Default>(self, weights: &[T], k: usize) -> Vec<T> {
        weights.chunks_exact(k).flat_map(|row| self.spread(row, T::default())).collect()
    }
}
