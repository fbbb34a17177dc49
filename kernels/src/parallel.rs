//! How a kernel call is spread over threads.

use crate::Team;

/// Whether one kernel call uses only the calling thread, a rayon pool, or a team that exists already.
#[derive(Debug, Clone, Copy)]
pub enum Parallel<'a> {
    /// The calling thread.
    Serial,
    /// The rayon pool of the caller, for this call only.
    Rayon,
    /// A team that many calls share: the cheapest, and the best for a sequence of short calls.
    Team(Team<'a>),
}

impl Parallel<'_> {
    /// Calls `body` for every index below `count`, in any order.
    pub fn for_each(self, count: usize, body: impl Fn(usize) + Send + Sync) {
        match self {
            Parallel::Serial => (0..count).for_each(body),
            Parallel::Rayon => Team::run(count, |team| team.for_each(count, &body)),
            Parallel::Team(team) => team.for_each(count, &body),
        }
    }

    /// The number of threads among which work can be split.
    pub fn threads(self) -> usize {
        match self {
            Parallel::Serial => 1,
            Parallel::Rayon => rayon::current_num_threads(),
            Parallel::Team(team) => team.threads(),
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

/// Some tiles of some row blocks: what one task of a GEMM or SpMM computes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) first_tile: usize,
    pub(crate) tiles: usize,
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
}

/// The largest number of pieces that the row blocks of a tile are split into.
const MAX_PIECES: usize = 64;

/// A call cut into parts of equal work: first by tiles, and also by row blocks where tiles would leave threads idle.
#[derive(Debug)]
pub(crate) struct Parts {
    tiles: usize,
    tiles_per_part: usize,
    pieces: usize,
    /// First row block of each piece of a tile, and the total after the last one.
    rows: [usize; MAX_PIECES + 1],
}

impl Parts {
    /// `rows` row blocks per tile; `cost(r)` is the work of the row blocks before r.
    pub(crate) fn new(tiles: usize, rows: usize, cost: impl Fn(usize) -> usize, parallel: Parallel<'_>) -> Parts {
        let threads = parallel.threads();
        let mut parts = Parts { tiles, tiles_per_part: 1, pieces: 1, rows: [0; MAX_PIECES + 1] };
        if threads == 1 {
            parts.tiles_per_part = tiles;
            parts.rows[1] = rows;
            return parts;
        }
        let pieces = pieces(tiles, threads).min(rows).clamp(1, MAX_PIECES);
        let total = cost(rows);
        // If a row block is longer than a piece's share, the next piece would be empty and is left out.
        parts.pieces = 0;
        for i in 1..=pieces {
            let first = parts.rows[parts.pieces];
            let end = if i == pieces { rows } else { first_reaching(first, rows, total * i / pieces, &cost) };
            if end > first {
                parts.pieces += 1;
                parts.rows[parts.pieces] = end;
            }
        }
        parts
    }

    pub(crate) fn count(&self) -> usize {
        self.tiles.div_ceil(self.tiles_per_part) * self.pieces
    }

    /// Part `i`; parts are disjoint, not empty, and cover everything.
    pub(crate) fn part(&self, i: usize) -> Part {
        let (tile, piece) = (i / self.pieces * self.tiles_per_part, i % self.pieces);
        Part {
            first_tile: tile,
            tiles: self.tiles_per_part.min(self.tiles - tile),
            first_row: self.rows[piece],
            rows: self.rows[piece + 1] - self.rows[piece],
        }
    }
}

/// The fewest pieces per tile with which `tiles * pieces` parts keep `threads` threads busy nine tenths of the time.
fn pieces(tiles: usize, threads: usize) -> usize {
    let busy = |pieces: &usize| {
        let parts = tiles * pieces;
        10 * parts >= 9 * parts.next_multiple_of(threads)
    };
    (1..threads).find(busy).unwrap_or(threads)
}

/// The first row from `first` on with at least `goal` work before it, or `rows`.
fn first_reaching(first: usize, rows: usize, goal: usize, cost: impl Fn(usize) -> usize) -> usize {
    let (mut low, mut high) = (first, rows);
    while low < high {
        let middle = low.midpoint(high);
        match cost(middle) < goal {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Parts cover every (tile, row) once, none is empty, and none is longer than a fair share and one row.
        #[test]
        fn parts_are_a_fair_partition(
            tiles in 1usize..9,
            costs in prop::collection::vec(0usize..50, 1..80),
            threads in 1usize..9,
        ) {
            let sums: Vec<usize> = (0..=costs.len()).map(|r| costs[..r].iter().sum::<usize>() + r).collect();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let parts = pool.install(|| Parts::new(tiles, costs.len(), |r| sums[r], Parallel::Rayon));
            let mut seen = vec![0; tiles * costs.len()];
            let fair = sums[costs.len()].div_ceil(parts.pieces) + costs.iter().max().unwrap() + 1;
            for part in (0..parts.count()).map(|i| parts.part(i)) {
                prop_assert!(part.tiles > 0 && part.rows > 0);
                let work = sums[part.first_row + part.rows] - sums[part.first_row];
                prop_assert!(threads == 1 || work <= fair, "{work} > {fair}");
                for tile in part.first_tile..part.first_tile + part.tiles {
                    (part.first_row..part.first_row + part.rows).for_each(|row| seen[tile * costs.len() + row] += 1);
                }
            }
            prop_assert!(seen.iter().all(|&n| n == 1));
        }
    }

    #[test]
    fn few_tiles_are_cut_and_many_are_not() {
        for (tiles, threads, expected) in [(1, 2, 2), (2, 2, 1), (3, 2, 2), (16, 2, 1), (1, 8, 8), (3, 8, 5), (9, 2, 1)]
        {
            assert_eq!(pieces(tiles, threads), expected, "{tiles} tiles, {threads} threads");
        }
    }
}
