//! `lacuna rank`: a query and passages in, the passages in order out.

use std::sync::Arc;

use lacuna::TextInput;
use lacuna::heads::{Backbone, CrossEncoder, Head, HeadKind, Ranked, ScoreFunction};
use serde::{Deserialize, Serialize};

use crate::args;
use crate::context::Context;
use crate::error::Result;
use crate::task::{Cut, Done, Outcome, Record, Task, TaskArgs, parse_json, ranked};

/// Rank passages by how well they answer a query
///
/// For cross-encoders: models of an architecture that ends in ForSequenceClassification with one label, or with two of
/// which the second is "relevant". Every passage is read together with the query. Scores are the sigmoid of the logit,
/// or the logit itself where sentence-transformers wrote that into the model's config.json.
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

    /// Scores are logits, whatever the model says
    #[arg(long)]
    raw: bool,
}

/// A query and what is ranked for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    query: String,
    passages: Vec<String>,
}

impl Record for Query {
    const EXPECTED: &'static str = r#"{"query": "...", "passages": ["...", ...]}"#;

    fn parse(line: &str) -> Result<Self, String> {
        parse_json(line)
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        self.passages.iter().map(|passage| TextInput::pair(&self.query, passage)).collect()
    }
}

#[derive(Serialize)]
pub(crate) struct Row {
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
    args.task.run(context, args)
}

impl Task for Args {
    type Record = Query;
    type Row = Row;

    const KIND: HeadKind = HeadKind::SequenceClassification;

    fn of_lines(&self, passages: Vec<String>) -> Vec<Query> {
        vec![Query { query: self.query.clone().unwrap_or_default(), passages }]
    }

    fn work<B: Backbone>(&self, backbone: Arc<B>, head: Head, queries: &[Query]) -> Result<Done<Row>> {
        let mut ranker = CrossEncoder::new(backbone, head)?;
        if self.raw {
            ranker = ranker.with_score_function(ScoreFunction::Identity);
        }
        let (mut rows, mut cuts) = (Vec::with_capacity(queries.len()), Vec::new());
        for (i, Query { query, passages }) in queries.iter().enumerate() {
            let mut ranking = Vec::new();
            if !passages.is_empty() {
                let found = ranker.rank(query, passages)?;
                cuts.extend(found.truncated.iter().map(|cut| Cut::new(vec![("query", i)], "passage", cut)));
                let best = found.results.iter().take(self.top_k.unwrap_or(usize::MAX));
                let place = |found: &Ranked| {
                    let passage = passages.get(found.index).cloned().unwrap_or_default();
                    Place { index: found.index, score: found.score, passage }
                };
                ranking = best.map(place).collect();
            }
            rows.push(Row { query: query.clone(), ranking });
        }
        Ok(Done { rows, cuts })
    }

    fn outcomes(row: &Row) -> Vec<Outcome> {
        ranked(&row.ranking, |place| (place.index.to_string(), place.score))
    }
}
