//! The log of a server: lines on standard error.

use clap::ValueEnum;
use lacuna_console::error::{Error, Result};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// What hands spans over to a collector of traces.
pub(super) type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// From now on events are logged, and spans are handed to `traces`.
///
/// # Errors
/// [`Error::Argument`] for a filter that cannot be read.
pub(super) fn start(filter: &str, format: LogFormat, traces: Option<TraceLayer>) -> Result<()> {
    let wrong = |found: String| Error::Argument {
        option: "--log",
        found,
        expected: "off, error, warn, info, debug, trace, or a filter such as lacuna_serve=debug".into(),
    };
    let filter = EnvFilter::builder().parse(filter).map_err(|error| wrong(format!("{filter:?}: {error}")))?;
    // A line that cannot be written is lost. Reporting that on the same standard error would end the request with a panic.
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false).log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(traces).with(lines.with_filter(filter));
    subscriber.try_init().map_err(|error| wrong(error.to_string()))
}
