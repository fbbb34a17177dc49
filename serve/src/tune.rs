//! How many instances of how many threads: measured, with the model that is served.
//!
//! A CPU that is granted is one thread of one instance. More instances have more throughput, because threads of one batch wait for each
//! other; fewer with more threads answer a single request sooner. So there is a choice, and it depends on the machine and the model.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::model::{ModelKind, ServedModel};
use crate::options::StartError;
use crate::schedule::{Pool, PoolOptions, Sequence, Want};

/// Requests that wait while a split is measured, for each thread: the queue is never empty.
const REQUESTS_PER_THREAD: usize = 2;

/// What splits are measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TuneOptions {
    /// Threads to split.
    pub threads: usize,
    /// For all measurements together.
    pub time: Duration,
    /// Tokens of a text.
    pub tokens: usize,
    /// Texts of a request.
    pub texts: usize,
}

/// One split under a load that keeps all of its threads busy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TunedSplit {
    /// The split.
    pub pool: PoolOptions,
    /// Tokens per second.
    pub tokens_per_second: f64,
    /// Median time of a request, from admission to result.
    pub latency: Duration,
}

impl TunedSplit {
    fn keeps(&self, bound: Option<Duration>) -> bool {
        bound.is_none_or(|bound| self.latency <= bound)
    }
}

/// Measures every way to split threads among instances, the most instances first. The first measurement of a model warms it up, and does
/// not count.
///
/// # Errors
/// [`StartError::Threads`], [`StartError::Tune`] if the model does not compute.
pub fn tune(model: &Arc<ServedModel>, options: TuneOptions) -> std::result::Result<Vec<TunedSplit>, StartError> {
    let splits = splits(options.threads.max(1));
    let time = options.time / (splits.len() as u32 + 1);
    let measured = |pool: &PoolOptions| measure(model, *pool, options, time);
    splits.first().map(measured).transpose()?;
    splits.iter().map(measured).collect()
}

/// The split with the most throughput of those whose latency is within the bound; without one the split with the lowest latency. Also says
/// whether the bound is kept.
pub fn choose(splits: &[TunedSplit], bound: Option<Duration>) -> Option<(TunedSplit, bool)> {
    let within = splits.iter().filter(|split| split.keeps(bound));
    let fastest = within.max_by(|a, b| a.tokens_per_second.total_cmp(&b.tokens_per_second));
    let soonest = || splits.iter().min_by_key(|split| split.latency);
    fastest.map(|split| (*split, true)).or_else(|| soonest().map(|split| (*split, false)))
}

/// Splits without a thread that is left over.
fn splits(threads: usize) -> Vec<PoolOptions> {
    let divides = (1..=threads).filter(|each| threads.is_multiple_of(*each));
    divides.map(|each| PoolOptions { instances: threads / each, threads: each }).collect()
}

fn measure(
    model: &Arc<ServedModel>,
    pool: PoolOptions,
    options: TuneOptions,
    time: Duration,
) -> std::result::Result<TunedSplit, StartError> {
    let failed = |reason: String| StartError::Tune { reason };
    let limits = Limits { queue: usize::MAX, ..Limits::default() };
    let running = Pool::start(pool, limits, Arc::new(Metrics::new()))?;
    let requests = REQUESTS_PER_THREAD * pool.instances * pool.threads;
    let end = Instant::now() + time;
    let client = || -> Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        while latencies.is_empty() || Instant::now() < end {
            let sent = Instant::now();
            let places = running.reserve(options.texts)?;
            running.submit(places, model, want(model), sequences(model, options))?.wait_blocking()?;
            latencies.push(sent.elapsed());
        }
        Ok(latencies)
    };
    let started = Instant::now();
    let latencies = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..requests).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().map_err(|_| failed("a panic".into()))).collect::<Vec<_>>()
    });
    let took = started.elapsed().as_secs_f64();
    let mut all = Vec::new();
    for latencies in latencies {
        all.extend(latencies?.map_err(|error| failed(error.to_string()))?);
    }
    all.sort_unstable();
    let tokens = all.len() * options.texts * options.tokens.min(model.max_tokens());
    let latency = all.get(all.len() / 2).copied().unwrap_or_default();
    Ok(TunedSplit { pool, tokens_per_second: tokens as f64 / took, latency })
}

fn want(model: &ServedModel) -> Want {
    match model.kind() {
        ModelKind::Embedder => Want::Vector { prompt: 0 },
        _ => Want::States,
    }
}

/// Tokens of different numbers: which ones they are makes no difference to the time.
fn sequences(model: &ServedModel, options: TuneOptions) -> Vec<Sequence> {
    let vocabulary = model.encoder().config().vocab_size.max(1);
    let tokens = options.tokens.min(model.max_tokens());
    let ids = |text: usize| (0..tokens).map(|i| ((text * tokens + i) % vocabulary) as u32).collect();
    (0..options.texts).map(|text| Sequence { ids: ids(text), types: None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_split_without_a_rest() {
        let found: Vec<(usize, usize)> = splits(12).iter().map(|pool| (pool.instances, pool.threads)).collect();
        assert_eq!(found, [(12, 1), (6, 2), (4, 3), (3, 4), (2, 6), (1, 12)]);
        assert_eq!(splits(1).len(), 1);
    }

    #[test]
    fn the_fastest_split_within_the_bound_is_chosen() {
        let split = |instances, tokens_per_second, ms| TunedSplit {
            pool: PoolOptions { instances, threads: 4 / instances },
            tokens_per_second,
            latency: Duration::from_millis(ms),
        };
        let splits = [split(4, 400.0, 40), split(2, 350.0, 20), split(1, 200.0, 10)];
        let chosen = |bound: Option<u64>| {
            choose(&splits, bound.map(Duration::from_millis)).map(|(split, kept)| (split.pool.instances, kept))
        };
        assert_eq!(chosen(None), Some((4, true)));
        assert_eq!(chosen(Some(25)), Some((2, true)));
        assert_eq!(chosen(Some(10)), Some((1, true)));
        assert_eq!(chosen(Some(5)), Some((1, false)));
        assert_eq!(choose(&[], None), None);
    }
}
