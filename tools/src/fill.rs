//! `lacuna fill`: texts with masks in, candidates for the masks out.

use lacuna::tasks::{FillTask, TextRecord};

use crate::task::{Extra, Reading, TaskArgs};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::source::exactly_one;

/// Fill in the masks of texts, one text per line
///
/// For models of an architecture that ends in ForMaskedLM. A mask is written as the model's tokenizer has it: [MASK], or
/// <mask> for RoBERTa and its kin. A text may hold several, and each is filled for itself. Long texts are read in
/// overlapping windows.
#[derive(clap::Args)]
#[command(group(exactly_one(&[])))]
#[command(after_help = "\
Examples:
  echo 'The [MASK] sat on the mat.' | lacuna fill --model bert-base-uncased
  echo 'The <mask> sat on the mat.' | lacuna fill --model roberta-base --top-k 3 --calibrate sentences.txt

Output: one line {\"text\":\"The ...\",\"masks\":[{\"start\":4,\"end\":10,\"start_char\":4,
\"end_char\":10,\"candidates\":[{\"id\":4937,\"token\":\"cat\",\"score\":0.4,\"logit\":9.5,\"sequence\":\"The cat sat ...\"},...]}]} per text.
start and end are bytes of UTF-8, start_char and end_char characters as Python counts them. Input of --jsonl:
{\"text\":\"...\"}; other fields are kept.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// Tokens per mask
    #[arg(long, value_name = "N", default_value = "5", value_parser = args::at_least_one)]
    top_k: usize,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let task = FillTask { top_k: args.top_k };
    let record = |texts: Vec<String>| TextRecord::new(texts.into_iter().next().unwrap_or_default());
    args.task.run(context, &task, "masks", Reading::each(&["text"], 1, record), Extra::default())
}
