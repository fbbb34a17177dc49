//! Heads: against another implementation, in f32 and in int8, from text to labels, spans and tokens.
//!
//! `tests/golden/heads.py` makes the models and what is expected of them, with the `transformers` library. The models of `lookup` are made
//! so that their answers are known beforehand.

mod errors;
mod files;
mod golden;
#[path = "../support/lookup.rs"]
mod lookup;
mod masks;
mod order;
mod schemes;
mod spans;
mod tasks;
mod words;

use std::path::{Path, PathBuf};

use lacuna::heads::Head;
use lacuna::tasks::Backbone;
use lacuna::tokens::TypedIds;
use lacuna::weights::Matrix;
use lacuna::{Compile, Encoder, Model};
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/heads").join(name)
}

fn load(name: &str) -> (Model, Head) {
    let model = Model::open(folder(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let head = model.head().unwrap_or_else(|error| panic!("{name}: {error}"));
    (model, head)
}

fn rows(name: &str) -> Vec<Value> {
    let json = std::fs::read(folder(name).join("golden.json")).unwrap();
    let Value::Array(rows) = serde_json::from_slice::<Value>(&json).unwrap()["rows"].take() else { panic!("{name}") };
    rows
}

fn integers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| u32::try_from(x.as_u64().unwrap()).unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(values) => values.iter().flat_map(floats).collect(),
        _ => vec![value.as_f64().unwrap() as f32],
    }
}

/// Ids, types and expected logits of everything that was run.
fn sequences(name: &str) -> Vec<(Vec<u32>, Vec<u32>, Vec<f32>)> {
    let of = |row: &Value| (integers(&row["ids"]), integers(&row["types"]), floats(&row["logits"]));
    let all = rows(name);
    all.iter()
        .flat_map(|row| match &row["windows"] {
            Value::Array(windows) => windows.iter().map(of).collect(),
            _ => vec![of(row)],
        })
        .collect()
}

/// An encoder calibrated on the sequences of its own fixture.
fn compile(name: &str, model: Model) -> Encoder {
    let sequences = sequences(name);
    let ids: Vec<TypedIds<'_>> = sequences.iter().map(|(ids, types, _)| TypedIds { ids, types }).collect();
    model.calibration().run_ids(&ids).unwrap().compile().unwrap()
}

/// The logits of every sequence.
fn logits(backbone: &dyn Backbone, head: &Head, sequences: &[(Vec<u32>, Vec<u32>, Vec<f32>)]) -> Vec<Matrix> {
    let ids: Vec<TypedIds<'_>> = sequences.iter().map(|(ids, types, _)| TypedIds { ids, types }).collect();
    backbone.hidden_states(&ids).unwrap().iter().map(|states| head.logits(states).unwrap()).collect()
}
