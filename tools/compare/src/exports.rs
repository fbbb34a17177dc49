//! The model as ONNX files, for the engines that read them.

use std::path::PathBuf;

use lacuna::calibration::CalibrationOptions;
use lacuna::onnx::OnnxModel;
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Spinner;

use super::engine::{EngineId, ModelFiles};
use super::onnx_file::{OnnxFile, OnnxForm};
use super::source::SourceModel;

/// Exports in a folder that goes when this value does, and files that the user names instead.
pub(crate) struct Exports {
    files: Vec<(EngineId, PathBuf)>,
    _folder: tempfile::TempDir,
}

impl Exports {
    /// Exports the model in the forms that `engines` read and `given` does not have.
    ///
    /// # Errors
    /// [`Error::Argument`] for files that are not there, or for no engine of `engines`; [`Error::Io`] if the folder for temporary files takes none, and those of exporting.
    pub(crate) fn new(
        model: &SourceModel,
        given: &[OnnxFile],
        engines: impl Iterator<Item = EngineId>,
    ) -> Result<Exports> {
        let engines: Vec<EngineId> = engines.collect();
        for OnnxFile { engine, path } in given {
            let wrong = |found: String, expected: String| Err(Error::Argument { option: "--onnx", found, expected });
            if !engines.contains(engine) {
                return wrong(engine.name().to_owned(), "an engine that takes part".to_owned());
            }
            if !path.is_file() {
                return wrong(format!("{}, which is no file", path.display()), "an ONNX file".to_owned());
            }
        }
        let folder = tempfile::Builder::new().prefix("lacuna-compare-").tempdir();
        let folder = folder.map_err(Error::io(&std::env::temp_dir(), "create"))?;
        let mut files = Vec::new();
        let mut written: Vec<(OnnxForm, PathBuf)> = Vec::new();
        for engine in engines {
            if let Some(file) = given.iter().find(|file| file.engine == engine) {
                files.push((engine, std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone())));
                continue;
            }
            let Some(form) = OnnxForm::of(engine) else { continue };
            let path = match written.iter().find(|(known, _)| *known == form) {
                Some((_, path)) => path.clone(),
                None => {
                    let path = folder.path().join(format!("{form:?}.onnx"));
                    export(model, form)?.write(&path)?;
                    written.push((form, path.clone()));
                    path
                }
            };
            files.push((engine, path));
        }
        Ok(Exports { files, _folder: folder })
    }

    /// What an engine loads.
    pub(crate) fn files(&self, engine: EngineId, model: &SourceModel) -> ModelFiles {
        let onnx = self.files.iter().find(|(id, _)| *id == engine).map(|(_, path)| path.clone());
        ModelFiles { source: model.source.clone(), onnx }
    }
}

fn export(source: &SourceModel, form: OnnxForm) -> Result<OnnxModel> {
    let _spinner = Spinner::new("exporting to ONNX");
    Ok(match form {
        OnnxForm::F32 => source.model.to_onnx()?,
        OnnxForm::Dynamic => source.model.to_onnx_dynamic()?,
        OnnxForm::Qdq => source.source.calibrated_with(&CalibrationOptions::per_tensor())?.to_onnx_qdq()?,
    })
}
