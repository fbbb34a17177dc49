//! Truncated inputs, as tasks report them.

use std::fmt;

use lacuna_model::plural;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::encoder::Truncation;

/// A truncated input.
///
/// As JSON: `{"query": 3, "passage": 5, "tokens": 600, "limit": 512}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruncatedInput {
    /// Which input it is, from the outside in, with its number from 0: `query 3`, `passage 5`.
    pub place: Vec<(&'static str, usize)>,
    /// Its length in tokens.
    pub tokens: usize,
    /// The tokens that were used.
    pub limit: usize,
}

impl TruncatedInput {
    /// An input inside of `place`; the truncation has its number.
    pub(super) fn new(
        mut place: Vec<(&'static str, usize)>,
        innermost: &'static str,
        truncation: &Truncation,
    ) -> TruncatedInput {
        place.push((innermost, truncation.sentence));
        TruncatedInput { place, tokens: truncation.tokens, limit: truncation.limit }
    }

    /// The inputs of a list of things of this name.
    pub(super) fn list(name: &'static str, truncated: &[Truncation]) -> Vec<TruncatedInput> {
        truncated.iter().map(|truncation| TruncatedInput::new(Vec::new(), name, truncation)).collect()
    }
}

impl fmt::Display for TruncatedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, number)) in self.place.iter().enumerate() {
            write!(f, "{}{name} {number}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, ": {}, truncated: the model takes {}", plural(self.tokens, "token"), self.limit)
    }
}

impl Serialize for TruncatedInput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, number) in &self.place {
            map.serialize_entry(name, number)?;
        }
        map.serialize_entry("tokens", &self.tokens)?;
        map.serialize_entry("limit", &self.limit)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_from_the_outside_in() {
        let cut = Truncation { sentence: 5, tokens: 600, limit: 512 };
        let found = TruncatedInput::new(vec![("query", 3)], "passage", &cut);
        assert_eq!(found.to_string(), "query 3, passage 5: 600 tokens, truncated: the model takes 512");
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(json, r#"{"query":3,"passage":5,"tokens":600,"limit":512}"#);
        assert_eq!(TruncatedInput::list("text", &[cut])[0].place, [("text", 5)]);
    }
}
