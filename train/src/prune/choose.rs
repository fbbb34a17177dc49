//! Which blocks stay.

use super::eliminate::Losses;
use super::error::PruneError;
use super::grid::Mask;

/// The mask of a matrix without its cheapest `floor(sparsity * blocks)` blocks. Among equals the earlier in row-major order goes first.
///
/// # Errors
/// [`PruneError::Sparsity`] unless `0 <= sparsity < 1`, [`PruneError::Unreachable`] when fewer blocks were eliminated.
pub fn choose(losses: &Losses, sparsity: f64) -> Result<Mask, PruneError> {
    check(sparsity)?;
    let blocks = losses.losses.len();
    let count = zeros(sparsity, blocks);
    let mut order: Vec<usize> = (0..blocks).collect();
    let mut kept = vec![true; blocks];
    if count > 0 {
        let key = |i: usize| losses.losses[i];
        order.select_nth_unstable_by(count - 1, |&a, &b| key(a).total_cmp(&key(b)).then(a.cmp(&b)));
        if order[..count].iter().any(|&i| !key(i).is_finite()) {
            let (matrix, reachable) = (losses.name.clone(), losses.reachable());
            return Err(PruneError::Unreachable { matrix, wanted: sparsity, reachable });
        }
        order[..count].iter().for_each(|&i| kept[i] = false);
    }
    Mask::new(losses.grid, kept)
}

/// What a matrix loses without its cheapest `floor(sparsity * blocks)` blocks, per sparsity; none where fewer blocks were eliminated.
pub fn lost(losses: &Losses, sparsities: &[f64]) -> Vec<Option<f64>> {
    let mut sorted = losses.losses.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let mut sum = 0.0;
    let sums: Vec<f64> = std::iter::once(0.0)
        .chain(sorted.iter().map(|&loss| {
            sum += f64::from(loss);
            sum
        }))
        .collect();
    let of = |&sparsity: &f64| sums.get(zeros(sparsity, sorted.len())).copied().filter(|sum| sum.is_finite());
    sparsities.iter().map(of).collect()
}

/// Bounds of the sparsity of one matrix when a model's zeros are spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// No matrix is less sparse than this.
    pub lowest: f64,
    /// No matrix is sparser than this.
    pub highest: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { lowest: 0.5, highest: 0.97 }
    }
}

/// Spreads a model's zeros over its matrices: blocks go in the order of `weight * loss`, within the bounds. Returns the sparsity of
/// every matrix.
///
/// Weights make losses of different matrices comparable. Losses of targets that were weighted by a [`Sensitivity`](super::Sensitivity)
/// already are: their weights are 1. Others need `1 / energy` of their matrix.
///
/// # Errors
/// [`PruneError::Sparsity`] unless `0 <= sparsity < 1`; [`PruneError::Shape`] for another number of weights;
/// [`PruneError::Unreachable`] when the bounds or the eliminations forbid the sparsity.
pub fn allocate(matrices: &[&Losses], weights: &[f64], sparsity: f64, bounds: Bounds) -> Result<Vec<f64>, PruneError> {
    check(sparsity)?;
    PruneError::fit("weights of matrices", weights.len(), matrices.len())?;
    let total: usize = matrices.iter().map(|matrix| matrix.losses.len()).sum();
    let wanted = zeros(sparsity, total);
    let mut counts = Vec::with_capacity(matrices.len());
    let mut candidates: Vec<(f64, usize)> = Vec::new();
    let mut reachable = 0;
    for (index, (matrix, weight)) in matrices.iter().zip(weights).enumerate() {
        let mut sorted: Vec<f32> = matrix.losses.iter().copied().filter(|loss| loss.is_finite()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let highest = zeros(bounds.highest.clamp(0.0, 1.0), matrix.losses.len()).min(sorted.len());
        let lowest = zeros(bounds.lowest.clamp(0.0, 1.0), matrix.losses.len()).min(highest);
        candidates.extend(sorted[lowest..highest].iter().map(|loss| (f64::from(*loss) * weight, index)));
        counts.push(lowest);
        reachable += highest;
    }
    let fixed: usize = counts.iter().sum();
    if wanted < fixed || wanted > reachable {
        let nearest = if wanted < fixed { fixed } else { reachable };
        let reachable = nearest as f64 / total.max(1) as f64;
        return Err(PruneError::Unreachable { matrix: "model".to_owned(), wanted: sparsity, reachable });
    }
    // A stable sort keeps the order of matrices among equals.
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
    candidates[..wanted - fixed].iter().for_each(|(_, index)| counts[*index] += 1);
    Ok(counts.iter().zip(matrices).map(|(count, m)| *count as f64 / m.losses.len().max(1) as f64).collect())
}

/// Zero blocks of so many. The small constant makes 0.7 * 10 seven blocks, not six.
fn zeros(sparsity: f64, blocks: usize) -> usize {
    (sparsity * blocks as f64 + 1e-9).floor() as usize
}

pub(super) fn check(sparsity: f64) -> Result<(), PruneError> {
    match (0.0..1.0).contains(&sparsity) {
        true => Ok(()),
        false => Err(PruneError::Sparsity { found: sparsity }),
    }
}
