//! ONNX graphs as models: against ONNX Runtime's results, bit for bit in their codes.
//!
//! `tests/golden/onnx_graphs.py` makes the graphs, with the exporter of torch and the quantiser of ONNX Runtime.

mod codes;
mod errors;
mod files;
mod golden;
// The library's own: its messages are private.
#[allow(dead_code)]
#[path = "../../model/src/proto.rs"]
mod proto;
mod round_trip;
#[path = "../support/tiers.rs"]
mod tiers;

use std::path::{Path, PathBuf};

use lacuna::tokens::{TypedIds, seeded_ids};
use lacuna::weights::Matrix;
use lacuna::{CalibratedModel, Model};

use self::tiers::tiers;
use safetensors::SafeTensors;

/// Graphs in f32.
const FLOAT: [&str; 12] = [
    "bert",
    "bert-f16",
    "bert-sdpa",
    "distilbert",
    "roberta",
    "electra",
    "bert-classify",
    "bert-answer",
    "bert-fill",
    "distilbert-tag",
    "roberta-classify",
    "electra-classify",
];
/// Graphs in int8.
const QUANTISED: [&str; 6] =
    ["bert-dynamic", "bert-dynamic-u8", "bert-qdq", "bert-qdq-s8", "distilbert-qdq", "bert-sparse"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx").join(name)
}

fn load(name: &str) -> Model {
    Model::open(folder(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What the script wrote beside a graph.
struct Golden(Vec<u8>);

/// A sequence and ONNX Runtime's results.
struct Sequence {
    ids: Vec<u32>,
    types: Vec<u32>,
    states: Vec<f32>,
    logits: Option<Vec<f32>>,
}

impl Sequence {
    fn tokens(&self) -> TypedIds<'_> {
        TypedIds { ids: &self.ids, types: &self.types }
    }
}

impl Golden {
    fn of(name: &str) -> Golden {
        Golden(std::fs::read(folder(name).join("golden.safetensors")).unwrap())
    }

    fn bytes(&self, name: &str) -> Option<&[u8]> {
        Some(SafeTensors::deserialize(&self.0).unwrap().tensor(name).ok()?.data())
    }

    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        Some(self.bytes(name)?.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn codes(&self, name: &str) -> Option<Vec<i8>> {
        Some(self.bytes(name)?.iter().map(|&byte| byte.cast_signed()).collect())
    }

    fn sequences(&self) -> Vec<Sequence> {
        let whole = |name: String| -> Option<Vec<u32>> {
            let bytes = self.bytes(&name)?.as_chunks().0;
            Some(bytes.iter().map(|bytes| u32::try_from(i64::from_le_bytes(*bytes)).unwrap()).collect())
        };
        let sequence = |n: usize| {
            let ids = whole(format!("ids.{n}"))?;
            Some(Sequence {
                types: whole(format!("types.{n}")).unwrap_or_else(|| vec![0; ids.len()]),
                states: self.floats(&format!("states.{n}")).unwrap(),
                logits: self.floats(&format!("logits.{n}")),
                ids,
            })
        };
        (0..).map_while(sequence).collect()
    }
}

/// Calibrated on seeded tokens.
fn calibrated(model: Model) -> CalibratedModel {
    let (vocab, limit) = (model.config().vocab_size, model.config().max_position);
    let mut ids = seeded_ids(vocab, 96, limit.min(24), 3);
    ids.iter_mut().enumerate().for_each(|(i, ids)| ids.truncate(1 + i % 24));
    model.calibration().run_ids(&ids).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// The mean over tokens.
fn mean(states: &[f32], features: usize) -> Vec<f32> {
    let rows = states.len() / features;
    (0..features).map(|k| (0..rows).map(|row| states[row * features + k]).sum::<f32>() / rows as f32).collect()
}

fn hidden(model: &Model, sequences: &[Sequence]) -> Vec<Matrix> {
    let tokens: Vec<TypedIds<'_>> = sequences.iter().map(Sequence::tokens).collect();
    model.reference().forward(&tokens).unwrap()
}
