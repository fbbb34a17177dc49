//! What this machine has, less what the user masks: the one place that asks the CPU, and what follows for tiers.

use std::env::VarError;
use std::sync::OnceLock;

use crate::error::JitError;
use crate::features::Features;
use crate::tier::Tier;

/// The environment variable that forces a tier.
pub const TIER_VARIABLE: &str = "LACUNA_TIER";

/// The environment variable that masks CPU features: their names, comma separated, as in `avx512bf16,avx512vbmi`. The program
/// then behaves as on a CPU that lacks them and every feature that needs one of them. It is read once per process.
pub const MASK_VARIABLE: &str = "LACUNA_MASK_FEATURES";

impl Features {
    /// The features that may be used here: those of the machine that are not masked by `LACUNA_MASK_FEATURES`.
    ///
    /// A feature counts only if the operating system saves its registers (XGETBV), which the standard library's detection
    /// includes. If the variable has an unknown name, there are no features: [`Features::masked`] and [`Tier::select`] give
    /// the error.
    pub fn detect() -> Features {
        match mask() {
            Ok(mask) => machine().without(*mask),
            Err(_) => Features::NONE,
        }
    }

    /// The features that the machine has and `LACUNA_MASK_FEATURES` masks.
    ///
    /// # Errors
    /// [`JitError::UnknownFeature`] if the variable has a name that does not exist.
    pub fn masked() -> Result<Features, JitError> {
        match mask() {
            Ok(mask) => Ok(machine().and(*mask)),
            Err(found) => Err(JitError::UnknownFeature { found: found.clone() }),
        }
    }
}

/// What `LACUNA_MASK_FEATURES` masks, or the name that does not exist.
fn mask() -> &'static Result<Features, String> {
    static MASK: OnceLock<Result<Features, String>> = OnceLock::new();
    MASK.get_or_init(|| match std::env::var(MASK_VARIABLE) {
        Ok(names) => parse_mask(&names),
        Err(VarError::NotPresent) => Ok(Features::NONE),
        Err(VarError::NotUnicode(raw)) => Err(raw.to_string_lossy().into_owned()),
    })
}

/// The features named in `names` and all that need one of them.
fn parse_mask(names: &str) -> Result<Features, String> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let named = names.map(|name| Features::from_name(name).ok_or_else(|| name.to_owned()));
    let named = named.collect::<Result<Vec<_>, _>>()?;
    Ok(named.into_iter().fold(Features::NONE, Features::with).with_dependents())
}

/// What the CPU and the operating system provide.
#[cfg(target_arch = "x86_64")]
fn machine() -> Features {
    use std::arch::is_x86_feature_detected as has;
    static MACHINE: OnceLock<Features> = OnceLock::new();
    *MACHINE.get_or_init(|| {
        let present = [
            (Features::AVX2, has!("avx2")),
            (Features::FMA, has!("fma")),
            (Features::AVX_VNNI, has!("avxvnni")),
            (Features::AVX512F, has!("avx512f")),
            (Features::AVX512BW, has!("avx512bw")),
            (Features::AVX512DQ, has!("avx512dq")),
            (Features::AVX512VL, has!("avx512vl")),
            (Features::AVX512_VNNI, has!("avx512vnni")),
            (Features::AVX512_VBMI, has!("avx512vbmi")),
            (Features::AVX512_BF16, has!("avx512bf16")),
        ];
        let absent = present.into_iter().filter(|(_, present)| !present).map(|(feature, _)| feature);
        let absent = absent.fold(Features::NONE, Features::with).with_dependents();
        Features::all().fold(Features::NONE, Features::with).without(absent)
    })
}

/// What the CPU and the operating system provide.
#[cfg(not(target_arch = "x86_64"))]
fn machine() -> Features {
    Features::NONE
}

impl Tier {
    /// The best tier of this machine.
    pub fn detect() -> Tier {
        Tier::ALL.into_iter().rev().find(|t| t.missing().is_empty()).unwrap_or(Tier::Portable)
    }

    /// The features of this tier that this machine lacks or that are masked ([`Features::detect`]).
    pub fn missing(self) -> Vec<&'static str> {
        if cfg!(not(target_arch = "x86_64")) && self != Tier::Portable {
            return vec!["x86-64"];
        }
        self.features().without(Features::detect()).names().collect()
    }

    /// The tier to use: `option` if given, else the environment variable `LACUNA_TIER`, else the best of this machine.
    ///
    /// # Errors
    /// [`JitError::UnknownTier`] for a name that does not exist, [`JitError::TierUnavailable`] for a tier above this
    /// machine's. A tier that is requested by name is never replaced by another one. [`JitError::UnknownFeature`] if
    /// `LACUNA_MASK_FEATURES` has a name that does not exist.
    pub fn select(option: Option<Tier>) -> Result<Tier, JitError> {
        Features::masked()?;
        let requested = match (option, std::env::var(TIER_VARIABLE)) {
            (Some(tier), _) => Some(tier),
            (None, Ok(name)) if !name.is_empty() => Some(name.parse().map_err(|found| JitError::UnknownTier {
                found,
                origin: format!("the environment variable {TIER_VARIABLE}"),
            })?),
            (None, Err(VarError::NotUnicode(raw))) => {
                return Err(JitError::UnknownTier {
                    found: raw.to_string_lossy().into_owned(),
                    origin: format!("the environment variable {TIER_VARIABLE}"),
                });
            }
            _ => None,
        };
        let Some(requested) = requested else { return Ok(Tier::detect()) };
        requested.if_nothing_misses(&requested.missing())
    }

    /// This tier, unless features of it are `missing`.
    fn if_nothing_misses(self, missing: &[&str]) -> Result<Tier, JitError> {
        if missing.is_empty() {
            Ok(self)
        } else {
            let missing = missing.join(", ");
            Err(JitError::TierUnavailable { requested: self, available: Tier::detect(), missing })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_above_the_machine_is_an_error_that_names_what_is_missing() {
        let error = Tier::Avx512Vnni.if_nothing_misses(&["avx512vl", "avx512vnni"]).unwrap_err().to_string();
        let best = Tier::detect();
        assert!(error.contains(&format!("tier avx512vnni was asked for, this CPU provides {best}")), "{error}");
        assert!(error.contains("(missing: avx512vl, avx512vnni)"), "{error}");
    }

    #[test]
    fn a_mask_is_a_list_of_names() {
        assert_eq!(parse_mask(""), Ok(Features::NONE));
        assert_eq!(parse_mask(" avx512bf16 ,, avx512vbmi"), Ok(Features::AVX512_BF16 | Features::AVX512_VBMI));
        assert_eq!(parse_mask("avx512vnni"), Ok(Features::AVX512_VNNI));
        assert!(parse_mask("avx512f").unwrap().contains(Tier::Avx512Vnni.features()));
        assert_eq!(parse_mask("avx512bf16,vbmi"), Err("vbmi".to_owned()));
    }

    #[test]
    fn every_feature_that_a_feature_needs_is_there() {
        for feature in Features::all().filter(|feature| machine().contains(*feature)) {
            for lacking in Features::all().filter(|lacking| !machine().contains(*lacking)) {
                assert!(!lacking.with_dependents().contains(feature), "{feature} without {lacking}");
            }
        }
    }
}
