//! The tiers that tests run on.

use lacuna_jit::Tier;

/// The tiers of this machine, portable among them; prints which it lacks, and why.
pub(crate) fn tiers() -> Vec<Tier> {
    let (run, skipped): (Vec<Tier>, Vec<Tier>) = Tier::ALL.into_iter().partition(|t| t.missing().is_empty());
    for tier in skipped {
        println!("skipped tier {tier}: this machine lacks {}", tier.missing().join(", "));
    }
    run
}
