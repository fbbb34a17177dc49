//! Sums of outer products over tokens: `A B'`, with A and B features by tokens.
//!
//! These are the weight gradients `dW = dY X'` and the second moments `X X'`. Both operands hold 64 tokens of a feature side by side, so
//! vectors run along the tokens and nothing is transposed: a *block* of 4 rows of A and 6 rows of B has 24 vector accumulators (see
//! `block`). The rows of B in a block need not be neighbours, so one kernel computes the whole result and the kept blocks of a sparse one.
//!
//! A task computes some columns of the result: those of a *panel* of rows of B. It copies the panel's rows, 16 tiles of tokens at a time,
//! to a buffer in which the tokens of a row are contiguous, and which stays in the second-level cache. Then it copies 4 rows of A at a
//! time to a buffer that stays in the first level. In tiles, the same feature of all tiles lies in few sets of the caches.

use std::marker::PhantomData;
use std::ops::Range;

use lacuna_kernels::{Buffer, Parallel, TILE};
use lacuna_model::Matrix;

use super::block::{COLS, Columns, LANES, ROWS, block, tree};
use super::groups::RowGroups;
use crate::Result;
use crate::error::check_size;
use crate::tiles::Tiles;

/// How the work is cut.
#[derive(Clone, Copy)]
struct Cut {
    /// Rows of B in a panel.
    panel: usize,
    /// Tiles whose tokens are summed in registers.
    tiles: usize,
    /// Whether all columns are computed. Six neighbouring rows of B then lie in the buffer vector by vector.
    all: bool,
}

impl Cut {
    /// 96 rows of 4 KiB, half of a second-level cache.
    const DENSE: Cut = Cut { panel: 96, tiles: 16, all: true };
    /// More columns, so that blocks of six kept ones are full: 192 rows of 3 KiB.
    const SPARSE: Cut = Cut { panel: 192, tiles: 12, all: false };
}

/// `out += a b'`: `out[m][k] += sum_n a[m][n] b[k][n]` over all tokens n.
///
/// # Shapes
/// `a` is M x N, `b` is K x N, `out` is `[M][K]`, row-major.
///
/// # Numerics
/// f32, in an order that depends on N only: the same bits on any number of threads.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) for other shapes.
pub fn outer(a: &Tiles, b: &Tiles, out: &mut [f32]) -> Result<()> {
    check(a, b, out)?;
    let all: Vec<u32> = (0..b.features() as u32).collect();
    run(Cut::DENSE, a, b, out, |_| &all);
    Ok(())
}

/// [`outer`], for the kept columns of each group of rows only. The other elements of `out` stay as they are.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) for other shapes.
pub fn outer_kept(a: &Tiles, b: &Tiles, kept: &RowGroups, out: &mut [f32]) -> Result<()> {
    check(a, b, out)?;
    check_size("rows of the pattern", kept.rows(), a.features())?;
    check_size("columns of the pattern", kept.columns(), b.features())?;
    run(Cut::SPARSE, a, b, out, |group| kept.group(group));
    Ok(())
}

/// The result, of which tasks write disjoint columns or rows.
struct SharedOut<'a>(*mut f32, PhantomData<&'a mut [f32]>);

// SAFETY: tasks write disjoint elements, see `run`.
unsafe impl Sync for SharedOut<'_> {}

/// Adds the products of all rows of A with the rows of B that `kept` lists for their group, in ascending order.
fn run<'k>(cut: Cut, a: &Tiles, b: &Tiles, out: &mut [f32], kept: impl Fn(usize) -> &'k [u32] + Sync) {
    let (m, k) = (a.features(), b.features());
    let (panels, groups) = (k.div_ceil(cut.panel), m.div_ceil(ROWS));
    // Where panels are too few for the threads, rows are cut too.
    let pieces = Parallel::Rayon.threads().div_ceil(panels.max(1)).min(groups.max(1));
    let shared = SharedOut(out.as_mut_ptr(), PhantomData);
    Parallel::Rayon.for_each(panels * pieces, |task| {
        let (panel, piece) = (task / pieces, task % pieces);
        let columns = panel * cut.panel..k.min((panel + 1) * cut.panel);
        let groups = piece * groups / pieces..(piece + 1) * groups / pieces;
        let shared = &shared;
        let mut buffers = [Buffer::new(0), Buffer::new(0)];
        for first in (0..a.count()).step_by(cut.tiles) {
            let tiles = first..a.count().min(first + cut.tiles);
            // SAFETY: tasks differ in their columns or in their groups of rows, and the result has m x k elements.
            unsafe { chunk(cut, a, b, &columns, groups.clone(), tiles, shared, &mut buffers, &kept) };
        }
    });
}

/// The sums over some tiles, for some columns of some groups of rows.
///
/// # Safety
/// - `out` has an element for every row of A and every row of B.
/// - Nobody else uses these columns of these rows now.
#[allow(clippy::too_many_arguments)]
unsafe fn chunk<'k>(
    cut: Cut,
    a: &Tiles,
    b: &Tiles,
    columns: &Range<usize>,
    groups: Range<usize>,
    tiles: Range<usize>,
    out: &SharedOut<'_>,
    [panel, rows]: &mut [Buffer<f32>; 2],
    kept: &(impl Fn(usize) -> &'k [u32] + Sync),
) {
    let (m, k) = (a.features(), b.features());
    let steps = tiles.len() * TILE / LANES;
    // Rows of a panel whose columns are chosen begin in different sets of the cache.
    let (side, row) = if cut.all { (COLS, 0) } else { (1, LANES) };
    let place = |i: usize| i / side * (side * steps * LANES + row) + i % side * LANES;
    panel.reserve(place(columns.len().next_multiple_of(side)));
    rows.reserve(ROWS * steps * LANES);
    copy_rows(b, columns.clone(), &tiles, side * LANES, place, panel);
    for group in groups {
        let list = kept(group);
        let from = list.partition_point(|&column| (column as usize) < columns.start);
        let to = list.partition_point(|&column| (column as usize) < columns.end);
        if from == to {
            continue;
        }
        let used = group * ROWS..m.min((group + 1) * ROWS);
        copy_rows(a, used.clone(), &tiles, ROWS * LANES, |i| i * LANES, rows);
        for some in list[from..to].chunks(COLS) {
            let places = std::array::from_fn(|i| place(some[i.min(some.len() - 1)] as usize - columns.start));
            let sums = block(rows, Columns { data: panel, places, step: side * LANES }, steps);
            for (row, sums) in used.clone().zip(&sums) {
                for (&column, sum) in some.iter().zip(sums) {
                    // SAFETY: row and column are inside the result, and nobody else uses the element, by the caller's promise.
                    unsafe { *out.0.add(row * k + column as usize) += sum };
                }
            }
        }
    }
}

/// Copies the tokens of some tiles of some features: those of the i-th to vectors that are `step` elements apart, from `place(i)` on.
fn copy_rows(
    tiles: &Tiles,
    features: Range<usize>,
    range: &Range<usize>,
    step: usize,
    place: impl Fn(usize) -> usize,
    to: &mut [f32],
) {
    let size = tiles.tile_elements();
    for (i, tile) in range.clone().enumerate() {
        let from = tiles.data()[tile * size..][..size].as_chunks::<TILE>().0;
        for (row, from) in from[features.clone()].iter().enumerate() {
            let first = place(row) + i * (TILE / LANES) * step;
            for (v, from) in from.as_chunks::<LANES>().0.iter().enumerate() {
                to[first + v * step..][..LANES].copy_from_slice(from);
            }
        }
    }
}

/// The second moments `x x'` over all tokens, `[K][K]`.
///
/// # Errors
/// None for any activation; the result shares the type of [`outer`].
pub fn gram(x: &Tiles) -> Result<Matrix> {
    let mut out = Matrix::zeros(x.features(), x.features());
    outer(x, x, &mut out.data)?;
    Ok(out)
}

/// `out[m] += sum_n a[m][n]` over all tokens n.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) if `out` does not have an element per feature.
pub fn sum_tokens(a: &Tiles, out: &mut [f32]) -> Result<()> {
    check_size("sums over tokens", out.len(), a.features())?;
    if a.count() == 0 {
        return Ok(());
    }
    for tile in a.data().chunks_exact(a.tile_elements()) {
        for (row, out) in tile.as_chunks::<TILE>().0.iter().zip(out.iter_mut()) {
            let mut lanes = [0.0f32; LANES];
            for part in row.as_chunks::<LANES>().0 {
                lanes.iter_mut().zip(part).for_each(|(lane, x)| *lane += x);
            }
            *out += tree(&lanes);
        }
    }
    Ok(())
}

fn check(a: &Tiles, b: &Tiles, out: &[f32]) -> Result<()> {
    check_size("tokens of an outer product", b.columns(), a.columns())?;
    check_size("elements of an outer product", out.len(), a.features() * b.features())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(features: usize, columns: usize, seed: f32) -> Tiles {
        let data = (0..features * columns).map(|i| (i as f32 * 0.37 + seed).sin()).collect();
        Tiles::from_rows(&Matrix::from_vec(columns, features, data).unwrap())
    }

    #[test]
    fn sums_agree_with_f64_and_kept_ones_with_all() {
        for (m, k, n) in [(1, 1, 1), (5, 7, 63), (8, 12, 64), (66, 13, 65), (70, 200, 1100)] {
            let (a, b) = (filled(m, n, 0.1), filled(k, n, 0.7));
            let mut out = vec![1.0; m * k];
            outer(&a, &b, &mut out).unwrap();
            let kept: Vec<bool> = (0..m * k).map(|i| i / k / 4 % 3 != 1 && i % k % 5 != 2).collect();
            let mut some = vec![0.0; m * k];
            outer_kept(&a, &b, &RowGroups::new(m, k, &kept).unwrap(), &mut some).unwrap();
            let mut sums = vec![0.0; m];
            sum_tokens(&a, &mut sums).unwrap();
            for row in 0..m {
                let exact: f64 = (0..n).map(|t| f64::from(a.at(row, t))).sum();
                assert!((f64::from(sums[row]) - exact).abs() < 1e-3);
                for column in 0..k {
                    let exact: f64 = (0..n).map(|t| f64::from(a.at(row, t)) * f64::from(b.at(column, t))).sum();
                    let found = out[row * k + column];
                    assert!((f64::from(found) - 1.0 - exact).abs() < 2e-3, "{found} {exact}");
                    let kept = kept[row * k + column];
                    let expected = if kept { exact } else { 0.0 };
                    assert!((f64::from(some[row * k + column]) - expected).abs() < 2e-3);
                }
            }
        }
    }
}
