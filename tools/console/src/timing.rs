//! Timing: warm up, then medians of interleaved repeats.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::stats::{median, quantile};

/// One sample takes at least this long: the clock's own 20 ns vanish in it.
const SAMPLE: Duration = Duration::from_micros(40);

/// Times of one thing, in seconds per call.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// No samples.
    pub fn new() -> Samples {
        Samples::default()
    }

    /// Samples that were taken elsewhere, in seconds per call.
    pub fn from_seconds(seconds: Vec<f64>) -> Samples {
        Samples(seconds)
    }

    /// Seconds.
    pub fn median(&self) -> f64 {
        median(&mut self.0.clone())
    }

    /// The fastest sample, in seconds: what disturbances only ever lengthen.
    pub fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Interquartile range over median.
    pub fn spread(&self) -> f64 {
        let mut times = self.0.clone();
        (quantile(&mut times, 0.75) - quantile(&mut times, 0.25)) / median(&mut times)
    }

    /// The median of the ratios to samples of `other` that were taken in turn with these: steadier than the ratio of the medians
    /// on a machine that changes its speed.
    pub fn ratio_to(&self, other: &Samples) -> f64 {
        median(&mut self.0.iter().zip(&other.0).map(|(this, other)| this / other).collect::<Vec<f64>>())
    }

    /// The ratio as [`Samples::ratio_to`] has it, and between which values half of the ratios are.
    pub fn ratio_range(&self, other: &Samples) -> Ratio {
        let mut ratios: Vec<f64> = self.0.iter().zip(&other.0).map(|(this, other)| this / other).collect();
        let [low, median, high] = [0.25, 0.5, 0.75].map(|part| quantile(&mut ratios, part));
        Ratio { low, median, high }
    }

    /// The samples of both, of which `later` were taken after these.
    pub fn append(&mut self, later: Samples) {
        self.0.extend(later.0);
    }

    /// Seconds per call, in the order they were taken.
    pub fn into_seconds(self) -> Vec<f64> {
        self.0
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A ratio of times that were taken in turn, over rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The first quartile.
    pub low: f64,
    /// The middle.
    pub median: f64,
    /// The third quartile.
    pub high: f64,
}

impl Ratio {
    /// Interquartile range over median.
    pub fn spread(&self) -> f64 {
        (self.high - self.low) / self.median
    }
}

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
        10_000
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
    calls_per_sample: u32,
    samples: Samples,
}

impl<'a, W: Work + ?Sized> Timed<'a, W> {
    /// Warms up: calls until `warm_up` has passed, at least twice.
    pub fn new(work: &'a mut W, warm_up: Duration) -> Result<Timed<'a, W>> {
        work.prepare();
        work.call()?;
        let (mut calls, mut time) = (0u32, Duration::ZERO);
        while calls == 0 || time < warm_up {
            work.prepare();
            let start = Instant::now();
            work.call()?;
            time += start.elapsed();
            calls += 1;
        }
        let once = time / calls;
        let calls_per_sample = SAMPLE.as_nanos().div_ceil(once.as_nanos().max(1)) as u32;
        let calls_per_sample = calls_per_sample.clamp(1, work.most_calls().max(1));
        Ok(Timed { work, calls_per_sample, samples: Samples::new() })
    }

    /// What was warmed up before, and is timed with as many calls per sample.
    pub fn warm(work: &'a mut W, calls_per_sample: u32) -> Timed<'a, W> {
        Timed { work, calls_per_sample, samples: Samples::new() }
    }

    /// How many calls a sample is the mean of.
    pub fn calls_per_sample(&self) -> u32 {
        self.calls_per_sample
    }

    /// Takes one sample, with hot caches: whatever ran in between, the first call is not timed.
    pub fn sample(&mut self) -> Result<()> {
        self.work.prepare();
        let time = self.work.time(self.calls_per_sample)?;
        self.samples.0.push(time.as_secs_f64() / f64::from(self.calls_per_sample));
        Ok(())
    }

    /// Takes one sample of one call, right after `before`.
    pub fn sample_once_after(&mut self, before: impl FnOnce()) -> Result<()> {
        self.work.prepare();
        before();
        let start = Instant::now();
        self.work.call()?;
        self.samples.0.push(start.elapsed().as_secs_f64());
        Ok(())
    }

    /// The samples so far.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// All samples.
    pub fn into_samples(self) -> Samples {
        self.samples
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
        let twice = Samples(x.0.iter().map(|time| time * 2.0).collect());
        assert_eq!((twice.ratio_to(&x), y.ratio_to(&y)), (2.0, 1.0));
        let mut twice = twice;
        assert_eq!(twice.ratio_range(&x), Ratio { low: 2.0, median: 2.0, high: 2.0 });
        let uneven = Samples(vec![1.0, 2.0, 3.0, 4.0, 5.0]).ratio_range(&Samples(vec![1.0; 5]));
        assert_eq!((uneven, uneven.spread()), (Ratio { low: 2.0, median: 3.0, high: 4.0 }, 2.0 / 3.0));
        twice.append(y.clone());
        assert_eq!(twice.len(), 6);
        assert!(x.median() >= SAMPLE.as_secs_f64() && x.spread() >= 0.0);
    }
}
