//! CPU features as values: a token proves that the CPU and the operating system provide what its kernels need.

use std::fmt;
use std::str::FromStr;

use crate::JitError;

/// The environment variable that forces a tier.
pub const TIER_VARIABLE: &str = "LACUNA_TIER";

/// A level of CPU support, ordered from the one every machine has to the fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Plain Rust on any CPU.
    Portable,
    /// AVX2 and FMA. No kernels are generated for it yet: it runs the portable ones, and says so.
    Avx2,
    /// AVX2 with VEX-encoded VNNI. No kernels are generated for it yet: it runs the portable ones, and says so.
    AvxVnni,
    /// AVX-512 F, BW, VL, DQ, VNNI and VBMI. Kernels are generated.
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

    /// The best tier of this machine.
    pub fn detect() -> Tier {
        Tier::ALL.into_iter().rev().find(|t| t.missing().is_empty()).unwrap_or(Tier::Portable)
    }

    /// The features of this tier that this machine lacks. A feature counts as present only if the operating system saves
    /// its registers (XGETBV), which the standard library's detection includes.
    pub fn missing(self) -> Vec<&'static str> {
        self.features().into_iter().filter(|(_, present)| !present).map(|(name, _)| name).collect()
    }

    /// The tier to use: `option` if given, else the environment variable `LACUNA_TIER`, else the best of this machine.
    ///
    /// # Errors
    /// [`JitError::UnknownTier`] for a name that does not exist, [`JitError::TierUnavailable`] for a tier above this
    /// machine's: a tier that was asked for by name is never replaced by another.
    pub fn select(option: Option<Tier>) -> Result<Tier, JitError> {
        let requested = match (option, std::env::var(TIER_VARIABLE)) {
            (Some(tier), _) => Some(tier),
            (None, Ok(name)) if !name.is_empty() => Some(name.parse().map_err(|found| JitError::UnknownTier {
                found,
                origin: format!("the environment variable {TIER_VARIABLE}"),
            })?),
            (None, Err(std::env::VarError::NotUnicode(raw))) => {
                return Err(JitError::UnknownTier {
                    found: raw.to_string_lossy().into_owned(),
                    origin: format!("the environment variable {TIER_VARIABLE}"),
                });
            }
            _ => None,
        };
        let Some(requested) = requested else { return Ok(Tier::detect()) };
        requested.without(requested.missing())
    }

    /// This tier on a machine where `missing` of its features are absent.
    fn without(self, missing: Vec<&'static str>) -> Result<Tier, JitError> {
        if missing.is_empty() {
            Ok(self)
        } else {
            let missing = missing.join(", ");
            Err(JitError::TierUnavailable { requested: self, available: Tier::detect(), missing })
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn features(self) -> Vec<(&'static str, bool)> {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = [("avx2", has!("avx2")), ("fma", has!("fma"))];
        match self {
            Tier::Portable => Vec::new(),
            Tier::Avx2 => avx2.to_vec(),
            Tier::AvxVnni => [&avx2[..], &[("avxvnni", has!("avxvnni"))]].concat(),
            Tier::Avx512Vnni => vec![
                ("avx512f", has!("avx512f")),
                ("avx512bw", has!("avx512bw")),
                ("avx512vl", has!("avx512vl")),
                ("avx512dq", has!("avx512dq")),
                ("avx512vnni", has!("avx512vnni")),
                ("avx512vbmi", has!("avx512vbmi")),
            ],
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn features(self) -> Vec<(&'static str, bool)> {
        if self == Tier::Portable { Vec::new() } else { vec![("x86-64", false)] }
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

/// Proof that AVX-512 F, BW, VL, DQ, VNNI and VBMI can be executed here.
///
/// Only [`Avx512Vnni::detect`] makes one, so a kernel that holds one may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Avx512Vnni(());

impl Avx512Vnni {
    /// The token, if this machine provides the features.
    pub fn detect() -> Option<Avx512Vnni> {
        Tier::Avx512Vnni.missing().is_empty().then_some(Avx512Vnni(()))
    }
}

/// Proof that AVX512_BF16 (`vdpbf16ps` and the conversions to bf16) can be executed here.
///
/// A feature beside the tiers: some CPUs of tier [`Tier::Avx512Vnni`] have it, some do not. Only [`Avx512Bf16::detect`] makes
/// one, so a kernel that holds one may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Avx512Bf16(());

impl Avx512Bf16 {
    /// The name of the feature, for errors and reports.
    pub const FEATURE: &'static str = "avx512bf16";

    /// The token, if this machine provides the feature.
    pub fn detect() -> Option<Avx512Bf16> {
        #[cfg(target_arch = "x86_64")]
        let present =
            std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        let present = false;
        present.then_some(Avx512Bf16(()))
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

    /// The best of this machine, whatever the environment says.
    pub fn detect() -> Isa {
        Isa::for_tier(Tier::detect())
    }

    /// The name used in kernel names.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512Vnni(_) => "avx512vnni",
            Isa::Portable => "portable",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The CPU's own name for itself, for reports.
#[cfg(target_arch = "x86_64")]
pub fn brand() -> String {
    use std::arch::x86_64::__cpuid;
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return "x86-64".to_owned();
    }
    let bytes: Vec<u8> = (0x8000_0002..=0x8000_0004u32)
        .map(__cpuid)
        .flat_map(|r| [r.eax, r.ebx, r.ecx, r.edx])
        .flat_map(u32::to_le_bytes)
        .take_while(|&b| b != 0)
        .collect();
    String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The CPU's own name for itself, for reports.
#[cfg(not(target_arch = "x86_64"))]
pub fn brand() -> String {
    std::env::consts::ARCH.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_above_the_machine_is_an_error_that_names_what_is_missing() {
        let error = Tier::Avx512Vnni.without(vec!["avx512vl", "avx512vbmi"]).unwrap_err().to_string();
        let best = Tier::detect();
        assert!(error.contains(&format!("tier avx512vnni was asked for, this CPU provides {best}")), "{error}");
        assert!(error.contains("(missing: avx512vl, avx512vbmi)"), "{error}");
    }
}

/// Sizes of the data caches of one core, in bytes; of the last level, what its cores share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caches {
    /// First level, data.
    pub l1d: usize,
    /// Second level.
    pub l2: usize,
    /// Third level; 0 if there is none.
    pub l3: usize,
}

impl Caches {
    /// What most server cores have had since 2019: for machines that do not say.
    pub const TYPICAL: Caches = Caches { l1d: 32 << 10, l2: 1 << 20, l3: 32 << 20 };

    /// What the CPU says; nothing if it does not.
    #[cfg(target_arch = "x86_64")]
    pub fn detect() -> Option<Caches> {
        use raw_cpuid::{CacheType, CpuId};
        let mut sizes = [0; 4];
        for cache in CpuId::new().get_cache_parameters()? {
            let holds_data = matches!(cache.cache_type(), CacheType::Data | CacheType::Unified);
            if let (true, Some(size)) = (holds_data, sizes.get_mut(usize::from(cache.level()))) {
                *size = cache.associativity()
                    * cache.physical_line_partitions()
                    * cache.coherency_line_size()
                    * cache.sets();
            }
        }
        let [_, l1d, l2, l3] = sizes;
        (l1d > 0 && l2 > 0).then_some(Caches { l1d, l2, l3 })
    }

    /// What the CPU says; nothing if it does not.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn detect() -> Option<Caches> {
        None
    }
}
