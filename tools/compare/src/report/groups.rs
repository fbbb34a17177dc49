//! The rows of a report, subject by subject, and what may be said about two of them.

use lacuna_console::table::plural;

use super::super::engine::EngineId;
use super::super::row::{Report, Row, Subject};

/// What a subject is an example of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Product,
    Model,
}

/// Whether a row's figures may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The result was checked and is within the bound.
    Agrees,
    /// The result was checked and is not, or was not checked at all.
    Disagrees,
    /// The engine gave no result.
    Nothing,
}

/// Every engine's row on one subject with one number of threads.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) subject: &'a Subject,
    /// Asked for.
    pub(super) threads: usize,
    /// In the order they were taken.
    pub(super) rows: Vec<&'a Row>,
}

impl Kind {
    pub(super) const ALL: [Kind; 2] = [Kind::Product, Kind::Model];

    pub(super) fn of(subject: &Subject) -> Kind {
        match subject {
            Subject::Product { .. } => Kind::Product,
            Subject::Model { .. } => Kind::Model,
        }
    }

    /// `3 products`.
    pub(super) fn count(self, count: usize) -> String {
        let noun = match self {
            Kind::Product => "product",
            Kind::Model => "model run",
        };
        plural(count, noun)
    }
}

impl Standing {
    pub(super) fn of(row: &Row) -> Standing {
        match (row.agrees, row.error.or(row.median_us)) {
            (true, _) => Standing::Agrees,
            (false, Some(_)) => Standing::Disagrees,
            (false, None) => Standing::Nothing,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Standing::Agrees => "yes",
            Standing::Disagrees => "DISAGREES",
            Standing::Nothing => "no result",
        }
    }
}

impl<'a> Group<'a> {
    /// The groups of one kind, in the order of their first rows.
    pub(super) fn all(report: &'a Report, kind: Kind) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        for row in report.rows.iter().filter(|row| Kind::of(&row.subject) == kind) {
            let same = |group: &&mut Group<'_>| group.threads == row.threads && *group.subject == row.subject;
            match groups.iter_mut().find(same) {
                Some(group) => group.rows.push(row),
                None => groups.push(Group { subject: &row.subject, threads: row.threads, rows: vec![row] }),
            }
        }
        groups
    }

    pub(super) fn row(&self, engine: &str) -> Option<&'a Row> {
        self.rows.iter().copied().find(|row| row.engine == engine)
    }

    /// How many times as long `baseline` takes as the engine of `row`, if both agree.
    pub(super) fn ratio(&self, row: &Row, baseline: &str) -> Option<f64> {
        let other = self.row(baseline)?;
        if Standing::of(row) != Standing::Agrees || Standing::of(other) != Standing::Agrees {
            return None;
        }
        match row.engine == baseline {
            true => row.median_us.map(|_| 1.0),
            false => row.ratios.get(baseline).copied().filter(|ratio| ratio.is_finite() && *ratio > 0.0),
        }
    }

    /// The time of an engine that agrees, in microseconds.
    pub(super) fn time(&self, engine: &str) -> Option<f64> {
        let row = self.row(engine).filter(|row| Standing::of(row) == Standing::Agrees)?;
        row.median_us.filter(|us| us.is_finite() && *us > 0.0)
    }

    /// What was run: `768 x 768, N = 128, 4x1 blocks, 90 % zeros, u8 output, 1 thread`.
    pub(super) fn title(&self) -> String {
        title(self.subject, self.threads)
    }
}

/// See [`Group::title`].
pub(super) fn title(subject: &Subject, threads: usize) -> String {
    let threads = plural(threads, "thread");
    match subject {
        Subject::Product { m, k, n, block, sparsity, output } => {
            let (block, output) = (clean(block), clean(output));
            format!("{m} x {k}, N = {n}, {block} blocks, {} zeros, {output} output, {threads}", zeros(*sparsity))
        }
        Subject::Model { model, batch, seq, sparsity } => {
            format!("{}, {batch} x {seq} tokens, {} zeros, {threads}", clean(model), zeros(*sparsity))
        }
    }
}

pub(super) fn sparsity(subject: &Subject) -> f64 {
    match subject {
        Subject::Product { sparsity, .. } | Subject::Model { sparsity, .. } => *sparsity,
    }
}

/// A fraction in percent: `90 %`, `87.5 %`.
pub(super) fn zeros(fraction: f64) -> String {
    let percent = format!("{:.1}", fraction * 1e2);
    format!("{} %", percent.strip_suffix(".0").unwrap_or(&percent))
}

/// Text from outside, without what would break a line, move a terminal's cursor, or be no character of a page.
pub(super) fn clean(text: &str) -> String {
    let printable = |c: char| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c };
    text.trim().chars().map(printable).collect()
}

/// An engine that is not there and how to get it, which some reasons begin by naming.
pub(super) fn absent((engine, how): &(String, String)) -> (String, String) {
    let (engine, how) = (clean(engine), clean(how));
    let how = how.strip_prefix(&format!("{engine}: ")).unwrap_or(&how).to_owned();
    (engine, how)
}

/// An engine by its name in reports.
pub(super) fn engine(name: &str) -> Option<EngineId> {
    EngineId::all().find(|id| id.name() == name)
}

/// Names in the order of reports; unknown ones last, in the order of the alphabet. Each once.
pub(super) fn in_order<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let place = |name: &str| EngineId::all().position(|id| id.name() == name).unwrap_or(usize::MAX);
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| (place(name), *name));
    names.dedup();
    names
}

/// The dense engines that rows of these groups are measured against.
pub(super) fn baselines<'a>(groups: &[Group<'a>]) -> Vec<&'a str> {
    let rows = groups.iter().flat_map(|group| group.rows.iter().copied());
    in_order(rows.flat_map(|row| row.ratios.keys().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn rows_of_a_subject_come_together_however_they_were_taken() {
        let mut report = fixtures::kernels();
        let before: Vec<(String, usize)> =
            Group::all(&report, Kind::Product).iter().map(|group| (group.title(), group.rows.len())).collect();
        report.rows.sort_by(|a, b| a.engine.cmp(&b.engine));
        let after = Group::all(&report, Kind::Product);
        assert_eq!(after.len(), before.len());
        assert!(before.iter().all(|(title, rows)| after.iter().any(|g| g.title() == *title && g.rows.len() == *rows)));
        assert!(Group::all(&report, Kind::Model).is_empty());
    }

    #[test]
    fn no_ratio_of_or_to_an_engine_that_disagrees() {
        let report = fixtures::kernels();
        let groups = Group::all(&report, Kind::Product);
        let ratio = |group: &Group<'_>, engine: &str, baseline: &str| group.ratio(group.row(engine)?, baseline);
        let sound = &groups[0];
        assert!(ratio(sound, "lacuna", "onednn-int8").is_some());
        assert_eq!(ratio(sound, "onednn-int8", "onednn-int8"), Some(1.0));
        assert_eq!(ratio(sound, "lacuna", "nobody"), None);
        let wrong = groups.iter().find(|group| !group.row("rten-int8").unwrap().agrees).unwrap();
        assert!(wrong.row("lacuna").unwrap().ratios.contains_key("rten-int8"));
        assert_eq!(ratio(wrong, "lacuna", "rten-int8"), None);
        assert_eq!(ratio(wrong, "rten-int8", "onednn-int8"), None);
        assert_eq!(ratio(wrong, "rten-int8", "rten-int8"), None);
        assert_eq!(wrong.time("rten-int8"), None);
    }

    #[test]
    fn what_was_not_checked_does_not_agree() {
        let mut row = fixtures::kernels().rows[0].clone();
        (row.agrees, row.error) = (false, None);
        assert_eq!(Standing::of(&row), Standing::Disagrees);
        row.median_us = None;
        assert_eq!(Standing::of(&row), Standing::Nothing);
        row.error = Some(f64::NAN);
        assert_eq!(Standing::of(&row), Standing::Disagrees);
    }

    #[test]
    fn titles_are_plain_and_of_one_line() {
        assert_eq!(zeros(0.9), "90 %");
        assert_eq!(zeros(0.875), "87.5 %");
        assert_eq!(clean("a\u{1b}[31m\nb\0"), "a [31m b ");
        let subject = Subject::Model { model: "mini\nlm".into(), batch: 1, seq: 128, sparsity: 0.9 };
        assert_eq!(title(&subject, 2), "mini lm, 1 x 128 tokens, 90 % zeros, 2 threads");
    }
}
