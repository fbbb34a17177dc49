//! Whole models with known answers.

use lacuna_model::{Activation, Block, EncoderConfig, EncoderWeights, Model, PoolingMode, Preset, seeded_ids};

use super::*;
use crate::error::{Error, Result};
use crate::ops::Pool;

fn config() -> EncoderConfig {
    let shape = Preset::BertMini.config();
    EncoderConfig { vocab_size: 200, layers: 2, hidden_size: 32, heads: 4, intermediate_size: 64, ..shape }
}

fn ids() -> Vec<Vec<u32>> {
    (0..60).flat_map(|i| seeded_ids(200, 1, 5 + i % 30, i as u64)).collect()
}

fn dense() -> EncoderWeights {
    Model::seeded(config(), 11).unwrap().weights().clone()
}

fn run(options: &OneShotOptions) -> Result<Pruned> {
    one_shot(&config(), &dense(), &ids(), options, &mut |_| {})
}

fn linears(weights: &EncoderWeights) -> impl Iterator<Item = &lacuna_model::Linear> {
    weights.layers.iter().flat_map(|layer| layer.linears())
}

fn zero_share(kept: &[f32]) -> f64 {
    kept.iter().filter(|kept| **kept == 0.0).count() as f64 / kept.len() as f64
}

#[test]
fn sparsity_zero_changes_nothing() {
    let pruned = run(&OneShotOptions::new(Block::B4x1, 0.0)).unwrap();
    for (a, b) in linears(&pruned.weights).zip(linears(&dense())) {
        let pairs = a.weight.data.iter().zip(&b.weight.data).chain(a.bias.iter().zip(&b.bias));
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-4));
    }
    assert!(pruned.layers.iter().all(|layer| layer.hidden_error < 1e-8));
}

#[test]
fn every_block_shape_gives_its_zeros_and_beats_magnitude() {
    for block in Block::ALL.into_iter().filter(|block| *block != Block::Dense) {
        let mut steps = 0;
        let options = OneShotOptions::new(block, 0.6);
        let pruned = one_shot(&config(), &dense(), &ids(), &options, &mut |_| steps += 1).unwrap();
        assert_eq!((steps, pruned.matrices.len(), pruned.layers.len()), (14, 12, 2));
        let masks = pruned.masks.iter().flatten();
        for ((linear, mask), report) in linears(&pruned.weights).zip(masks).zip(&pruned.matrices) {
            let kept = mask.weights();
            assert!(linear.weight.data.iter().zip(&kept).all(|(w, kept)| (*w == 0.0) == (*kept == 0.0)), "{block}");
            assert!((mask.lock().unwrap().sparsity() - zero_share(&kept)).abs() < 1e-12);
            assert!((report.sparsity - 0.6).abs() <= 1.0 / mask.kept().len() as f64, "{block}");
            assert!(report.relative_error > 0.0 && report.relative_error < 1.0);
        }
        let magnitude = Model::seeded(config(), 11).unwrap().prune(block, 0.6).unwrap();
        let states = |weights: &EncoderWeights| {
            lacuna_model::reference::Reference::new(&config(), weights).forward(&ids()).unwrap()
        };
        let expected = states(&dense());
        let ours = forward::distance(&states(&pruned.weights), &expected);
        let theirs = forward::distance(&states(magnitude.weights()), &expected);
        assert!((ours - pruned.layers[1].hidden_error).abs() < 1e-4, "{block}: the streams end where the model does");
        assert!(ours < 0.8 * theirs, "{block}: {ours} {theirs}");
    }
}

#[test]
fn zeros_are_spread_by_what_they_cost() {
    let pool = Pool::new(PoolingMode::Mean, true).unwrap();
    let mut options = OneShotOptions::new(Block::B4x1, 0.7);
    options.sensitivity = Some(Sensitivity::measure(&config(), &dense(), pool, &ids(), 3).unwrap());
    let first = run(&options).unwrap();
    options.sparsity = first.spread(0.7, Bounds::default(), true).unwrap();
    let second = run(&options).unwrap();
    let count = |zero: bool| second.masks.iter().flatten().flat_map(Mask::kept).filter(|kept| **kept != zero).count();
    let sparsity = count(true) as f64 / (count(true) + count(false)) as f64;
    assert!((sparsity - 0.7).abs() < 0.01, "{sparsity}");
    assert!(second.matrices.iter().any(|matrix| (matrix.sparsity - 0.7).abs() > 0.03));
}

#[test]
fn threads_do_not_change_a_bit() {
    let of = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mean = Pool::new(PoolingMode::Mean, true).unwrap();
            let mut options = OneShotOptions::new(Block::B4x1, 0.75);
            options.sensitivity = Some(Sensitivity::measure(&config(), &dense(), mean, &ids(), 3).unwrap());
            let Pruned { weights, masks, losses, .. } = run(&options).unwrap();
            (options.sensitivity, weights, masks, losses)
        })
    };
    assert!(of(1) == of(2));
}

#[test]
fn what_cannot_be_done_is_refused() {
    let prune = |result: Result<Pruned>| match result.err() {
        Some(Error::Prune(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(prune(run(&OneShotOptions::new(Block::Dense, 0.5))), PruneError::NoBlocks { .. }));
    assert!(matches!(prune(run(&OneShotOptions::new(Block::B4x1, -0.1))), PruneError::Sparsity { .. }));
    let mut options = OneShotOptions::new(Block::B4x1, 0.5);
    options.sparsity = Sparsity::PerMatrix(vec![[0.5; 6]]);
    assert!(matches!(prune(run(&options)), PruneError::Shape { found: 1, expected: 2, .. }));
    let first = run(&OneShotOptions::new(Block::B4x1, 0.5)).unwrap();
    let beyond = first.spread(0.99, Bounds::default(), false);
    assert!(matches!(beyond, Err(PruneError::Unreachable { matrix, .. }) if matrix == "model"));

    let mut weights = dense();
    weights.layers[1].up.weight.data[7] = f32::NAN;
    let options = OneShotOptions::new(Block::B4x1, 0.5);
    let found = prune(one_shot(&config(), &weights, &ids(), &options, &mut |_| {}));
    assert!(matches!(found, PruneError::NonFinite { matrix, .. } if matrix == "1.up"));
    let foreign = one_shot(&config(), &dense(), &[vec![1, 5000]], &options, &mut |_| {});
    assert!(matches!(foreign, Err(Error::Model(_))));
    let mut fewer = dense();
    fewer.layers[0].q.weight.rows -= 1;
    let found = prune(one_shot(&config(), &fewer, &ids(), &options, &mut |_| {}));
    assert!(matches!(found, PruneError::Shape { .. }));
}

fn removed(structure: Structure) -> Result<Smaller> {
    let mut seen = 0;
    let found = remove(&config(), &dense(), &ids(), structure, &mut |_| seen += 1)?;
    assert_eq!((seen, found.layers.len()), (2, 2));
    Ok(found)
}

fn structure(heads: usize, neurons: usize, damping: f64) -> Structure {
    Structure { heads, neurons, damping, ..Structure::of(&config()) }
}

/// The error of the hidden states of a smaller model, as the f32 reference computes it.
fn error_of(found: &Smaller) -> f64 {
    let pooling = lacuna_model::Pooling::default();
    let model = Model::from_parts(found.config.clone(), found.weights.clone(), pooling, None).unwrap();
    let expected = Model::seeded(config(), 11).unwrap().reference().forward(&ids()).unwrap();
    forward::distance(&model.reference().forward(&ids()).unwrap(), &expected)
}

#[test]
fn all_heads_and_neurons_are_the_dense_model() {
    let found = removed(structure(4, 64, 1e-4)).unwrap();
    assert_eq!((&found.layers[1].heads[..], found.layers[0].neurons.len()), (&[0, 1, 2, 3][..], 64));
    assert!(found.layers.iter().all(|layer| layer.hidden_error < 1e-6), "{:?}", found.layers);
    assert_eq!(found.config, config());
}

#[test]
fn fewer_heads_and_neurons_are_smaller_matrices() {
    let found = removed(structure(2, 40, 0.01)).unwrap();
    let shapes = found.weights.layers[0].linears().map(|linear| (linear.outputs(), linear.inputs()));
    assert_eq!(shapes, [(16, 32), (16, 32), (16, 32), (32, 16), (40, 32), (32, 40)]);
    assert_eq!(found.config.linear_shapes(), shapes);
    assert_eq!((found.config.head_size(), found.config.attention_features()), (8, 16));
    assert!(found.layers.iter().all(|layer| layer.heads.len() == 2 && layer.heads.is_sorted()));
    let more = removed(structure(3, 56, 0.01)).unwrap();
    let error = |found: &Smaller| found.layers[1].hidden_error;
    assert!(error(&more) < error(&found) && error(&found) < 0.5);
    for found in [found, more] {
        assert!((error_of(&found) - error(&found)).abs() < 1e-4);
    }
    for (heads, neurons) in [(0, 64), (5, 64), (4, 0), (4, 65)] {
        let refused = removed(structure(heads, neurons, 0.01));
        assert!(matches!(refused, Err(Error::Prune(PruneError::Setting { .. }))));
    }
}

#[test]
fn another_activation_is_refitted() {
    let relu = Structure { activation: Activation::Relu, ..structure(4, 64, 0.01) };
    let found = removed(relu).unwrap();
    assert_eq!(found.config, EncoderConfig { activation: Activation::Relu, ..config() });
    let error = found.layers[1].hidden_error;
    assert!((error_of(&found) - error).abs() < 1e-4);
    // The same weights without refitting are worse.
    let swapped = error_of(&Smaller { weights: dense(), ..found });
    assert!(error < 0.7 * swapped, "{error} {swapped}");
}

/// Every matrix has its own shape and sparsity, one stays dense.
#[test]
fn a_sparse_model_is_pruned_again_and_its_zeros_stay() {
    let cut = |block, sparsity| Cut { block, sparsity };
    let six = [
        cut(Block::B4x1, 0.75),
        cut(Block::B8x1, 0.5),
        cut(Block::Unstructured, 0.9),
        cut(Block::B4x4, 0.75),
        cut(Block::B4x1, 0.0),
        cut(Block::B16x1, 0.75),
    ];
    let at = |share: f64| vec![six.map(|cut| Cut { sparsity: share * cut.sparsity, ..cut }); 2];
    let options = |share| OneShotOptions::new(Block::B4x1, 0.0).with_cuts(&at(share));
    let mut before = run(&options(0.6)).unwrap();
    for share in [0.8, 1.0] {
        let again = OneShotOptions { keep_zeros: true, ..options(share) };
        let after = one_shot(&config(), &before.weights, &ids(), &again, &mut |_| {}).unwrap();
        for (earlier, later) in before.masks.iter().flatten().zip(after.masks.iter().flatten()) {
            assert!(earlier.kept().iter().zip(later.kept()).all(|(earlier, later)| *earlier || !later));
        }
        for ((linear, mask), cut) in linears(&after.weights).zip(after.masks.iter().flatten()).zip(at(share).concat()) {
            assert!((mask.sparsity() - cut.sparsity).abs() <= 1.0 / mask.kept().len() as f64);
            assert!(linear.weight.data.iter().zip(mask.weights()).all(|(w, kept)| (*w == 0.0) == (kept == 0.0)));
        }
        before = after;
    }
}
