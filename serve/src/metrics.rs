//! What `/metrics` shows, in the text format of Prometheus. Names begin as those of text-embeddings-inference do.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::schedule::PoolSnapshot;

/// A route, as it is written in the router, and a status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// Counters, gauges and histograms of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    waits: Histogram,
    inferences: Histogram,
    batch_tokens: Histogram,
    batch_texts: Histogram,
    tokens: Counter,
    queue: Gauge,
    queue_tokens: Gauge,
    running: Gauge,
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Texts whose clients went before they entered a batch.
    pub(crate) abandoned: Counter,
    /// Batches that were stopped because all of their clients had gone.
    pub(crate) cancelled: Counter,
}

/// From 50 microseconds to 14 minutes.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 24))
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let mut registry = Registry::default();
        let requests = Family::<RequestLabels, Counter>::default();
        let durations = Family::<RouteLabels, Histogram>::new_with_constructor(seconds);
        let (waits, inferences) = (seconds(), seconds());
        let batch_tokens = Histogram::new(exponential_buckets(4.0, 2.0, 16));
        let batch_texts = Histogram::new(exponential_buckets(1.0, 2.0, 13));
        let (tokens, abandoned, cancelled) = (Counter::default(), Counter::default(), Counter::default());
        let (queue, queue_tokens, running) = (Gauge::default(), Gauge::default(), Gauge::default());
        let connections = Gauge::default();
        registry.register("te_request_count", "Requests by route and status", requests.clone());
        registry.register("te_request_duration_seconds", "From the headers to the response", durations.clone());
        registry.register("te_request_queue_duration_seconds", "From admission to the first batch", waits.clone());
        registry.register("te_request_inference_duration_seconds", "From batch to result", inferences.clone());
        registry.register("te_batch_next_tokens", "Tokens of a batch", batch_tokens.clone());
        registry.register("te_batch_next_size", "Texts of a batch", batch_texts.clone());
        registry.register("te_tokens", "Tokens that were computed", tokens.clone());
        registry.register("te_abandoned_texts", "Texts dropped because their client had gone", abandoned.clone());
        registry.register("te_cancelled_batches", "Batches stopped because all clients had gone", cancelled.clone());
        registry.register("te_queue_size", "Texts that wait", queue.clone());
        registry.register("te_queue_tokens", "Tokens that wait", queue_tokens.clone());
        registry.register("te_running_batches", "Batches that are computed", running.clone());
        registry.register("te_connections", "Connections that are open", connections.clone());
        Metrics {
            registry,
            requests,
            durations,
            waits,
            inferences,
            batch_tokens,
            batch_texts,
            tokens,
            queue,
            queue_tokens,
            running,
            connections,
            abandoned,
            cancelled,
        }
    }

    /// A response.
    pub(crate) fn request(&self, route: &str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { route: route.to_owned(), status }).inc();
        self.durations.get_or_create(&RouteLabels { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// Results of a request.
    pub(crate) fn inference(&self, waited: Duration, computed: Duration) {
        self.waits.observe(waited.as_secs_f64());
        self.inferences.observe(computed.as_secs_f64());
    }

    /// A batch.
    pub(crate) fn batch(&self, texts: usize, tokens: usize) {
        self.batch_texts.observe(texts as f64);
        self.batch_tokens.observe(tokens as f64);
        self.tokens.inc_by(tokens as u64);
    }

    /// All of it as text.
    pub(crate) fn text(&self, now: PoolSnapshot) -> Result<String, fmt::Error> {
        self.queue.set(now.waiting as i64);
        self.queue_tokens.set(now.waiting_tokens as i64);
        self.running.set(now.running as i64);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
