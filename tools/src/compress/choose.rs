//! The pruning that the options ask for.

use lacuna::Block;
use lacuna_console::error::Result;
use lacuna_console::output::say;
use lacuna_train::prune::{OneShotOptions, Pruned};

use super::args::Goal;
use super::log::Log;
use super::plan::Plan;
use super::pruning::Pruner;
use super::{auto, target};

/// Prunes and refits, by the plan of an earlier run or one of its own; nothing if the zeros stay.
pub(super) fn pruned(
    pruner: &Pruner<'_>,
    goal: Goal,
    known: Option<Plan>,
    log: &mut Log,
) -> Result<Option<(Plan, Pruned)>> {
    if goal == Goal::Keep {
        return Ok(None);
    }
    say(format_args!("pruning on {} texts", pruner.calibration.len()));
    let plan = match (known, goal) {
        (_, Goal::Keep) => return Ok(None),
        (Some(plan), _) => plan,
        (None, Goal::Sparsity(sparsity, block)) => {
            let cuts = pruner.alike(block, sparsity);
            let reordered = pruner.reorders(&cuts);
            Plan::uniform(cuts, reordered)
        }
        (None, Goal::Auto(sparsity)) => {
            let (plan, found) = auto::choose(pruner, sparsity, log)?;
            say(plan.text().trim_end());
            return Ok(Some((plan, found)));
        }
        (None, Goal::Time(wanted, shapes)) => target::choose(pruner, wanted, &shapes, log)?,
    };
    if plan.times.is_some() {
        say(plan.text().trim_end());
    }
    let weights = pruner.ordered(&plan.cuts)?;
    let mut options = OneShotOptions::new(Block::B4x1, 0.0).with_cuts(&plan.cuts);
    if plan.times.as_ref().is_some_and(|times| times.target_ms.is_some()) {
        options.sensitivity = Some(target::sensitivity(pruner, &weights)?);
    }
    let found = pruner.prune(&weights, &options, log)?;
    Ok(Some((plan, found)))
}
