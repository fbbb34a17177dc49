//! Proofs that instructions may be executed, and the instruction set that kernels are made for.

use std::fmt;

use crate::features::Features;
use crate::tier::Tier;

/// Proof that AVX-512 F, BW, VL, DQ and VNNI can be executed here, and whether kernels may use VBMI too.
///
/// Only [`Avx512Vnni::detect`] makes one, so a kernel that holds one may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Avx512Vnni {
    vbmi: bool,
}

impl Avx512Vnni {
    /// The token, if this machine provides the features.
    pub fn detect() -> Option<Avx512Vnni> {
        let available = Features::detect();
        let vbmi = available.contains(Features::AVX512_VBMI);
        available.contains(Tier::Avx512Vnni.features()).then_some(Avx512Vnni { vbmi })
    }

    /// Whether AVX512_VBMI (`vpermi2b`) can be executed here and is to be used.
    pub const fn vbmi(self) -> bool {
        self.vbmi
    }

    /// The same without VBMI: kernels planned with it are those of a CPU that lacks VBMI.
    pub const fn without_vbmi(self) -> Avx512Vnni {
        Avx512Vnni { vbmi: false }
    }
}

/// Proof that AVX512_BF16 (`vdpbf16ps` and the conversions to bf16) can be executed here.
///
/// This feature is independent of the tiers: some CPUs of tier [`Tier::Avx512Vnni`] have it, some do not. Only
/// [`Avx512Bf16::detect`] makes one, so a kernel that holds one may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Avx512Bf16(());

impl Avx512Bf16 {
    /// The name of the feature, for errors and reports.
    pub const FEATURE: &'static str = "avx512bf16";

    /// The token, if this machine provides the feature.
    pub fn detect() -> Option<Avx512Bf16> {
        Features::detect().contains(Features::AVX512_BF16).then_some(Avx512Bf16(()))
    }
}

/// The instruction set that kernels of a tier are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Generated AVX-512 VNNI code.
    Avx512Vnni(Avx512Vnni),
    /// Plain Rust.
    Portable,
}

impl Isa {
    /// What runs on `tier`: generated code for [`Tier::Avx512Vnni`] where this machine has it, the portable kernels for
    /// every other tier.
    pub fn for_tier(tier: Tier) -> Isa {
        match (tier, Avx512Vnni::detect()) {
            (Tier::Avx512Vnni, Some(token)) => Isa::Avx512Vnni(token),
            _ => Isa::Portable,
        }
    }

    /// The best of this machine. `LACUNA_TIER` is ignored.
    pub fn detect() -> Isa {
        Isa::for_tier(Tier::detect())
    }

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512Vnni(_) => "avx512vnni",
            Isa::Portable => "portable",
        }
    }
}

impl fmt::Display for Isa {
    /// The name used in kernel names, which says if VBMI is not used: `avx512vnni`, `avx512vnni-novbmi`, `portable`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Isa::Avx512Vnni(token) if !token.vbmi() => write!(f, "{}-novbmi", self.name()),
            _ => f.write_str(self.name()),
        }
    }
}
