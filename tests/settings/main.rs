//! Settings files beside a model: what they say is what is computed, or it is refused by name.

mod modules;
mod prompts;
mod texts;

use std::collections::HashMap;
use std::path::Path;

use lacuna::errors::ModelError;
use lacuna::weights::Matrix;
use lacuna::{Compile, Encoder, Model, PackedModel};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

const TEXTS: [&str; 4] = ["The cat sat on the mat.", "rain", "a dull film, not fine", ""];

/// A model's folder with a tokenizer, and files that a test adds.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder::of("bert-classify")
    }

    /// A copy of a fixture.
    fn of(name: &str) -> Folder {
        let dir = TempDir::new().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/heads").join(name);
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            std::fs::copy(from.join(file), dir.path().join(file)).unwrap();
        }
        Folder(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, and the folder that it is in.
    fn with(self, name: &str, json: &Value) -> Folder {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, json.to_string()).unwrap();
        self
    }

    /// Changes a JSON file.
    fn edit(self, name: &str, change: impl FnOnce(&mut Value)) -> Folder {
        let mut json = serde_json::from_slice(&std::fs::read(self.path().join(name)).unwrap()).unwrap();
        change(&mut json);
        self.with(name, &json)
    }

    /// Writes the weights of a module.
    fn with_tensors(self, folder: &str, tensors: &[(&str, &[usize], &[f32])]) -> Folder {
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|(.., values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
        let views = tensors
            .iter()
            .zip(&bytes)
            .map(|((name, shape, _), bytes)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
        let path = self.path().join(folder);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
        self
    }

    fn open(&self) -> Model {
        Model::open(self.path()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(&self) -> ModelError {
        Model::open(self.path()).expect_err("a model that is to be refused")
    }
}

/// The encoder of a model as it is compiled, and as it comes out of a packed file.
fn encoders(model: Model) -> [Encoder; 2] {
    let calibrated = model.calibration().run(TEXTS).unwrap();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("model.lacuna");
    calibrated.pack().unwrap().write(&path).unwrap();
    [calibrated.compile().unwrap(), PackedModel::open(&path).unwrap().compile().unwrap()]
}

/// The hidden states of a text in f32.
fn states(model: &Model, text: &str) -> Matrix {
    let ids = model.tokenizer().unwrap().encode(text).unwrap().ids;
    model.reference().forward(&[ids]).unwrap().remove(0)
}

fn mean(rows: &[&[f32]]) -> Vec<f32> {
    (0..rows[0].len()).map(|i| rows.iter().map(|row| row[i]).sum::<f32>() / rows.len() as f32).collect()
}

fn normalized(x: &[f32]) -> Vec<f32> {
    let norm = x.iter().map(|x| x * x).sum::<f32>().sqrt();
    x.iter().map(|x| x / norm).collect()
}

#[track_caller]
fn close(found: &[f32], expected: &[f32], bound: f32) {
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= bound, "differs by {worst}: {found:?}, {expected:?}");
}

/// What a model says of its settings.
fn said(model: &Model) -> Vec<String> {
    model.remarks().into_iter().map(|remark| remark.text).collect()
}

/// Numbers that look random, by their index.
fn noise(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 % 1013) as f32 / 506.0 - 1.0) * 0.3).collect()
}

/// Counts equal texts, for messages that must be said once.
fn counted(texts: &[String]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    texts.iter().for_each(|text| *counts.entry(&text[..]).or_insert(0) += 1);
    counts
}
