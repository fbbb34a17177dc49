//! `lacuna tag`: texts in, the spans that have labels out.

use lacuna::tasks::{TagTask, TextRecord};

use crate::task::{Reading, TaskArgs};
use lacuna_console::context::Context;
use lacuna_console::error::Result;

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

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let record = |texts: Vec<String>| TextRecord::new(texts.into_iter().next().unwrap_or_default());
    args.task.run(context, &TagTask, "entities", Reading::each(&["text"], 1, record))
}
