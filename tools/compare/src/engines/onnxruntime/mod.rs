//! ONNX Runtime, a shared library that is loaded at run time, on an ONNX export.
//!
//! Sessions run on the CPU provider with its arena, on as many threads within a node as asked for, one node after the other, with
//! all graph optimisations. Inputs and the output are bound to tensors beforehand, so that a call is one run. What really runs is
//! read from a profile of the first run: an int8 model that multiplied no integers is refused, as it would be f32 in disguise.

mod failure;
mod library;
mod profile;
mod session;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lacuna_console::error::Result;
use ort::environment::Environment;
use ort::logging::LogLevel;

use self::failure::failed;
use self::session::{Batch, Loaded};
use crate::engine::{Engine, EngineId, ModelCall, ModelFiles, Product, ProductCall, cannot};
use crate::error::EngineError;

/// The engine.
pub(crate) struct OnnxRuntime {
    id: EngineId,
    threads: usize,
    runtime: Runtime,
    model: Option<Loaded>,
}

/// The library in this process, and what all sessions share.
#[derive(Clone)]
struct Runtime {
    path: PathBuf,
    version: String,
    environment: Environment,
}

/// The `ort` crate loads one library per process, and never unloads it.
static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

impl OnnxRuntime {
    /// Sessions compute on `threads` threads of the library's own, the caller among them.
    ///
    /// `id` says which form of export is loaded.
    ///
    /// # Errors
    /// [`EngineError::NotLoadable`], [`EngineError::MissingSymbol`], [`EngineError::Version`] for a file that is not ONNX Runtime or
    /// too old; [`EngineError::Call`] if it fails, or if this process has loaded another one.
    pub(crate) fn open(id: EngineId, path: &Path, threads: usize) -> Result<OnnxRuntime, EngineError> {
        Ok(OnnxRuntime { id, threads, runtime: Runtime::load(path)?, model: None })
    }
}

impl Runtime {
    fn load(path: &Path) -> Result<Runtime, EngineError> {
        let mut loaded = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
        let checked = library::check(path)?;
        // Loaded, so it is there: the whole path, as the crate takes others for relative to the command's file.
        let path = path.canonicalize().map_err(|error| failed(&format!("loading {}", path.display()), error))?;
        if let Some(runtime) = &*loaded {
            return match runtime.path == path {
                true => Ok(runtime.clone()),
                false => {
                    let found = format!("{} is loaded in this process already", runtime.path.display());
                    Err(failed(&format!("loading {}", path.display()), found))
                }
            };
        }
        let call = "OrtCreateEnv";
        let builder = ort::init_from(&path).map_err(|error| failed(call, error))?;
        let environment = builder.with_telemetry(false).build().map_err(|error| failed(call, error))?;
        // Errors come back as values; the log would tell them again, on standard error.
        environment.set_log_level(LogLevel::Fatal);
        Ok(loaded.insert(Runtime { path, version: checked.version, environment }).clone())
    }
}

impl Engine for OnnxRuntime {
    fn version(&self) -> String {
        self.runtime.version.clone()
    }

    fn with_product(&mut self, _: &Product, _: &mut dyn FnMut(&mut dyn ProductCall) -> Result<()>) -> Result<()> {
        cannot(self.id, "products")
    }

    fn load_model(&mut self, files: &ModelFiles) -> Result<()> {
        self.model = None;
        let path = files.onnx.as_ref().ok_or_else(|| failed("load_model", "found no ONNX file to load"))?;
        let int8 = self.id != EngineId::OnnxRuntimeF32;
        self.model = Some(Loaded::read(&self.runtime.environment, path, self.threads, int8)?);
        Ok(())
    }

    fn with_batch(&mut self, ids: &[Vec<u32>], run: &mut dyn FnMut(&mut dyn ModelCall) -> Result<()>) -> Result<()> {
        let model = self.model.as_mut().ok_or_else(|| failed("with_batch", "no model is loaded"))?;
        run(&mut Batch::new(model, ids)?)
    }
}
