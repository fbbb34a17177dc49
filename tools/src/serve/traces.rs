//! Traces of requests, for a collector that speaks OTLP over HTTP.

use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use opentelemetry::global::set_text_map_propagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Layer;

use super::log::TraceLayer;

/// What the server is called in traces, unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = "lacuna";
/// The path of collectors for traces.
const PATH: &str = "/v1/traces";
/// The spans that are sent.
const SPANS: &str = "lacuna_serve::http::traces";

/// Sends traces until it is dropped, which sends the last ones.
pub(super) struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            say(format_args!("warning: the last traces were not sent: {error}"));
        }
    }
}

/// Prepares to send traces to a collector. Nothing is sent before there is a span.
///
/// # Errors
/// [`Error::Argument`] for an address that is none.
pub(super) fn start(url: &str) -> Result<Traces> {
    let wrong = |found: String| Error::Argument {
        option: "--otlp",
        found,
        expected: "http://HOST:PORT of a collector that takes OTLP over HTTP".into(),
    };
    let rest = url.strip_prefix("http://").filter(|rest| !rest.is_empty()).ok_or_else(|| wrong(format!("{url:?}")))?;
    let has_path = rest.trim_end_matches('/').contains('/');
    let endpoint = if has_path { url.to_owned() } else { format!("{}{PATH}", url.trim_end_matches('/')) };
    let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|error| wrong(format!("{url:?}: {error}")))?;
    let resource = Resource::builder();
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => resource,
        None => resource.with_service_name(SERVICE),
    };
    set_text_map_propagator(TraceContextPropagator::new());
    Ok(Traces(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build()))
}

impl Traces {
    /// What hands spans over.
    pub(super) fn layer(&self) -> TraceLayer {
        let filter = Targets::new().with_target(SPANS, LevelFilter::TRACE);
        tracing_opentelemetry::layer().with_tracer(self.0.tracer(SERVICE)).with_filter(filter).boxed()
    }
}
