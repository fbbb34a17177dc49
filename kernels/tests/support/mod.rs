//! What the tests of generated code share: buffers that end at a page nobody may touch, a caller that notices clobbered
//! registers, the tiers of this machine, and distances between floats.
//!
//! Use it from an integration test with `mod support;`.
#![allow(dead_code, unused_imports)] // every test uses a part

mod canaries;
mod guarded;
mod ulp;

use lacuna_jit::{Isa, Tier};

pub(crate) use canaries::{Clobbers, with_canaries};
pub(crate) use guarded::{Guarded, garbage};
pub(crate) use ulp::{assert_ulp, ulp_distance};

/// Every instruction set that this machine can run, the portable one first. Prints what is left out and why.
pub(crate) fn tiers() -> Vec<Isa> {
    let mut isas = vec![Isa::Portable];
    for tier in Tier::ALL {
        let isa = Isa::for_tier(tier);
        let missing = tier.missing();
        if !missing.is_empty() {
            eprintln!("tier {tier} skipped: this machine lacks {}", missing.join(", "));
        } else if !isas.contains(&isa) {
            isas.push(isa);
        } else if tier != Tier::Portable {
            eprintln!("tier {tier} not run on its own: it uses the {isa} kernels");
        }
    }
    isas
}
