//! The graphs in rten, a runtime that shares no code with this project, against the f32 reference.

use std::path::Path;

use lacuna_model::export::OnnxModel;
use lacuna_model::reference::{Tap, TapSet};
use lacuna_model::{CalibrationOptions, Matrix, Model, Pooling, PoolingMode, seeded_ids};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

use crate::{forms, ids_of, messages, small, with_heads};

/// Hidden states and embeddings, one per sequence. Sequences are padded to the longest; states of padding are left out.
struct Outputs {
    states: Vec<Matrix>,
    embeddings: Vec<Vec<f32>>,
}

fn run(onnx: &OnnxModel, ids: &[Vec<u32>], padding: u32) -> Outputs {
    let model = rten::Model::load(onnx.to_bytes()).unwrap();
    let (batch, longest) = (ids.len(), ids.iter().map(Vec::len).max().unwrap());
    let rows = |value: &dyn Fn(Option<&u32>) -> u32| {
        let row = |ids: &Vec<u32>| (0..longest).map(|i| value(ids.get(i)) as i32).collect::<Vec<_>>();
        Tensor::from_data(&[batch, longest], ids.iter().flat_map(row).collect::<Vec<i32>>())
    };
    let inputs = [
        ("input_ids", rows(&|id| id.copied().unwrap_or(padding))),
        ("attention_mask", rows(&|id| u32::from(id.is_some()))),
        ("token_type_ids", rows(&|_| 0)),
    ];
    // A model with one token type has no input for it.
    let has_types = messages(onnx).graph.unwrap().input.iter().any(|input| input.name == "token_type_ids");
    let inputs = inputs.into_iter().filter(|(name, _)| has_types || *name != "token_type_ids");
    let inputs = inputs.map(|(name, tensor)| (model.node_id(name).unwrap(), tensor.into())).collect();
    let outputs = ["last_hidden_state", "sentence_embedding"].map(|name| model.node_id(name).unwrap());
    let [states, embeddings] = model.run_n(inputs, outputs, None).unwrap();
    let states: Tensor<f32> = states.try_into().unwrap();
    let embeddings: Tensor<f32> = embeddings.try_into().unwrap();
    let hidden = embeddings.size(1);
    assert_eq!(states.shape(), [batch, longest, hidden]);
    assert_eq!(embeddings.shape(), [batch, hidden]);
    let (states, embeddings) = (states.to_vec(), embeddings.to_vec());
    let of = |(ids, rows): (&Vec<u32>, &[f32])| {
        Matrix::from_vec(ids.len(), hidden, rows[..ids.len() * hidden].to_vec()).unwrap()
    };
    Outputs {
        states: ids.iter().zip(states.chunks_exact(longest * hidden)).map(of).collect(),
        embeddings: embeddings.chunks_exact(hidden).map(<[f32]>::to_vec).collect(),
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Whether rten computes whole products of int8: without VNNI its sums of two products saturate in 16 bits.
fn rten_is_exact(form: &str) -> bool {
    let is_exact = !form.contains("dynamic") || std::is_x86_feature_detected!("avx512vnni");
    if !is_exact {
        println!("skipped: {form} in rten, whose int8 products saturate on a CPU without AVX-512 VNNI");
    }
    is_exact
}

fn least_cosine(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    a.iter().zip(b).map(|(a, b)| cosine(a, b)).fold(1.0, f64::min)
}

/// Mean of 1 - cosine.
fn mean_distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    a.iter().zip(b).map(|(a, b)| 1.0 - cosine(a, b)).sum::<f64>() / a.len() as f64
}

/// Heads and head sizes, one of which is no multiple of 4.
const SHAPES: [(usize, usize); 3] = [(2, 26), (3, 32), (1, 64)];
/// Lengths of the sequences of one batch, up to the model's limit.
const LENGTHS: [usize; 6] = [7, 1, 33, 40, 2, 16];

#[test]
fn f32_agrees_whatever_the_padding() {
    for (heads, size) in SHAPES {
        let model = small(heads, size);
        let ids = ids_of(&LENGTHS);
        let states = model.reference().forward(&ids).unwrap();
        let embeddings = model.reference().embed(&ids, model.pooling()).unwrap();
        let onnx = model.to_onnx().unwrap();
        for padding in [0, 17] {
            let found = run(&onnx, &ids, padding);
            for i in 0..ids.len() {
                // States are of magnitude 10.
                let difference = largest_difference(&found.states[i].data, &states[i].data);
                assert!(difference < 1e-4, "{heads} x {size}, sequence {i}: states differ by {difference}");
                let difference = largest_difference(&found.embeddings[i], &embeddings[i]);
                assert!(difference < 1e-4, "{heads} x {size}, sequence {i}: embeddings differ by {difference}");
            }
        }
    }
}

/// Fewer heads than the residual stream has room for, and more.
#[test]
fn other_numbers_of_heads_agree() {
    for (heads, size, kept) in [(3, 26, 2), (4, 16, 1), (2, 16, 3)] {
        let model = with_heads(&small(heads, size), kept);
        let ids = ids_of(&LENGTHS);
        let reference = model.reference().embed(&ids, model.pooling()).unwrap();
        for (form, onnx) in forms(&model) {
            if !rten_is_exact(form) {
                continue;
            }
            let found = run(&onnx, &ids, 0).embeddings;
            let least = least_cosine(&found, &reference);
            assert!(least > 0.99, "{form}, {kept} of {heads} x {size}: cosine {least}");
            let difference = found.iter().zip(&reference).map(|(a, b)| largest_difference(a, b)).fold(0.0, f32::max);
            assert!(form != "f32" || difference < 1e-4, "{kept} of {heads} x {size}: {difference}");
        }
    }
}

#[test]
fn int8_stays_close() {
    for (heads, size) in SHAPES {
        let model = small(heads, size);
        let ids = ids_of(&LENGTHS);
        let reference = model.reference().embed(&ids, model.pooling()).unwrap();
        for (form, onnx) in &forms(&model)[1..] {
            if !rten_is_exact(form) {
                continue;
            }
            let least = least_cosine(&run(onnx, &ids, 0).embeddings, &reference);
            println!("{form}, {heads} x {size}: least cosine {least}");
            assert!(least > 0.99, "{form}, {heads} x {size}: cosine {least}");
        }
    }
}

/// Static int8 rounds what calibration says and nothing else: the simulation of exactly that is closer by far than rounding itself.
/// The two are not equal: where sums differ in the last bit, a value on the edge between two codes gets the other one.
#[test]
fn static_int8_is_what_the_simulation_predicts() {
    let taps = [Tap::AttentionInput, Tap::AttentionOutput, Tap::FeedForwardInput, Tap::GeluOutput];
    let taps = taps.into_iter().fold(TapSet::NONE, TapSet::with);
    for (heads, size) in SHAPES {
        let ids = ids_of(&LENGTHS);
        let options = CalibrationOptions::per_tensor();
        let calibrated = small(heads, size).calibration().options(options).run_ids(&ids_of(&[20; 8])).unwrap();
        let simulated = calibrated.simulate(&ids, taps, true).unwrap();
        let reference = calibrated.model().reference().embed(&ids, calibrated.model().pooling()).unwrap();
        let found = run(&calibrated.to_onnx_qdq().unwrap(), &ids, 0).embeddings;
        let (rounding, unexplained) = (mean_distance(&reference, &simulated), mean_distance(&found, &simulated));
        println!("{heads} x {size}: rounding moves embeddings by {rounding}, of which {unexplained} is unexplained");
        assert!(unexplained < 0.25 * rounding, "{heads} x {size}: {unexplained} of {rounding}");
    }
}

/// Projected embeddings, positions that begin later, no token types, every activation.
#[test]
fn every_architecture_agrees() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let mut dirs: Vec<_> = std::fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()).collect();
    dirs.retain(|dir| dir.join("golden.safetensors").exists());
    dirs.sort();
    assert!(dirs.len() >= 9, "{dirs:?}");
    for dir in dirs {
        let model = Model::open(&dir).unwrap();
        let config = model.config();
        let length = |length: usize| length.min(config.max_position);
        let ids = |lengths: &[usize], seed: u64| -> Vec<Vec<u32>> {
            lengths
                .iter()
                .zip(seed..)
                .flat_map(|(&n, seed)| seeded_ids(config.vocab_size, 1, length(n), seed))
                .collect()
        };
        let batch = ids(&[5, 1, 12, 3], 1);
        let reference = model.reference().embed(&batch, model.pooling()).unwrap();
        let options = CalibrationOptions::per_tensor();
        let calibrated =
            model.clone().calibration().options(options).run_ids(&ids(&[12, 1, 7, 3, 12, 2, 9, 5], 9)).unwrap();
        for (form, onnx, expected) in [
            ("f32", model.to_onnx().unwrap(), 0.999_999),
            ("int8, dynamic", model.to_onnx_dynamic().unwrap(), 0.985),
            ("int8, static", calibrated.to_onnx_qdq().unwrap(), 0.985),
        ] {
            if !rten_is_exact(form) {
                continue;
            }
            let least = least_cosine(&run(&onnx, &batch, 0).embeddings, &reference);
            println!("{form}, {} with {}: least cosine {least}", config.architecture, config.activation);
            assert!(least > expected, "{form} of {}: cosine {least}", dir.display());
        }
    }
}

#[test]
fn pruned_models_agree() {
    let model = crate::pruned();
    let ids = ids_of(&LENGTHS);
    let reference = model.reference().embed(&ids, model.pooling()).unwrap();
    for (form, onnx) in forms(&model) {
        let least = least_cosine(&run(&onnx, &ids, 0).embeddings, &reference);
        let expected = if form == "f32" { 0.999_999 } else { 0.998 };
        assert!(least > expected, "{form}: cosine {least}");
    }
}

/// A tiny model with a tokenizer, its sentences and normalisation.
#[test]
fn a_model_with_a_tokenizer_agrees() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads/bert-rank");
    let model = Model::open(dir).unwrap().with_pooling(Pooling::new(PoolingMode::Mean, true)).unwrap();
    let subjects = ["The cat", "A big old dog", "Zoe", "Emile"];
    let ends = ["sat on the mat.", "went home, by the river!", "was not in Paris", "met Emile in London."];
    let sentences: Vec<String> =
        subjects.iter().flat_map(|subject| ends.map(|end| format!("{subject} {end}"))).collect();
    agrees_on_sentences(model, &sentences, 10);
}

/// A trained model, its sentences, its pooling and normalisation: where it is kept beside the checkout.
#[test]
fn a_real_model_agrees() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let (dir, pairs) = (shared.join("models/all-MiniLM-L6-v2"), shared.join("data/stsb-en-dev.csv"));
    if !dir.join("model.safetensors").exists() || !pairs.exists() {
        println!("skipped: no {} or no {}", dir.display(), pairs.display());
        return;
    }
    let model = Model::open(&dir).unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(&pairs).unwrap();
    let sentences: Vec<String> = reader.records().take(60).map(|row| row.unwrap()[0].to_owned()).collect();
    agrees_on_sentences(model, &sentences, 40);
}

/// Calibrates on the first sentences and compares the embeddings of the others.
fn agrees_on_sentences(model: Model, sentences: &[String], calibration: usize) {
    let (calibration, sentences) = sentences.split_at(calibration);
    let encoded = model.tokenizer().unwrap().encode_batch(sentences).unwrap();
    let ids: Vec<Vec<u32>> = encoded.into_iter().map(|encoded| encoded.ids).collect();
    let reference = model.reference().embed(&ids, model.pooling()).unwrap();
    let calibrated = model.clone().calibration().options(CalibrationOptions::per_tensor()).run(calibration).unwrap();
    for (form, onnx, expected) in [
        ("f32", model.to_onnx().unwrap(), 0.999_999),
        ("int8, dynamic", model.to_onnx_dynamic().unwrap(), 0.985),
        ("int8, static", calibrated.to_onnx_qdq().unwrap(), 0.985),
    ] {
        let found = run(&onnx, &ids, 0).embeddings;
        let least = least_cosine(&found, &reference);
        println!("{form}: least cosine {least}");
        assert!(least > expected, "{form}: cosine {least}");
        for embedding in &found {
            let norm = embedding.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((norm - 1.0).abs() < 1e-5, "{form}: norm {norm}");
        }
    }
}
