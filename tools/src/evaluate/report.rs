//! What an evaluation says: in words, or as JSON.

use std::fmt::Write as _;

use lacuna_console::table::{Table, number, plural};
use serde::Serialize;

use super::measured::{Measured, are_several};
use super::schemes::{self, Row};
use crate::calibration::CalibrationSummary;

/// What was measured.
#[derive(Serialize)]
pub(super) struct Evaluation {
    pub(super) model: String,
    pub(super) pairs: usize,
    /// Texts that were calibrated on; 0 where a packed model does not say it.
    pub(super) calibration_sentences: usize,
    /// None of a packed model that does not say it.
    pub(super) calibration: Option<CalibrationSummary>,
    pub(super) tier: &'static str,
    /// Of the f32 model as read; none of a packed model.
    pub(super) spearman_f32: Option<f64>,
    pub(super) pearson_f32: Option<f64>,
    /// From texts to embeddings, for each sentence.
    #[serde(rename = "milliseconds_per_sentence_f32")]
    pub(super) milliseconds_f32: Option<f64>,
    /// Sentences cut at the model's limit.
    pub(super) truncated: usize,
    /// Sentences that are shorter or longer than any that calibration saw.
    pub(super) unseen_lengths: Option<usize>,
    /// Of the first sparsity, or of the model as read.
    #[serde(flatten)]
    pub(super) first: Point,
    /// Of every sparsity, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) results: Vec<Point>,
    /// The rows of the table: every model in every arithmetic.
    pub(super) measured: Vec<Measured>,
    /// What was assumed, what is easily missed, and what pruning did.
    pub(super) remarks: Vec<String>,
}

/// What was measured for one sparsity.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    pub(super) sparsity: Option<f64>,
    /// Of the f32 model after pruning, if it was pruned.
    pub(super) spearman_f32_pruned: Option<f64>,
    /// Of the compiled model.
    pub(super) spearman_int8: Option<f64>,
    /// As for Spearman's.
    pub(super) pearson_f32_pruned: Option<f64>,
    pub(super) pearson_int8: Option<f64>,
    /// From texts to embeddings, for each sentence.
    #[serde(rename = "milliseconds_per_sentence_int8")]
    pub(super) milliseconds_int8: Option<f64>,
    /// Between the compiled model and the f32 model it was made from (pruned, if it was); none of a packed model.
    pub(super) cosine_mean: Option<f64>,
    pub(super) cosine_min: Option<f64>,
    /// With `--schemes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schemes: Option<Vec<Row>>,
    /// The row of the compiled model.
    #[serde(skip)]
    row: usize,
}

impl Point {
    /// Of the compiled model in row `row`, and of the pruned one in f32.
    pub(super) fn of(row: usize, compiled: &Measured, pruned: Option<&Measured>, schemes: Option<Vec<Row>>) -> Point {
        let of_pruned = |name| pruned.and_then(|pruned| pruned.score(name));
        Point {
            sparsity: compiled.sparsity,
            spearman_f32_pruned: of_pruned("spearman"),
            spearman_int8: compiled.score("spearman"),
            pearson_f32_pruned: of_pruned("pearson"),
            pearson_int8: compiled.score("pearson"),
            milliseconds_int8: None,
            cosine_mean: compiled.score("cosine_mean"),
            cosine_min: compiled.score("cosine_min"),
            schemes,
            row,
        }
    }
}

impl Evaluation {
    /// Takes the times of the rows to where they are also reported.
    pub(super) fn take_times(&mut self) {
        let time = |row: usize| self.measured.get(row).and_then(|row| row.milliseconds_per_sequence);
        self.milliseconds_f32 = self.spearman_f32.and_then(|_| time(0));
        for point in self.results.iter_mut().chain([&mut self.first]) {
            point.milliseconds_int8 = time(point.row);
        }
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}: {}", self.model, plural(self.pairs, "pair"));
        if let Some(calibration) = &self.calibration {
            let _ = write!(text, ", calibrated on {calibration}");
        }
        if self.truncated > 0 {
            let _ = write!(text, ", {} truncated to the model's limit", plural(self.truncated, "sentence"));
        }
        if let Some(unseen @ 1..) = self.unseen_lengths {
            let is = if unseen == 1 { "is" } else { "are" };
            let _ = write!(text, "; {} {is} shorter or longer than these", plural(unseen, "sentence"));
        }
        if self.spearman_f32.is_none() {
            let _ = write!(text, "; packed: it holds no f32 weights to compare with");
        }
        let _ = writeln!(text, "\n");
        let points = if self.results.is_empty() { std::slice::from_ref(&self.first) } else { &self.results };
        if points.iter().any(|point| point.schemes.is_none()) {
            let _ = write!(text, "{}", self.table());
        }
        for point in points {
            let Some(rows) = &point.schemes else { continue };
            if let Some(sparsity) = point.sparsity {
                let _ = writeln!(text, "pruned to {:.1} % zero blocks", sparsity * 1e2);
            }
            let _ = write!(text, "{}", schemes::table(rows));
        }
        text
    }

    fn table(&self) -> Table {
        let mut table =
            Table::new(&["<model", "Spearman", "Pearson", "ms per sentence", "cosine to f32: mean", "least"]);
        let several = are_several(&self.measured);
        for row in &self.measured {
            table.row([
                row.title(self.tier, several),
                number(row.score("spearman"), 4),
                number(row.score("pearson"), 4),
                number(row.milliseconds_per_sequence, 3),
                number(row.score("cosine_mean"), 5),
                number(row.score("cosine_min"), 5),
            ]);
        }
        table
    }
}
