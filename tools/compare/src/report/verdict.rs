//! The verdict on Lacuna: compared with each dense engine, and in one sentence.

use lacuna_console::stats::geometric_mean;
use lacuna_console::table::percent;

use super::super::engine::EngineId;
use super::super::measure::UNSTEADY;
use super::super::row::Report;
use lacuna_console::table::plural;

use super::groups::{Group, Kind, Standing, baselines, engine, in_order};

/// How many subjects on which Lacuna is slower are named.
const NAMED: usize = 3;

/// Lacuna against one dense engine, over the subjects on which both agree.
pub(super) struct Summary<'g, 'a> {
    pub(super) baseline: &'a str,
    /// Geometric mean of the ratios.
    pub(super) mean: f64,
    pub(super) least: (f64, &'g Group<'a>),
    pub(super) most: (f64, &'g Group<'a>),
    pub(super) count: usize,
    /// On how many of them Lacuna is not faster.
    pub(super) slower: usize,
}

/// Among which dense engines the fastest is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Yardstick {
    /// Those that compute in int8, as Lacuna does.
    Int8,
    /// All, as none in int8 can be compared with.
    Any,
}

/// Lacuna against the fastest dense engine on one subject.
pub(super) struct Comparison<'g, 'a> {
    pub(super) group: &'g Group<'a>,
    pub(super) baseline: &'a str,
    /// How many times as long the baseline takes.
    pub(super) ratio: f64,
    /// Between which values half of the rounds have it.
    pub(super) quartiles: Option<[f64; 2]>,
}

/// Lacuna against the fastest dense engine on every subject of a kind.
pub(super) struct Verdict<'g, 'a> {
    pub(super) yardstick: Yardstick,
    pub(super) comparisons: Vec<Comparison<'g, 'a>>,
    /// Subjects on which Lacuna's result is wrong.
    pub(super) wrong: usize,
    /// Other subjects without a comparison.
    pub(super) open: usize,
    /// Comparisons in which one of the two used another number of threads than both were given.
    pub(super) uneven: usize,
}

/// The name of the engine that everything is about.
pub(super) fn lacuna() -> &'static str {
    EngineId::Lacuna.name()
}

impl Yardstick {
    pub(super) fn name(self) -> &'static str {
        match self {
            Yardstick::Int8 => "fastest dense int8 engine",
            Yardstick::Any => "fastest dense engine (none in int8 to compare with)",
        }
    }

    fn admits(self, id: EngineId) -> bool {
        id.is_dense() && (self == Yardstick::Any || id.dtype().starts_with("int8"))
    }
}

/// Lacuna against each dense engine, in the order of reports.
pub(super) fn summaries<'g, 'a>(groups: &'g [Group<'a>]) -> Vec<Summary<'g, 'a>> {
    baselines(groups).into_iter().filter_map(|baseline| Summary::new(baseline, groups)).collect()
}

impl<'g, 'a> Summary<'g, 'a> {
    fn new(baseline: &'a str, groups: &'g [Group<'a>]) -> Option<Summary<'g, 'a>> {
        let ratios: Vec<(f64, &Group<'a>)> =
            groups.iter().filter_map(|group| Some((group.ratio(group.row(lacuna())?, baseline)?, group))).collect();
        let values: Vec<f64> = ratios.iter().map(|(ratio, _)| *ratio).collect();
        Some(Summary {
            baseline,
            mean: geometric_mean(&values)?,
            least: ratios.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0))?,
            most: ratios.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0))?,
            count: ratios.len(),
            slower: values.iter().filter(|ratio| **ratio <= 1.0).count(),
        })
    }
}

impl<'g, 'a> Verdict<'g, 'a> {
    /// On these groups; with [`Yardstick::Int8`] if that gives a single comparison.
    pub(super) fn new(groups: &'g [Group<'a>]) -> Verdict<'g, 'a> {
        let compare = |yardstick: Yardstick| -> Vec<Comparison<'g, 'a>> {
            groups.iter().filter_map(|group| Comparison::new(group, yardstick)).collect()
        };
        let (mut yardstick, mut comparisons) = (Yardstick::Int8, compare(Yardstick::Int8));
        if comparisons.is_empty() {
            (yardstick, comparisons) = (Yardstick::Any, compare(Yardstick::Any));
        }
        let is_wrong = |group: &&Group<'_>| group.row(lacuna()).map(Standing::of) == Some(Standing::Disagrees);
        let wrong = groups.iter().filter(is_wrong).count();
        let open = groups.len() - comparisons.len() - wrong;
        let uneven = comparisons.iter().filter(|comparison| comparison.is_uneven()).count();
        Verdict { yardstick, comparisons, wrong, open, uneven }
    }

    fn sentence(&self, kind: Kind) -> String {
        let mut parts = Vec::new();
        let ratios: Vec<f64> = self.comparisons.iter().map(|comparison| comparison.ratio).collect();
        if let Some(mean) = geometric_mean(&ratios) {
            let mut slower: Vec<&Comparison<'_, '_>> = self.comparisons.iter().filter(|c| c.ratio <= 1.0).collect();
            slower.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
            let faster = ratios.len() - slower.len();
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let most = ratios.iter().copied().fold(0.0, f64::max);
            let speed = match ratios.len() {
                1 => match self.comparisons.first().and_then(|comparison| comparison.quartiles) {
                    Some([low, high]) => format!("{mean:.2} times as fast (half of the rounds: {low:.2} to {high:.2})"),
                    None => format!("{mean:.2} times as fast"),
                },
                _ => format!("{mean:.2} times as fast in the geometric mean ({least:.2} to {most:.2})"),
            };
            let against = self.yardstick.name();
            let of = kind.count(ratios.len());
            parts.push(format!("lacuna was faster than the {against} in {faster} of {of}: {speed}"));
            if !slower.is_empty() {
                let name = |c: &&Comparison<'_, '_>| {
                    format!("{} ({:.2} times as fast as {})", c.group.title(), c.ratio, c.baseline)
                };
                let mut names: Vec<String> = slower.iter().take(NAMED).map(name).collect();
                if slower.len() > NAMED {
                    names.push(format!("{} more", slower.len() - NAMED));
                }
                parts.push(format!("it was not faster on {}", names.join("; ")));
            }
        } else {
            parts.push(format!(
                "no verdict on {}: needs a result of lacuna and one of a dense engine, both within their bounds",
                kind.count(self.wrong + self.open)
            ));
        }
        let unsteady: Vec<f64> =
            self.comparisons.iter().map(Comparison::spread).filter(|&spread| spread > UNSTEADY).collect();
        if !unsteady.is_empty() {
            let widest = percent(unsteady.iter().copied().reduce(f64::max));
            parts.push(format!(
                "warning: in {} of them the ratio varies from round to round, the middle half by up to {widest} of the median: run \
                 again on a quiet machine before you conclude anything",
                unsteady.len()
            ));
        }
        if self.uneven > 0 {
            parts.push(format!(
                "in {} of them one of the two used another number of threads than it was given",
                self.uneven
            ));
        }
        if self.wrong > 0 {
            parts.push(format!("its result disagreed in {}, which counts as no win", kind.count(self.wrong)));
        }
        if self.open > 0 && !ratios.is_empty() {
            parts.push(format!("{} had nothing to compare with", kind.count(self.open)));
        }
        parts.join("; ")
    }
}

impl<'g, 'a> Comparison<'g, 'a> {
    fn new(group: &'g Group<'a>, yardstick: Yardstick) -> Option<Comparison<'g, 'a>> {
        let row = group.row(lacuna())?;
        let names = in_order(row.ratios.keys().map(String::as_str));
        names
            .into_iter()
            .filter(|name| engine(name).is_some_and(|id| yardstick.admits(id)))
            .filter_map(|baseline| {
                let quartiles = row.ratio_quartiles.get(baseline).copied();
                Some(Comparison { group, baseline, ratio: group.ratio(row, baseline)?, quartiles })
            })
            .min_by(|a, b| a.ratio.total_cmp(&b.ratio))
    }

    /// Interquartile range of the ratios over their median.
    fn spread(&self) -> f64 {
        self.quartiles.map_or(0.0, |[low, high]| (high - low) / self.ratio)
    }

    fn is_uneven(&self) -> bool {
        let rows = [lacuna(), self.baseline].into_iter().filter_map(|engine| self.group.row(engine));
        rows.into_iter().any(|row| row.threads_used.is_some_and(|used| used != row.threads))
    }
}

/// The whole report in one sentence.
pub(super) fn sentence(report: &Report) -> String {
    let kinds = Kind::ALL.into_iter().filter_map(|kind| {
        let groups = Group::all(report, kind);
        (!groups.is_empty()).then(|| Verdict::new(&groups).sentence(kind))
    });
    let text = kinds.collect::<Vec<_>>().join("; ");
    let mut letters = text.chars();
    match letters.next() {
        None => "Nothing was measured.".to_owned(),
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
    }
}

/// Which baselines were the fastest, and how often: `onednn-int8 on 20 subjects, lacuna-dense on 4`.
pub(super) fn fastest(comparisons: &[Comparison<'_, '_>]) -> String {
    let names = in_order(comparisons.iter().map(|comparison| comparison.baseline));
    let counts = names.into_iter().map(|name| {
        let count = comparisons.iter().filter(|comparison| comparison.baseline == name).count();
        format!("{name} on {}", plural(count, "subject"))
    });
    counts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn means_count_rows_on_which_both_agree() {
        let report = fixtures::kernels();
        let groups = Group::all(&report, Kind::Product);
        let summaries = summaries(&groups);
        let of = |name: &str| summaries.iter().find(|summary| summary.baseline == name).unwrap();
        let onednn = of("onednn-int8");
        let logs: Vec<f64> = groups
            .iter()
            .filter(|g| g.row("lacuna").unwrap().agrees)
            .map(|g| g.row("lacuna").unwrap().ratios["onednn-int8"].ln())
            .collect();
        assert!((onednn.mean.ln() - logs.iter().sum::<f64>() / logs.len() as f64).abs() < 1e-12);
        assert_eq!(onednn.count, groups.len() - 1); // lacuna is wrong on one
        assert_eq!(of("rten-int8").count, groups.len() - 2); // and rten on another
        assert!(onednn.least.0 < 1.0 && onednn.slower == 1, "{} {}", onednn.least.0, onednn.slower);
        assert!(onednn.most.0 > 5.0);
    }

    #[test]
    fn the_sentence_names_what_is_slower_and_what_is_wrong() {
        let report = fixtures::kernels();
        let text = sentence(&report);
        assert!(
            text.starts_with("Lacuna was faster than the fastest dense int8 engine in 12 of 13 products: "),
            "{text}"
        );
        assert!(text.contains("it was not faster on 256 x 256, N = 16, 4x1 blocks, 50 % zeros"), "{text}");
        assert!(text.contains("its result disagreed in 1 product, which counts as no win"), "{text}");
        assert!(text.ends_with('.'));
    }

    #[test]
    fn an_engine_that_disagrees_is_no_yardstick_however_fast() {
        let mut report = fixtures::kernels();
        for row in report.rows.iter_mut().filter(|row| row.engine == "onednn-int8") {
            row.agrees = false;
        }
        let groups = Group::all(&report, Kind::Product);
        let verdict = Verdict::new(&groups);
        assert_eq!(verdict.yardstick, Yardstick::Int8);
        assert!(verdict.comparisons.iter().all(|c| c.baseline != "onednn-int8"));
    }

    #[test]
    fn without_an_int8_baseline_the_fastest_of_all_is_taken_and_said() {
        let mut report = fixtures::kernels();
        report.rows.retain(|row| row.engine == "lacuna" || row.engine.ends_with("f32"));
        let groups = Group::all(&report, Kind::Product);
        assert_eq!(Verdict::new(&groups).yardstick, Yardstick::Any);
        assert!(sentence(&report).contains("none in int8"), "{}", sentence(&report));
    }

    #[test]
    fn threads_that_differ_are_part_of_the_verdict() {
        let mut report = fixtures::kernels();
        assert!(!sentence(&report).contains("number of threads"));
        report.rows[0].threads_used = Some(2);
        assert!(sentence(&report).contains("in 1 of them one of the two used another number of threads"));
    }

    #[test]
    fn ratios_that_vary_are_a_warning() {
        let mut report = fixtures::kernels();
        assert!(!sentence(&report).contains("warning"), "{}", sentence(&report));
        let row = report.rows.iter_mut().find(|row| row.engine == "lacuna").unwrap();
        row.ratio_quartiles
            .iter_mut()
            .for_each(|(name, quartiles)| *quartiles = [0.5, 1.5].map(|part| part * row.ratios[name]));
        let text = sentence(&report);
        assert!(text.contains("warning: in 1 of them the ratio varies"), "{text}");
        assert!(text.contains("100.0 % of the median"), "{text}");
    }

    #[test]
    fn nothing_is_claimed_of_nothing() {
        let mut report = fixtures::kernels();
        report.rows.retain(|row| row.engine != "lacuna");
        assert!(sentence(&report).starts_with("No verdict on 14 products: "), "{}", sentence(&report));
        report.rows.clear();
        assert_eq!(sentence(&report), "Nothing was measured.");
    }
}
