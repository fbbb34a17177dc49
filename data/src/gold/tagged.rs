//! Texts with gold spans: words with tags, or texts with entities.

use std::ops::Range;
use std::path::{Path, PathBuf};

use lacuna::heads::Head;
use lacuna::tasks::{Aggregation, LabelScheme, TagOptions, TagRow, TagTask, TextRecord};
use serde::Deserialize;

use super::line::{Label, Place, read_objects};
use super::tags::parts;
use super::traits::{Gold, Score};
use crate::error::Result;
use crate::metrics::spans::{Span, Spans, of_tags};
use crate::words::plural;

const OBJECT: &str = r#"{"tokens": ["...", ...], "tags": ["...", ...]} or {"text": "...", "entities": [{"start": 0, "end": 3, "label": "..."}, ...]}, of one kind in all lines"#;
const TAGS: &str = "one tag for each token";
const ENTITY: &str = "start and end in bytes of the text, at characters, with start before end";

/// Texts with gold spans.
pub struct Tagged {
    path: PathBuf,
    records: Vec<TextRecord>,
    lines: Vec<u64>,
    gold: GoldSpans,
    /// Of the model's labels.
    scheme: LabelScheme,
}

/// One entry per record.
enum GoldSpans {
    /// Spans count words.
    Words { words: Vec<Words>, spans: Vec<Vec<Span>> },
    /// Spans count bytes.
    Bytes(Vec<Vec<Span>>),
}

/// The words of a record.
struct Words {
    /// In the text, bytes.
    places: Vec<Range<usize>>,
    tags: Vec<Label>,
}

#[derive(Deserialize)]
struct Object {
    tokens: Option<Vec<String>>,
    tags: Option<Vec<Label>>,
    text: Option<String>,
    entities: Option<Vec<Entity>>,
}

#[derive(Deserialize)]
struct Entity {
    start: usize,
    end: usize,
    label: String,
}

/// The words with blanks between them, and where they are.
fn joined(tokens: &[String]) -> (String, Vec<Range<usize>>) {
    let (mut text, mut places) = (String::new(), Vec::with_capacity(tokens.len()));
    for token in tokens {
        if !text.is_empty() {
            text.push(' ');
        }
        places.push(text.len()..text.len() + token.len());
        text.push_str(token);
    }
    (text, places)
}

/// The name of a tag. A number is that of one of the model's labels.
fn name<'a>(tag: &'a Label, labels: &'a [String], place: Place<'_>) -> Result<&'a str> {
    match tag {
        Label::Name(name) => Ok(name),
        number => Ok(&labels[number.find(labels, place)?]),
    }
}

fn spans(text: &str, entities: Vec<Entity>, place: Place<'_>) -> Result<Vec<Span>> {
    let span = |Entity { start, end, label }: Entity| match start < end && text.get(start..end).is_some() {
        true => Ok(Span { label, place: start..end }),
        false => {
            Err(place.wrong(format!("start {start} and end {end} in a text of {}", plural(text.len(), "byte")), ENTITY))
        }
    };
    entities.into_iter().map(span).collect()
}

impl Gold for Tagged {
    type Task = TagTask;

    const NOUN: &'static str = "text";

    fn read(path: &Path) -> Result<Tagged> {
        let (mut records, mut lines) = (Vec::new(), Vec::new());
        let (mut words, mut all) = (Vec::new(), Vec::new());
        for (object, line) in read_objects::<Object>(path, OBJECT)? {
            let place = Place { path, line };
            match object {
                Object { tokens: Some(tokens), tags: Some(tags), text: None, entities: None } if all.is_empty() => {
                    if tokens.len() != tags.len() {
                        let found = format!("{} and {}", plural(tokens.len(), "token"), plural(tags.len(), "tag"));
                        return Err(place.wrong(found, TAGS));
                    }
                    let (text, places) = joined(&tokens);
                    records.push(TextRecord::new(text));
                    words.push(Words { places, tags });
                }
                Object { tokens: None, tags: None, text: Some(text), entities: Some(entities) } if words.is_empty() => {
                    all.push(spans(&text, entities, place)?);
                    records.push(TextRecord::new(text));
                }
                Object { tokens, tags, text, entities } => {
                    let fields = [
                        ("tokens", tokens.is_some()),
                        ("tags", tags.is_some()),
                        ("text", text.is_some()),
                        ("entities", entities.is_some()),
                    ];
                    let fields: Vec<&str> = fields.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
                    let found = if fields.is_empty() { "none of the fields".into() } else { fields.join(", ") };
                    return Err(place.wrong(found, OBJECT));
                }
            }
            lines.push(line);
        }
        let gold = match words.is_empty() {
            true => GoldSpans::Bytes(all),
            false => GoldSpans::Words { words, spans: vec![] },
        };
        Ok(Tagged { path: path.to_owned(), records, lines, gold, scheme: LabelScheme::Io })
    }

    fn bind(&mut self, head: &Head) -> Result<()> {
        let labels = head.labels();
        self.scheme = LabelScheme::of(labels);
        let names: Vec<&str> =
            labels.iter().filter_map(|label| parts(self.scheme, label)).map(|(_, name)| name).collect();
        let check = |name: &str, line: u64| match names.contains(&name) {
            true => Ok(()),
            false => {
                let mut known = names.clone();
                known.sort_unstable();
                known.dedup();
                let place = Place { path: &self.path, line };
                Err(place.unknown(&format!("label {name:?}"), &format!("one of {}", known.join(", "))))
            }
        };
        match &mut self.gold {
            GoldSpans::Bytes(all) => {
                let labelled =
                    all.iter().zip(&self.lines).flat_map(|(spans, line)| spans.iter().map(move |s| (s, line)));
                labelled.into_iter().try_for_each(|(span, line)| check(&span.label, *line))
            }
            GoldSpans::Words { words, spans } => {
                let mut tags: Vec<Vec<&str>> = Vec::with_capacity(words.len());
                for (words, line) in words.iter().zip(&self.lines) {
                    let place = Place { path: &self.path, line: *line };
                    tags.push(words.tags.iter().map(|tag| name(tag, labels, place)).collect::<Result<Vec<&str>>>()?);
                }
                // The file may have another scheme than the model.
                let scheme = LabelScheme::of(&tags.concat());
                for (tags, line) in tags.iter().zip(&self.lines) {
                    let tags: Vec<_> = tags.iter().map(|tag| parts(scheme, tag)).collect();
                    tags.iter().flatten().try_for_each(|(_, name)| check(name, *line))?;
                    spans.push(of_tags(&tags));
                }
                Ok(())
            }
        }
    }

    /// Of words with tags, a word has the label of its first token: the labels of all tokens are needed.
    fn task(&self) -> TagTask {
        let aggregation = match self.gold {
            GoldSpans::Words { .. } => Aggregation::None,
            GoldSpans::Bytes(_) => Aggregation::First,
        };
        TagTask { options: TagOptions { aggregation, ..TagOptions::default() } }
    }

    fn records(&self) -> &[TextRecord] {
        &self.records
    }

    fn line(&self, record: usize) -> u64 {
        self.lines.get(record).copied().unwrap_or(0)
    }

    fn scores(&self, rows: &[TagRow]) -> Vec<Score> {
        let mut counted = Spans::default();
        match &self.gold {
            GoldSpans::Bytes(all) => {
                for (gold, row) in all.iter().zip(rows) {
                    let entities = row.entities.iter().map(|tagged| &tagged.entity);
                    let span = |entity: &lacuna::tasks::Entity| Span {
                        label: entity.label.clone(),
                        place: entity.start..entity.end,
                    };
                    counted.add(gold, &entities.map(span).collect::<Vec<_>>());
                }
            }
            GoldSpans::Words { words, spans } => {
                for ((words, gold), row) in words.iter().zip(spans).zip(rows) {
                    counted.add(gold, &of_tags(&self.word_tags(words, row)));
                }
            }
        }
        vec![("f1", counted.f1()), ("precision", counted.precision()), ("recall", counted.recall())]
    }
}

impl Tagged {
    /// What the model says of each word: the label of the token that begins it. Tokens outside have no entry in a row.
    fn word_tags<'a>(&self, words: &Words, row: &'a TagRow) -> Vec<Option<(char, &'a str)>> {
        let entities = || row.entities.iter().map(|tagged| &tagged.entity);
        let tag = |place: &Range<usize>| {
            let first = entities().find(|entity| entity.start == place.start && !place.is_empty())?;
            parts(self.scheme, &first.label)
        };
        words.places.iter().map(tag).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_by_blanks() {
        let tokens = ["Zoë", "met", ""].map(str::to_owned);
        assert_eq!(joined(&tokens), ("Zoë met ".to_owned(), vec![0..4, 5..8, 9..9]));
    }
}
