//! `--block auto` with a sparsity: the block shape that loses least in equal time.

use lacuna::Block;
use lacuna_train::prune::{Losses, OneShotOptions, Pruned, lost};

use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::plan::{Candidate, Plan, Planned};
use crate::pruning::{Pruner, SHAPES};
use crate::times::Times;

/// A shape must save this fraction of the time of 4x1 blocks, or it is not looked at: its blocks are larger, so it loses more.
const LEAST_GAIN: f64 = 0.1;
/// Halvings that find the sparsity of equal time.
const HALVINGS: usize = 40;

/// The plan, and the model that was pruned by it.
pub(crate) fn choose(pruner: &Pruner<'_>, sparsity: f64, observer: &mut dyn Observer) -> Result<(Plan, Pruned)> {
    let times = pruner.times(&SHAPES, observer)?;
    let scale = pruner.seconds(pruner.dense.weights().clone(), observer)? / times.dense_model();
    let time = |block: Block| times.linear(block, clamped(&times, sparsity)).unwrap_or(f64::INFINITY);
    let limit = time(Block::B4x1);
    let mut candidates = Vec::new();
    let mut best: Option<(f64, Block, Pruned)> = None;
    for block in SHAPES {
        let equal = if block == Block::B4x1 { sparsity } else { equal_sparsity(&times, block, sparsity, limit) };
        let mut candidate = Candidate {
            block,
            linear_ms: scale * time(block) * 1e3,
            error: None,
            equal_sparsity: equal,
            equal_error: None,
        };
        if block == Block::B4x1 || time(block) <= (1.0 - LEAST_GAIN) * limit {
            observer.remark(&format!("blocks of {block}: pruning"));
            let weights = pruner.ordered(&pruner.alike(block, sparsity), observer)?;
            let pruned = pruner.prune(&weights, &OneShotOptions::new(block, sparsity), pruner.stop, observer)?;
            candidate.error = mean_error(&pruned, sparsity);
            candidate.equal_error = mean_error(&pruned, equal);
            let error = candidate.equal_error.unwrap_or(f64::INFINITY);
            if best.as_ref().is_none_or(|(least, ..)| error < *least) {
                best = Some((error, block, pruned));
            }
        }
        candidates.push(candidate);
    }
    let Some((_, block, pruned)) = best else {
        let (found, expected) = ("no block shape".to_owned(), "one, for example 4x1".to_owned());
        return Err(Error::Argument { option: "`block` auto", found, expected });
    };
    let planned = Planned {
        seq: times.seq,
        threads: times.threads,
        dense_ms: scale * times.dense_model() * 1e3,
        target_ms: None,
        predicted_ms: scale * (times.others() + time(block)) * 1e3,
    };
    let cuts = pruner.alike(block, sparsity);
    let uniform = Plan::uniform(cuts.clone(), pruner.reorders(&cuts));
    Ok((Plan { candidates, times: Some(planned), ..uniform }, pruned))
}

/// The nearest sparsity that was timed.
fn clamped(times: &Times, sparsity: f64) -> f64 {
    let (lowest, highest) = times.range();
    sparsity.clamp(lowest, highest)
}

/// The least sparsity, at most `sparsity`, at which blocks of a shape take at most `limit` seconds.
fn equal_sparsity(times: &Times, block: Block, sparsity: f64, limit: f64) -> f64 {
    let fits = |sparsity: f64| times.linear(block, clamped(times, sparsity)).is_some_and(|time| time <= limit);
    let (mut low, mut high) = (times.range().0.min(sparsity), sparsity);
    if fits(low) || !fits(high) {
        return if fits(low) { low } else { high };
    }
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if fits(middle) { high = middle } else { low = middle }
    }
    high
}

/// The mean over all matrices of what they lose at a sparsity, of the energy of their outputs.
fn mean_error(pruned: &Pruned, sparsity: f64) -> Option<f64> {
    let error = |losses: &Losses| {
        let lost = lost(losses, &[sparsity]).first().copied().flatten()?;
        (losses.energy() > 0.0).then(|| lost / losses.energy())
    };
    let errors: Option<Vec<f64>> = pruned.losses.iter().flatten().map(error).collect();
    errors.filter(|errors| !errors.is_empty()).map(|errors| errors.iter().sum::<f64>() / errors.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::times::tests::times;

    #[test]
    fn faster_blocks_need_fewer_zeros() {
        // 4x1 at 80 % takes 20 us per group, as 4x4 does at 60 %.
        let times = times(1);
        let limit = times.linear(Block::B4x1, 0.8).unwrap();
        assert!((equal_sparsity(&times, Block::B4x1, 0.8, limit) - 0.8).abs() < 1e-9);
        assert!((equal_sparsity(&times, Block::B4x4, 0.8, limit) - 0.6).abs() < 1e-6);
        assert_eq!(equal_sparsity(&times, Block::B4x4, 0.8, 1.0), 0.5);
        assert_eq!(equal_sparsity(&times, Block::B4x4, 0.8, 0.0), 0.8);
    }
}
