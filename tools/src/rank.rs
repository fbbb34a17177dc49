//! `lacuna rank`: a query and passages in, the passages in order out.

use lacuna::tasks::{RankRecord, RankTask};

use crate::task::{Extra, Reading, TaskArgs};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::source::exactly_one;

/// Rank passages by how well they answer a query
///
/// For cross-encoders: models of an architecture that ends in ForSequenceClassification with one label, or with two of
/// which the second is "relevant". Every passage is read together with the query. Scores are the sigmoid of the logit,
/// or the logit itself where sentence-transformers wrote that into the model's config.json.
#[derive(clap::Args)]
#[command(group(exactly_one(&[])))]
#[command(after_help = "\
Examples:
  lacuna rank --model ms-marco-MiniLM-L6-v2 --query 'Where does the cat sit?' --input passages.txt --top-k 10
  echo '{\"query\":\"Where?\",\"passages\":[\"On a mat.\",\"At noon.\"]}' | lacuna rank --model ms-marco-MiniLM-L6-v2 --jsonl --raw

Output: one line {\"query\":\"Where?\",\"ranking\":[{\"index\":0,\"score\":0.98,\"logit\":3.9,\"passage\":\"On a mat.\"},...]}
per query, in the order of the logits; equal ones keep the order of the input, and a logit that is not a number is null
and last. index counts from 0. Other fields of --jsonl are kept.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// The query; each line of the input is a passage
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,

    /// Passages per query [default: all]
    #[arg(long, value_name = "N", value_parser = args::at_least_one)]
    top_k: Option<usize>,

    /// Give logits as scores; overrides the model's config.json
    #[arg(long)]
    raw: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let task = RankTask { top_k: args.top_k, raw: args.raw };
    let reading = match &args.query {
        Some(query) => Reading::all(&["passage"], |passages| RankRecord::new(query.clone(), passages)),
        None => Reading::each(&["query", "passage"], 2, |texts: Vec<String>| {
            let mut texts = texts.into_iter();
            RankRecord::new(texts.next().unwrap_or_default(), texts.collect())
        }),
    };
    let extra = Extra { raw: args.raw, ..Extra::default() };
    args.task.run(context, &task, "ranking", reading.with_option("--query", args.query.is_some()), extra)
}
