//! `lacuna rank`: a query and passages in, the passages in order out.

use lacuna::TextInput;
use lacuna::heads::{CrossEncoder, HeadKind};
use serde::{Deserialize, Serialize};

use crate::args;
use crate::context::Context;
use crate::error::Result;
use crate::task::{Done, Record, TaskArgs, cut};

/// Rank passages by how well they answer a query
///
/// For cross-encoders: models of an architecture that ends in ForSequenceClassification with one label, or with two of
/// which the second is "relevant". Every passage is read together with the query.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna rank --model ms-marco-MiniLM-L6-v2 --query 'Where does the cat sit?' --input passages.txt --top-k 10
  echo '{\"query\":\"Where?\",\"passages\":[\"On a mat.\",\"At noon.\"]}' | lacuna rank --model ms-marco-MiniLM-L6-v2 --jsonl --raw

Output: one line {\"query\":\"Where?\",\"ranking\":[{\"index\":0,\"score\":0.98,\"passage\":\"On a mat.\"},...]} per query, the best
passage first; index counts from 0.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// The query; each line of the input is a passage
    #[arg(long, value_name = "TEXT", required_unless_present = "jsonl", conflicts_with = "jsonl")]
    query: Option<String>,

    /// Passages per query [default: all]
    #[arg(long, value_name = "N", value_parser = args::at_least_one)]
    top_k: Option<usize>,

    /// Scores are logits, not squeezed between 0 and 1
    #[arg(long)]
    raw: bool,
}

/// A query and what is ranked for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    query: String,
    passages: Vec<String>,
}

impl Record for Query {
    const EXPECTED: &'static str = r#"{"query": "...", "passages": ["...", ...]}"#;

    fn inputs(&self) -> Vec<TextInput<'_>> {
        self.passages.iter().map(|passage| TextInput::pair(&self.query, passage)).collect()
    }
}

#[derive(Serialize)]
struct Row {
    query: String,
    ranking: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    index: usize,
    score: f32,
    passage: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let query = args.query.clone().unwrap_or_default();
    let of_lines = |passages: Vec<String>| vec![Query { query, passages }];
    args.task.run(HeadKind::SequenceClassification, context, of_lines, |encoder, head, queries: &[Query]| {
        let ranker = CrossEncoder::new(encoder, head)?.with_raw_scores(args.raw);
        let (mut rows, mut remarks) = (Vec::with_capacity(queries.len()), Vec::new());
        for (i, Query { query, passages }) in queries.iter().enumerate() {
            let mut ranking = Vec::new();
            if !passages.is_empty() {
                let found = ranker.rank(query, passages)?;
                let name = |passage: usize| format!("query {i}, passage {passage}");
                remarks.extend(found.truncated.iter().map(|one| cut(&name(one.sentence), one)));
                let best = found.results.iter().take(args.top_k.unwrap_or(usize::MAX));
                let place = |found: &lacuna::heads::Ranked| {
                    let passage = passages.get(found.index).cloned().unwrap_or_default();
                    Place { index: found.index, score: found.score, passage }
                };
                ranking = best.map(place).collect();
            }
            rows.push(Row { query: query.clone(), ranking });
        }
        Ok(Done { rows, remarks })
    })
}
