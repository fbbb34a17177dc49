//! A span for each request, for tracers. It is a child of the span that the header `traceparent` names.

use std::future::Future;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use opentelemetry::global::get_text_map_propagator;
use opentelemetry::propagation::Extractor;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Headers of the answer that become attributes of the span.
const ATTRIBUTES: [(&str, &str); 3] =
    [("x-compute-tokens", "tokens"), ("x-queue-time", "queue_ms"), ("x-inference-time", "inference_ms")];

/// The span of a request. Its target is this module's, so that logs need not have it.
pub(super) fn span(request: &Request, route: &str) -> Span {
    let method = request.method().as_str();
    let span = tracing::trace_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        tokens = Empty,
        queue_ms = Empty,
        inference_ms = Empty,
    );
    let parent = get_text_map_propagator(|propagator| propagator.extract(&Headers(request.headers())));
    if let Err(error) = span.set_parent(parent) {
        tracing::debug!(%error, "a span without its parent");
    }
    span
}

/// Runs a request in its span.
pub(super) async fn within(span: Span, run: impl Future<Output = Response>) -> Response {
    let response = run.instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    for (header, attribute) in ATTRIBUTES {
        let value = response.headers().get(header).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if let Some(value) = value {
            span.record(attribute, value);
        }
    }
    response
}

/// Where a propagator finds the parent.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
