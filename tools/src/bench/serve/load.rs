//! The load: requests at moments that do not depend on the answers.
//!
//! An open loop: arrivals are a Poisson process, drawn beforehand. The latency of a request counts from the moment at which it should have
//! been sent, so that a server that stops for a second has that second in all latencies that it caused (no coordinated omission).

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::client::{Connection, Reply, Target};

/// What is sent, and how.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) target: Target,
    /// Bodies, taken in turns.
    pub(super) bodies: Vec<String>,
    /// Requests per second; none sends the next request when the one before is answered.
    pub(super) rate: Option<f64>,
    pub(super) time: Duration,
    pub(super) connections: usize,
    pub(super) seed: u64,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub(super) reply: Reply,
    /// From the moment at which it should have been sent.
    pub(super) latency: Duration,
}

/// What a load did.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) answered: Vec<Answered>,
    /// Requests whose connection broke.
    pub(super) broken: usize,
    pub(super) took: Duration,
}

/// Moments from the start, with exponential distances.
fn arrivals(rate: f64, time: Duration, seed: u64) -> Vec<Duration> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut at = 0.0;
    let next = || {
        at -= (1.0 - random.random::<f64>()).ln() / rate;
        Some(at)
    };
    std::iter::from_fn(next).take_while(|at| *at < time.as_secs_f64()).map(Duration::from_secs_f64).collect()
}

/// Runs a load to its end: one thread for each connection, which sleeps more exactly than timers of a runtime.
///
/// # Errors
/// If a connection cannot be opened.
pub(super) fn run(load: &Load) -> io::Result<Outcome> {
    let moments = load.rate.map(|rate| arrivals(rate, load.time, load.seed));
    let requests: Vec<Vec<u8>> = load.bodies.iter().map(|body| load.target.request(body)).collect();
    let connections = (0..load.connections).map(|_| Connection::open(&load.target)).collect::<io::Result<Vec<_>>>()?;
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let due = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = match &moments {
            Some(moments) => started + *moments.get(number)?,
            None => Some(Instant::now()).filter(|now| *now < started + load.time)?,
        };
        Some((due, &requests[number % requests.len()][..]))
    };
    let mut outcome = Outcome::default();
    std::thread::scope(|scope| {
        let one = |connection| scope.spawn(|| send_all(&load.target, connection, due));
        let threads: Vec<_> = connections.into_iter().map(one).collect();
        for (answered, broken) in threads.into_iter().filter_map(|thread| thread.join().ok()) {
            outcome.answered.extend(answered);
            outcome.broken += broken;
        }
    });
    outcome.took = started.elapsed();
    Ok(outcome)
}

/// One connection: takes the next request of all, waits for its moment, sends it. Also gives the number of requests that broke.
fn send_all<'r>(
    target: &Target,
    mut connection: Connection,
    due: impl Fn() -> Option<(Instant, &'r [u8])>,
) -> (Vec<Answered>, usize) {
    let (mut answered, mut broken) = (Vec::new(), 0);
    while let Some((due, request)) = due() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = connection.send(request);
        match &sent {
            Ok(reply) => answered.push(Answered { reply: *reply, latency: due.elapsed() }),
            Err(_) => broken += 1,
        }
        if !sent.is_ok_and(|reply| !reply.closes) {
            match Connection::open(target) {
                Ok(new) => connection = new,
                Err(_) => break, // the server has ended
            }
        }
    }
    (answered, broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_a_poisson_process() {
        let all = arrivals(1000.0, Duration::from_secs(10), 1);
        assert!((9500..10500).contains(&all.len()), "{}", all.len());
        assert!(all.is_sorted());
        let distances: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let variance = distances.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / distances.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "the deviation is the mean");
    }
}
