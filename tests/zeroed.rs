//! Models in which heads, rows or layers were set to zero, as pruning leaves them: right on every tier, at every length.

#[path = "support/tiers.rs"]
mod tiers;

use lacuna::config::{EncoderConfig, Pooling};
use lacuna::tokens::seeded_ids;
use lacuna::weights::{EncoderWeights, LayerWeights, Linear};
use lacuna::{CalibratedModel, Compile, Error, Form, Model, Preset};
use lacuna_jit::Tier;
use lacuna_kernels::KernelError;

use self::tiers::tiers;

const VOCAB: usize = 300;

fn config() -> EncoderConfig {
    let sizes = EncoderConfig { hidden_size: 48, heads: 4, intermediate_size: 96, ..Preset::BertMini.config() };
    EncoderConfig { layers: 2, vocab_size: VOCAB, max_position: 64, ..sizes }
}

/// A model with random weights, of which `change` changes some.
fn model(change: impl FnOnce(&EncoderConfig, &mut EncoderWeights)) -> CalibratedModel {
    let config = config();
    let mut weights = Model::seeded(config.clone(), 5).unwrap().weights().clone();
    change(&config, &mut weights);
    let model = Model::from_parts(config, weights, Pooling::default(), None).unwrap();
    let lengths = (1..=8).chain([12, 16, 24, 32, 48, 64]);
    let texts: Vec<Vec<u32>> = lengths.flat_map(|n| seeded_ids(VOCAB, 2, n, n as u64)).collect();
    model.calibration().run_ids(&texts).unwrap()
}

/// Zeroes output features of a linear layer, as far as both weights and bias go.
fn zero_rows(linear: &mut Linear, rows: std::ops::Range<usize>) {
    let columns = linear.weight.cols;
    linear.weight.data[rows.start * columns..rows.end * columns].fill(0.0);
    linear.bias[rows].fill(0.0);
}

fn zero(linear: &mut Linear) {
    let rows = linear.weight.rows;
    zero_rows(linear, 0..rows);
}

/// Lengths of every remainder modulo 4, in short and long sequences.
fn ids() -> Vec<Vec<u32>> {
    let lengths = [1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15, 16, 17, 18, 19, 20, 33, 64];
    lengths.iter().map(|&n| seeded_ids(VOCAB, 1, n, n as u64 + 100).remove(0)).collect()
}

fn least_cosine(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    lacuna::tasks::Cosines::between(a, b).min
}

/// Every tier and form gives the same bits, alone and in a batch, and nearly what f32 gives.
#[track_caller]
fn check(what: &str, model: &CalibratedModel) {
    let ids = ids();
    let expected = model.compiler().tier(Tier::Portable).form(Form::Dense).compile().unwrap().embed_ids(&ids).unwrap();
    for tier in tiers() {
        for form in [Form::Auto, Form::Dense, Form::Sparse] {
            let encoder = model.compiler().tier(tier).form(form).compile().unwrap();
            assert_eq!(encoder.embed_ids(&ids).unwrap(), expected, "{what}: {tier}, {form:?}");
            for (one, expected) in ids.iter().zip(&expected) {
                let found = encoder.embed_ids(&[one]).unwrap();
                assert_eq!(&found[0], expected, "{what}: {tier}, {form:?}, {} tokens alone", one.len());
            }
        }
    }
    let reference = model.model().reference().embed(&ids, model.model().pooling()).unwrap();
    let least = least_cosine(&expected, &reference);
    assert!(least > 0.98, "{what}: cosine {least}");
}

type Part = fn(&mut LayerWeights) -> &mut Linear;

const PARTS: [(&str, Part); 6] = [
    ("query", |layer| &mut layer.q),
    ("key", |layer| &mut layer.k),
    ("value", |layer| &mut layer.v),
    ("attention output", |layer| &mut layer.o),
    ("up", |layer| &mut layer.up),
    ("down", |layer| &mut layer.down),
];

#[test]
fn heads_of_queries_and_keys_and_values() {
    let size = config().head_size();
    for (what, part) in &PARTS[..3] {
        for heads in [1, config().heads - 1, config().heads] {
            let model = model(|_, weights| {
                weights.layers.iter_mut().for_each(|layer| zero_rows(part(layer), 0..heads * size));
            });
            check(&format!("{heads} heads of {what}"), &model);
        }
    }
}

#[test]
fn rows_and_columns_of_every_linear_layer() {
    for (what, part) in PARTS {
        let changed = model(|_, weights| {
            for layer in &mut weights.layers {
                let linear = part(layer);
                zero_rows(linear, 3..20);
                let columns = linear.weight.cols;
                linear.weight.data.chunks_exact_mut(columns).for_each(|row| row[8..30].fill(0.0));
            }
        });
        check(&format!("rows and columns of {what}"), &changed);
    }
}

#[test]
fn whole_linear_layers_and_whole_encoder_layers() {
    for (what, part) in PARTS {
        check(&format!("all of {what}"), &model(|_, weights| zero(part(&mut weights.layers[0]))));
    }
    let changed = model(|_, weights| PARTS.iter().for_each(|(_, part)| zero(part(&mut weights.layers[1]))));
    check("a layer", &changed);
    let changed = model(|_, weights| {
        weights.layers.iter_mut().for_each(|layer| PARTS.iter().for_each(|(_, part)| zero(part(layer))));
    });
    check("all layers", &changed);
}

/// Scales that no kernel takes are refused when the model is compiled, and not at its first run.
#[test]
fn absurd_scores_are_refused_at_compilation() {
    let model = model(|_, weights| {
        let layer = &mut weights.layers[0];
        for part in [&mut layer.q, &mut layer.k] {
            part.weight.data.iter_mut().for_each(|weight| *weight *= 1e6);
        }
    });
    for tier in tiers() {
        let error = model.compiler().tier(tier).compile().map(drop).unwrap_err();
        let is_named = matches!(&error, Error::Kernel(KernelError::Parameter { parameter: "score scale", .. }));
        assert!(is_named, "{error}");
        assert!(error.to_string().contains("within 0 and 1e6"), "{error}");
    }
    assert!(model.pack().is_err());
}
