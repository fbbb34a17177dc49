//! Tests that must run: `LACUNA_REQUIRE_TIER` names a tier that may not be skipped.
//!
//! The suite sets it on a CPU that has the tier, so that a mistake in detection cannot turn tests of generated code into tests that
//! are skipped.

use lacuna_jit::Tier;

/// The environment variable that names a tier whose tests may not be skipped.
pub(crate) const REQUIRE_VARIABLE: &str = "LACUNA_REQUIRE_TIER";

/// Tiers that tests of this machine skip, and why.
pub(crate) fn skipped_tiers() -> Vec<(Tier, String)> {
    let skipped = Tier::ALL.into_iter().map(|tier| (tier, tier.missing())).filter(|(_, missing)| !missing.is_empty());
    skipped.map(|(tier, missing)| (tier, format!("this machine lacks {}", missing.join(", ")))).collect()
}

/// Fails the test if it skips the tier that `LACUNA_REQUIRE_TIER` names.
pub(crate) fn check_required_tier() {
    let required = std::env::var(REQUIRE_VARIABLE).unwrap_or_default();
    if let Err(message) = check(&required, &skipped_tiers()) {
        panic!("{message}");
    }
}

/// What is wrong if tests of `required`, a tier's name or nothing, may not be skipped.
pub(crate) fn check(required: &str, skipped: &[(Tier, String)]) -> Result<(), String> {
    if required.is_empty() {
        return Ok(());
    }
    let required: Tier = required.parse().map_err(|name| format!("{REQUIRE_VARIABLE} names no tier: {name:?}"))?;
    match skipped.iter().find(|(tier, _)| *tier == required) {
        Some((tier, why)) => Err(format!("{REQUIRE_VARIABLE} requires tier {tier}, which is skipped: {why}")),
        None => Ok(()),
    }
}
