//! Which columns of a matrix are kept, for groups of four rows.

use crate::Result;
use crate::error::check_size;

/// Rows of a group: those of the block shape 4x1.
pub const GROUP: usize = 4;

/// Per group of four rows of a matrix, the columns where one of them is kept, ascending.
///
/// With blocks of 4x1, 8x1 and 16x1 these are exactly the kept weights. With other blocks they are more, and what is computed for the
/// others is discarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowGroups {
    rows: usize,
    columns: usize,
    offsets: Vec<usize>,
    list: Vec<u32>,
}

impl RowGroups {
    /// The groups of a mask `[rows][columns]`.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for a mask of another size.
    pub fn new(rows: usize, columns: usize, kept: &[bool]) -> Result<RowGroups> {
        check_size("elements of a mask", kept.len(), rows * columns)?;
        let mut groups = RowGroups { rows, columns, offsets: vec![0], list: Vec::new() };
        let mut any = vec![false; columns];
        for group in kept.chunks((GROUP * columns).max(1)) {
            any.fill(false);
            for row in group.chunks_exact(columns) {
                any.iter_mut().zip(row).for_each(|(any, &kept)| *any |= kept);
            }
            groups.list.extend((0..columns as u32).filter(|&column| any[column as usize]));
            groups.offsets.push(groups.list.len());
        }
        Ok(groups)
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The kept columns of group `group`: rows `4 group` to `4 group + 3`.
    pub fn group(&self, group: usize) -> &[u32] {
        &self.list[self.offsets[group]..self.offsets[group + 1]]
    }

    /// The share of the matrix that the kept columns are.
    pub fn density(&self) -> f64 {
        let all = (self.offsets.len() - 1) * self.columns;
        if all == 0 { 0.0 } else { self.list.len() as f64 / all as f64 }
    }
}
