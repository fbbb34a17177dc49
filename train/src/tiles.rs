//! Activations in the layout of the f32 kernels.

use lacuna_kernels::layout::{elements, f32_index, padded, tiles};
use lacuna_kernels::{Buffer, TILE};
use lacuna_model::Matrix;

/// An activation of `features` x `columns`, one column per token.
///
/// # Layout
/// `[tile][feature][64]`: tiles of 64 columns, with features rounded up to a multiple of 4. The columns of the last tile behind the last
/// token are *padding columns*. They are zero in every activation and gradient that this crate gives, so that sums over whole tiles are
/// sums over tokens.
#[derive(Debug, Clone)]
pub struct Tiles {
    features: usize,
    columns: usize,
    data: Buffer<f32>,
}

impl Default for Tiles {
    fn default() -> Tiles {
        Tiles { features: 0, columns: 0, data: Buffer::new(0) }
    }
}

impl Tiles {
    /// Zeros.
    pub fn zeros(features: usize, columns: usize) -> Tiles {
        Tiles { features, columns, data: Buffer::new(elements(features, columns)) }
    }

    /// The columns are the rows of a matrix `[columns][features]`.
    pub fn from_rows(rows: &Matrix) -> Tiles {
        let mut tiles = Tiles::zeros(rows.cols, rows.rows);
        for column in 0..rows.rows {
            for (feature, &x) in rows.row(column).iter().enumerate() {
                tiles.data[f32_index(rows.cols, feature, column)] = x;
            }
        }
        tiles
    }

    /// The columns as rows of a matrix `[columns][features]`.
    pub fn to_rows(&self) -> Matrix {
        let mut rows = Matrix::zeros(self.columns, self.features);
        for column in 0..self.columns {
            for (feature, x) in rows.row_mut(column).iter_mut().enumerate() {
                *x = self.at(feature, column);
            }
        }
        rows
    }

    /// Takes another shape and keeps its memory where that is enough. The values are unspecified afterwards.
    pub fn reshape(&mut self, features: usize, columns: usize) {
        self.data.reserve(elements(features, columns));
        (self.features, self.columns) = (features, columns);
    }

    /// The number of features.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The number of columns: tokens.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The number of tiles.
    pub fn count(&self) -> usize {
        tiles(self.columns)
    }

    /// Elements from one tile to the next.
    pub fn tile_elements(&self) -> usize {
        padded(self.features) * TILE
    }

    /// The columns of tile `tile` that are tokens, 1 to 64.
    pub fn tile_columns(&self, tile: usize) -> usize {
        self.columns.saturating_sub(tile * TILE).min(TILE)
    }

    /// All elements, padding included.
    pub fn data(&self) -> &[f32] {
        &self.data[..elements(self.features, self.columns)]
    }

    /// All elements, padding included.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data[..elements(self.features, self.columns)]
    }

    /// One element.
    ///
    /// # Panics
    /// If there is no such feature or column.
    pub fn at(&self, feature: usize, column: usize) -> f32 {
        assert!(feature < self.features && column < self.columns, "element ({feature}, {column})");
        self.data[f32_index(self.features, feature, column)]
    }

    /// Makes the padding columns and the padding features zero.
    pub fn clear_padding(&mut self) {
        let (features, rows, columns) = (self.features, padded(self.features), self.columns);
        let (count, size) = (self.count(), self.tile_elements());
        let used = if count == 0 { 0 } else { columns - (count - 1) * TILE };
        let data = self.data_mut();
        if rows > features {
            for tile in data.chunks_exact_mut(size) {
                tile[features * TILE..].fill(0.0);
            }
        }
        if let Some(last) = data.chunks_exact_mut(size.max(1)).last()
            && used < TILE
        {
            last.chunks_exact_mut(TILE).for_each(|row| row[used..].fill(0.0));
        }
    }

    /// Whether all elements are finite.
    pub fn is_finite(&self) -> bool {
        self.data().iter().all(|x| x.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_padding_is_cleared() {
        for (features, columns) in [(1, 1), (5, 63), (4, 64), (7, 65), (3, 130)] {
            let data = (0..features * columns).map(|i| 1.0 + i as f32).collect();
            let rows = Matrix::from_vec(columns, features, data).unwrap();
            let mut tiles = Tiles::from_rows(&rows);
            assert_eq!(tiles.to_rows(), rows);
            let sum: f64 = tiles.data().iter().map(|&x| f64::from(x)).sum();
            for i in 0..tiles.data().len() {
                if tiles.data()[i] == 0.0 {
                    tiles.data_mut()[i] = f32::NAN;
                }
            }
            tiles.clear_padding();
            assert_eq!(tiles.data().iter().map(|&x| f64::from(x)).sum::<f64>(), sum);
            assert_eq!(tiles.to_rows(), rows);
        }
    }
}
