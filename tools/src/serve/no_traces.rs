//! The place of `traces` in a build without them.

use lacuna_console::error::{Error, Result};

use super::log::TraceLayer;

/// Traces that cannot be there.
pub(super) enum Traces {}

/// Refuses.
pub(super) fn start(url: &str) -> Result<Traces> {
    Err(Error::Argument {
        option: "--otlp",
        found: format!("{url:?}, but this command was built without traces"),
        expected: "a build with --features otlp".into(),
    })
}

impl Traces {
    pub(super) fn layer(&self) -> TraceLayer {
        match *self {}
    }
}
