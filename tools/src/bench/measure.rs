//! Timing kernels in turn with each other and with the machine's limits.

use std::time::Duration;

use lacuna_console::error::Result;
use lacuna_console::timing::{Samples, Timed, Work};

use super::options::Bench;
use super::report::{Row, Unit};

/// How long a kernel runs before it is timed.
const WARM_UP: Duration = Duration::from_millis(5);
/// How often the limit is measured while a shape is.
const LIMITS: usize = 4;

impl Bench<'_> {
    /// Takes `--repeats` samples of every piece of work, one of each per round, so that a machine that changes its speed changes it
    /// for all; calls `limit`, which measures what the machine can do at most, several times in between.
    pub(super) fn time(
        &self,
        works: &mut [&mut dyn Work],
        mut limit: impl FnMut() -> Result<()>,
    ) -> Result<Vec<Samples>> {
        let mut timed = Vec::with_capacity(works.len());
        for work in works.iter_mut() {
            timed.push(Timed::new(&mut **work, WARM_UP)?);
        }
        let repeats = self.options.repeats;
        for part in 0..LIMITS {
            limit()?;
            for _ in 0..repeats * (part + 1) / LIMITS - repeats * part / LIMITS {
                for timed in &mut timed {
                    match &self.evictor {
                        None => timed.sample()?,
                        Some(evictor) => timed.sample_once_after(|| evictor.evict())?,
                    }
                }
            }
        }
        Ok(timed.into_iter().map(Timed::into_samples).collect())
    }

    /// Adds the setting and the time to a row; without samples the time is unknown.
    pub(super) fn timing(&self, row: &mut Row, samples: Option<&Samples>) {
        row.setting(self.threads, self.caches());
        row.fact("tier", self.context.tier.name());
        row.figure("median_us", Some("us"), samples.map(|samples| samples.median() * 1e6), Unit::Decimals(2));
        row.figure("best_us", None, samples.map(|samples| samples.best() * 1e6), Unit::Decimals(2));
        row.figure("spread", Some("spread"), samples.map(Samples::spread), Unit::Percent);
        row.fact("samples", samples.map_or(0, Samples::len));
    }
}
