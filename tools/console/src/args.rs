//! Parsers of option values, each with an error that says what would be right.

use std::ops::RangeInclusive;

use lacuna::errors::ModelError;
use lacuna_kernels::epilogue::{Activation, Epilogue, Store};
use lacuna_kernels::float;
use lacuna_kernels::{PanelLayout, Sign, Sink};

/// No pool may have more workers.
const MAX_THREADS: usize = 1024;

/// A number of threads.
pub fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=MAX_THREADS) => Ok(n),
        _ => Err(format!("found {text:?}; expected 1 to {MAX_THREADS}")),
    }
}

/// A number of things of which there must be one.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..) => Ok(n),
        _ => Err(format!("found {text:?}; expected a whole number of at least 1")),
    }
}

/// Lengths from one to another, `5-60`.
pub fn lengths(text: &str) -> Result<RangeInclusive<usize>, String> {
    let parts = text.split_once('-').map(|(from, to)| (from.parse(), to.parse()));
    match parts {
        Some((Ok(from @ 1..), Ok(to))) if from <= to => Ok(from..=to),
        _ => Err(format!("found {text:?}; expected two whole numbers, A-B, 1 <= A <= B")),
    }
}

/// A fraction of blocks to drop.
pub fn sparsity(text: &str) -> Result<f64, String> {
    let found: f64 = text.parse().map_err(|_| format!("found {text:?}; expected a number, 0 <= sparsity < 1"))?;
    match (0.0..1.0).contains(&found) {
        true => Ok(found),
        false => Err(ModelError::Sparsity { found }.to_string()),
    }
}

/// A fraction up to one.
pub fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(found) if (0.0..=1.0).contains(&found) => Ok(found),
        _ => Err(format!("found {text:?}; expected a number from 0 to 1")),
    }
}

/// A percentile, of which the middle is the 50th.
pub fn percentile(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(found) if (50.0..=100.0).contains(&found) => Ok(found),
        _ => Err(format!("found {text:?}; expected a number from 50 to 100")),
    }
}

/// A time or a limit: a positive number.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(found) if found > 0.0 && f64::is_finite(found) => Ok(found),
        _ => Err(format!("found {text:?}; expected a number above 0")),
    }
}

/// An epilogue by its name in kernel names; `requant` and the name of an activation alone write a plain panel of u8 in 16-bit
/// arithmetic, as models do.
pub fn epilogue(text: &str) -> Result<Epilogue, String> {
    let alone = if text == "requant" { Some(Activation::Identity) } else { Activation::from_name(text) };
    if let Some(activation) = alone {
        let store = Store::Bytes { layout: PanelLayout::Plain, sign: Sign::Unsigned };
        return Ok(Epilogue::new(activation, store).fixed());
    }
    let known = Epilogue::all();
    known.iter().find(|epilogue| epilogue.name() == text).copied().ok_or_else(|| {
        let names: Vec<String> = known.iter().map(Epilogue::name).collect();
        format!("unknown epilogue {text:?}; expected requant, {} or one of {}", activation_names(), names.join(", "))
    })
}

/// An epilogue of float products by its name in kernel names. The name of an activation alone means that activation before f32.
pub fn float_sink(text: &str) -> Result<Sink, String> {
    let found = match Activation::from_name(text) {
        Some(activation) => Some(Sink::f32(false).with(activation)),
        None => float::sinks().into_iter().find(|epilogue| epilogue.name() == text),
    };
    found.ok_or_else(|| {
        let names = float_sink_names().join(", ");
        format!("unknown epilogue {text:?}; expected {} or one of {names}", activation_names())
    })
}

/// The names of all epilogues of float products.
pub fn float_sink_names() -> Vec<String> {
    float::sinks().iter().map(Sink::name).collect()
}

/// An activation by its name in kernel names.
pub fn activation(text: &str) -> Result<Activation, String> {
    Activation::from_name(text).ok_or_else(|| format!("found {text:?}; expected {}", activation_names()))
}

fn activation_names() -> String {
    Activation::ALL[1..].iter().map(|activation| activation.name()).collect::<Vec<_>>().join(", ")
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
        for (alone, full) in [
            ("requant", "requant16-u8-plain"),
            ("relu", "relu16-u8-plain"),
            ("gelu", "gelu16-u8-plain"),
            ("gelutanh", "gelutanh16-u8-plain"),
        ] {
            assert_eq!(epilogue(alone).unwrap().name(), full);
        }
        let message = epilogue("swish").unwrap_err();
        assert!(message.contains("requant, relu, gelu, gelutanh or one of") && message.contains("gelu-u8-vnni"));
        assert!(epilogue("").is_err());
    }

    #[test]
    fn every_float_epilogue_has_a_name_of_its_own() {
        for wanted in float::sinks() {
            assert_eq!(float_sink(&wanted.name()), Ok(wanted));
        }
        assert_eq!(float_sink("gelu").unwrap().name(), "gelu-f32");
        let message = float_sink("requant").unwrap_err();
        assert!(message.contains("relu, gelu, gelutanh or one of") && message.contains("f32-residual"), "{message}");
    }

    #[test]
    fn activations_have_names() {
        assert_eq!(activation("gelutanh"), Ok(Activation::GeluTanh));
        for text in ["", "swish", "gelu_new"] {
            assert_eq!(activation(text).unwrap_err(), format!("found {text:?}; expected relu, gelu, gelutanh"));
        }
    }

    #[test]
    fn counts_start_at_one() {
        assert_eq!(threads("2"), Ok(2));
        assert!(threads("0").is_err() && threads("1025").is_err() && threads("-1").is_err() && threads("x").is_err());
        assert!(at_least_one("0").is_err());
        assert_eq!((lengths("5-60"), lengths("7-7")), (Ok(5..=60), Ok(7..=7)));
        for text in ["", "5", "0-3", "6-5", "5-", "-5", "a-b", "5..60", "1-2-3"] {
            assert!(lengths(text).is_err(), "{text}");
        }
    }
}
