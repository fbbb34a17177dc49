//! The pruning that the options ask for.

use lacuna::Block;
use lacuna::weights::EncoderWeights;
use lacuna_train::distil::Ramp;
use lacuna_train::prune::{OneShotOptions, Pruned};

use crate::error::Result;
use crate::gradual::ramp;
use crate::observer::Observer;
use crate::options::Goal;
use crate::plan::Plan;
use crate::pruning::Pruner;
use crate::stop::Stop;
use crate::{auto, target};

/// A model that was pruned.
pub(crate) struct Found {
    /// How it is pruned in the end.
    pub(crate) plan: Plan,
    /// How it goes on from here, if the sparsity rises during the training.
    pub(crate) ramp: Option<Ramp>,
    pub(crate) pruned: Pruned,
}

/// Prunes and refits, by the plan of an earlier run or one of its own; nothing if the zeros stay. With a `start`, it has this sparsity now.
pub(crate) fn pruned(
    pruner: &Pruner<'_>,
    goal: Goal,
    start: Option<f64>,
    known: Option<Plan>,
    observer: &mut dyn Observer,
) -> Result<Option<Found>> {
    if goal == Goal::Keep {
        return Ok(None);
    }
    observer.remark(&format!("pruning on {} texts", pruner.calibration.len()));
    let plan = match (known, goal) {
        (_, Goal::Keep) => return Ok(None),
        (Some(plan), _) => plan,
        (None, Goal::Sparsity(sparsity, block)) => {
            let cuts = pruner.alike(block, sparsity);
            let reordered = pruner.reorders(&cuts);
            Plan::uniform(cuts, reordered)
        }
        (None, Goal::Auto(sparsity)) => {
            let (plan, pruned) = auto::choose(pruner, sparsity, observer)?;
            if start.is_none() {
                observer.plan(&plan);
                return Ok(Some(Found { plan, ramp: None, pruned }));
            }
            plan
        }
        (None, Goal::Time(wanted, shapes)) => target::choose(pruner, wanted, &shapes, observer)?,
    };
    if plan.times.is_some() {
        observer.plan(&plan);
    }
    let sparsity = plan.sparsity(&pruner.dense.config().linear_shapes());
    let ramp = start.map(|start| ramp(start, sparsity)).transpose()?;
    let weights = pruner.ordered(&plan.cuts, observer)?;
    let share = ramp.map_or(1.0, |ramp| ramp.start / ramp.end);
    let pruned = prune(pruner, &plan, share, &weights, false, observer)?;
    Ok(Some(Found { plan, ramp, pruned }))
}

/// Prunes the student of a training again, to a sparsity of the ramp. Its zeros stay.
pub(crate) fn pruned_again(
    pruner: &Pruner<'_>,
    (plan, ramp): (&Plan, &Ramp),
    sparsity: f64,
    student: &EncoderWeights,
    observer: &mut dyn Observer,
) -> lacuna_train::Result<Pruned> {
    prune(pruner, plan, sparsity / ramp.end, student, true, observer)
}

/// Prunes by a plan, to a share of its sparsities.
fn prune(
    pruner: &Pruner<'_>,
    plan: &Plan,
    share: f64,
    weights: &EncoderWeights,
    keep_zeros: bool,
    observer: &mut dyn Observer,
) -> lacuna_train::Result<Pruned> {
    let mut options = OneShotOptions::new(Block::B4x1, 0.0).with_cuts(&plan.scaled(share));
    options.keep_zeros = keep_zeros;
    if plan.times.as_ref().is_some_and(|times| times.target_ms.is_some()) {
        options.sensitivity = Some(target::sensitivity(pruner, weights)?);
    }
    // A training saves its state between two steps only: a pruning within it comes to its end.
    let stop = if keep_zeros { Stop::never() } else { pruner.stop };
    pruner.prune(weights, &options, stop, observer)
}
