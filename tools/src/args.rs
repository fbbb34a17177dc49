//! Parsers of option values, each with an error that says what would be right.

use lacuna::Error;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::{PanelLayout, Sign};

/// No pool may have more workers.
const MAX_THREADS: usize = 1024;

/// A number of threads.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=MAX_THREADS) => Ok(n),
        _ => Err(format!("found {text:?}; expected 1 to {MAX_THREADS}")),
    }
}

/// A number of things of which there must be one.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..) => Ok(n),
        _ => Err(format!("found {text:?}; expected a whole number of at least 1")),
    }
}

/// A fraction of blocks to drop.
pub(crate) fn sparsity(text: &str) -> Result<f64, String> {
    let found: f64 = text.parse().map_err(|_| format!("found {text:?}; expected a number, 0 <= sparsity < 1"))?;
    match (0.0..1.0).contains(&found) {
        true => Ok(found),
        false => Err(Error::Sparsity { found }.to_string()),
    }
}

/// A fraction up to one.
pub(crate) fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(found) if (0.0..=1.0).contains(&found) => Ok(found),
        _ => Err(format!("found {text:?}; expected a number from 0 to 1")),
    }
}

/// A percentile, of which the middle is the 50th.
pub(crate) fn percentile(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(found) if (50.0..=100.0).contains(&found) => Ok(found),
        _ => Err(format!("found {text:?}; expected a number from 50 to 100")),
    }
}

/// A time or a limit: a positive number.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(found) if found > 0.0 && f64::is_finite(found) => Ok(found),
        _ => Err(format!("found {text:?}; expected a number above 0")),
    }
}

/// An epilogue by its name in kernel names; `requant` and `gelu` alone write a plain panel of u8 in 16-bit arithmetic, as models
/// do.
pub(crate) fn epilogue(text: &str) -> Result<Epilogue, String> {
    match text {
        "requant" => return Ok(Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned).fixed()),
        "gelu" => return Ok(Epilogue::gelu(PanelLayout::Plain, Sign::Unsigned).fixed()),
        _ => {}
    }
    let known = Epilogue::all();
    known.iter().find(|epilogue| epilogue.name() == text).copied().ok_or_else(|| {
        let names: Vec<String> = known.iter().map(Epilogue::name).collect();
        format!("unknown epilogue {text:?}; expected requant, gelu or one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparsity_is_a_fraction_below_one() {
        assert_eq!(sparsity("0"), Ok(0.0));
        assert_eq!(sparsity("0.95"), Ok(0.95));
        for text in ["1", "1.0", "-0.1", "NaN", "inf", "90", "", "90%"] {
            let message = sparsity(text).unwrap_err();
            assert!(message.contains("0 <= sparsity < 1"), "{text}: {message}");
        }
    }

    #[test]
    fn every_epilogue_has_a_name_of_its_own() {
        for wanted in Epilogue::all() {
            assert_eq!(epilogue(&wanted.name()), Ok(wanted));
        }
        assert!(epilogue("relu").unwrap_err().contains("gelu-u8-vnni"));
    }

    #[test]
    fn counts_start_at_one() {
        assert_eq!(threads("2"), Ok(2));
        assert!(threads("0").is_err() && threads("1025").is_err() && threads("-1").is_err() && threads("x").is_err());
        assert!(at_least_one("0").is_err());
    }
}
