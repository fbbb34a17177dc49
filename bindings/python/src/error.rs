//! Errors of the library as exceptions.
//!
//! The classes are in `python/lacuna/errors.py`, where a class may have two bases: `lacuna.errors.NotFoundError` is a `LacunaError` and a
//! `FileNotFoundError`.

use lacuna::{Error, ErrorKind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// An exception of a kind, with a text.
pub(crate) fn new(py: Python<'_>, kind: &str, text: &str) -> PyErr {
    let made = py.import("lacuna.errors").and_then(|errors| errors.call_method1("of_kind", (kind, text)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// The name of a kind in Python.
pub(crate) fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Io => "io",
        ErrorKind::NotFound => "not_found",
        ErrorKind::InvalidFile => "invalid_file",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::InvalidOption => "invalid_option",
        ErrorKind::InvalidInput => "invalid_input",
        ErrorKind::Missing => "missing",
        ErrorKind::Machine => "machine",
        ErrorKind::Cancelled => "cancelled",
        _ => "internal",
    }
}

/// A value of an option that is not one of its values.
pub(crate) fn option(py: Python<'_>, option: &str, found: &str, expected: &str) -> PyErr {
    new(py, "invalid_option", &format!("{option}: found {found}; expected {expected}"))
}

/// `?` on results of the library, where Python is at hand.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T, E: Into<Error>> OrRaise<T> for Result<T, E> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        // A record of the log runs code of Python, in which Ctrl-C may have raised. pyo3-log leaves that exception for us.
        if let Some(raised) = PyErr::take(py) {
            return Err(raised);
        }
        self.map_err(|error| {
            let error: Error = error.into();
            new(py, name(error.kind()), &error.to_string())
        })
    }
}

/// A panic of the library: a bug, which is said as such.
pub(crate) fn panicked() -> PyErr {
    PyRuntimeError::new_err("lacuna: a thread of the library panicked; this is a bug")
}
