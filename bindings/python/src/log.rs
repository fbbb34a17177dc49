//! What the library says, as records of Python's `logging`.

use log::LevelFilter;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3_log::{Caching, Logger};

/// Records of level INFO and above go to the loggers `lacuna...`. Whether a logger wants them is asked every time, so that levels may be changed at
/// any time.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let logger = Logger::new(py, Caching::Loggers)?.filter(LevelFilter::Info);
    let installed = logger.install();
    installed.map(|_| ()).map_err(|error| PyRuntimeError::new_err(format!("logging: {error}")))
}
