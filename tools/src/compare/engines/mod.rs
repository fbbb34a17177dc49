//! The engines, one file or folder each. Everything foreign is called here and nowhere else.

mod lacuna;

use std::path::Path;

use super::engine::{Engine, EngineId, Library, cannot};
use crate::context::Context;
use crate::error::Result;

/// Opens an engine in this process.
///
/// # Errors
/// [`crate::compare::EngineError`] for what is not there, not built in, or not that library.
pub(crate) fn open<'a>(id: EngineId, _library: Option<&Path>, context: &'a Context) -> Result<Box<dyn Engine + 'a>> {
    match id.library() {
        Library::Lacuna => Ok(Box::new(lacuna::Lacuna::new(id, context))),
        _ => cannot(id, "anything yet"),
    }
}
