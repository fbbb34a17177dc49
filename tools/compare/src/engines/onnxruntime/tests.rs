use lacuna_kernels::ActivationBits;

use super::*;
use crate::engine::ModelSource;
use crate::engines::exported::Exported;
use crate::locate::{SharedLibrary, Surroundings, locate};

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
    ModelFiles {
        source: ModelSource {
            dir: None,
            arch: None,
            seed: 0,
            pruning: None,
            calibrate: None,
            activation_bits: ActivationBits::Eight,
        },
        onnx,
    }
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

#[test]
fn exports_run_in_their_own_arithmetic() {
    let Some(mut engine) = open(EngineId::OnnxRuntimeF32) else { return };
    let exported = Exported::new();
    let said = exported.check(&mut engine, exported.f32(), 0.9999);
    assert!(said.starts_with("CPUExecutionProvider: ") && !said.contains("Integer"), "{said}");
    for (id, onnx) in [(EngineId::OnnxRuntimeDynamic, exported.dynamic()), (EngineId::OnnxRuntimeQdq, exported.qdq())] {
        let Some(mut engine) = open(id) else { return };
        println!("{} {}: {}", id.name(), engine.version(), exported.check(&mut engine, onnx, 0.97));
    }
}

#[test]
fn two_threads_give_the_same_embeddings() {
    let Some(path) = library() else { return };
    let exported = Exported::new();
    let mut engine = OnnxRuntime::open(EngineId::OnnxRuntimeF32, &path, 2).unwrap();
    exported.check(&mut engine, exported.f32(), 0.9999);
}

#[test]
fn exports_in_another_arithmetic_are_refused() {
    let exported = Exported::new();
    let mut refusals = Vec::new();
    for (id, onnx) in [
        (EngineId::OnnxRuntimeDynamic, exported.f32()),
        (EngineId::OnnxRuntimeQdq, exported.f32()),
        (EngineId::OnnxRuntimeF32, exported.dynamic()),
    ] {
        let Some(mut engine) = open(id) else { return };
        refusals.push(Exported::refusal(&mut engine, onnx));
    }
    assert!(
        refusals[0].contains("found no product of integers; these kernels ran: CPUExecutionProvider: "),
        "{refusals:?}"
    );
    assert!(refusals[1].contains("found no product of integers"), "{refusals:?}");
    assert!(refusals[2].contains("found products of integers, expected f32"), "{refusals:?}");
}

#[test]
fn other_files_than_exports_are_refused() {
    let Some(mut engine) = open(EngineId::OnnxRuntimeF32) else { return };
    let exported = Exported::new();
    let opset = exported.changed(|model| model.opset_import[0].version = 999);
    let message = Exported::refusal(&mut engine, opset);
    assert!(message.starts_with("ONNX Runtime: CreateSession failed: ") && message.contains("999"), "{message}");
    let output = exported.changed(|model| {
        let graph = model.graph.as_mut().unwrap();
        graph.output.retain(|output| output.name != "sentence_embedding");
    });
    assert!(Exported::refusal(&mut engine, output).ends_with("found no output sentence_embedding"));
    let cut = exported.f32();
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    Exported::refusal(&mut engine, cut);
    exported.check(&mut engine, exported.f32(), 0.9999);
}

#[test]
fn inputs_that_a_file_does_without_are_not_given() {
    let Some(mut engine) = open(EngineId::OnnxRuntimeF32) else { return };
    let exported = Exported::new();
    let onnx = exported.without_token_types();
    exported.check(&mut engine, onnx, 0.9999);
}
