//! How options are written in commands and reports.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::range::RangeMethod;
use super::smooth::Smoothing;
use crate::error::CalibrationError;

impl fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeMethod::MinMax => f.write_str("minmax"),
            RangeMethod::Percentile(percent) => write!(f, "percentile:{percent}"),
            RangeMethod::Mse => f.write_str("mse"),
            RangeMethod::Kl => f.write_str("kl"),
        }
    }
}

impl FromStr for RangeMethod {
    type Err = CalibrationError;

    /// Reads `minmax`, `percentile:99.9`, `mse` or `kl`.
    fn from_str(s: &str) -> Result<Self, CalibrationError> {
        let percentile = s.strip_prefix("percentile:").and_then(|percent| percent.parse().ok());
        match (s, percentile) {
            ("minmax", _) => Ok(RangeMethod::MinMax),
            ("mse", _) => Ok(RangeMethod::Mse),
            ("kl", _) => Ok(RangeMethod::Kl),
            (_, Some(percent)) if percent > 50.0 && percent <= 100.0 => Ok(RangeMethod::Percentile(percent)),
            _ => Err(CalibrationError::UnknownRange { found: s.to_owned() }),
        }
    }
}

impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Smoothing::None => f.write_str("none"),
            Smoothing::Alpha(alpha) => write!(f, "{alpha}"),
            Smoothing::Search => f.write_str("search"),
        }
    }
}

impl FromStr for Smoothing {
    type Err = CalibrationError;

    /// Reads `none`, `search` or the number alpha.
    fn from_str(s: &str) -> Result<Self, CalibrationError> {
        match (s, s.parse()) {
            ("none", _) => Ok(Smoothing::None),
            ("search", _) => Ok(Smoothing::Search),
            (_, Ok(alpha)) if (0.0..=1.0).contains(&alpha) => Ok(Smoothing::Alpha(alpha)),
            _ => Err(CalibrationError::UnknownSmoothing { found: s.to_owned() }),
        }
    }
}

impl Serialize for RangeMethod {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Smoothing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let percentiles = [99.99, 50.5, 100.0].map(RangeMethod::Percentile);
        for range in [RangeMethod::MinMax, RangeMethod::Mse, RangeMethod::Kl].into_iter().chain(percentiles) {
            assert_eq!(range.to_string().parse(), Ok(range));
        }
        for smoothing in [Smoothing::None, Smoothing::Search, Smoothing::Alpha(0.75), Smoothing::Alpha(0.0)] {
            assert_eq!(smoothing.to_string().parse(), Ok(smoothing));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for text in ["", "max", "percentile", "percentile:", "percentile:50", "percentile:101", "percentile:NaN", "KL"]
        {
            let error = text.parse::<RangeMethod>().unwrap_err();
            assert!(error.to_string().contains("50 < P <= 100"), "{error}");
        }
        for text in ["", "alpha", "-0.1", "1.1", "NaN", "inf"] {
            let error = text.parse::<Smoothing>().unwrap_err();
            assert!(error.to_string().contains("from 0 to 1"), "{error}");
        }
    }
}
