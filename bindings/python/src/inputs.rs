//! Texts of Python, without copies.

use lacuna::TextInput;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

/// A text, or a pair of texts.
#[derive(FromPyObject)]
pub(crate) enum Input {
    Text(PyBackedStr),
    Pair(PyBackedStr, PyBackedStr),
}

impl Input {
    /// As the library takes it.
    pub(crate) fn as_input(&self) -> TextInput<'_> {
        match self {
            Input::Text(text) => TextInput::new(text),
            Input::Pair(text, pair) => TextInput::pair(text, pair),
        }
    }

    /// Bytes of UTF-8.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Input::Text(text) => text.len(),
            Input::Pair(text, pair) => text.len() + pair.len(),
        }
    }
}
