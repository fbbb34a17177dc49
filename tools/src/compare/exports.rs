//! The model as ONNX files, for the engines that read them.

use std::path::PathBuf;

use super::engine::{EngineId, ModelFiles};
use super::source::SourceModel;
use crate::error::Result;

/// Exports in a folder that goes when this value does.
pub(crate) struct Exports {
    files: Vec<(EngineId, PathBuf)>,
}

impl Exports {
    pub(crate) fn new(_model: &SourceModel, _engines: impl Iterator<Item = EngineId>) -> Result<Exports> {
        Ok(Exports { files: Vec::new() })
    }

    /// What an engine loads.
    pub(crate) fn files(&self, engine: EngineId, model: &SourceModel) -> ModelFiles {
        let onnx = self.files.iter().find(|(id, _)| *id == engine).map(|(_, path)| path.clone());
        ModelFiles { source: model.source.clone(), onnx }
    }
}
