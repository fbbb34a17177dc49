//! The f32 reference and the compiled encoder against another implementation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lacuna::Model;
use lacuna::config::{Activation, Architecture, EncoderConfig};
use lacuna::tokens::TypedIds;
use lacuna::weights::{EncoderWeights, Matrix};
use lacuna_jit::Tier;
use lacuna_model::reference::Reference;
use safetensors::SafeTensors;

use super::{calibrated, compile, cosine, tiers};

/// Largest difference of a hidden state, of magnitude 1, between f32 here and f64 there. Measured: up to 1.3e-6.
const TOLERANCE: f32 = 1e-5;
/// Least cosine between the hidden states of the int8 encoder and the golden ones, per sequence.
const LEAST_COSINE: f64 = 0.99;

/// The folders of `tests/golden`.
const MODELS: [&str; 9] = [
    "bert",
    "bert-old",
    "distilbert",
    "distilbert-relu",
    "roberta",
    "xlm-roberta",
    "camembert",
    "electra",
    "electra-relu",
];

/// A sequence and what is known of it.
pub(crate) struct Sequence {
    pub(crate) ids: Vec<u32>,
    types: Vec<u32>,
    states: Matrix,
    pooled: Option<Vec<f32>>,
}

impl Sequence {
    fn tokens(&self) -> TypedIds<'_> {
        TypedIds { ids: &self.ids, types: &self.types }
    }
}

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

pub(crate) fn sequences(name: &str) -> Vec<Sequence> {
    let bytes = std::fs::read(folder(name).join("golden.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Option<Vec<f32>> {
        let data = tensors.tensor(name).ok()?.data();
        Some(data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let integers = |name: &str| -> Option<Vec<u32>> {
        let data = tensors.tensor(name).ok()?.data();
        Some(data.as_chunks().0.iter().map(|bytes| u32::try_from(i64::from_le_bytes(*bytes)).unwrap()).collect())
    };
    let sequence = |n: usize| {
        let ids = integers(&format!("ids.{n}"))?;
        let states = floats(&format!("states.{n}")).unwrap();
        let states = Matrix::from_vec(ids.len(), states.len() / ids.len(), states).unwrap();
        let types = integers(&format!("types.{n}")).unwrap_or_else(|| vec![0; ids.len()]);
        Some(Sequence { ids, types, states, pooled: floats(&format!("pooled.{n}")) })
    };
    let all: Vec<Sequence> = (0..).map_while(sequence).collect();
    assert_eq!(all.len(), 3, "{name}");
    all
}

fn load(name: &str) -> Model {
    Model::open(folder(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Largest difference of any hidden state.
fn error(config: &EncoderConfig, weights: &EncoderWeights, sequences: &[Sequence]) -> f32 {
    let tokens: Vec<TypedIds<'_>> = sequences.iter().map(Sequence::tokens).collect();
    let states = Reference::new(config, weights).forward(&tokens).unwrap();
    let pairs = states.iter().zip(sequences).flat_map(|(states, sequence)| {
        assert_eq!((states.rows, states.cols), (sequence.states.rows, sequence.states.cols));
        states.data.iter().zip(&sequence.states.data)
    });
    pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

#[test]
fn the_reference_agrees_with_another_implementation() {
    for name in MODELS {
        let model = load(name);
        let error = error(model.config(), model.weights(), &sequences(name));
        println!("{name}: {error:.1e}");
        assert!(error < TOLERANCE, "{name}: off by {error}");
    }
}

/// The tolerance is small enough to tell one activation from another, and one row of the position table from the next.
#[test]
fn the_tolerance_tells_activations_and_positions_apart() {
    for name in MODELS {
        let model = load(name);
        let sequences = sequences(name);
        for activation in Activation::ALL.into_iter().filter(|&other| other != model.config().activation) {
            let other = EncoderConfig { activation, ..model.config().clone() };
            let error = error(&other, model.weights(), &sequences);
            assert!(error > 5.0 * TOLERANCE, "{name} with {activation}: {error}");
        }
        let mut weights = model.weights().clone();
        let position = &mut Arc::make_mut(&mut weights.embeddings).position;
        position.data.rotate_left(position.cols);
        let error = error(model.config(), &weights, &sequences);
        assert!(error > 5.0 * TOLERANCE, "{name} with positions from row 1: {error}");
    }
}

#[test]
fn what_was_read_is_what_was_written() {
    for (name, architecture, activation, head_size, limit) in [
        ("bert", Architecture::Bert, Activation::Gelu, 32, 24),
        ("bert-old", Architecture::Bert, Activation::GeluTanh, 26, 24),
        ("distilbert", Architecture::DistilBert, Activation::Gelu, 26, 24),
        ("distilbert-relu", Architecture::DistilBert, Activation::Relu, 16, 24),
        ("roberta", Architecture::Roberta, Activation::Gelu, 64, 22),
        ("xlm-roberta", Architecture::XlmRoberta, Activation::Gelu, 16, 22),
        ("camembert", Architecture::Camembert, Activation::GeluTanh, 32, 18),
        ("electra", Architecture::Electra, Activation::Gelu, 26, 24),
        ("electra-relu", Architecture::Electra, Activation::Relu, 16, 24),
    ] {
        let model = load(name);
        let config = model.config();
        assert_eq!((config.architecture, config.activation), (architecture, activation), "{name}");
        assert_eq!((config.head_size(), config.max_position), (head_size, limit), "{name}");
        assert_eq!(config.embedding_size, (name == "electra").then_some(20), "{name}");
        let tables = &model.weights().embeddings;
        assert_eq!((tables.position.rows, tables.token_type.rows), (limit, config.type_vocab_size), "{name}");
        assert_eq!(tables.projection.is_some(), name == "electra", "{name}");
        assert_eq!(model.weights().pooler.is_some(), ["bert", "bert-old", "xlm-roberta"].contains(&name), "{name}");
    }
}

/// `tanh(pooler(x[0]))`, from the golden hidden states.
#[test]
fn poolers_are_the_first_tokens_dense_layer() {
    for name in ["bert", "bert-old", "xlm-roberta"] {
        let model = load(name);
        let pooler = model.weights().pooler.as_ref().unwrap();
        for sequence in sequences(name) {
            let first = sequence.states.row(0);
            for (m, expected) in sequence.pooled.unwrap().iter().enumerate() {
                let sum: f32 = pooler.weight.row(m).iter().zip(first).map(|(w, x)| w * x).sum();
                let found = (sum + pooler.bias[m]).tanh();
                assert!((found - expected).abs() < TOLERANCE, "{name}: {found} is not {expected}");
            }
        }
    }
}

/// Int8, calibrated on other tokens, on every tier: close to the golden states, and the same bits everywhere.
#[test]
fn compiled_encoders_are_close_to_another_implementation_on_every_tier() {
    for name in MODELS {
        let calibrated = calibrated(load(name));
        let sequences = sequences(name);
        let tokens: Vec<TypedIds<'_>> = sequences.iter().map(Sequence::tokens).collect();
        let portable = compile(&calibrated, Tier::Portable).hidden_states(&tokens).unwrap();
        for (found, sequence) in portable.iter().zip(&sequences) {
            let cosine = cosine(found, &sequence.states);
            println!("{name}, {} tokens: cosine {cosine:.5}", sequence.ids.len());
            assert!(cosine >= LEAST_COSINE, "{name}, {} tokens: cosine {cosine}", sequence.ids.len());
        }
        for tier in tiers() {
            let encoder = compile(&calibrated, tier);
            assert_eq!(encoder.hidden_states(&tokens).unwrap(), portable, "{name} on {tier}");
            for (alone, together) in tokens.iter().zip(&portable) {
                assert_eq!(&encoder.hidden_states(&[*alone]).unwrap()[0], together, "{name} alone on {tier}");
            }
        }
    }
}
