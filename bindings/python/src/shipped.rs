//! The model that comes with the package.

use lacuna::PackedModel;
use pyo3::prelude::*;

use crate::error::{self, OrRaise};

/// What stands for its path in messages and reports.
const PATH: &str = "the shipped model";

/// Opens it.
pub(crate) fn open(py: Python<'_>) -> PyResult<PackedModel> {
    let Some(bytes) = lacuna_assets::minilm_80() else {
        let text = format!("{PATH} is not in this build, which was made without {}", lacuna_assets::FILE);
        return Err(error::new(py, "not_found", &text));
    };
    py.detach(|| PackedModel::from_static(PATH, bytes)).or_raise(py)
}

/// What the model that comes with the package is, in words.
#[pyfunction]
pub(crate) fn shipped_name() -> &'static str {
    lacuna_assets::NAME
}
