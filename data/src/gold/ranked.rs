//! Queries with passages and their relevance.

use std::path::Path;

use lacuna::heads::Head;
use lacuna::tasks::{RankRecord, RankRow, RankTask};
use serde::Deserialize;

use super::line::{Place, read_objects};
use super::traits::{Gold, Score};
use crate::error::Result;
use crate::metrics::ranking::Ranking;

const OBJECT: &str = r#"{"query": "...", "passages": [{"text": "...", "relevance": 1}, ...]}"#;

/// Queries with passages and their relevance.
pub struct RankedQueries {
    records: Vec<RankRecord>,
    /// Of each passage of each query.
    relevances: Vec<Vec<f64>>,
    lines: Vec<u64>,
}

#[derive(Deserialize)]
struct Object {
    query: String,
    passages: Vec<Passage>,
}

#[derive(Deserialize)]
struct Passage {
    text: String,
    relevance: f64,
}

impl Gold for RankedQueries {
    type Task = RankTask;

    const NOUN: &'static str = "query";

    fn read(path: &Path) -> Result<RankedQueries> {
        let mut queries = RankedQueries { records: vec![], relevances: vec![], lines: vec![] };
        for (Object { query, passages }, line) in read_objects(path, OBJECT)? {
            let place = Place { path, line };
            if passages.is_empty() {
                return Err(place.wrong("no passages", "at least 1 passage"));
            }
            if let Some(passage) = passages.iter().find(|passage| passage.relevance < 0.0) {
                return Err(place.wrong(format!("relevance {}", passage.relevance), "0 for none, more for more"));
            }
            let (texts, relevances) = passages.into_iter().map(|passage| (passage.text, passage.relevance)).unzip();
            queries.records.push(RankRecord::new(query, texts));
            queries.relevances.push(relevances);
            queries.lines.push(line);
        }
        Ok(queries)
    }

    fn bind(&mut self, _: &Head) -> Result<()> {
        Ok(())
    }

    fn task(&self) -> RankTask {
        RankTask { top_k: None, raw: true }
    }

    fn records(&self) -> &[RankRecord] {
        &self.records
    }

    fn line(&self, record: usize) -> u64 {
        self.lines.get(record).copied().unwrap_or(0)
    }

    fn scores(&self, rows: &[RankRow]) -> Vec<Score> {
        let of = |(relevances, row): (&Vec<f64>, &RankRow)| {
            let passages = row.ranking.iter().filter_map(|place| Some((place.logit, *relevances.get(place.index)?)));
            Ranking::of(&passages.collect::<Vec<_>>())
        };
        let mean = Ranking::mean(&self.relevances.iter().zip(rows).map(of).collect::<Vec<Ranking>>());
        vec![("mrr_at_10", mean.reciprocal_rank), ("ndcg_at_10", mean.ndcg)]
    }
}
