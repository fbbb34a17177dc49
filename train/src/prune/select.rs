//! Parts of matrices.

use lacuna_model::{Linear, Matrix};

/// Some outputs of a layer, in this order.
pub(super) fn rows_of(layer: &Linear, rows: &[usize]) -> Linear {
    let cols = layer.inputs();
    let data = rows.iter().flat_map(|row| layer.weight.row(*row)).copied().collect();
    let bias = rows.iter().map(|row| layer.bias[*row]).collect();
    Linear { weight: Matrix { rows: rows.len(), cols, data }, bias }
}

/// Some columns of a matrix, in this order.
pub(super) fn columns_of(matrix: &Matrix, columns: &[usize]) -> Matrix {
    let rows = (0..matrix.rows).flat_map(|row| columns.iter().map(move |column| (row, *column)));
    let data = rows.map(|(row, column)| matrix.row(row)[column]).collect();
    Matrix { rows: matrix.rows, cols: columns.len(), data }
}
