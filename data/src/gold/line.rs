//! Lines of JSON and labels in them.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::text::read_lines;

/// Where something stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    /// From 1.
    pub(super) line: u64,
}

impl Place<'_> {
    /// The error for what stands there.
    pub(super) fn wrong(self, found: impl Into<String>, expected: &'static str) -> Error {
        Error::Row { path: self.path.to_owned(), line: self.line, found: found.into(), expected }
    }

    /// The same where what is expected depends on the model.
    pub(super) fn unknown(self, found: &str, expected: &str) -> Error {
        Error::Line {
            path: self.path.to_owned(),
            line: self.line,
            reason: format!("found {found}; expected {expected}"),
        }
    }
}

/// A label as files have it: its name, or its number in `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a label that is neither a name nor a number from 0")]
pub(super) enum Label {
    Number(usize),
    Name(String),
}

impl Label {
    /// The number of the label. A table does not tell names from numbers: a name that is no label, but a number, is taken as the number.
    pub(super) fn find(&self, labels: &[String], place: Place<'_>) -> Result<usize> {
        let known = || format!("one of {}", labels.join(", "));
        let numbered = |number: usize| match number < labels.len() {
            true => Ok(number),
            false => {
                let last = labels.len().saturating_sub(1);
                Err(place.unknown(&format!("label {number}"), &format!("a number from 0 to {last}, or {}", known())))
            }
        };
        match self {
            Label::Number(number) => numbered(*number),
            Label::Name(name) => match labels.iter().position(|label| label == name) {
                Some(number) => Ok(number),
                None => match name.parse::<usize>() {
                    Ok(number) => numbered(number),
                    Err(_) => Err(place.unknown(&format!("label {name:?}"), &known())),
                },
            },
        }
    }
}

/// The objects of a file, each with its line. There is at least one.
pub(super) fn read_objects<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<Vec<(T, u64)>> {
    let mut objects = Vec::new();
    for (text, line) in read_lines(path)?.iter().zip(1..) {
        let place = Place { path, line };
        if !text.trim_start().starts_with('{') {
            let found = if text.trim().is_empty() { "an empty line" } else { "no JSON object" };
            return Err(place.wrong(found, expected));
        }
        objects.push((serde_json::from_str(text).map_err(|error| place.wrong(said(&error), expected))?, line));
    }
    match objects.is_empty() {
        false => Ok(objects),
        true => Err(Place { path, line: 1 }.wrong("the end of the file", expected)),
    }
}

/// What the parser says, without the line, which is always its first.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.strip_suffix(&format!(" at line {} column {}", error.line(), error.column())) {
        Some(reason) if error.is_data() => reason.to_owned(),
        Some(reason) => format!("{reason} at column {}", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_name_and_by_number() {
        let labels = ["bad".to_owned(), "1".to_owned(), "good".to_owned()];
        let place = Place { path: Path::new("a.csv"), line: 7 };
        let find = |label: Label| label.find(&labels, place).map_err(|error| error.to_string());
        let name = |name: &str| find(Label::Name(name.to_owned()));
        assert_eq!((name("good"), name("1"), name("2"), find(Label::Number(0))), (Ok(2), Ok(1), Ok(2), Ok(0)));
        let error = "a.csv: line 7: found label \"Good\"; expected one of bad, 1, good";
        assert_eq!(name("Good"), Err(error.to_owned()));
        let error = "a.csv: line 7: found label 3; expected a number from 0 to 2, or one of bad, 1, good";
        assert_eq!((find(Label::Number(3)), name("3")), (Err(error.to_owned()), Err(error.to_owned())));
    }

    #[test]
    fn a_label_is_a_name_or_a_number() {
        let parse = |text: &str| serde_json::from_str::<Label>(text);
        assert_eq!(parse("3").unwrap(), Label::Number(3));
        assert_eq!(parse("\"3\"").unwrap(), Label::Name("3".into()));
        for bad in ["-1", "0.5", "null", "[1]"] {
            assert!(parse(bad).unwrap_err().to_string().contains("neither a name nor a number"), "{bad}");
        }
    }
}
