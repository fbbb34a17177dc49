//! A user of an encoder whose calls can be cancelled.

use lacuna::Cancel;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

use crate::compute::User;
use crate::embed::{self, Vectors};
use crate::encoder::PyEncoder;

/// A user of an encoder whose calls another thread can cancel.
#[pyclass(name = "Session", module = "lacuna", frozen)]
pub(crate) struct PySession {
    encoder: Py<PyEncoder>,
    user: User,
}

impl PySession {
    pub(crate) fn new(_py: Python<'_>, encoder: Py<PyEncoder>) -> PySession {
        let user = encoder.get().compute.user(Cancel::new());
        PySession { encoder, user }
    }
}

#[pymethods]
impl PySession {
    /// The encoder.
    #[getter]
    fn encoder(&self, py: Python<'_>) -> Py<PyEncoder> {
        self.encoder.clone_ref(py)
    }

    /// As `Encoder.embed`; raises `lacuna.errors.CancelledError` after `cancel`.
    #[pyo3(signature = (texts, *, prompt=None, max_length=None, progress=None))]
    fn embed<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<PyBackedStr>,
        prompt: Option<&str>,
        max_length: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vectors<'py>> {
        embed::embed(py, self.encoder.get(), &texts, prompt, max_length, progress, Some(&self.user))
    }

    /// Ends running calls at the next layer of the model, in float32 after some texts, and all later ones at once.
    fn cancel(&self) {
        self.user.cancel().cancel();
    }

    /// Lets calls run again.
    fn reset(&self) {
        self.user.cancel().reset();
    }

    /// Whether calls are stopped.
    #[getter]
    fn cancelled(&self) -> bool {
        self.user.cancel().is_cancelled()
    }
}
