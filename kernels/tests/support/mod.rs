//! What the tests of generated code share: buffers that end at a page nobody may touch, a caller that notices clobbered
//! registers, the tiers of this machine, and distances between floats.
//!
//! Use it from an integration test with `mod support;`.
#![allow(dead_code, unused_imports)] // every test uses a part

mod canaries;
mod code;
mod guarded;
mod patterns;
pub(crate) mod required;
mod ulp;

use lacuna_jit::{Isa, Tier};

pub(crate) use canaries::{Clobbers, with_canaries};
pub(crate) use code::assert_code_of_a_plan;
pub(crate) use guarded::{Guarded, Place, garbage};
pub(crate) use patterns::{mask_blocks, special_patterns};
pub(crate) use required::{check_required_tier, skipped_tiers};
pub(crate) use ulp::{assert_ulp, ulp_distance};

/// Every instruction set that this machine can run, the portable one first. Prints what is left out and why.
///
/// Panics if the tier is left out that `LACUNA_REQUIRE_TIER` names.
pub(crate) fn tiers() -> Vec<Isa> {
    check_required_tier();
    let skipped = skipped_tiers();
    let mut isas = vec![Isa::Portable];
    for tier in Tier::ALL {
        let isa = Isa::for_tier(tier);
        if let Some((_, why)) = skipped.iter().find(|(skipped, _)| *skipped == tier) {
            eprintln!("tier {tier} skipped: {why}");
        } else if !isas.contains(&isa) {
            isas.push(isa);
        } else if tier != Tier::Portable {
            eprintln!("tier {tier} not tested separately: it uses the {isa} kernels");
        }
    }
    isas
}

/// The same for kernels that have no code of 256 bits: tiers on which they are portable count once.
pub(crate) fn tiers_without_avx2() -> Vec<Isa> {
    let mut isas: Vec<Isa> = tiers().into_iter().map(Isa::or_portable_for_avx2).collect();
    isas.dedup();
    isas
}
