//! Timing: warm up, then samples that are taken in turn.

use std::time::{Duration, Instant};

use crate::stats::{median, quantile};

/// One sample takes at least this long: the clock's own 20 ns vanish in it.
pub const SAMPLE: Duration = Duration::from_micros(40);

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

    /// The time that 95 % of the samples do not exceed, in seconds.
    pub fn p95(&self) -> f64 {
        quantile(&mut self.0.clone(), 0.95)
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

/// Times one thing: it knows how many calls a sample takes, and keeps the samples.
#[derive(Debug, Clone)]
pub struct Timer {
    calls_per_sample: u32,
    samples: Samples,
}

impl Timer {
    /// Calls `once`, which gives the time of a call, until `warm_up` has passed, and at least once. A sample has at most `most_calls` calls.
    ///
    /// # Errors
    /// Those of `once`.
    pub fn new<E>(
        warm_up: Duration,
        most_calls: u32,
        mut once: impl FnMut() -> Result<Duration, E>,
    ) -> Result<Timer, E> {
        let (mut calls, mut time) = (0u32, Duration::ZERO);
        while calls == 0 || time < warm_up {
            time += once()?;
            calls += 1;
        }
        let once = time / calls;
        let calls_per_sample = SAMPLE.as_nanos().div_ceil(once.as_nanos().max(1)) as u32;
        Ok(Timer::warm(calls_per_sample.clamp(1, most_calls.max(1))))
    }

    /// For what was warmed up before, and is timed with as many calls per sample.
    pub fn warm(calls_per_sample: u32) -> Timer {
        Timer { calls_per_sample, samples: Samples::new() }
    }

    /// How many calls a sample is the mean of.
    pub fn calls_per_sample(&self) -> u32 {
        self.calls_per_sample
    }

    /// Takes a sample: `time` gives the time of so many calls in a row.
    ///
    /// # Errors
    /// Those of `time`.
    pub fn sample<E>(&mut self, time: impl FnOnce(u32) -> Result<Duration, E>) -> Result<(), E> {
        let time = time(self.calls_per_sample)?;
        self.samples.0.push(time.as_secs_f64() / f64::from(self.calls_per_sample));
        Ok(())
    }

    /// Adds a sample of one call.
    pub fn add(&mut self, time: Duration) {
        self.samples.0.push(time.as_secs_f64());
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

/// Something that is called again and again, and may fail.
pub type Call<'a, E> = dyn FnMut() -> Result<(), E> + 'a;

/// Takes `repeats` samples of every call, one of each per round, hot: the call before each sample is not timed.
///
/// # Errors
/// Those of the calls.
pub fn in_turn<E>(calls: &mut [&mut Call<'_, E>], warm_up: Duration, repeats: usize) -> Result<Vec<Samples>, E> {
    let timed = |call: &mut Call<'_, E>, count: u32| {
        let start = Instant::now();
        (0..count).try_for_each(|_| call())?;
        Ok(start.elapsed())
    };
    let mut timers = Vec::with_capacity(calls.len());
    for call in calls.iter_mut() {
        call()?;
        timers.push(Timer::new(warm_up, MOST_CALLS, || timed(&mut **call, 1))?);
    }
    for _ in 0..repeats {
        for (call, timer) in calls.iter_mut().zip(&mut timers) {
            call()?;
            timer.sample(|count| timed(&mut **call, count))?;
        }
    }
    Ok(timers.into_iter().map(Timer::into_samples).collect())
}

/// Most calls of a sample.
pub const MOST_CALLS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn rounds_are_taken_in_turn_and_counted() {
        let order = std::cell::RefCell::new(Vec::new());
        let mut first = || {
            order.borrow_mut().push('a');
            std::thread::sleep(SAMPLE);
            Ok::<(), Infallible>(())
        };
        let mut second = || {
            order.borrow_mut().push('b');
            std::thread::sleep(SAMPLE);
            Ok(())
        };
        let Ok(samples) = in_turn(&mut [&mut first, &mut second], Duration::ZERO, 3);
        assert_eq!(samples.iter().map(Samples::len).collect::<Vec<usize>>(), [3, 3]);
        let text: String = order.borrow().iter().collect();
        assert_eq!(text, "aabb".to_owned() + &"aabb".repeat(3));
        let (best, median, p95) = (samples[0].best(), samples[0].median(), samples[0].p95());
        assert!(best >= SAMPLE.as_secs_f64() && best <= median && median <= p95);
    }

    #[test]
    fn ratios_are_of_samples_in_turn() {
        let x = Samples::from_seconds(vec![1.0, 2.0, 3.0]);
        let twice = Samples::from_seconds(vec![2.0, 4.0, 6.0]);
        assert_eq!((twice.ratio_to(&x), x.ratio_to(&x)), (2.0, 1.0));
        assert_eq!(twice.ratio_range(&x), Ratio { low: 2.0, median: 2.0, high: 2.0 });
        let uneven = Samples::from_seconds(vec![1.0, 2.0, 3.0, 4.0, 5.0]);
        let ones = Samples::from_seconds(vec![1.0; 5]);
        let range = uneven.ratio_range(&ones);
        assert_eq!((range, range.spread()), (Ratio { low: 2.0, median: 3.0, high: 4.0 }, 2.0 / 3.0));
        let mut longer = uneven;
        longer.append(ones);
        assert_eq!(longer.len(), 10);
    }
}
