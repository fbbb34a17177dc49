//! The compiled half of the Python package `lacuna`.
//!
//! It holds what must be fast or must hold no GIL: models, encoders, tasks. Names, signatures and values that other Python libraries have are made
//! in `python/lacuna/`, which is the only user of this module.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod bench;
mod call;
mod closing;
mod compress;
mod compute;
mod embed;
mod encoder;
mod error;
mod inputs;
mod log;
mod model;
mod session;
mod shipped;
mod tasks;
mod threads;

use pyo3::prelude::*;

/// The module `lacuna._lacuna`.
#[pymodule(gil_used = false)]
mod _lacuna {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::bench::{bench, bench_defaults};
    #[pymodule_export]
    use crate::closing::close;
    #[pymodule_export]
    use crate::compress::{compress, compress_defaults};
    #[pymodule_export]
    use crate::encoder::PyEncoder;
    #[pymodule_export]
    use crate::model::{PyCalibratedModel, PyModel, PyPackedModel};
    #[pymodule_export]
    use crate::session::PySession;
    #[pymodule_export]
    use crate::shipped::shipped_name;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        crate::log::install(module.py())
    }
}
