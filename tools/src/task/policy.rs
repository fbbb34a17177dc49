//! What happens to a line that gives no result.

use clap::ValueEnum;
use lacuna_console::input::Content;
use lacuna_console::remarks::{Level, says, warn};
use serde_json::{Map, Value};

/// Bad lines that are named one by one; of more only the number is said, unless the command is verbose.
const NAMED: u64 = 5;

/// `--on-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Write the results of the lines before it, and end with exit status 2
    Stop,
    /// Leave the line out, with a warning
    Skip,
    /// Write a row whose result is null, with a warning
    Null,
}

/// A line that gives no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// From 1.
    pub(crate) line: u64,
    /// What was found and what was expected.
    pub(crate) reason: String,
    /// The fields of the record, where they are known.
    pub(super) known: Option<Map<String, Value>>,
}

impl BadLine {
    /// Its text, where it is known.
    #[cfg(feature = "parquet")]
    pub(crate) fn text(&self) -> Option<String> {
        self.known.as_ref()?.get("text")?.as_str().map(str::to_owned)
    }

    /// The row that stands for it: what is known of the record, the result as null, the line and the reason.
    pub(crate) fn row(&self, result: &str) -> Value {
        let mut row = self.known.clone().unwrap_or_default();
        if [result, "line", "error"].iter().any(|name| row.contains_key(*name)) {
            row.clear(); // the names are taken
        }
        row.insert(result.to_owned(), Value::Null);
        row.insert("line".to_owned(), self.line.into());
        row.insert("error".to_owned(), self.reason.clone().into());
        Value::Object(row)
    }
}

/// The fields of an entry that can be read.
pub(super) fn known(content: &Content, fields: &[&'static str]) -> Option<Map<String, Value>> {
    match content {
        Content::Texts(texts) => {
            let pairs = fields.iter().zip(texts).map(|(field, text)| ((*field).to_owned(), text.clone().into()));
            Some(pairs.collect())
        }
        Content::Json(line) => serde_json::from_str(line).ok(),
    }
}

/// Warns of bad lines.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    count: u64,
}

impl Warnings {
    /// Names a line, or counts it.
    pub(super) fn warn(&mut self, name: &str, bad: &BadLine, policy: OnError) {
        self.count += 1;
        if self.count <= NAMED || says(Level::Verbose) {
            let what = if policy == OnError::Null { "written as null" } else { "left out" };
            warn(format_args!("{name}: line {}: {}; {what}", bad.line, bad.reason));
        }
        if self.count == NAMED + 1 && !says(Level::Verbose) {
            warn("more lines like these are only counted; --verbose names them");
        }
    }

    /// Lines that gave no result.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Goes on after a resumed run.
    pub(super) fn resume(count: u64) -> Warnings {
        Warnings { count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_row_keeps_what_is_known() {
        let bad = |content: &Content| {
            BadLine { line: 7, reason: "no".into(), known: known(content, &["text"]) }.row("labels").to_string()
        };
        assert_eq!(bad(&Content::Texts(vec!["a".into()])), r#"{"error":"no","labels":null,"line":7,"text":"a"}"#);
        assert_eq!(bad(&Content::Json(r#"{"id":1}"#.into())), r#"{"error":"no","id":1,"labels":null,"line":7}"#);
        for line in ["a cat", "[1]", r#"{"line":3}"#] {
            assert_eq!(bad(&Content::Json(line.into())), r#"{"error":"no","labels":null,"line":7}"#, "{line}");
        }
    }
}
