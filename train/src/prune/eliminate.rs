//! Optimal brain surgeon: blocks are removed one after the other, and each removal says what it costs.
//!
//! Removing the weights P of a row `w` raises `w H w^T` by at least `w_P S^-1 w_P^T` with `S = (H^-1)[P][P]`, if the kept weights K change
//! to `w_K - w_P S^-1 (H^-1)[P][K]`. The inverse of the kept weights' Hessian is then `(H^-1)[K][K] - (H^-1)[K][P] S^-1 (H^-1)[P][K]`.
//! Rows of one group share their zeros, so they share the inverse too.
//!
//! Source: Hassibi and Stork, "Second order derivatives for network pruning: Optimal Brain Surgeon" (1992); for groups of rows and
//! layers, Frantar and Alistarh, "Optimal Brain Compression" (2022).

use rayon::prelude::*;

use super::error::PruneError;
use super::grid::{Grid, Mask};
use super::linalg::{View, ViewMut, cholesky, inverse, product, solve_lower};
use super::problem::{Inputs, Target};

/// Rows of the inverse that are updated by one product.
const PANEL: usize = 128;
/// Inputs of the widest block that is scored without buffers.
const SMALL: usize = 4;

/// How blocks are eliminated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Elimination {
    /// The fraction of a group's remaining blocks that one round removes; at least one block goes. 1/12 loses nothing measurable against
    /// one block per round.
    pub fraction: f64,
    /// Elimination of a group ends when this fraction of its blocks is left. Their loss is then infinite.
    pub keep: f64,
}

impl Default for Elimination {
    fn default() -> Self {
        Self { fraction: 1.0 / 12.0, keep: 0.03 }
    }
}

/// What the removal of every block of a matrix costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Losses {
    pub(super) name: String,
    pub(super) grid: Grid,
    /// `[groups][across]`
    pub(super) losses: Vec<f32>,
    pub(super) energy: f64,
}

impl Losses {
    /// How the matrix is cut.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Rises of the squared error, `[groups][across]`; infinite for blocks that were not removed. Within a group, a block that was removed
    /// later never costs less.
    pub fn losses(&self) -> &[f32] {
        &self.losses
    }

    /// The energy of the dense solution, [`Target::energy`].
    pub fn energy(&self) -> f64 {
        self.energy
    }

    /// The fraction of blocks that were removed.
    pub fn reachable(&self) -> f64 {
        self.losses.iter().filter(|loss| loss.is_finite()).count() as f64 / self.losses.len().max(1) as f64
    }
}

/// Removes the blocks of a matrix, cheapest first, and returns what each removal cost.
///
/// # Numerics
/// f32, from an inverse that was computed in f64. The losses of one round are scaled so that their sum is the exact loss of removing the
/// round's blocks together. The same bits on any number of threads.
///
/// # Errors
/// [`PruneError::Shape`] when the grid is not that of the target, [`PruneError::Setting`] for options outside 0 to 1,
/// [`PruneError::NotPositive`] when f32 cannot hold the inverse.
pub fn eliminate(
    inputs: &Inputs,
    target: &Target,
    grid: Grid,
    options: Elimination,
    name: &str,
) -> Result<Losses, PruneError> {
    eliminate_rest(inputs, target, &Mask::full(grid), options, name)
}

/// The same for a matrix that has zeros already: `left` says which blocks it still has.
///
/// The other blocks are gone before the first round, and cost nothing. Every block that is left costs more than they do, so
/// [`choose`](super::choose()) takes them first: the zeros of a matrix stay when it is pruned again.
///
/// # Numerics
/// A group starts from the inverse of the Hessian of its columns that are left, in f64.
///
/// # Errors
/// Those of [`eliminate`].
pub fn eliminate_rest(
    inputs: &Inputs,
    target: &Target,
    left: &Mask,
    options: Elimination,
    name: &str,
) -> Result<Losses, PruneError> {
    let grid = left.grid();
    let check = PruneError::fit;
    check("columns of a grid", grid.cols(), inputs.features)?;
    check("rows of a grid", grid.rows(), target.outputs)?;
    for (setting, found, fits) in [
        ("fraction", options.fraction, options.fraction > 0.0 && options.fraction <= 1.0),
        ("keep", options.keep, (0.0..=1.0).contains(&options.keep)),
    ] {
        if !fits {
            return Err(PruneError::Setting { setting, found, expected: "a fraction from 0 to 1" });
        }
    }
    let size = inputs.features;
    let inverse: Vec<f32> = inputs.inverse.iter().map(|x| *x as f32).collect();
    let mut losses: Vec<f32> = left.kept().iter().map(|&kept| if kept { f32::INFINITY } else { 0.0 }).collect();
    let least = if left.kept().contains(&false) { f32::MIN_POSITIVE } else { 0.0 };
    losses.par_chunks_mut(grid.across().max(1)).enumerate().try_for_each_init(
        || Group::new(size),
        |group, (index, losses)| {
            let columns = left.columns(index);
            let mut run = || {
                match columns.len() == size {
                    true => group.start(&inverse, target, grid, index),
                    false => group.start_with(&columns, inputs, target, left, index)?,
                }
                group.run(options, least, losses)
            };
            run().map_err(|input| PruneError::NotPositive { matrix: name.to_owned(), input })
        },
    )?;
    Ok(Losses { name: name.to_owned(), grid, losses, energy: target.energy })
}

/// One group of rows while its blocks are removed. Columns that are left keep their order and move together.
struct Group {
    /// K, and the row stride of `inverse` and `weights`.
    size: usize,
    /// Rows of the group.
    rows: usize,
    /// Inputs of a block; the last block may have fewer.
    wide: usize,
    /// Columns that are left.
    cols: usize,
    /// Blocks that are left, by their index in the matrix, ascending.
    blocks: Vec<usize>,
    /// Lower triangle of the inverse of the columns that are left.
    inverse: Vec<f32>,
    /// Weights of the columns that are left, `[rows][size]`.
    weights: Vec<f32>,
    scratch: Scratch,
}

/// Buffers of one round.
#[derive(Default)]
struct Scratch {
    scores: Vec<(f32, usize)>,
    removed: Vec<usize>,
    kept: Vec<usize>,
    runs: Vec<(usize, usize)>,
    factor: Vec<f32>,
    coupling: Vec<f32>,
    solved: Vec<f32>,
}

impl Group {
    fn new(size: usize) -> Self {
        let (inverse, weights, blocks) = (vec![0.0; size * size], vec![], vec![]);
        Self { size, rows: 0, wide: 1, cols: 0, blocks, inverse, weights, scratch: Scratch::default() }
    }

    fn start(&mut self, inverse: &[f32], target: &Target, grid: Grid, group: usize) {
        let (size, rows) = (self.size, grid.rows_of(group));
        for row in 0..size {
            self.inverse[row * size..][..=row].copy_from_slice(&inverse[row * size..][..=row]);
        }
        self.weights.clear();
        for row in rows.clone() {
            let scale = target.importance[row].sqrt();
            self.weights.extend(target.solution[row * size..][..size].iter().map(|x| (scale * x) as f32));
        }
        self.rows = rows.len();
        self.wide = grid.inputs();
        self.cols = size;
        self.blocks.clear();
        self.blocks.extend(0..grid.across());
    }

    /// The same with the columns that are left of the group: the rest of it was removed earlier. An error is the index of a column, among
    /// those left, whose variance is not positive.
    fn start_with(
        &mut self,
        columns: &[usize],
        inputs: &Inputs,
        target: &Target,
        mask: &Mask,
        group: usize,
    ) -> Result<(), usize> {
        let (size, grid, count) = (self.size, mask.grid(), columns.len());
        let rows = grid.rows_of(group);
        let hessian: Vec<f64> =
            columns.iter().flat_map(|r| columns.iter().map(move |c| inputs.hessian[r * size + c])).collect();
        let inverse = inverse(&hessian, count)?;
        for (row, from) in inverse.chunks_exact(count.max(1)).enumerate() {
            self.inverse[row * size..][..=row].iter_mut().zip(from).for_each(|(to, x)| *to = *x as f32);
        }
        self.weights.clear();
        for row in rows.clone() {
            let scale = target.importance[row].sqrt();
            let rhs: Vec<f64> = columns.iter().map(|c| target.rhs[row * size + c]).collect();
            let weight = |column: &[f64]| scale * column.iter().zip(&rhs).map(|(x, y)| x * y).sum::<f64>();
            self.weights.extend(inverse.chunks_exact(count.max(1)).map(|column| weight(column) as f32));
            self.weights.resize(self.weights.len() + size - count, 0.0);
        }
        self.rows = rows.len();
        self.wide = grid.inputs();
        self.cols = count;
        self.blocks.clear();
        self.blocks.extend((0..grid.across()).filter(|block| mask.kept()[group * grid.across() + block]));
        Ok(())
    }

    /// Removes blocks until few are left; each costs at least `least`. An error is the index of a column, among those left, whose variance is not positive.
    fn run(&mut self, options: Elimination, least: f32, losses: &mut [f32]) -> Result<(), usize> {
        let last = (options.keep * losses.len() as f64).floor() as usize;
        let mut highest = least;
        while self.blocks.len() > last {
            let wanted = (self.blocks.len() as f64 * options.fraction).floor() as usize;
            let count = wanted.clamp(1, self.blocks.len() - last);
            self.score();
            let scores = &mut self.scratch.scores;
            scores.select_nth_unstable_by(count - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut chosen = scores[..count].to_vec();
            chosen.sort_unstable_by_key(|(_, place)| *place);
            let joint = self.remove(&chosen)?;
            let separate: f64 = chosen.iter().map(|(score, _)| f64::from(*score)).sum();
            let scale = if separate > 0.0 { joint / separate } else { 1.0 };
            let lowest = highest;
            for (score, place) in &chosen {
                let loss = ((f64::from(*score) * scale) as f32).max(lowest);
                highest = highest.max(loss);
                losses[self.blocks[*place]] = loss;
            }
            let mut places = chosen.iter().map(|(_, place)| *place).peekable();
            let mut place = 0;
            self.blocks.retain(|_| {
                let gone = places.next_if_eq(&place).is_some();
                place += 1;
                !gone
            });
        }
        Ok(())
    }

    /// Scores every block that is left: `sum over rows w_B (H^-1)[B][B]^-1 w_B^T`.
    fn score(&mut self) {
        let (size, wide) = (self.size, self.wide);
        self.scratch.scores.clear();
        for place in 0..self.blocks.len() {
            let (first, last) = (place * wide, self.cols.min((place + 1) * wide));
            let rows = self.weights.chunks_exact(size).take(self.rows);
            let score = if last - first == 1 {
                rows.map(|row| row[first] * row[first]).sum::<f32>() / self.inverse[first * size + first]
            } else if last - first > SMALL {
                wide_score(&self.inverse, rows, size, first, last)
            } else {
                let factor = small_factor(&self.inverse, size, first, last);
                rows.map(|row| small_norm(&factor, &row[first..last])).sum()
            };
            self.scratch.scores.push((score, place));
        }
    }

    /// Removes the blocks at these places, which ascend. Returns the loss of all of them together.
    fn remove(&mut self, chosen: &[(f32, usize)]) -> Result<f64, usize> {
        let (size, wide, cols, rows) = (self.size, self.wide, self.cols, self.rows);
        let Scratch { removed, kept, runs, factor, coupling, solved, .. } = &mut self.scratch;
        removed.clear();
        removed.extend(chosen.iter().flat_map(|(_, place)| place * wide..cols.min((place + 1) * wide)));
        kept.clear();
        runs.clear();
        let mut next = 0;
        for &column in removed.iter().chain(std::iter::once(&cols)) {
            if column > next {
                runs.push((next, column));
                kept.extend(next..column);
            }
            next = column + 1;
        }
        let (gone, left) = (removed.len(), kept.len());
        // S, its factor, and (H^-1)[P][K].
        factor.clear();
        coupling.clear();
        for (i, &p) in removed.iter().enumerate() {
            factor.extend(removed[..=i].iter().map(|q| self.inverse[p * size + q]));
            factor.resize((i + 1) * gone, 0.0);
            let split = kept.partition_point(|k| *k < p);
            coupling.extend(kept[..split].iter().map(|k| self.inverse[p * size + k]));
            coupling.extend(kept[split..].iter().map(|k| self.inverse[k * size + p]));
        }
        cholesky(factor, gone, gone).map_err(|i| removed[i])?;
        solve_lower(factor, gone, gone, coupling, left);
        solved.clear();
        solved.extend(removed.iter().flat_map(|p| self.weights.iter().skip(*p).step_by(size).take(rows)));
        solve_lower(factor, gone, gone, solved, rows);
        let joint = solved.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        // What is left moves together, then changes.
        for row in 0..rows {
            compact(&mut self.weights, row * size, row * size, runs, left);
        }
        let change = View::new(solved, gone, rows, rows).transposed();
        let out = ViewMut::new(&mut self.weights, rows, left, size);
        product(out, 1.0, change, View::new(coupling, gone, left, left), -1.0);
        for top in (0..left).step_by(PANEL) {
            let bottom = left.min(top + PANEL);
            for (row, from) in (top..bottom).zip(&kept[top..]) {
                compact(&mut self.inverse, from * size, row * size, runs, row + 1);
            }
            let rows = View::new(&coupling[top..], gone, bottom - top, left).transposed();
            let columns = View::new(coupling, gone, bottom, left);
            let out = ViewMut::new(&mut self.inverse[top * size..], bottom - top, bottom, size);
            product(out, 1.0, rows, columns, -1.0);
        }
        self.cols = left;
        Ok(joint)
    }
}

/// Moves the runs of the row that starts at `from` together, to a row that starts at `to`, until `left` elements are there.
fn compact(matrix: &mut [f32], from: usize, to: usize, runs: &[(usize, usize)], left: usize) {
    let mut done = 0;
    for &(first, last) in runs {
        let count = (last - first).min(left - done);
        if from + first != to + done {
            matrix.copy_within(from + first..from + first + count, to + done);
        }
        done += count;
        if done == left {
            return;
        }
    }
}

/// The score of a block of many inputs; infinite if its variance is not positive.
fn wide_score<'a>(
    inverse: &[f32],
    rows: impl Iterator<Item = &'a [f32]>,
    size: usize,
    first: usize,
    last: usize,
) -> f32 {
    let wide = last - first;
    let mut factor = Vec::with_capacity(wide * wide);
    (first..last).for_each(|row| factor.extend_from_slice(&inverse[row * size + first..][..wide]));
    if cholesky(&mut factor, wide, wide).is_err() {
        return f32::INFINITY;
    }
    rows.map(|row| {
        let mut solved = row[first..last].to_vec();
        solve_lower(&factor, wide, wide, &mut solved, 1);
        solved.iter().map(|x| x * x).sum::<f32>()
    })
    .sum()
}

/// The Cholesky factor of a block on the diagonal, rows of [`SMALL`]. A pivot that is not positive gives infinite or NaN scores,
/// and the factor of the round then says so.
fn small_factor(inverse: &[f32], size: usize, first: usize, last: usize) -> [[f32; SMALL]; SMALL] {
    let mut l = [[0.0f32; SMALL]; SMALL];
    for i in 0..last - first {
        for j in 0..=i {
            let sum: f32 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            let rest = inverse[(first + i) * size + first + j] - sum;
            l[i][j] = if i == j { rest.sqrt() } else { rest / l[j][j] };
        }
    }
    l
}

/// `|L^-1 w|^2`
fn small_norm(l: &[[f32; SMALL]; SMALL], w: &[f32]) -> f32 {
    let mut solved = [0.0f32; SMALL];
    for i in 0..w.len() {
        let sum: f32 = (0..i).map(|k| l[i][k] * solved[k]).sum();
        solved[i] = (w[i] - sum) / l[i][i];
    }
    solved.iter().map(|x| x * x).sum()
}
