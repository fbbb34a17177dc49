//! What a demo checks.

use lacuna::weights::Matrix;
use lacuna_console::error::{Error, Result};
use serde::Serialize;

/// One of the checks.
#[derive(Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) passed: bool,
    pub(super) found: String,
}

impl Check {
    /// Compares hidden states bit by bit.
    pub(super) fn identical(name: &'static str, a: &[Matrix], b: &[Matrix]) -> Check {
        let values = |states: &[Matrix]| states.iter().map(|m| m.data.len()).sum::<usize>();
        let bits =
            |states: &[Matrix]| -> Vec<u32> { states.iter().flat_map(|m| &m.data).map(|x| x.to_bits()).collect() };
        let different = bits(a).iter().zip(&bits(b)).filter(|(x, y)| x != y).count() + values(a).abs_diff(values(b));
        Check {
            name,
            passed: different == 0,
            found: match different {
                0 => format!("{} values of hidden states are bit-identical", values(a)),
                n => format!("{n} of {} values of hidden states differ; expected none", values(a)),
            },
        }
    }
}

/// A line for each.
pub(super) fn lines(checks: &[Check]) -> String {
    let line = |Check { name, passed, found }: &Check| {
        format!("  {name:<22} {:<6} {found}\n", if *passed { "ok" } else { "FAILED" })
    };
    checks.iter().map(line).collect()
}

/// An error for the first that failed.
pub(super) fn verdict(checks: &[Check]) -> Result<()> {
    match checks.iter().find(|check| !check.passed) {
        None => Ok(()),
        Some(check) => Err(Error::Check(format!("{}: {}", check.name, check.found))),
    }
}
