//! Where the time of a model goes, kernel by kernel, engines side by side.

use super::super::row::{Breakdown, Report};
use super::groups::{clean, in_order, title};

/// Microseconds per layer of all engines on one subject.
pub(super) struct Parts<'a> {
    /// What was run.
    pub(super) title: String,
    /// In the order of reports.
    pub(super) engines: Vec<&'a str>,
    /// Kinds of kernel, in the order in which engines list them, and the time of each engine.
    pub(super) kinds: Vec<(String, Vec<Option<f64>>)>,
}

impl<'a> Parts<'a> {
    /// One per subject and number of threads.
    pub(super) fn all(report: &'a Report) -> Vec<Parts<'a>> {
        let mut seen: Vec<&Breakdown> = Vec::new();
        for breakdown in report.breakdowns.iter().filter(|breakdown| !breakdown.parts.is_empty()) {
            if !seen.iter().any(|other| same(other, breakdown)) {
                seen.push(breakdown);
            }
        }
        seen.into_iter().map(|first| Parts::new(report, first)).collect()
    }

    fn new(report: &'a Report, first: &Breakdown) -> Parts<'a> {
        let of: Vec<&Breakdown> = report.breakdowns.iter().filter(|breakdown| same(first, breakdown)).collect();
        let engines = in_order(of.iter().map(|breakdown| breakdown.engine.as_str()));
        let mut kinds: Vec<(String, Vec<Option<f64>>)> = Vec::new();
        for (column, engine) in engines.iter().enumerate() {
            let Some(breakdown) = of.iter().find(|breakdown| breakdown.engine == *engine) else { continue };
            for (kind, us) in breakdown.parts.iter().filter(|(_, us)| us.is_finite()) {
                let us = us / breakdown.layers.max(1) as f64;
                let kind = clean(kind);
                let at = kinds.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
                    kinds.push((kind, vec![None; engines.len()]));
                    kinds.len() - 1
                });
                let cell = &mut kinds[at].1[column];
                *cell = Some(cell.unwrap_or(0.0) + us);
            }
        }
        Parts { title: title(&first.subject, first.threads), engines, kinds }
    }

    /// Microseconds per layer of the engine in this column.
    pub(super) fn total(&self, column: usize) -> f64 {
        self.kinds.iter().filter_map(|(_, times)| times[column]).sum()
    }
}

fn same(a: &Breakdown, b: &Breakdown) -> bool {
    a.subject == b.subject && a.threads == b.threads
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn engines_stand_side_by_side_per_layer() {
        let mut report = fixtures::models();
        let all = Parts::all(&report);
        assert_eq!(all.len(), 1);
        let parts = &all[0];
        assert_eq!(parts.engines, ["lacuna", "lacuna-dense", "onnxruntime-dynamic"]);
        let lacuna = report.breakdowns.iter().find(|breakdown| breakdown.engine == "lacuna").unwrap();
        let whole: f64 = lacuna.parts.iter().map(|(_, us)| us).sum();
        assert!((parts.total(0) - whole / lacuna.layers as f64).abs() < 1e-9);
        let (kind, times) = parts.kinds.iter().find(|(kind, _)| kind == "MatMulInteger").unwrap();
        assert_eq!((kind.as_str(), times[0], times[2].is_some()), ("MatMulInteger", None, true));
        let twice = report.breakdowns[0].parts[0].clone();
        report.breakdowns[0].parts.push(twice);
        assert_eq!(Parts::all(&report)[0].kinds[0].1[0].unwrap(), 2.0 * report.breakdowns[0].parts[0].1 / 12.0);
    }
}
