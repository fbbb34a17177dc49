//! The engines, one file or folder each. Everything foreign is called here and nowhere else.

#[cfg(feature = "candle")]
mod candle;
#[cfg(all(test, any(feature = "ort", feature = "rten")))]
mod exported;
#[cfg(feature = "gemm")]
mod gemm;
#[cfg(any(feature = "candle", feature = "gemm"))]
mod instructions;
mod lacuna;
mod onednn;
#[cfg(any(feature = "ort", feature = "rten"))]
mod onnx;
#[cfg(feature = "ort")]
mod onnxruntime;
#[cfg(feature = "rten")]
mod rten;
#[cfg(all(test, any(feature = "candle", feature = "gemm", feature = "ort", feature = "rten")))]
mod testing;

use std::path::Path;

use lacuna_console::context::Context;
use lacuna_console::error::Result;

use super::engine::{Engine, EngineId, Library, cannot};

/// Opens an engine in this process.
///
/// # Errors
/// [`EngineError`](super::error::EngineError) for what is not there, not built in, or not that library.
pub(crate) fn open<'a>(id: EngineId, library: Option<&Path>, context: &'a Context) -> Result<Box<dyn Engine + 'a>> {
    let threads = context.measuring_threads();
    match id.library() {
        Library::Lacuna => Ok(Box::new(lacuna::Lacuna::new(id, context))),
        Library::OneDnn => Ok(Box::new(onednn::OneDnn::open(id, file(id, library)?, threads)?)),
        #[cfg(feature = "ort")]
        Library::OnnxRuntime => Ok(Box::new(onnxruntime::OnnxRuntime::open(id, file(id, library)?, threads)?)),
        #[cfg(feature = "rten")]
        Library::Rten => Ok(Box::new(rten::Rten::open(id, threads)?)),
        #[cfg(feature = "candle")]
        Library::Candle => Ok(Box::new(candle::Candle::open(threads)?)),
        #[cfg(feature = "gemm")]
        Library::Gemm => Ok(Box::new(gemm::Gemm::open(threads)?)),
        #[cfg(not(all(feature = "candle", feature = "gemm", feature = "ort", feature = "rten")))]
        other => {
            let feature = other.feature().unwrap_or_default();
            Err(super::error::EngineError::NotBuilt { engine: id.name(), feature }.into())
        }
    }
}

/// The shared library of an engine that needs one.
fn file(id: EngineId, library: Option<&Path>) -> Result<&Path> {
    library.map_or_else(|| cannot(id, "anything without --library"), Ok)
}
