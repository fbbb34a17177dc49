//! What was measured of each model, and which models no other beats.

use std::fmt::Write as _;

use lacuna_console::table::{Table, number};
use serde::Serialize;

use lacuna_data::gold::Score;

/// One model.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    /// As it was given.
    pub(super) model: String,
    /// Of the compiled model, more is better.
    pub(super) score: f64,
    /// Median time of one sequence.
    pub(super) milliseconds: f64,
    /// How many times as fast as the first model: the median of the ratios, sample by sample.
    pub(super) speed: f64,
    /// Weights of the linear layers of the encoder, zeros included.
    pub(super) weights: usize,
    /// The fraction of them that are zero.
    pub(super) zeros: f64,
    /// No other model is as good and faster, or as fast and better.
    pub(super) on_front: bool,
}

/// All models.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pareto {
    /// The file of gold answers.
    pub(super) gold: String,
    /// Pairs or records in it.
    pub(super) records: usize,
    /// What the score is.
    pub(super) metric: &'static str,
    /// Tokens of the sequence that is timed.
    pub(super) seq: usize,
    pub(super) threads: usize,
    pub(super) tier: &'static str,
    pub(super) cpu: String,
    /// In the order of the command.
    pub(super) points: Vec<Point>,
}

/// Marks the points that no other beats.
pub(super) fn mark_front(points: &mut [Point]) {
    let beats = |a: &Point, b: &Point| {
        let (better, faster) = (a.score - b.score, b.milliseconds - a.milliseconds);
        better >= 0.0 && faster >= 0.0 && (better > 0.0 || faster > 0.0)
    };
    let on_front: Vec<bool> = points.iter().map(|point| !points.iter().any(|other| beats(other, point))).collect();
    points.iter_mut().zip(on_front).for_each(|(point, on_front)| point.on_front = on_front);
}

/// A metric in a heading.
pub(super) fn heading(metric: &str) -> &str {
    match metric {
        "spearman" => "Spearman",
        other => super::super::task_report::heading(other),
    }
}

/// The metric that stands for a task: the first one.
pub(super) fn first(scores: &[Score]) -> Score {
    scores.first().copied().unwrap_or(("score", f64::NAN))
}

impl Pareto {
    /// In words.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} on {} of {}; time of a sequence of {} tokens in int8, {} threads of {} ({})\n",
            heading(self.metric),
            self.records,
            self.gold,
            self.seq,
            self.threads,
            self.cpu,
            self.tier
        );
        let headings = ["<model", heading(self.metric), "ms", "x as fast", "million weights", "zeros", "<best"];
        let mut table = Table::new(&headings);
        for point in &self.points {
            table.row([
                point.model.clone(),
                number(Some(point.score), 4),
                number(Some(point.milliseconds), 3),
                number(Some(point.speed), 2),
                number(Some(point.weights as f64 / 1e6), 2),
                format!("{:.1} %", point.zeros * 1e2),
                if point.on_front { "yes" } else { "" }.to_owned(),
            ]);
        }
        let _ = write!(text, "{table}");
        text
    }
}

#[cfg(test)]
pub(super) fn point(model: &str, score: f64, milliseconds: f64) -> Point {
    Point { model: model.to_owned(), score, milliseconds, speed: 1.0, weights: 0, zeros: 0.0, on_front: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nothing_beats() {
        let mut points = [
            point("dense", 0.87, 4.0),
            point("worse and as fast", 0.86, 4.0),
            point("fast", 0.84, 1.0),
            point("as good and slower", 0.84, 1.5),
            point("between", 0.86, 2.0),
            point("the same as between", 0.86, 2.0),
        ];
        mark_front(&mut points);
        assert_eq!(points.map(|point| point.on_front), [true, false, true, false, true, true]);
    }
}
