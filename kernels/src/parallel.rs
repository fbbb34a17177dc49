//! How a kernel call is spread over threads.

use rayon::prelude::*;

/// Whether one kernel call uses the calling thread alone or the current rayon pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parallel {
    /// The calling thread.
    Serial,
    /// The rayon pool the caller is in.
    Rayon,
}

impl Parallel {
    /// Calls `body` for every index below `count`, in any order.
    pub fn for_each(self, count: usize, body: impl Fn(usize) + Send + Sync) {
        match self {
            Parallel::Rayon if count > 1 && rayon::current_num_threads() > 1 => {
                (0..count).into_par_iter().with_max_len(1).for_each(body);
            }
            _ => (0..count).for_each(body),
        }
    }
}

/// A pointer to memory whose parts are written by several tasks.
#[derive(Debug)]
pub(crate) struct SharedMut<T>(*mut T);

// SAFETY: the pointer is only offset and dereferenced in kernel calls whose tasks write disjoint elements; each such call
// says why they are disjoint.
unsafe impl<T: Send> Sync for SharedMut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for SharedMut<T> {}

impl<T> Clone for SharedMut<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for SharedMut<T> {}

impl<T> SharedMut<T> {
    pub(crate) fn new(slice: &mut [T]) -> SharedMut<T> {
        SharedMut(slice.as_mut_ptr())
    }

    /// The address of element `index`, without any claim about it.
    pub(crate) fn at(self, index: usize) -> *mut T {
        self.0.wrapping_add(index)
    }
}

/// Some tiles of some block rows: what one task of a GEMM or SpMM computes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) first_tile: usize,
    pub(crate) tiles: usize,
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
}

/// A call cut into parts: by tiles first; by block rows too if there are fewer tiles than threads.
#[derive(Debug)]
pub(crate) struct Parts {
    tiles: usize,
    tiles_per_part: usize,
    /// First block row of each part of a tile, and the total at the end.
    rows: Vec<usize>,
}

impl Parts {
    /// `rows` block rows per tile; `cost(r)` is the work of the block rows before r.
    pub(crate) fn new(tiles: usize, rows: usize, cost: impl Fn(usize) -> usize, parallel: Parallel) -> Parts {
        let threads = match parallel {
            Parallel::Serial => 1,
            Parallel::Rayon => rayon::current_num_threads(),
        };
        if threads == 1 {
            return Parts { tiles, tiles_per_part: tiles, rows: vec![0, rows] };
        }
        let pieces = threads.div_ceil(tiles).min(rows);
        let mut row = 0;
        let mut first_rows: Vec<usize> = (0..=pieces)
            .map(|i| {
                while row < rows && cost(row) < cost(rows) * i / pieces {
                    row += 1;
                }
                row
            })
            .collect();
        first_rows.dedup(); // a block row longer than a part's share leaves nothing for the next part
        Parts { tiles, tiles_per_part: 1, rows: first_rows }
    }

    pub(crate) fn count(&self) -> usize {
        self.tiles.div_ceil(self.tiles_per_part) * (self.rows.len() - 1)
    }

    /// Part `i`; parts are disjoint, not empty, and cover everything.
    pub(crate) fn part(&self, i: usize) -> Part {
        let pieces = self.rows.len() - 1;
        let (tile, piece) = (i / pieces * self.tiles_per_part, i % pieces);
        Part {
            first_tile: tile,
            tiles: self.tiles_per_part.min(self.tiles - tile),
            first_row: self.rows[piece],
            rows: self.rows[piece + 1] - self.rows[piece],
        }
    }
}
