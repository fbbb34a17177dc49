//! Seeded models of every architecture and activation through the compiled encoder: tiers, forms, batches, the simulation.

use lacuna::config::{Activation, Architecture, EncoderConfig};
use lacuna::tokens::seeded_ids;
use lacuna::weights::Matrix;
use lacuna::{Block, CalibratedModel, Compile, Encoder, Form, Model};
use lacuna_jit::Tier;
use lacuna_model::reference::{Tap, TapSet};

use super::checkpoint::tiny;
use super::{cosine, tiers};

const VOCAB: usize = 60;

fn model(config: EncoderConfig, sparsity: f64) -> CalibratedModel {
    let config = EncoderConfig { vocab_size: VOCAB, max_position: 200, ..config };
    let model = Model::seeded(config, 6).unwrap().prune(Block::B4x1, sparsity).unwrap();
    model.calibration().run_ids(&batch(&[40; 12], 1)).unwrap()
}

fn batch(lengths: &[usize], seed: u64) -> Vec<Vec<u32>> {
    lengths.iter().enumerate().map(|(i, &n)| seeded_ids(VOCAB, 1, n, seed * 100 + i as u64).remove(0)).collect()
}

fn compile(model: &CalibratedModel, tier: Tier, form: Form) -> Encoder {
    model.compiler().tier(tier).form(form).compile().unwrap()
}

/// On every tier and in every form the same bits, and those close to the f32 reference's numbers.
fn check(config: EncoderConfig, sparsity: f64) {
    let what = format!("{} {} {:?}, {sparsity}", config.architecture, config.activation, config.embedding_size);
    let model = model(config, sparsity);
    let ids = batch(&[30, 7, 64, 130, 20], 2);
    let float = model.model().reference().forward(&ids).unwrap();
    let reference = compile(&model, Tier::Portable, Form::Dense).hidden_states(&ids).unwrap();
    for (found, expected) in reference.iter().zip(&float) {
        let cosine = cosine(found, expected);
        assert!(cosine > 0.99, "{what}: cosine {cosine}");
    }
    for tier in tiers() {
        for form in [Form::Auto, Form::Dense, Form::Sparse] {
            let found = compile(&model, tier, form).hidden_states(&ids).unwrap();
            assert_eq!(found, reference, "{what}: {tier}, {form:?}");
        }
    }
}

#[test]
fn every_architecture_and_activation_gives_the_same_bits_everywhere() {
    for architecture in Architecture::ALL {
        for activation in Activation::ALL {
            let sizes = EncoderConfig { hidden_size: 64, heads: 2, intermediate_size: 100, ..tiny(architecture) };
            check(EncoderConfig { activation, ..sizes }, 0.8);
        }
    }
}

/// Attention narrower and wider than the residual stream, with heads that are padded and heads that are not.
#[test]
fn other_numbers_of_heads_of_the_same_size() {
    for (hidden, heads, kept) in [(64, 4, 3), (64, 4, 1), (52, 2, 1), (30, 10, 7), (32, 2, 3)] {
        for architecture in [Architecture::Bert, Architecture::DistilBert, Architecture::Electra] {
            let sizes = EncoderConfig { hidden_size: hidden, heads, intermediate_size: 70, ..tiny(architecture) };
            check(sizes.with_heads(kept), 0.8);
        }
    }
}

/// Embeddings narrower and wider than the layers, of sizes that are no multiples of anything, and heads of 26.
#[test]
fn projections_of_every_size() {
    for (embedding, hidden, heads) in [(21, 52, 2), (128, 32, 1), (1, 64, 2), (65, 30, 3), (52, 52, 2)] {
        let sizes = EncoderConfig { hidden_size: hidden, heads, intermediate_size: 70, ..tiny(Architecture::Electra) };
        check(EncoderConfig { embedding_size: Some(embedding), ..sizes }, 0.0);
    }
}

/// With a projection a sequence gets the same bits alone and in any batch, on one thread and on several.
#[test]
fn projections_do_not_see_batches_or_threads() {
    let sizes = EncoderConfig { hidden_size: 64, heads: 2, intermediate_size: 100, ..tiny(Architecture::Electra) };
    let encoder = compile(&model(sizes, 0.5), Tier::detect(), Form::Auto);
    let ids = batch(&[5, 64, 1, 100, 31, 200, 2, 63, 66, 128, 17, 40, 150, 9], 3);
    let alone: Vec<Vec<f32>> = ids.iter().map(|ids| encoder.embed_ids(&[ids]).unwrap().remove(0)).collect();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| encoder.embed_ids(&ids)).unwrap() == alone, "{threads} threads");
    }
}

/// The simulation in f32 rounds the input of the projection, where there is one, and stays close with everything rounded.
#[test]
fn the_simulation_knows_the_projection() {
    for architecture in Architecture::ALL {
        let sizes = EncoderConfig { hidden_size: 64, heads: 2, intermediate_size: 100, ..tiny(architecture) };
        let model = model(sizes, 0.0);
        let is_projected = architecture == Architecture::Electra;
        let ids = batch(&[30, 20, 64], 4);
        let reference = model.model().reference().embed(&ids, model.model().pooling()).unwrap();
        let unrounded = model.simulate(&ids, TapSet::NONE, false).unwrap();
        assert_eq!(unrounded, reference, "{architecture}");
        let rounded = model.simulate(&ids, TapSet::only(Tap::ProjectionInput), false).unwrap();
        assert_eq!(rounded != reference, is_projected, "{architecture}");
        for vectors in [rounded, model.simulate(&ids, TapSet::ALL, true).unwrap()] {
            for (found, expected) in vectors.iter().zip(&reference) {
                let matrix = |data: &Vec<f32>| Matrix { rows: 1, cols: data.len(), data: data.clone() };
                assert!(cosine(&matrix(found), &matrix(expected)) > 0.999, "{architecture}");
            }
        }
        assert_eq!(model.projection_quant().is_some(), is_projected);
        assert_eq!(model.quantize_projection().is_some(), is_projected);
    }
}

#[test]
fn reports_name_the_architecture_and_the_projection() {
    for architecture in Architecture::ALL {
        let encoder = compile(&model(tiny(architecture), 0.0), Tier::detect(), Form::Auto);
        let report = encoder.report();
        assert_eq!((report.architecture, report.activation), (architecture.name(), "gelu"));
        assert_eq!((report.layers, report.hidden_size, report.heads, report.linears.len()), (2, 12, 3, 12));
        let projection = report.projection.as_ref().map(|linear| (linear.name, linear.m, linear.k));
        assert_eq!(projection, (architecture == Architecture::Electra).then_some(("projection", 12, 8)));
        let text = report.to_string();
        assert!(text.contains(&format!("{architecture}, 2 layers, 12 features, 3 heads, gelu\n")), "{text}");
        assert_eq!(text.contains("\n  projection "), architecture == Architecture::Electra, "{text}");
    }
}
