//! Times of several models on the same texts.

use std::time::{Duration, Instant};

use lacuna_console::error::Result;
use lacuna_console::progress::Spinner;
use lacuna_console::timing::Timed;

/// Sequences of one sample, spread over the file.
pub(super) const TIMED: usize = 32;
/// Rounds, one sample of every model in each.
const ROUNDS: usize = 31;
/// At least so many.
const LEAST: usize = 3;
/// No new round after this, once there are enough.
const TIME: Duration = Duration::from_secs(5);

/// A model on the sequences that are timed.
pub(super) type Call<'a> = Box<dyn FnMut() -> Result<()> + 'a>;

/// Milliseconds per sequence of every call, each of which runs so many: the medians of rounds in which all take turns, so that a machine that
/// changes its speed changes it for all. Every sample follows a call that is not timed.
pub(super) fn milliseconds(mut calls: Vec<Call<'_>>, sequences: usize) -> Result<Vec<f64>> {
    let _spinner = Spinner::new("timing");
    let mut timed = calls.iter_mut().map(|call| Timed::new(call, Duration::ZERO)).collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    for round in 0..ROUNDS {
        if round >= LEAST && start.elapsed() > TIME {
            break;
        }
        timed.iter_mut().try_for_each(Timed::sample)?;
    }
    Ok(timed.iter().map(|timed| timed.samples().median() * 1e3 / sequences.max(1) as f64).collect())
}

/// At most `most` of all, spread over them.
pub(super) fn spread<T>(all: &[T], most: usize) -> impl Iterator<Item = &T> {
    all.iter().step_by(all.len().div_ceil(most).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_warmed_up_and_timed() {
        let (mut fast, mut slow) = (0, 0);
        let calls: Vec<Call<'_>> = vec![
            Box::new(|| {
                fast += 1;
                Ok(())
            }),
            Box::new(|| {
                slow += 1;
                std::thread::sleep(Duration::from_millis(2));
                Ok(())
            }),
        ];
        let found = milliseconds(calls, 2).unwrap();
        assert!(found[0] < found[1] && found[1] >= 1.0, "{found:?}");
        assert_eq!(slow, 2 + 2 * ROUNDS);
        assert!(fast > slow);
    }

    #[test]
    fn what_is_timed_is_spread_over_the_file() {
        let all: Vec<usize> = (0..100).collect();
        assert_eq!(spread(&all, 4).copied().collect::<Vec<_>>(), [0, 25, 50, 75]);
        assert_eq!(spread(&all[..3], 32).count(), 3);
        assert_eq!(spread(&all[..33], 32).count(), 17);
        assert_eq!(spread(&all[..0], 32).count(), 0);
    }
}
