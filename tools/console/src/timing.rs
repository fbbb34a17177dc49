//! Timing: warm up, then medians of interleaved repeats.

use std::time::{Duration, Instant};

use lacuna_measure::timing::{MOST_CALLS, Timer};
pub use lacuna_measure::timing::{Ratio, Samples};

use crate::error::{Error, Result};

/// Something to time.
pub trait Work {
    /// Does it once.
    fn call(&mut self) -> Result<()>;

    /// The time of `calls` calls in a row, after one that is not timed.
    fn time(&mut self, calls: u32) -> Result<Duration> {
        self.call()?;
        let start = Instant::now();
        for _ in 0..calls {
            self.call()?;
        }
        Ok(start.elapsed())
    }

    /// Restores what calls change, before each sample and untimed.
    fn prepare(&mut self) {}

    /// How many calls may follow each other without [`Work::prepare`] in between.
    fn most_calls(&self) -> u32 {
        MOST_CALLS
    }
}

impl<F: FnMut() -> Result<()>> Work for F {
    fn call(&mut self) -> Result<()> {
        self()
    }
}

/// Something to time, and how often it must be called to be timed.
pub struct Timed<'a, W: ?Sized> {
    work: &'a mut W,
    timer: Timer,
}

impl<'a, W: Work + ?Sized> Timed<'a, W> {
    /// Warms up: calls until `warm_up` has passed, at least twice.
    pub fn new(work: &'a mut W, warm_up: Duration) -> Result<Timed<'a, W>> {
        work.prepare();
        work.call()?;
        let timer = Timer::new(warm_up, work.most_calls(), || {
            work.prepare();
            let start = Instant::now();
            work.call()?;
            Ok::<_, Error>(start.elapsed())
        })?;
        Ok(Timed { work, timer })
    }

    /// What was warmed up before, and is timed with as many calls per sample.
    pub fn warm(work: &'a mut W, calls_per_sample: u32) -> Timed<'a, W> {
        Timed { work, timer: Timer::warm(calls_per_sample) }
    }

    /// How many calls a sample is the mean of.
    pub fn calls_per_sample(&self) -> u32 {
        self.timer.calls_per_sample()
    }

    /// Takes one sample, with hot caches: whatever ran in between, the first call is not timed.
    pub fn sample(&mut self) -> Result<()> {
        self.work.prepare();
        self.timer.sample(|calls| self.work.time(calls))
    }

    /// Takes one sample of one call, right after `before`.
    pub fn sample_once_after(&mut self, before: impl FnOnce()) -> Result<()> {
        self.work.prepare();
        before();
        let start = Instant::now();
        self.work.call()?;
        self.timer.add(start.elapsed());
        Ok(())
    }

    /// The samples so far.
    pub fn samples(&self) -> &Samples {
        self.timer.samples()
    }

    /// All samples.
    pub fn into_samples(self) -> Samples {
        self.timer.into_samples()
    }
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// At least this many rounds.
    pub min_rounds: usize,
    /// At most this many.
    pub max_rounds: usize,
    /// No new round after this time once there are enough.
    pub time: Duration,
}

/// Times several functions in turn, one sample of each per round, so that a machine that changes its speed changes it for all.
pub fn interleaved<const N: usize>(
    mut calls: [&mut (dyn FnMut() -> Result<()> + Send); N],
    budget: Budget,
) -> Result<[Samples; N]> {
    let mut timed = Vec::with_capacity(N);
    for call in &mut calls {
        timed.push(Timed::new(call, budget.time / 20)?);
    }
    let start = Instant::now();
    for round in 0..budget.max_rounds {
        if round >= budget.min_rounds && start.elapsed() > budget.time {
            break;
        }
        timed.iter_mut().try_for_each(Timed::sample)?;
    }
    Ok(std::array::from_fn(|i| timed[i].samples().clone()))
}

#[cfg(test)]
mod tests {
    use lacuna_measure::timing::SAMPLE;

    use super::*;

    #[test]
    fn rounds_are_interleaved_and_counted() {
        let (mut a, mut b) = (0u32, 0u32);
        let budget = Budget { min_rounds: 3, max_rounds: 5, time: Duration::ZERO };
        let work = || {
            std::thread::sleep(SAMPLE);
            Ok(())
        };
        let mut first = || {
            a += 1;
            work()
        };
        let mut second = || {
            b += 1;
            work()
        };
        let [x, y] = interleaved([&mut first, &mut second], budget).unwrap();
        assert_eq!((x.len(), y.len()), (3, 3));
        assert_eq!(a, b);
        assert!(x.best() > 0.0 && x.best() <= x.median());
        assert!(x.median() >= SAMPLE.as_secs_f64() && x.spread() >= 0.0);
    }
}
