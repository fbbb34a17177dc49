//! One setting of one engine, and what came of it.

use std::io;

use lacuna_console::table::{Table, number};
use serde::Serialize;

/// A setting, measured or not.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    pub(super) engine: &'static str,
    pub(super) version: String,
    pub(super) implementation: String,
    pub(super) dtype: &'static str,
    pub(super) model: String,
    pub(super) seq: usize,
    pub(super) sparsity: f64,
    pub(super) limit_ms: f64,
    pub(super) percentile: f64,
    pub(super) batch: usize,
    /// Per instance.
    pub(super) threads: usize,
    pub(super) instances: usize,
    /// At the percentile, of all instances.
    pub(super) latency_ms: Option<f64>,
    pub(super) latency_median_ms: Option<f64>,
    /// Of all instances together.
    pub(super) sequences_per_s: Option<f64>,
    pub(super) within_limit: bool,
    /// Whether no other setting of this engine within the limit has a higher rate.
    pub(super) best: bool,
    /// 1 - the least cosine to the f32 reference.
    pub(super) error: Option<f64>,
    pub(super) agrees: bool,
    /// Measures this setting again.
    pub(super) command: String,
    pub(super) note: Option<String>,
}

/// What was measured, in seconds.
pub(super) struct Outcome {
    pub(super) latency: f64,
    pub(super) median: f64,
    pub(super) sequences_per_s: f64,
}

impl Point {
    pub(super) fn set(&mut self, outcome: &Outcome, limit_ms: f64) {
        self.latency_ms = Some(outcome.latency * 1e3);
        self.latency_median_ms = Some(outcome.median * 1e3);
        self.sequences_per_s = Some(outcome.sequences_per_s);
        self.within_limit = outcome.latency * 1e3 <= limit_ms;
    }
}

/// Marks the setting with the highest rate within the limit.
pub(super) fn mark_best(points: &mut [Point]) {
    let rate = |point: &Point| point.sequences_per_s.filter(|_| point.within_limit);
    let best = points.iter().filter_map(rate).reduce(f64::max);
    if let Some(point) = points.iter_mut().find(|point| best.is_some() && rate(point) == best) {
        point.best = true;
    }
}

pub(super) fn write_csv(points: &[Point], out: &mut dyn io::Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    for point in points {
        writer.serialize(point)?;
    }
    writer.flush()
}

/// The best setting of every engine, the command of each, and why others have none.
pub(super) fn table(points: &[Point], absent: &[(String, String)]) -> String {
    let mut best: Vec<&Point> = points.iter().filter(|point| point.best).collect();
    best.sort_by(|a, b| b.sequences_per_s.unwrap_or(0.0).total_cmp(&a.sequences_per_s.unwrap_or(0.0)));
    let mut text = String::new();
    if let Some(point) = points.first() {
        text += &format!(
            "{}, {} tokens, {:.1} % zero: most sequences per second with {:.0} % of batches within {} ms, of {} settings\n\n",
            point.model,
            point.seq,
            point.sparsity * 1e2,
            point.percentile,
            point.limit_ms,
            points.len()
        );
    }
    let percentile = points.first().map_or_else(|| "ms".to_owned(), |point| format!("p{:.0} ms", point.percentile));
    let headings = ["<engine", "<version", "batch", "threads", "instances", "seq/s", &percentile, "median ms", "x"];
    let mut table = Table::new(&headings);
    let slowest = best.last().and_then(|point| point.sequences_per_s);
    for point in &best {
        table.row([
            point.engine.to_owned(),
            point.version.clone(),
            point.batch.to_string(),
            point.threads.to_string(),
            point.instances.to_string(),
            number(point.sequences_per_s, 1),
            number(point.latency_ms, 2),
            number(point.latency_median_ms, 2),
            number(point.sequences_per_s.zip(slowest).map(|(rate, slowest)| rate / slowest), 2),
        ]);
    }
    text += &format!("{table}\nx: over the last line. Again:\n");
    for point in &best {
        text += &format!("  {}\n", point.command);
    }
    let mut engines: Vec<&str> = Vec::new();
    for point in points.iter().filter(|point| !engines_with(&best, point.engine)) {
        if engines.contains(&point.engine) {
            continue;
        }
        engines.push(point.engine);
        let fastest = points.iter().filter(|other| other.engine == point.engine).filter_map(|other| other.latency_ms);
        let why = match (&point.note, fastest.reduce(f64::min)) {
            (Some(note), _) => note.clone(),
            (None, Some(ms)) => format!("no setting within the limit; the fastest took {ms:.2} ms"),
            (None, None) => "not measured".to_owned(),
        };
        text += &format!("none: {}: {why}\n", point.engine);
    }
    for (engine, why) in absent {
        text += &format!("absent: {engine}: {why}\n");
    }
    text
}

fn engines_with(points: &[&Point], engine: &str) -> bool {
    points.iter().any(|point| point.engine == engine)
}
