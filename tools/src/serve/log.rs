//! The log of a server: lines on standard error.

use clap::ValueEnum;
use lacuna_console::error::{Error, Result};
use tracing_subscriber::filter::EnvFilter;

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// From now on events are logged.
///
/// # Errors
/// [`Error::Argument`] for a filter that cannot be read.
pub(super) fn start(filter: &str, format: LogFormat) -> Result<()> {
    let wrong = |found: String| Error::Argument {
        option: "--log",
        found,
        expected: "off, error, warn, info, debug, trace, or a filter such as lacuna_serve=debug".into(),
    };
    let filter = EnvFilter::builder().parse(filter).map_err(|error| wrong(format!("{filter:?}: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // A line that cannot be written is lost. Reporting that on the same standard error would end the request with a panic.
    let builder = builder.log_internal_errors(false);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| wrong(error.to_string()))
}
