//! A time target: the block shape and the sparsity of every matrix that lose least within it.

use lacuna::Block;
use lacuna::weights::EncoderWeights;
use lacuna_train::ops::Pool;
use lacuna_train::prune::{
    Cut, Cuts, Losses, OneShotOptions, Point, Sensitivity, Way, choose as cheapest, least_loss, lost,
};

use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::plan::{Plan, Planned};
use crate::pruning::Pruner;
use crate::times::{GROUPS, Times};

/// Bounds of the sparsity of a sparse matrix, in percent.
const PERCENT: std::ops::RangeInclusive<u32> = 50..=95;
/// How the least time comes about.
const HIGHEST: &str = "with 95 % zeros in every matrix";
/// The sparsity of the first pruning, whose losses decide.
const FIRST: (f64, f64) = (0.6, 0.9);
/// A shape must save this fraction of the time of 4x1 blocks in some matrix, or it is not looked at.
const LEAST_GAIN: f64 = 0.1;
/// How often a plan is tried, timed and corrected.
const TRIALS: usize = 4;
/// A model that takes this fraction longer than it should is fast enough: measurements differ as much.
const CLOSE: f64 = 0.01;
/// One part in so many of the calibration measures what errors cost.
const SENSITIVITY_SHARE: usize = 4;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wanted {
    /// Milliseconds of a sequence.
    Ms(f64),
    /// How many times as fast as dense int8.
    Speedup(f64),
}

impl Wanted {
    fn option(self) -> &'static str {
        match self {
            Wanted::Ms(_) => "`target_ms`",
            Wanted::Speedup(_) => "`speedup`",
        }
    }

    /// Seconds that the model may take.
    fn seconds(self, dense: f64) -> f64 {
        match self {
            Wanted::Ms(ms) => ms * 1e-3,
            Wanted::Speedup(times) => dense / times,
        }
    }

    /// Refuses what cannot be reached.
    fn refuse(self, dense: f64, reachable: f64, seq: usize, by: &str) -> Error {
        let (ms, times) = (reachable * 1e3, dense / reachable);
        let dense = format!("{:.3} ms", dense * 1e3);
        let (found, expected) = match self {
            Wanted::Ms(wanted) => (format!("{wanted}"), format!("at least {ms:.3}, which is {times:.2} times as fast")),
            Wanted::Speedup(wanted) => (format!("{wanted}"), format!("at most {times:.2}, which is {ms:.3} ms")),
        };
        let expected = format!("{expected} as dense int8 ({dense}) for {seq} tokens here, {by}");
        Error::Argument { option: self.option(), found, expected }
    }
}

/// The plan for a time, with the shapes that may be used.
pub(crate) fn choose(
    pruner: &Pruner<'_>,
    wanted: Wanted,
    shapes: &[Block],
    observer: &mut dyn Observer,
) -> Result<Plan> {
    let times = pruner.times(shapes, observer)?;
    let dense = pruner.seconds(pruner.dense.weights().clone(), observer)?;
    let target = wanted.seconds(dense);
    if target >= dense {
        let (found, expected) =
            (format!("{:.3} ms", target * 1e3), format!("less than dense int8 takes, {:.3} ms", dense * 1e3));
        return Err(Error::Argument { option: wanted.option(), found, expected });
    }
    // What a model takes beside what its parts take in small ones: larger weights lie in slower caches.
    let scale = dense / times.dense_model();
    let highest = f64::from(*PERCENT.end()) * 1e-2;
    let fastest = |group| {
        shapes.iter().filter_map(|&block| times.group(group, block, highest)).fold(times.dense(group), f64::min)
    };
    let layers = pruner.dense.config().layers;
    let reachable = scale * (times.others() + layers as f64 * (0..GROUPS.len()).map(fastest).sum::<f64>());
    if target < reachable {
        return Err(wanted.refuse(dense, reachable, times.seq, HIGHEST));
    }
    let shapes = useful(&times, shapes);
    let mut all = Vec::new();
    for &block in &shapes {
        observer.remark(&format!("blocks of {block}: what every matrix loses"));
        let first = uniform(&times, block, target / scale).clamp(FIRST.0, FIRST.1);
        let cuts = pruner.alike(block, first);
        let weights = pruner.ordered(&cuts, observer)?;
        let options =
            OneShotOptions { sensitivity: Some(sensitivity(pruner, &weights)?), ..OneShotOptions::new(block, first) };
        all.push((block, pruner.prune(&weights, &options, pruner.stop, observer)?.losses));
    }
    // Trials are whole models: they say how far the sum of the parts is off.
    let mut budget = target / scale - times.others();
    let units = units(&times, &all);
    let mut plan = None;
    for _ in 0..TRIALS {
        let picked = match least_loss(&units, budget) {
            Ok(picked) => cuts(&picked, &all, layers),
            Err(_) if plan.is_some() => break,
            Err(_) => return Err(wanted.refuse(dense, reachable, times.seq, HIGHEST)),
        };
        let seconds = pruner.seconds(zeroed(pruner.dense.weights(), &picked, &all)?, observer)?;
        let limit = target * (1.0 + CLOSE);
        if plan.as_ref().is_none_or(|(_, best)| is_better(seconds, *best, limit)) {
            plan = Some((picked, seconds));
        }
        if seconds <= limit && seconds >= target * (1.0 - 3.0 * CLOSE) {
            break;
        }
        budget -= (seconds - target) / scale;
    }
    let Some((cuts, seconds)) = plan else { return Err(wanted.refuse(dense, reachable, times.seq, HIGHEST)) };
    if seconds > target * (1.0 + 5.0 * CLOSE) {
        return Err(wanted.refuse(dense, seconds, times.seq, "the fastest model that was tried"));
    }
    let planned = Planned {
        seq: times.seq,
        threads: times.threads,
        dense_ms: dense * 1e3,
        target_ms: Some(target * 1e3),
        predicted_ms: seconds * 1e3,
    };
    let reordered = pruner.reorders(&cuts);
    Ok(Plan { cuts, reordered, candidates: vec![], times: Some(planned) })
}

/// Whether a trial is better than another: within the limit the slower one, which has fewer zeros; else the faster one.
fn is_better(seconds: f64, than: f64, limit: f64) -> bool {
    match (seconds <= limit, than <= limit) {
        (true, true) => seconds > than,
        (false, false) => seconds < than,
        (fits, _) => fits,
    }
}

/// What errors of every row cost, measured on a part of the calibration.
pub(crate) fn sensitivity(pruner: &Pruner<'_>, weights: &EncoderWeights) -> lacuna_train::Result<Sensitivity> {
    let some = &pruner.calibration[..pruner.calibration.len().div_ceil(SENSITIVITY_SHARE)];
    let pool = Pool::of(pruner.dense.pooling())?;
    let found = Sensitivity::measure(pruner.dense.config(), weights, pool, some, pruner.seed)?;
    Ok(Sensitivity { tokens: vec![], ..found }) // they speak of these tokens alone
}

/// The shapes that are faster than 4x1 somewhere, and 4x1; all of them, if 4x1 is not one.
fn useful(times: &Times, shapes: &[Block]) -> Vec<Block> {
    let at = |group, block| times.group(group, block, 0.8).unwrap_or(f64::INFINITY);
    let gains = |&block: &Block| {
        let limit = |group| {
            if shapes.contains(&Block::B4x1) { at(group, Block::B4x1) * (1.0 - LEAST_GAIN) } else { f64::INFINITY }
        };
        block == Block::B4x1 || (0..GROUPS.len()).any(|group| at(group, block) < limit(group))
    };
    shapes.iter().copied().filter(gains).collect()
}

/// The sparsity of all matrices with which the model takes that many seconds, roughly.
fn uniform(times: &Times, block: Block, seconds: f64) -> f64 {
    let fits = |percent: &u32| {
        times.linear(block, f64::from(*percent) * 1e-2).is_some_and(|time| time + times.others() <= seconds)
    };
    PERCENT.into_iter().find(fits).map_or(1.0, |percent| f64::from(percent) * 1e-2)
}

/// What every group of matrices can do: be dense, or sparse in one of the shapes.
fn units(times: &Times, all: &[(Block, Vec<[Losses; 6]>)]) -> Vec<Vec<Way>> {
    let layers = all.first().map_or(0, |(_, losses)| losses.len());
    let sparsities: Vec<f64> = PERCENT.map(|percent| f64::from(percent) * 1e-2).collect();
    let unit = |layer: usize, index: usize| -> Vec<Way> {
        let group = GROUPS[index];
        let share = 1.0 / group.count as f64;
        let dense = Point { sparsity: 0.0, seconds: times.dense(index) * share, loss: 0.0 };
        let sparse = all.iter().map(|(block, losses)| {
            let points = |losses: &Losses| -> Vec<Point> {
                let lost = lost(losses, &sparsities);
                let point = |(&sparsity, loss): (&f64, &Option<f64>)| {
                    let seconds = times.group(index, *block, sparsity)? * share;
                    Some(Point { sparsity, seconds, loss: (*loss)? })
                };
                sparsities.iter().zip(&lost).filter_map(point).collect()
            };
            losses[layer][group.first..group.first + group.count].iter().map(points).collect::<Way>()
        });
        std::iter::once(vec![vec![dense]; group.count]).chain(sparse).collect()
    };
    (0..layers).flat_map(|layer| (0..GROUPS.len()).map(move |index| (layer, index))).map(|(l, i)| unit(l, i)).collect()
}

/// The cuts of all matrices. A dense matrix has a sparsity of 0.
fn cuts(picked: &[(usize, Vec<Point>)], all: &[(Block, Vec<[Losses; 6]>)], layers: usize) -> Cuts {
    let mut cuts = vec![[Cut { block: Block::B4x1, sparsity: 0.0 }; 6]; layers];
    for (at, (way, points)) in picked.iter().enumerate() {
        let (layer, group) = (at / GROUPS.len(), GROUPS[at % GROUPS.len()]);
        for (member, point) in points.iter().enumerate() {
            let block = way.checked_sub(1).map_or(Block::B4x1, |shape| all[shape].0);
            cuts[layer][group.first + member] = Cut { block, sparsity: point.sparsity };
        }
    }
    cuts
}

/// The dense weights with the zeros of a plan.
fn zeroed(dense: &EncoderWeights, cuts: &[[Cut; 6]], all: &[(Block, Vec<[Losses; 6]>)]) -> Result<EncoderWeights> {
    let mut weights = dense.clone();
    for (index, (layer, six)) in weights.layers.iter_mut().zip(cuts).enumerate() {
        let linears = [&mut layer.q, &mut layer.k, &mut layer.v, &mut layer.o, &mut layer.up, &mut layer.down];
        for (member, (linear, cut)) in linears.into_iter().zip(six).enumerate() {
            let losses = all.iter().find(|(block, _)| *block == cut.block).map(|(_, losses)| &losses[index][member]);
            let Some(losses) = losses.filter(|_| cut.sparsity > 0.0) else { continue };
            let kept = cheapest(losses, cut.sparsity).map_err(lacuna_train::Error::from)?.weights();
            linear.weight.data.iter_mut().zip(kept).for_each(|(w, kept)| *w *= kept);
        }
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use lacuna::config::EncoderConfig;
    use lacuna::tokens::seeded_ids;
    use lacuna::{Model, Preset};
    use lacuna_train::prune::one_shot;

    use super::*;
    use crate::times::tests::times;

    #[test]
    fn a_plan_keeps_to_its_time_and_its_zeros_are_there() {
        let shape = Preset::BertMini.config();
        let config =
            EncoderConfig { vocab_size: 100, layers: 2, hidden_size: 32, heads: 2, intermediate_size: 64, ..shape };
        let model = Model::seeded(config, 3).unwrap();
        let ids = seeded_ids(100, 20, 16, 2);
        let all: Vec<(Block, Vec<[Losses; 6]>)> = [Block::B4x1, Block::B4x4]
            .into_iter()
            .map(|block| {
                let options = OneShotOptions::new(block, 0.5);
                (block, one_shot(model.config(), model.weights(), &ids, &options, &mut |_| {}).unwrap().losses)
            })
            .collect();
        // A layer takes 240 us dense, 200 us in 4x1 at 50 %, 100 us in 4x4 at 50 %, and 20 us in 4x4 at 90 %.
        let times = times(2);
        let units = units(&times, &all);
        assert_eq!((units.len(), units[0].len(), units[0][1].len(), units[1][1].len()), (8, 3, 3, 1));
        for seconds in [400e-6, 150e-6, 60e-6] {
            let picked = least_loss(&units, seconds).unwrap();
            let time: f64 = picked.iter().flat_map(|(_, points)| points).map(|point| point.seconds).sum();
            assert!(time <= seconds, "{time} {seconds}");
            let cuts = cuts(&picked, &all, 2);
            let weights = zeroed(model.weights(), &cuts, &all).unwrap();
            for (layer, six) in weights.layers.iter().zip(&cuts) {
                for (linear, cut) in layer.linears().into_iter().zip(six) {
                    let zeros = linear.weight.data.iter().filter(|w| **w == 0.0).count() as f64;
                    assert!((zeros / linear.weight.data.len() as f64 - cut.sparsity).abs() < 0.05, "{cut:?}");
                }
                assert!([0, 1].iter().all(|i| six[*i].block == six[i + 1].block), "q, k and v read the same tensor");
            }
        }
        assert!(least_loss(&units, 30e-6).is_err());
    }

    #[test]
    fn slow_shapes_are_left_out() {
        let times = times(1);
        assert_eq!(useful(&times, &[Block::B4x1, Block::B4x4, Block::B8x1]), [Block::B4x1, Block::B4x4]);
        assert_eq!(useful(&times, &[Block::B4x4]), [Block::B4x4]);
        // 4 groups of 100 us times the density, beside 15 us for the rest.
        assert!((uniform(&times, Block::B4x1, 95e-6) - 0.8).abs() < 0.011);
        assert_eq!(uniform(&times, Block::B4x1, 1e-6), 1.0);
    }

    #[test]
    fn the_slowest_trial_within_the_limit_is_best() {
        let best = |first: f64, rest: &[f64]| {
            rest.iter().fold(first, |best, &x| if is_better(x, best, 1.0) { x } else { best })
        };
        assert_eq!((best(1.2, &[0.7, 0.9, 1.1]), best(0.9, &[0.7, 1.5]), best(1.5, &[1.3, 1.4])), (0.9, 0.9, 1.3));
    }

    #[test]
    fn what_cannot_be_reached_names_what_can() {
        let text = Wanted::Speedup(20.0).refuse(6e-3, 1e-3, 128, HIGHEST).to_string();
        assert!(text.starts_with("`speedup`: found 20; expected at most 6.00, which is 1.000 ms"), "{text}");
        let text = Wanted::Ms(0.5).refuse(6e-3, 1e-3, 32, HIGHEST).to_string();
        assert!(
            text.starts_with("`target_ms`: found 0.5; expected at least 1.000, which is 6.00 times as fast"),
            "{text}"
        );
        assert_eq!((Wanted::Ms(2.0).seconds(1.0), Wanted::Speedup(4.0).seconds(1.0)), (2e-3, 0.25));
    }
}
