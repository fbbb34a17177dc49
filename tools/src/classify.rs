//! `lacuna classify`: texts or pairs in, labels out.

use lacuna::tasks::{ClassifyRecord, ClassifyTask};

use crate::task::{Extra, Reading, TaskArgs};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::source::exactly_one;

/// Label texts or pairs of texts, one per line
///
/// For models of an architecture that ends in ForSequenceClassification: sentiment, topics, entailment. Scores are the
/// softmax over the labels, or one sigmoid for each, as the model's config.json says.
#[derive(clap::Args)]
#[command(group(exactly_one(&[])))]
#[command(after_help = "\
Examples:
  echo 'A fine film.' | lacuna classify --model distilbert-sst2
  lacuna classify --model distilbert-sst2 --input reviews.txt --output labels.jsonl --top-k 1
  echo '{\"text\":\"A cat sits.\",\"pair\":\"An animal sits.\"}' | lacuna classify --model roberta-mnli --jsonl

Output: one line {\"text\":\"A fine film.\",\"labels\":[{\"label\":\"POSITIVE\",\"score\":0.99,\"logit\":4.6},...]} per
text, in the order of the logits. Other fields of --jsonl are kept. Columns text and pair of a table are read together; a row whose
pair is empty is a text alone.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// Labels per text [default: all]
    #[arg(long, value_name = "N", value_parser = args::at_least_one)]
    top_k: Option<usize>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let task = ClassifyTask { top_k: args.top_k };
    let record = |texts: Vec<String>| {
        let mut texts = texts.into_iter();
        let record = ClassifyRecord::new(texts.next().unwrap_or_default());
        // A cell that is empty is none.
        ClassifyRecord { pair: texts.next().filter(|pair| !pair.is_empty()), ..record }
    };
    args.task.run(context, &task, "labels", Reading::each(&["text", "pair"], 1, record), Extra::default())
}
