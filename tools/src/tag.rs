//! `lacuna tag`: texts in, the spans that have labels out.

use std::sync::Arc;

use lacuna::TextInput;
use lacuna::heads::{Backbone, Head, HeadKind, TokenClassifier};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::Result;
use crate::task::{Done, Outcome, Record, Task, TaskArgs, cuts, parse_json};

/// Find names, places and other labelled spans in texts, one per line
///
/// For models of an architecture that ends in ForTokenClassification. A word has the label of its first token;
/// neighbouring words of one label (B- and I- of it) are one entity; label O is left out.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo 'Ada met Charles in London.' | lacuna tag --model bert-base-NER
  lacuna tag --model bert-base-NER --input articles.txt --output entities.jsonl

Output: one line {\"text\":\"Ada met ...\",\"entities\":[{\"label\":\"PER\",\"start\":0,\"end\":3,\"score\":0.99,\"text\":\"Ada\"},...]} per
text. Positions are bytes of UTF-8. Input of --jsonl: {\"text\":\"...\"}.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,
}

/// A text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {
    pub(crate) text: String,
}

impl Record for Text {
    const EXPECTED: &'static str = r#"{"text": "..."}"#;

    fn parse(line: &str) -> Result<Self, String> {
        parse_json(line)
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        vec![TextInput::new(&self.text)]
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// Lines that are texts.
pub(crate) fn of_lines(lines: Vec<String>) -> Vec<Text> {
    lines.into_iter().map(|text| Text { text }).collect()
}

#[derive(Serialize)]
pub(crate) struct Row {
    text: String,
    entities: Vec<Entity>,
}

#[derive(Serialize)]
struct Entity {
    #[serde(flatten)]
    entity: lacuna::heads::Entity,
    text: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    args.task.run(context, args)
}

impl Task for Args {
    type Record = Text;
    type Row = Row;

    const KIND: HeadKind = HeadKind::TokenClassification;

    fn of_lines(&self, lines: Vec<String>) -> Vec<Text> {
        of_lines(lines)
    }

    fn work<B: Backbone>(&self, backbone: Arc<B>, head: Head, texts: &[Text]) -> Result<Done<Row>> {
        let found = TokenClassifier::new(backbone, head)?.tag(texts)?;
        let cuts = cuts("text", &found.truncated);
        let rows = texts.iter().zip(found.results).map(|(Text { text }, entities)| {
            let of = |entity: lacuna::heads::Entity| {
                let part = text.get(entity.start..entity.end).unwrap_or_default().to_owned();
                Entity { entity, text: part }
            };
            Row { text: text.clone(), entities: entities.into_iter().map(of).collect() }
        });
        Ok(Done { rows: rows.collect(), cuts })
    }

    /// Every entity is a decision.
    fn outcomes(row: &Row) -> Vec<Outcome> {
        let of = |Entity { entity, .. }: &Entity| Outcome {
            key: format!("{}:{}:{}", entity.start, entity.end, entity.label),
            score: entity.score,
            decides: true,
        };
        row.entities.iter().map(of).collect()
    }
}
