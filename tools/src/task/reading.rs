//! How a command makes records of what it reads.

use lacuna::tasks::Record;
use lacuna_console::error::{Error, Result};
use lacuna_console::input::{Content, Kind};

/// How lines of text and rows of tables become records. Lines of JSON are records by themselves.
pub(crate) struct Reading<'a, R> {
    /// The fields of a record that texts fill, in the order of `--columns`.
    pub(super) fields: &'static [&'static str],
    /// How many of them there must be.
    pub(super) required: usize,
    /// The option that gives a field for all lines, such as `--query`, and whether it was given.
    given: Option<(&'static str, bool)>,
    make: Make<'a, R>,
}

enum Make<'a, R> {
    Each(Box<dyn Fn(Vec<String>) -> R + Send + Sync + 'a>),
    All(Box<dyn Fn(Vec<String>) -> R + Send + Sync + 'a>),
}

impl<'a, R: Record> Reading<'a, R> {
    /// A record for each line or row, of the texts in these columns.
    pub(crate) fn each(
        fields: &'static [&'static str],
        required: usize,
        make: impl Fn(Vec<String>) -> R + Send + Sync + 'a,
    ) -> Reading<'a, R> {
        Reading { fields, required, given: None, make: Make::Each(Box::new(make)) }
    }

    /// One record of all lines.
    pub(crate) fn all(
        fields: &'static [&'static str],
        make: impl Fn(Vec<String>) -> R + Send + Sync + 'a,
    ) -> Reading<'a, R> {
        Reading { fields, required: 1, given: None, make: Make::All(Box::new(make)) }
    }

    /// With the option that gives a field for all lines.
    pub(crate) fn with_option(self, option: &'static str, is_given: bool) -> Reading<'a, R> {
        Reading { given: Some((option, is_given)), ..self }
    }

    /// Whether all lines make one record.
    pub(super) fn is_one(&self) -> bool {
        matches!(self.make, Make::All(_))
    }

    /// Refuses a kind of input that does not go with the option.
    pub(super) fn check(&self, kind: Kind) -> Result<()> {
        let (Some((option, is_given)), is_json) = (self.given, kind == Kind::Jsonl) else { return Ok(()) };
        match (is_given, is_json) {
            (true, true) => Err(Error::Argument {
                option,
                found: "JSON lines as input".into(),
                expected: format!("lines of text: in JSON lines every line has its own, {}", R::FORMAT),
            }),
            (false, false) if kind == Kind::Text => Err(Error::Argument {
                option,
                found: "nothing".into(),
                expected: format!("{option} TEXT; or JSON lines, each {}", R::FORMAT),
            }),
            _ => Ok(()),
        }
    }

    /// The record of an entry; the message if the entry is none.
    pub(super) fn record(&self, content: Content) -> Result<R, String> {
        let (Make::Each(make) | Make::All(make)) = &self.make;
        match content {
            Content::Texts(texts) => Ok(make(texts)),
            Content::Json(line) => R::parse(&line).map_err(|found| format!("found {found}; expected {}", R::FORMAT)),
        }
    }

    /// The record of all texts.
    pub(super) fn one(&self, texts: Vec<String>) -> R {
        let (Make::Each(make) | Make::All(make)) = &self.make;
        make(texts)
    }
}
