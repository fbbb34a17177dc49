//! The input gradient of a sparse layer: `dX = W' dY` for the kept weights only.
//!
//! Weights come in groups of four rows. Four rows of dY stay in registers while the group's kept columns are gone through: each adds
//! four multiples to one row of dX. A task owns a tile of dX, so that rows are added to in the order of the groups.

use lacuna_kernels::{ChunksMut, Parallel, TILE};

use super::groups::{GROUP, RowGroups};
use crate::Result;
#[cfg(target_arch = "x86_64")]
use crate::cpu::{Level, level};
use crate::error::check_size;
use crate::tiles::Tiles;

/// The kept weights of a matrix, group by group.
#[derive(Debug, Clone)]
pub(crate) struct GroupedWeights {
    groups: RowGroups,
    /// The four weights of every kept column, in the order of the groups' lists. Rows that do not exist have zeros.
    values: Vec<[f32; GROUP]>,
}

impl GroupedWeights {
    /// The kept weights of `weights`, `[rows][columns]`.
    pub(crate) fn new(groups: &RowGroups, weights: &[f32]) -> Result<GroupedWeights> {
        let (rows, columns) = (groups.rows(), groups.columns());
        check_size("weights of a sparse layer", weights.len(), rows * columns)?;
        let mut values = Vec::new();
        for (group, rows) in weights.chunks(GROUP * columns).enumerate() {
            values.extend(groups.group(group).iter().map(|&column| {
                let mut four = [0.0; GROUP];
                for (value, row) in four.iter_mut().zip(rows.chunks_exact(columns)) {
                    *value = row[column as usize];
                }
                four
            }));
        }
        Ok(GroupedWeights { groups: groups.clone(), values })
    }

    /// `dx += W' dy`; with `add` false, `dx = W' dy`.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for other shapes.
    pub(crate) fn backward(&self, dy: &Tiles, dx: &mut Tiles, add: bool) -> Result<()> {
        check_size("features of the output gradient", dy.features(), self.groups.rows())?;
        check_size("features of the input gradient", dx.features(), self.groups.columns())?;
        check_size("columns of the input gradient", dx.columns(), dy.columns())?;
        let (from, to) = (dy.tile_elements(), dx.tile_elements());
        Parallel::Rayon.for_each_chunk(ChunksMut::new(dx.data_mut(), to), |tile, dx| {
            if !add {
                dx.fill(0.0);
            }
            self.tile(&dy.data()[tile * from..][..from], dx);
        });
        Ok(())
    }

    fn tile(&self, dy: &[f32], dx: &mut [f32]) {
        let mut values = &self.values[..];
        for (group, dy) in dy.as_chunks::<{ GROUP * TILE }>().0.iter().enumerate() {
            let columns = self.groups.group(group);
            let (now, rest) = values.split_at(columns.len());
            values = rest;
            #[cfg(target_arch = "x86_64")]
            if level() == Level::Avx512 {
                // SAFETY: the features of the level were detected; columns are below the number of features of dx, whose tile has a row
                // of 64 for each.
                unsafe { avx512::group(columns, now, dy, dx) };
                continue;
            }
            plain_group(columns, now, dy, dx);
        }
    }
}

/// One group in plain Rust, to the same bits.
fn plain_group(columns: &[u32], values: &[[f32; GROUP]], dy: &[f32; GROUP * TILE], dx: &mut [f32]) {
    for (&column, values) in columns.iter().zip(values) {
        let dx = &mut dx[column as usize * TILE..][..TILE];
        for (&value, dy) in values.iter().zip(dy.chunks_exact(TILE)) {
            dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = value.mul_add(*dy, *dx));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{GROUP, TILE};

    const LANES: usize = 16;
    const VECTORS: usize = TILE / LANES;

    /// # Safety
    /// - The CPU has AVX512F.
    /// - `dx` has a row of 64 elements for every column.
    #[target_feature(enable = "avx512f,fma")]
    pub(super) unsafe fn group(columns: &[u32], values: &[[f32; GROUP]], dy: &[f32; GROUP * TILE], dx: &mut [f32]) {
        let dy: [[__m512; GROUP]; VECTORS] = std::array::from_fn(|v| {
            // SAFETY: `dy` has four rows of 64 elements.
            std::array::from_fn(|r| unsafe { _mm512_loadu_ps(dy.as_ptr().add(r * TILE + v * LANES)) })
        });
        let dx = dx.as_mut_ptr();
        for (&column, values) in columns.iter().zip(values) {
            let weights = values.map(|w| _mm512_set1_ps(w));
            // SAFETY: the caller's promise.
            let row = unsafe { dx.add(column as usize * TILE) };
            for (v, dy) in dy.iter().enumerate() {
                // SAFETY: the vector is inside the row.
                let mut sum = unsafe { _mm512_loadu_ps(row.add(v * LANES)) };
                for (weight, dy) in weights.iter().zip(dy) {
                    sum = _mm512_fmadd_ps(*weight, *dy, sum);
                }
                // SAFETY: as above.
                unsafe { _mm512_storeu_ps(row.add(v * LANES), sum) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lacuna_model::Matrix;

    #[test]
    fn gradients_are_those_of_the_whole_matrix() {
        for (m, k, n) in [(1, 1, 1), (6, 5, 63), (8, 9, 64), (13, 20, 130)] {
            let kept: Vec<bool> = (0..m * k).map(|i| (i / k / 4 + i % k) % 3 == 0).collect();
            let weights: Vec<f32> =
                kept.iter().enumerate().map(|(i, &kept)| if kept { (i as f32).sin() } else { 0.0 }).collect();
            let groups = RowGroups::new(m, k, &kept).unwrap();
            let grouped = GroupedWeights::new(&groups, &weights).unwrap();
            let rows = Matrix { rows: n, cols: m, data: (0..n * m).map(|i| (i as f32 * 0.3).cos()).collect() };
            let (dy, mut dx) = (Tiles::from_rows(&rows), Tiles::zeros(k, n));
            dx.data_mut().fill(f32::NAN);
            grouped.backward(&dy, &mut dx, false).unwrap();
            grouped.backward(&dy, &mut dx, true).unwrap();
            for (feature, token) in (0..k).flat_map(|f| (0..n).map(move |t| (f, t))) {
                let exact: f32 = (0..m).map(|row| weights[row * k + feature] * dy.at(row, token)).sum();
                assert!((dx.at(feature, token) - 2.0 * exact).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn groups_have_the_bits_of_the_plain_loop() {
        let dy: [f32; GROUP * TILE] = std::array::from_fn(|i| (i as f32).sin());
        let values: Vec<[f32; GROUP]> = (0..3).map(|i| std::array::from_fn(|r| (i * 4 + r) as f32 * 0.3)).collect();
        let groups = RowGroups::new(4, 6, &[true, false, true, false, false, true].repeat(4)).unwrap();
        let (mut found, mut expected) = (vec![0.5f32; 6 * TILE], vec![0.5f32; 6 * TILE]);
        GroupedWeights { groups, values: values.clone() }.tile(&dy, &mut found);
        plain_group(&[0, 2, 5], &values, &dy, &mut expected);
        assert_eq!(found, expected);
    }
}
