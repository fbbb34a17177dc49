//! Three models timed in turn: f32, dense int8, sparse int8.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lacuna_console::error::Result;
use lacuna_console::progress::Spinner;
use lacuna_console::table::{Table, plural};
use lacuna_console::timing::{Budget, Samples, interleaved};
use serde::Serialize;

/// How long to measure.
const BUDGET: Budget = Budget { min_rounds: 5, max_rounds: 200, time: Duration::from_millis(1500) };
/// Ratios of which the middle half is wider than this share of their median are measured again, and then said to be unsure.
const UNSTEADY: f64 = 0.1;
/// How often at most.
const ATTEMPTS: usize = 3;
/// Not again after this: without generated code a round takes seconds.
const LONGEST: Duration = Duration::from_secs(6);

/// A model's time.
#[derive(Serialize)]
pub(super) struct Time {
    name: &'static str,
    median_ms: f64,
    /// How many times faster than f32: the median of the rounds.
    speedup_f32: f64,
    /// Between which values half of the rounds are.
    speedup_f32_quartiles: [f64; 2],
    /// How many times faster than dense int8.
    speedup_dense: f64,
    /// Between which values half of the rounds are.
    speedup_dense_quartiles: [f64; 2],
}

/// The times of all three, and the number of rounds in which they took turns.
pub(super) struct Times {
    pub(super) list: Vec<Time>,
    pub(super) rounds: usize,
}

impl Times {
    /// Times f32, dense int8 and sparse int8.
    pub(super) fn measure(
        names: [&'static str; 3],
        [f32, int8, sparse]: [&mut (dyn FnMut() -> Result<()> + Send); 3],
    ) -> Result<Times> {
        let mut all: [Samples; 3] = Default::default();
        let start = Instant::now();
        for attempt in 0..ATTEMPTS {
            let _spinner = Spinner::new(if attempt == 0 { "timing" } else { "timing again: the ratios vary" });
            let samples = interleaved([&mut *f32, &mut *int8, &mut *sparse], BUDGET)?;
            all.iter_mut().zip(samples).for_each(|(all, samples)| all.append(samples));
            let [f32, int8, sparse] = &all;
            let ratios = [f32.ratio_range(sparse), int8.ratio_range(sparse)];
            if ratios.iter().all(|ratio| ratio.spread() <= UNSTEADY) || start.elapsed() > LONGEST {
                break;
            }
        }
        let [f32, int8, _] = &all;
        let list = names.into_iter().zip(&all).map(|(name, samples)| {
            let (over_f32, over_dense) = (f32.ratio_range(samples), int8.ratio_range(samples));
            Time {
                name,
                median_ms: samples.median() * 1e3,
                speedup_f32: over_f32.median,
                speedup_f32_quartiles: [over_f32.low, over_f32.high],
                speedup_dense: over_dense.median,
                speedup_dense_quartiles: [over_dense.low, over_dense.high],
            }
        });
        Ok(Times { list: list.collect(), rounds: f32.len() })
    }
}

impl Time {
    /// The widest middle half of its ratios, over the median.
    fn spread(&self) -> f64 {
        let spread = |[low, high]: [f64; 2], median: f64| (high - low) / median;
        spread(self.speedup_f32_quartiles, self.speedup_f32)
            .max(spread(self.speedup_dense_quartiles, self.speedup_dense))
    }
}

/// A table of the times of one sequence, and a warning where they vary.
pub(super) fn text(times: &[Time], rounds: usize, tokens: usize, threads: usize) -> String {
    let (threads, tokens) = (plural(threads, "thread"), plural(tokens, "token"));
    let mut text = format!(
        "1 x {tokens}, {threads}, hot weights, medians of {rounds} rounds in turn (and where half of them are)\n\n"
    );
    let ratio = |median: f64, [low, high]: [f64; 2]| format!("{median:.2} ({low:.2} to {high:.2})");
    let mut table = Table::new(&["<", "ms", "x f32", "x dense int8"]);
    for t in times {
        table.row([
            t.name.to_owned(),
            format!("{:.3}", t.median_ms),
            ratio(t.speedup_f32, t.speedup_f32_quartiles),
            ratio(t.speedup_dense, t.speedup_dense_quartiles),
        ]);
    }
    text += &table.to_string();
    let widest = times.iter().map(Time::spread).fold(0.0, f64::max);
    if widest > UNSTEADY {
        let _ = writeln!(
            text,
            "\nwarning: the ratios vary from round to round, half of them by {:.0} % of the median: the machine was busy; run \
             again when it is quiet",
            widest * 1e2
        );
    }
    text
}
