//! What an evaluation of a task with a head says: in words, or as JSON.

use std::fmt::Write as _;

use lacuna_console::table::{Table, number, plural};
use serde::{Serialize, Serializer};

use super::gold::Score;
use crate::calibration::CalibrationSummary;

/// What was measured.
#[derive(Serialize)]
pub(super) struct TaskEvaluation {
    pub(super) model: String,
    pub(super) task: &'static str,
    /// The class of the head.
    pub(super) head: String,
    /// Records of the file.
    pub(super) records: usize,
    /// What a record is called.
    #[serde(skip)]
    pub(super) noun: &'static str,
    /// Texts and pairs that the model reads. One record may have several.
    pub(super) sequences: usize,
    /// Sequences cut at the model's limit.
    pub(super) truncated: usize,
    pub(super) tier: &'static str,
    /// None of a packed model that does not say it.
    pub(super) calibration: Option<CalibrationSummary>,
    pub(super) results: Vec<Measured>,
    /// What was assumed, what is easily missed, and what pruning did.
    pub(super) remarks: Vec<String>,
}

/// One model on all records.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    /// f32, f32 pruned, int8 or packed.
    pub(super) name: &'static str,
    /// Fraction of zero blocks, if `--sparsity` was given or the packed file says it.
    pub(super) sparsity: Option<f64>,
    #[serde(flatten, serialize_with = "as_map")]
    pub(super) scores: Vec<Score>,
    /// From texts to answers.
    pub(super) milliseconds_per_sequence: f64,
}

fn as_map<S: Serializer>(scores: &[Score], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(scores.iter().copied())
}

impl TaskEvaluation {
    /// In words.
    pub(super) fn text(&self) -> String {
        let many = match (self.noun, self.records) {
            ("query", 2..) | ("query", 0) => format!("{} queries", self.records),
            (noun, records) => plural(records, noun),
        };
        let mut text = format!("{}: {many}", self.model);
        if let Some(calibration) = &self.calibration {
            let _ = write!(text, ", calibrated on {calibration}");
        }
        if self.truncated > 0 {
            let _ = write!(text, ", {} truncated to the model's limit", plural(self.truncated, "sequence"));
        }
        if self.results.iter().any(|measured| measured.name == "packed") {
            let _ = write!(text, "; packed: it holds no f32 weights to compare with");
        }
        let names: Vec<&str> =
            self.results.first().iter().flat_map(|first| first.scores.iter().map(|(name, _)| heading(name))).collect();
        let mut table = Table::new(&[&["<model"], &names[..], &["ms per sequence"]].concat());
        for measured in &self.results {
            let mut cells = vec![measured.title(self.tier)];
            cells.extend(measured.scores.iter().map(|(_, score)| number(Some(*score), 4)));
            cells.push(number(Some(measured.milliseconds_per_sequence), 3));
            table.row(cells);
        }
        let _ = write!(text, "\n\n{table}");
        text
    }
}

impl Measured {
    fn title(&self, tier: &str) -> String {
        let name = match self.name {
            "int8" | "packed" => format!("{} ({tier})", self.name),
            name => name.to_owned(),
        };
        match self.sparsity {
            Some(sparsity) => format!("{name}, {:.1} % zero blocks", sparsity * 1e2),
            None => name,
        }
    }
}

/// A metric in the heading of a table.
pub(super) fn heading(metric: &str) -> &str {
    match metric {
        "macro_f1" => "macro F1",
        "micro_f1" => "micro F1",
        "matthews" => "Matthews",
        "f1" => "F1",
        "exact_match" => "exact match",
        "mrr_at_10" => "MRR@10",
        "ndcg_at_10" => "nDCG@10",
        other => other,
    }
}
