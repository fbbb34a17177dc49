//! The engines, one file or folder each. Everything foreign is called here and nowhere else.

mod lacuna;
mod onednn;

use std::path::Path;

use super::engine::{Engine, EngineId, Library, cannot};
use crate::context::Context;
use crate::error::Result;

/// Opens an engine in this process.
///
/// # Errors
/// [`crate::compare::EngineError`] for what is not there, not built in, or not that library.
pub(crate) fn open<'a>(id: EngineId, library: Option<&Path>, context: &'a Context) -> Result<Box<dyn Engine + 'a>> {
    let threads = context.measuring_threads();
    match id.library() {
        Library::Lacuna => Ok(Box::new(lacuna::Lacuna::new(id, context))),
        Library::OneDnn => Ok(Box::new(onednn::OneDnn::open(id, file(id, library)?, threads)?)),
        _ => cannot(id, "anything yet"),
    }
}

/// The shared library of an engine that needs one.
fn file(id: EngineId, library: Option<&Path>) -> Result<&Path> {
    library.map_or_else(|| cannot(id, "anything without --library"), Ok)
}
