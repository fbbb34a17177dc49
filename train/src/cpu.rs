//! Which instructions plain loops are compiled for.

use std::sync::OnceLock;

use lacuna_jit::{Isa, Tier};
use lacuna_kernels::KernelError;

use crate::Result;

/// The instructions that a loop may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Those that every CPU of the architecture has.
    Plain,
    /// AVX2 and FMA.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx2,
    /// AVX-512 F, VL, DQ and BW, and FMA.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx512,
}

/// The level of this machine, not above the tier that is asked for.
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    use std::arch::is_x86_feature_detected as has;
    let fma = has!("fma") && has!("avx2");
    let avx512 = has!("avx512f") && has!("avx512vl") && has!("avx512dq") && has!("avx512bw");
    match Tier::select(None).unwrap_or(Tier::Portable) {
        Tier::Avx512Vnni if fma && avx512 => Level::Avx512,
        Tier::Portable => Level::Plain,
        _ if fma => Level::Avx2,
        _ => Level::Plain,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Plain
}

/// The instruction set of generated kernels: the best of this machine, or the one that `LACUNA_TIER` names.
///
/// # Errors
/// [`KernelError::Jit`] for a tier that does not exist or that this machine lacks.
pub(crate) fn isa() -> Result<Isa> {
    Ok(Isa::for_tier(Tier::select(None).map_err(KernelError::from)?))
}

/// Defines a function whose body is compiled for each [`Level`], and calls the one of this machine.
///
/// The body must compute the same bits at every level: it uses `mul_add` where it wants a fused step, and adds in an order that the
/// source fixes.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn plain($($arg: $ty),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn avx512($($arg: $ty),*) {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) {
                    plain($($arg),*)
                }
                match $crate::cpu::level() {
                    // SAFETY: the features of the level were detected.
                    $crate::cpu::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: the features of the level were detected.
                    $crate::cpu::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::cpu::Level::Plain => {}
                }
            }
            plain($($arg),*)
        }
    };
}

pub(crate) use multiversion;
