//! Levels of CPU support, by name.

use std::fmt;
use std::str::FromStr;

use crate::features::Features;

/// A level of CPU support, ordered from the one every machine has to the fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Plain Rust on any CPU.
    Portable,
    /// AVX2 and FMA. Matrix products are generated; the other kernels are the portable ones, compiled for AVX2.
    Avx2,
    /// AVX2 with VEX-encoded VNNI: as [`Tier::Avx2`], with its dot products.
    AvxVnni,
    /// AVX-512 F, BW, VL, DQ and VNNI. Kernels are generated. Where the CPU has VBMI or BF16 too, the kernels that gain by
    /// them use them.
    Avx512Vnni,
}

impl Tier {
    /// All tiers, lowest first.
    pub const ALL: [Tier; 4] = [Tier::Portable, Tier::Avx2, Tier::AvxVnni, Tier::Avx512Vnni];

    /// The name used in options, kernel names and reports.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Portable => "portable",
            Tier::Avx2 => "avx2",
            Tier::AvxVnni => "avxvnni",
            Tier::Avx512Vnni => "avx512vnni",
        }
    }

    /// The CPU features that every machine of this tier has.
    pub const fn features(self) -> Features {
        const AVX2: Features = Features::AVX2.with(Features::FMA);
        match self {
            Tier::Portable => Features::NONE,
            Tier::Avx2 => AVX2,
            Tier::AvxVnni => AVX2.with(Features::AVX_VNNI),
            Tier::Avx512Vnni => Features::AVX512F
                .with(Features::AVX512BW)
                .with(Features::AVX512VL)
                .with(Features::AVX512DQ)
                .with(Features::AVX512_VNNI),
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Tier::ALL.into_iter().find(|t| t.name() == s).ok_or_else(|| s.to_owned())
    }
}
