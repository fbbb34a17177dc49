//! `lacuna classify`: texts or pairs in, labels out.

use std::sync::Arc;

use lacuna::TextInput;
use lacuna::heads::{Backbone, Classification, Head, HeadKind, SequenceClassifier};
use serde::{Deserialize, Serialize};

use crate::args;
use crate::context::Context;
use crate::error::Result;
use crate::task::{Done, Outcome, Record, Task, TaskArgs, cuts, parse_json, ranked};

/// Label texts or pairs of texts, one per line
///
/// For models of an architecture that ends in ForSequenceClassification: sentiment, topics, entailment. Scores are the
/// softmax over the labels, or one sigmoid for each, as the model's config.json says.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo 'A fine film.' | lacuna classify --model distilbert-sst2
  lacuna classify --model distilbert-sst2 --input reviews.txt --output labels.jsonl --top-k 1
  echo '{\"text\":\"A cat sits.\",\"pair\":\"An animal sits.\"}' | lacuna classify --model roberta-mnli --jsonl

Output: one line {\"text\":\"A fine film.\",\"labels\":[{\"label\":\"POSITIVE\",\"score\":0.99},...]} per text, the best label first.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// Labels per text [default: all]
    #[arg(long, value_name = "N", value_parser = args::at_least_one)]
    top_k: Option<usize>,
}

/// A text or a pair.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {
    text: String,
    pair: Option<String>,
}

impl Record for Text {
    const EXPECTED: &'static str = r#"{"text": "..."} or {"text": "...", "pair": "..."}"#;

    fn parse(line: &str) -> Result<Self, String> {
        parse_json(line)
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        vec![self.input()]
    }
}

impl Text {
    fn input(&self) -> TextInput<'_> {
        TextInput { text: &self.text, pair: self.pair.as_deref() }
    }
}

#[derive(Serialize)]
pub(crate) struct Row {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<String>,
    labels: Vec<Classification>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    args.task.run(context, args)
}

impl Task for Args {
    type Record = Text;
    type Row = Row;

    const KIND: HeadKind = HeadKind::SequenceClassification;

    fn of_lines(&self, lines: Vec<String>) -> Vec<Text> {
        lines.into_iter().map(|text| Text { text, pair: None }).collect()
    }

    fn work<B: Backbone>(&self, backbone: Arc<B>, head: Head, texts: &[Text]) -> Result<Done<Row>> {
        let inputs: Vec<TextInput<'_>> = texts.iter().map(Text::input).collect();
        let found = SequenceClassifier::new(backbone, head)?.classify(&inputs)?;
        let cuts = cuts("text", &found.truncated);
        let rows = texts.iter().zip(found.results).map(|(text, mut labels)| {
            labels.truncate(self.top_k.unwrap_or(usize::MAX));
            Row { text: text.text.clone(), pair: text.pair.clone(), labels }
        });
        Ok(Done { rows: rows.collect(), cuts })
    }

    fn outcomes(row: &Row) -> Vec<Outcome> {
        ranked(&row.labels, |found| (found.label.clone(), found.score))
    }
}
