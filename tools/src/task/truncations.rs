//! Texts that were truncated: counted, and the first ones named.

use std::fmt;

use lacuna::tasks::TruncatedInput;
use lacuna_console::remarks::{Level, detail, says};
use lacuna_console::table::plural;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Lines that are named in words.
const NAMED: usize = 5;
/// Texts that are listed in JSON.
const LISTED: usize = 1000;

/// A truncated text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Truncated {
    /// Its line, from 1.
    line: u64,
    /// Which of the line's texts, as in `passage 5`.
    within: Vec<(&'static str, usize)>,
    tokens: usize,
    limit: usize,
}

/// All of a run.
#[derive(Debug, Default)]
pub(super) struct Truncations {
    /// Of the input.
    name: String,
    pub(super) count: u64,
    first: Vec<Truncated>,
    longest: usize,
    limit: usize,
}

impl Truncated {
    /// `line` is the line of the record's number in the batch.
    pub(super) fn new(input: TruncatedInput, line: impl Fn(usize) -> u64) -> Truncated {
        let TruncatedInput { mut place, tokens, limit, .. } = input;
        let within = place.split_off(1.min(place.len()));
        Truncated { line: place.first().map_or(0, |(_, number)| line(*number)), within, tokens, limit }
    }

    /// Where all lines make one record: the innermost number is that of the line.
    pub(super) fn of_one(input: &TruncatedInput, lines: &[u64]) -> Truncated {
        let line = input.place.last().and_then(|(_, number)| lines.get(*number)).copied().unwrap_or(0);
        Truncated { line, within: Vec::new(), tokens: input.tokens, limit: input.limit }
    }
}

impl Truncations {
    /// None yet of an input; after a resumed run only their number is known.
    pub(super) fn new(name: &str, count: u64) -> Truncations {
        Truncations { name: name.to_owned(), count, ..Truncations::default() }
    }

    pub(super) fn add(&mut self, truncated: Truncated) {
        self.count += 1;
        self.longest = self.longest.max(truncated.tokens);
        self.limit = self.limit.max(truncated.limit);
        if says(Level::Verbose) {
            detail(format_args!("{}: {truncated}", self.name));
        }
        if self.first.len() < LISTED {
            self.first.push(truncated);
        }
    }

    /// The first of them.
    pub(super) fn first(&self) -> &[Truncated] {
        &self.first
    }
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        self.within.iter().try_for_each(|(name, number)| write!(f, ", {name} {number}"))?;
        write!(f, ": {}, truncated: the model takes {}", plural(self.tokens, "token"), self.limit)
    }
}

impl fmt::Display for Truncations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([only], 1) = (&self.first[..], self.count) {
            return write!(f, "{}: {only}", self.name);
        }
        let mut lines: Vec<u64> = self.first.iter().map(|one| one.line).collect();
        lines.dedup(); // a line may hold many texts
        let more = if lines.len() > NAMED || self.count > self.first.len() as u64 { ", ..." } else { "" };
        let named: Vec<String> = lines.iter().take(NAMED).map(u64::to_string).collect();
        let noun = if lines.len() == 1 && more.is_empty() { "line" } else { "lines" };
        let was = if self.count == 1 { "was" } else { "were" };
        write!(
            f,
            "{}: {} {was} truncated: the model takes {} ({noun} {}{more}); the longest has {}; --verbose lists all",
            self.name,
            plural(self.count, "text"),
            plural(self.limit, "token"),
            named.join(", "),
            plural(self.longest, "token")
        )
    }
}

impl Serialize for Truncated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("line", &self.line)?;
        for (name, number) in &self.within {
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

    fn cut(line: u64, tokens: usize) -> Truncated {
        Truncated { line, within: vec![("passage", 2)], tokens, limit: 12 }
    }

    #[test]
    fn many_are_one_line() {
        let mut all = Truncations::new("a.txt", 0);
        all.add(cut(3, 17));
        assert_eq!(all.to_string(), "a.txt: line 3, passage 2: 17 tokens, truncated: the model takes 12");
        all.add(cut(3, 18));
        let expected = "a.txt: 2 texts were truncated: the model takes 12 tokens (line 3); the longest has 18 tokens";
        assert!(all.to_string().starts_with(expected), "{all}");
        (4..1499).for_each(|line| all.add(cut(line, 20)));
        let expected = "a.txt: 1497 texts were truncated: the model takes 12 tokens (lines 3, 4, 5, 6, 7, ...); the longest has 20 tokens";
        assert!(all.to_string().starts_with(expected), "{all}");
        assert_eq!(all.first().len(), LISTED);
        assert_eq!(serde_json::to_string(&all.first()[0]).unwrap(), r#"{"line":3,"passage":2,"tokens":17,"limit":12}"#);
    }
}
