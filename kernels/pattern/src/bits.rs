//! How many bits the codes of activations have.

use std::fmt;

/// How many bits the u8 codes have that linear layers read.
///
/// Seven bits lose accuracy and win time on CPUs with AVX2 alone: two products of a code of 0 to 127 and an s8 weight add up to at most
/// 2 127 128 = 32512, which fits s16. `vpmaddubsw` adds them so, and saturates larger sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum ActivationBits {
    /// Codes of 0 to 127.
    Seven,
    /// Codes of 0 to 255.
    #[default]
    Eight,
}

impl ActivationBits {
    /// Both.
    pub const ALL: [ActivationBits; 2] = [ActivationBits::Seven, ActivationBits::Eight];

    /// 7 or 8.
    pub const fn count(self) -> u8 {
        match self {
            ActivationBits::Seven => 7,
            ActivationBits::Eight => 8,
        }
    }

    /// The largest code: 127 or 255.
    pub const fn largest(self) -> u8 {
        match self {
            ActivationBits::Seven => 127,
            ActivationBits::Eight => 255,
        }
    }

    /// `u7` or `u8`, as in kernel names.
    pub const fn name(self) -> &'static str {
        match self {
            ActivationBits::Seven => "u7",
            ActivationBits::Eight => "u8",
        }
    }

    /// Whether it is the default, which files do not say.
    pub fn is_default(&self) -> bool {
        *self == ActivationBits::default()
    }
}

impl fmt::Display for ActivationBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count())
    }
}

impl From<ActivationBits> for u8 {
    fn from(bits: ActivationBits) -> u8 {
        bits.count()
    }
}

impl TryFrom<u8> for ActivationBits {
    type Error = String;

    fn try_from(found: u8) -> Result<ActivationBits, String> {
        let bits = ActivationBits::ALL.into_iter().find(|bits| bits.count() == found);
        bits.ok_or_else(|| format!("activation codes of {found} bits; expected 7 or 8"))
    }
}

impl std::str::FromStr for ActivationBits {
    type Err = String;

    fn from_str(text: &str) -> Result<ActivationBits, String> {
        let bits = ActivationBits::ALL.into_iter().find(|bits| bits.to_string() == text);
        bits.ok_or_else(|| format!("found {text:?}; expected 7 or 8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for bits in ActivationBits::ALL {
            assert_eq!(bits.to_string().parse(), Ok(bits));
            assert_eq!(ActivationBits::try_from(u8::from(bits)), Ok(bits));
            assert_eq!(u32::from(bits.largest()), 2u32.pow(bits.count().into()) - 1);
        }
        assert_eq!("9".parse::<ActivationBits>().unwrap_err(), "found \"9\"; expected 7 or 8");
    }

    /// What `vpmaddubsw` adds.
    #[test]
    fn two_products_of_seven_bits_fit_16() {
        let code = i32::from(ActivationBits::Seven.largest());
        for weight in [i32::from(i8::MIN), i32::from(i8::MAX)] {
            assert!(i16::try_from(2 * code * weight).is_ok());
        }
    }
}
