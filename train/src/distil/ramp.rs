//! Gradual pruning: when a student is pruned again as its training goes on, and how fast it learns meanwhile.

use serde::{Deserialize, Serialize};

use crate::optimise::{CubicRamp, Schedule};
use crate::{Error, Result};

/// A pruning is due this much earlier: a step that should be its first one may come out a little below it.
const SLACK: f64 = 1e-9;

/// How the sparsity of a student rises in the first part of its training.
///
/// The student begins with the sparsity `start`. It is pruned again `prunings` times, evenly spread over the share `until` of the training,
/// to the sparsities of a [`CubicRamp`]: large steps first, small ones last. After the last one its pattern is locked.
///
/// The learning rate rises as the [`Schedule`] says and stays at its highest value as long as the sparsity rises. After that, the whole
/// schedule begins anew over the rest of the training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// The sparsity that the student begins with.
    pub start: f64,
    /// The sparsity after the last pruning.
    pub end: f64,
    /// The share of the training at which the last pruning comes.
    pub until: f64,
    /// How often the student is pruned again.
    pub prunings: u32,
}

/// A pruning of a [`Ramp`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pruning {
    /// Which one of the ramp it is, from 1.
    pub number: u32,
    /// The steps that were done before it.
    pub step: u64,
    /// The sparsity that it makes.
    pub sparsity: f64,
}

impl Ramp {
    /// Refuses settings that mean nothing.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        let refuse = |setting, found: String, expected| Err(Error::Setting { setting, found, expected });
        let Ramp { start, end, until, prunings } = *self;
        if !(start > 0.0 && start < end && end < 1.0) {
            return refuse(
                "gradual pruning",
                format!("from {start} to {end}"),
                "0 < first sparsity < last sparsity < 1",
            );
        }
        if !(until > 0.0 && until < 1.0) {
            return refuse("share of the gradual pruning", until.to_string(), "a number between 0 and 1");
        }
        if prunings == 0 {
            return refuse("number of prunings", "0".to_owned(), "at least 1");
        }
        Ok(())
    }

    /// Whether a training of so many steps has a step after the last pruning.
    pub fn fits(&self, steps: u64) -> bool {
        steps > 0 && self.last_due((steps - 1) as f64 / steps as f64) == self.prunings
    }

    /// The share of the training at which a pruning is due. They count from 1; the start is 0.
    fn due(&self, number: u32) -> f64 {
        self.until * (f64::from(number) / f64::from(self.prunings.max(1)))
    }

    /// The sparsity after a pruning; 0 is the start.
    pub fn sparsity(&self, number: u32) -> f64 {
        CubicRamp { start: self.start, end: self.end, from: 0.0, to: self.until }.sparsity(self.due(number))
    }

    /// The number of the last pruning that is due.
    pub(super) fn last_due(&self, done: f64) -> u32 {
        (1..=self.prunings).take_while(|&number| done >= self.due(number) - SLACK).last().unwrap_or(0)
    }

    /// The factor of the learning rate.
    pub(super) fn factor(&self, schedule: &Schedule, done: f64) -> f64 {
        match self.last_due(done) < self.prunings {
            true => schedule.rise(done / self.until),
            false => schedule.factor((done - self.until) / (1.0 - self.until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAMP: Ramp = Ramp { start: 0.5, end: 0.9, until: 0.4, prunings: 4 };

    #[test]
    fn prunings_are_spread_evenly_and_end_at_the_sparsity() {
        assert_eq!(
            [0.0, 0.09, 0.1, 0.25, 0.3, 0.39, 0.4, 1.0].map(|done| RAMP.last_due(done)),
            [0, 0, 1, 2, 3, 3, 4, 4]
        );
        assert_eq!((RAMP.sparsity(0), RAMP.sparsity(4)), (0.5, 0.9));
        let rises: Vec<f64> = (1..=4).map(|number| RAMP.sparsity(number) - RAMP.sparsity(number - 1)).collect();
        assert!(rises.is_sorted_by(|a, b| a > b) && rises[3] > 0.0, "{rises:?}");
    }

    #[test]
    fn rates_stay_high_until_the_pattern_is_locked_and_begin_anew_then() {
        let schedule = Schedule::default();
        let of = |done| RAMP.factor(&schedule, done);
        assert!(of(0.0) < 0.03 && of(0.1) == 1.0 && of(0.399) == 1.0);
        assert_eq!((of(0.4), of(1.0)), (schedule.factor(0.0), schedule.factor(1.0)));
        assert!((of(0.7) - schedule.factor(0.5)).abs() < 1e-9);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        assert!(RAMP.check().is_ok());
        assert_eq!([0, 1, 2, 3, 400].map(|steps| RAMP.fits(steps)), [false, false, true, true, true]);
        let wrong = [
            Ramp { start: 0.9, ..RAMP },
            Ramp { start: 0.0, ..RAMP },
            Ramp { start: f64::NAN, ..RAMP },
            Ramp { end: 1.0, ..RAMP },
            Ramp { until: 1.0, ..RAMP },
            Ramp { prunings: 0, ..RAMP },
        ];
        assert!(wrong.iter().all(|ramp| matches!(ramp.check(), Err(Error::Setting { .. }))));
    }
}
