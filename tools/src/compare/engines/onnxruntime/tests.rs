use super::*;
use crate::compare::engine::ModelSource;
use crate::compare::locate::{SharedLibrary, Surroundings, locate};

/// The library of this machine; without one, the reason is printed and the test does nothing.
fn library() -> Option<PathBuf> {
    match locate(SharedLibrary::OnnxRuntime, None, &Surroundings::of_process()) {
        Ok(found) => Some(found.path),
        Err(error) if std::env::var_os("LACUNA_ONNXRUNTIME").is_some() => panic!("{error}"),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

fn open(id: EngineId) -> Option<OnnxRuntime> {
    library().map(|path| OnnxRuntime::open(id, &path, 1).unwrap())
}

fn files(onnx: Option<PathBuf>) -> ModelFiles {
    ModelFiles { source: ModelSource { dir: None, arch: None, seed: 0, pruning: None, calibrate: None }, onnx }
}

#[test]
fn other_files_are_refused() {
    let refusal = |path: &Path| OnnxRuntime::open(EngineId::OnnxRuntimeF32, path, 1).err().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("libonnxruntime.so");
    let is_not_loadable = |path: &Path| {
        let error = refusal(path);
        let message = error.to_string();
        assert!(matches!(error, EngineError::NotLoadable { .. }) && message.lines().count() == 1, "{message}");
        assert!(message.starts_with(&format!("{}: cannot load as a shared library", path.display())), "{message}");
    };
    is_not_loadable(&file);
    is_not_loadable(folder.path());
    for content in ["", "no library", "\x7fELF"] {
        std::fs::write(&file, content).unwrap();
        is_not_loadable(&file);
    }
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
        println!("skipped: no list of loaded libraries to take others from");
        return;
    };
    for name in ["/libc.so", "/libm.so"] {
        match maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.contains(name)) {
            Some(path) => {
                let expected = format!("{path}: not ONNX Runtime, or too old: found no symbol OrtGetApiBase");
                assert_eq!(refusal(Path::new(path)).to_string(), expected);
            }
            None => println!("skipped: no {name} is loaded"),
        }
    }
}

#[test]
fn files_that_are_no_models_are_refused_in_one_line() {
    let Some(mut engine) = open(EngineId::OnnxRuntimeF32) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let mut refusal = |onnx: Option<PathBuf>| {
        let message = engine.load_model(&files(onnx)).unwrap_err().to_string();
        assert!(message.starts_with("ONNX Runtime: ") && message.lines().count() == 1, "{message}");
        message
    };
    assert!(refusal(None).ends_with("found no ONNX file to load"));
    assert!(refusal(Some(path.clone())).contains("model.onnx"));
    for content in ["", "no model", "\x08\x07\x42"] {
        std::fs::write(&path, content).unwrap();
        refusal(Some(path.clone()));
    }
}

#[test]
fn what_it_does_not_do_is_said() {
    let Some(mut engine) = open(EngineId::OnnxRuntimeQdq) else { return };
    let message = engine.with_batch(&[vec![1]], &mut |_| Ok(())).unwrap_err().to_string();
    assert_eq!(message, "ONNX Runtime: with_batch failed: no model is loaded");
    assert!(engine.version().starts_with("1."), "{}", engine.version());
}
