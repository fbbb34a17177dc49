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

/// Proof that AVX2 and FMA can be executed here, and whether kernels may use AVX-VNNI too.
///
/// Only [`Avx2::detect`] makes one, so a kernel that holds one may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Avx2 {
    vnni: bool,
}

impl Avx2 {
    /// The token, if this machine provides the features.
    pub fn detect() -> Option<Avx2> {
        let available = Features::detect();
        let vnni = available.contains(Tier::AvxVnni.features());
        available.contains(Tier::Avx2.features()).then_some(Avx2 { vnni })
    }

    /// Whether AVX-VNNI (`vpdpbusd` on 256 bits) can be executed here and is to be used.
    pub const fn vnni(self) -> bool {
        self.vnni
    }

    /// The same without AVX-VNNI: kernels planned with it are those of a CPU that lacks it.
    pub const fn without_vnni(self) -> Avx2 {
        Avx2 { vnni: false }
    }

    /// The tier that it stands for.
    pub const fn tier(self) -> Tier {
        if self.vnni { Tier::AvxVnni } else { Tier::Avx2 }
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
    /// Generated AVX2 code, with AVX-VNNI where the token says so; plain Rust, compiled for AVX2, for what has no code of 256 bits.
    Avx2(Avx2),
    /// Plain Rust.
    Portable,
}

impl Isa {
    /// What runs on `tier`: generated code where this machine has the features, else the portable kernels.
    pub fn for_tier(tier: Tier) -> Isa {
        let isa = match tier {
            Tier::Avx512Vnni => Avx512Vnni::detect().map(Isa::Avx512Vnni),
            Tier::AvxVnni => Avx2::detect().filter(|token| token.vnni()).map(Isa::Avx2),
            Tier::Avx2 => Avx2::detect().map(|token| Isa::Avx2(token.without_vnni())),
            Tier::Portable => None,
        };
        isa.unwrap_or(Isa::Portable)
    }

    /// The same, for kernels that have no code of 256 bits: [`Isa::Portable`] in place of [`Isa::Avx2`].
    pub fn or_portable_for_avx2(self) -> Isa {
        if matches!(self, Isa::Avx2(_)) { Isa::Portable } else { self }
    }

    /// The best of this machine. `LACUNA_TIER` is ignored.
    pub fn detect() -> Isa {
        Isa::for_tier(Tier::detect())
    }

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512Vnni(_) => "avx512vnni",
            Isa::Avx2(token) => token.tier().name(),
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
