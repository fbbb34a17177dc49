//! Gradual pruning: the sparsity rises as the training goes on.

use lacuna_train::distil::{Pruning, Ramp};
use serde::Serialize;

use crate::error::{Error, Result};

/// The share of the training at which the last pruning comes. What is left of it trains the final pattern, and rounds at its end.
const UNTIL: f64 = 0.4;
/// How often the student is pruned again.
const PRUNINGS: u32 = 4;

/// The ramp to a sparsity.
///
/// # Errors
/// [`Error::Argument`] for a start that is not below it.
pub(crate) fn ramp(start: f64, end: f64) -> Result<Ramp> {
    match start > 0.0 && start < end {
        true => Ok(Ramp { start, end, until: UNTIL, prunings: PRUNINGS }),
        false => Err(Error::Argument {
            option: "`start_sparsity`",
            found: start.to_string(),
            expected: format!("a number above 0 and below {end:.4}, the sparsity of the result"),
        }),
    }
}

/// How the sparsity of a result came about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gradual {
    /// The sparsity that the training began with.
    pub start_sparsity: f64,
    /// The sparsity after the last pruning.
    pub sparsity: f64,
    /// How many prunings there are without an interruption. A training of few steps leaves some out.
    pub planned: u32,
    /// Those that were done.
    pub prunings: Vec<Pruning>,
    /// The step after which the pattern was locked; none if the training was interrupted before.
    pub locked: Option<u64>,
}

impl Gradual {
    pub(crate) fn of(ramp: &Ramp, prunings: &[Pruning]) -> Gradual {
        let last = prunings.last().filter(|last| last.number == ramp.prunings);
        Gradual {
            start_sparsity: ramp.start,
            sparsity: ramp.end,
            planned: ramp.prunings,
            prunings: prunings.to_vec(),
            locked: last.map(|last| last.step),
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        let Gradual { start_sparsity, sparsity, planned, prunings, locked } = self;
        let percent = |sparsity: f64| format!("{:.1} %", sparsity * 1e2);
        let start = percent(*start_sparsity);
        let times = lacuna_data::words::plural(prunings.len() as u64, "more pruning");
        match locked {
            Some(step) => format!(
                "gradual pruning from {start} zeros: {times}; locked at {} after step {step}, where the learning rate began anew",
                percent(*sparsity)
            ),
            None => format!(
                "gradual pruning from {start} zeros: interrupted after {} of {planned} prunings, at {} in place of {}",
                prunings.last().map_or(0, |last| last.number),
                percent(prunings.last().map_or(*start_sparsity, |last| last.sparsity)),
                percent(*sparsity)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_below_the_end() {
        assert_eq!(ramp(0.5, 0.8).unwrap().sparsity(PRUNINGS), 0.8);
        for start in [0.0, 0.8, 0.9] {
            let text = ramp(start, 0.8).unwrap_err().to_string();
            assert!(text.contains("`start_sparsity`") && text.contains("below 0.8000"), "{text}");
        }
    }

    #[test]
    fn an_interruption_before_the_last_pruning_is_said() {
        let ramp = ramp(0.7, 0.9).unwrap();
        let done: Vec<Pruning> = (1..=4)
            .map(|number| Pruning { number, step: 10 * u64::from(number), sparsity: ramp.sparsity(number) })
            .collect();
        let whole = Gradual::of(&ramp, &done);
        assert_eq!(whole.locked, Some(40));
        assert!(whole.text().contains("4 more prunings; locked at 90.0 % after step 40"), "{}", whole.text());
        let part = Gradual::of(&ramp, &done[..2]).text();
        assert!(part.contains("interrupted after 2 of 4 prunings, at 87.5 % in place of 90.0 %"), "{part}");
        assert!(Gradual::of(&ramp, &[]).text().contains("0 of 4 prunings, at 70.0 %"));
    }
}
