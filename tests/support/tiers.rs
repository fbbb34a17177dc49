//! The tiers that tests run on.

use lacuna_jit::Tier;

#[path = "../../kernels/tests/support/required.rs"]
mod required;

/// The tiers of this machine, portable among them; prints which it lacks, and why. Panics if it lacks the one that
/// `LACUNA_REQUIRE_TIER` names.
pub(crate) fn tiers() -> Vec<Tier> {
    required::check_required_tier();
    let skipped = required::skipped_tiers();
    for (tier, why) in &skipped {
        println!("skipped tier {tier}: {why}");
    }
    Tier::ALL.into_iter().filter(|tier| skipped.iter().all(|(skipped, _)| skipped != tier)).collect()
}
