//! What an evaluation of a task with a head says: in words, or as JSON.

use std::fmt::Write as _;

use lacuna_console::table::{Table, number, plural};
use serde::Serialize;

use super::measured::{Measured, are_several};
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
        if self.results.iter().all(|measured| measured.name == "packed") {
            let _ = write!(text, "; packed: it holds no f32 weights to compare with");
        }
        let names: Vec<&str> =
            self.results.first().iter().flat_map(|first| first.scores.iter().map(|(name, _)| heading(name))).collect();
        let mut table = Table::new(&[&["<model"], &names[..], &["ms per sequence"]].concat());
        let several = are_several(&self.results);
        for measured in &self.results {
            let mut cells = vec![measured.title(self.tier, several)];
            cells.extend(measured.scores.iter().map(|(_, score)| number(Some(*score), 4)));
            cells.push(number(measured.milliseconds_per_sequence, 3));
            table.row(cells);
        }
        let _ = write!(text, "\n\n{table}");
        text
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
