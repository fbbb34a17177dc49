//! Texts of Python, without copies where a call waits for its work.

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

    /// A copy that needs no Python.
    pub(crate) fn to_owned(&self) -> OwnedInput {
        match self {
            Input::Text(text) => OwnedInput(text.to_string(), None),
            Input::Pair(text, pair) => OwnedInput(text.to_string(), Some(pair.to_string())),
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

/// A text, or a pair of texts, for work that may outlive its call.
pub(crate) struct OwnedInput(String, Option<String>);

impl OwnedInput {
    /// As the library takes it.
    pub(crate) fn as_input(&self) -> TextInput<'_> {
        match &self.1 {
            None => TextInput::new(&self.0),
            Some(pair) => TextInput::pair(&self.0, pair),
        }
    }
}
