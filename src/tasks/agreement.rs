//! How far results of the compiled encoder and of the f32 reference agree.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::task::Judged;

/// Something that a row says, and how sure it is.
pub(super) struct Outcome {
    /// What it is, within the row.
    pub(super) key: String,
    pub(super) score: f32,
    /// Whether it is what the row decides for, and not a runner-up.
    pub(super) decides: bool,
}

/// The outcomes of a list of which the first is the decision.
pub(super) fn ranked<T>(list: &[T], outcome: impl Fn(&T) -> (String, f32)) -> Vec<Outcome> {
    let of = |(i, one)| {
        let (key, score) = outcome(one);
        Outcome { key, score, decides: i == 0 }
    };
    list.iter().enumerate().map(of).collect()
}

/// Decisions and scores of all rows, compared with those of the f32 reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    /// Labels, first passages, entities, first answers, first fillings.
    pub decisions: usize,
    /// Those that the reference took, too.
    pub equal: usize,
    /// `equal / decisions`; 1 without decisions.
    pub share: f64,
    /// Of scores of the same thing in both; 0 where nothing is in both.
    pub largest_difference: f32,
}

impl Agreement {
    pub(super) fn of<T>(rows: &[T], reference: &[T], outcomes: impl Fn(&T) -> Vec<Outcome>) -> Agreement {
        let (mut decisions, mut equal, mut largest_difference) = (0, 0, 0.0_f32);
        for (row, reference) in rows.iter().zip(reference) {
            let (ours, theirs) = (outcomes(row), outcomes(reference));
            let count = |all: &[Outcome]| all.iter().filter(|one| one.decides).count();
            decisions += count(&ours).max(count(&theirs));
            let theirs: BTreeMap<&str, &Outcome> = theirs.iter().map(|one| (one.key.as_str(), one)).collect();
            for one in &ours {
                let Some(other) = theirs.get(one.key.as_str()) else { continue };
                largest_difference = largest_difference.max((one.score - other.score).abs());
                equal += usize::from(one.decides && other.decides);
            }
        }
        let share = if decisions == 0 { 1.0 } else { equal as f64 / decisions as f64 };
        Agreement { decisions, equal, share, largest_difference }
    }
}

/// The share of equal decisions decides.
impl Judged for Agreement {
    const MEASURE: &'static str = "share of decisions that the f32 reference takes, too,";
    const ENOUGH: f64 = 0.9;

    fn measure(&self) -> f64 {
        self.share
    }

    fn is_empty(&self) -> bool {
        self.decisions == 0
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "compared with the f32 reference: {} of {} decisions equal ({:.1} %), scores differ by at most {:.4}",
            self.equal,
            self.decisions,
            self.share * 1e2,
            self.largest_difference
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_counted_and_scores_compared() {
        type Row = Vec<(&'static str, f32)>;
        let first = |row: &Row| ranked(row, |(key, score)| ((*key).to_owned(), *score));
        let ours: [Row; 3] = [vec![("a", 0.9), ("b", 0.1)], vec![("b", 0.6), ("a", 0.4)], vec![]];
        let theirs: [Row; 3] = [vec![("a", 0.8), ("b", 0.2)], vec![("a", 0.7), ("c", 0.1)], vec![("a", 1.0)]];
        let found = Agreement::of(&ours, &theirs, first);
        assert_eq!((found.decisions, found.equal), (3, 1));
        assert!((found.share - 1.0 / 3.0).abs() < 1e-9 && (found.largest_difference - 0.3).abs() < 1e-6);
        // Where everything is a decision, what only one side found counts once.
        let all = |row: &Row| first(row).into_iter().map(|one| Outcome { decides: true, ..one }).collect();
        let found = Agreement::of(&ours, &theirs, all);
        assert_eq!((found.decisions, found.equal), (5, 3));
        assert_eq!(Agreement::of(&[] as &[Row], &[], first).share, 1.0);
    }
}
