//! ONNX files: what engines read them, and those that the user has.

use std::path::PathBuf;

use super::engine::{EngineId, Library};

/// What an engine reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnnxForm {
    F32,
    Dynamic,
    Qdq,
}

impl OnnxForm {
    /// The form for an engine; nothing for engines that read none.
    pub(crate) fn of(engine: EngineId) -> Option<OnnxForm> {
        match engine {
            EngineId::OnnxRuntimeF32 | EngineId::RtenF32 => Some(OnnxForm::F32),
            EngineId::OnnxRuntimeDynamic | EngineId::RtenInt8 => Some(OnnxForm::Dynamic),
            EngineId::OnnxRuntimeQdq => Some(OnnxForm::Qdq),
            _ => None,
        }
    }
}

/// Whether an engine reads ONNX files.
fn reads_onnx(engine: EngineId) -> bool {
    matches!(engine.library(), Library::OnnxRuntime | Library::Rten) && OnnxForm::of(engine).is_some()
}

/// An ONNX file for an engine, in place of Lacuna's own export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnnxFile {
    pub(crate) engine: EngineId,
    pub(crate) path: PathBuf,
}

impl OnnxFile {
    /// `ENGINE=FILE`
    pub(crate) fn parse(text: &str) -> Result<OnnxFile, String> {
        let expected = || {
            let engines: Vec<&str> = EngineId::all().filter(|&id| reads_onnx(id)).map(EngineId::name).collect();
            format!("found {text:?}; expected ENGINE=FILE with one of {}", engines.join(", "))
        };
        let (name, path) = text.split_once('=').ok_or_else(expected)?;
        let engine = EngineId::named(name).ok().filter(|&id| reads_onnx(id)).ok_or_else(expected)?;
        if path.is_empty() {
            return Err(expected());
        }
        Ok(OnnxFile { engine, path: path.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_given_to_engines_that_read_onnx() {
        let file = OnnxFile::parse("onnxruntime-f32=a=b.onnx").unwrap();
        assert_eq!(file, OnnxFile { engine: EngineId::OnnxRuntimeF32, path: "a=b.onnx".into() });
        for wrong in ["onnxruntime-f32", "onnxruntime-f32=", "candle-f32=x.onnx", "x=y"] {
            assert!(OnnxFile::parse(wrong).unwrap_err().contains("ENGINE=FILE"), "{wrong}");
        }
    }
}
