//! The f32 reference against a forward pass written out in f64, one number at a time.

use lacuna_model::reference::Reference;
use lacuna_model::{
    EncoderConfig, EncoderWeights, Error, LayerNorm, LayerWeights, Linear, Pooling, PoolingMode, Preset, seeded_ids,
    seeded_weights,
};

/// Relative error that f32 rounding may reach: two layers with features of magnitude ten enlarge
/// that of a single operation some hundred times.
const TOLERANCE: f64 = 1e-4;

type Rows = Vec<Vec<f64>>;

fn config(hidden_size: usize, heads: usize) -> EncoderConfig {
    EncoderConfig {
        hidden_size,
        heads,
        layers: 2,
        intermediate_size: 3 * hidden_size + 1,
        vocab_size: 30,
        max_position: 40,
        ..Preset::BertMini.config()
    }
}

fn linear(x: &Rows, layer: &Linear) -> Rows {
    let output = |x: &[f64], m: usize| {
        let dot: f64 = x.iter().zip(layer.weight.row(m)).map(|(x, w)| x * f64::from(*w)).sum();
        dot + f64::from(layer.bias[m])
    };
    x.iter().map(|x| (0..layer.outputs()).map(|m| output(x, m)).collect()).collect()
}

fn layer_norm(x: &Rows, norm: &LayerNorm, eps: f64) -> Rows {
    let row = |x: &Vec<f64>| {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let affine = norm.gamma.iter().zip(&norm.beta);
        x.iter()
            .zip(affine)
            .map(|(v, (g, b))| (v - mean) / (variance + eps).sqrt() * f64::from(*g) + f64::from(*b))
            .collect()
    };
    x.iter().map(row).collect()
}

fn add(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

fn attention(q: &Rows, k: &Rows, v: &Rows, heads: usize) -> Rows {
    let (tokens, hidden) = (q.len(), q[0].len());
    let size = hidden / heads;
    let mut out = vec![vec![0.0; hidden]; tokens];
    for h in 0..heads {
        let part = h * size..(h + 1) * size;
        for i in 0..tokens {
            let score = |j: usize| {
                let dot: f64 = part.clone().map(|d| q[i][d] * k[j][d]).sum();
                (dot / (size as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = (0..tokens).map(score).collect();
            let sum: f64 = weights.iter().sum();
            for d in part.clone() {
                out[i][d] = (0..tokens).map(|j| weights[j] / sum * v[j][d]).sum();
            }
        }
    }
    out
}

fn layer(x: Rows, weights: &LayerWeights, config: &EncoderConfig) -> Rows {
    let eps = f64::from(config.layer_norm_eps);
    let attended = attention(&linear(&x, &weights.q), &linear(&x, &weights.k), &linear(&x, &weights.v), config.heads);
    let x = layer_norm(&add(&x, &linear(&attended, &weights.o)), &weights.attention_norm, eps);
    let mut inner = linear(&x, &weights.up);
    for v in inner.iter_mut().flatten() {
        *v = 0.5 * *v * (1.0 + libm::erf(*v / 2f64.sqrt()));
    }
    layer_norm(&add(&x, &linear(&inner, &weights.down)), &weights.output_norm, eps)
}

fn forward(weights: &EncoderWeights, config: &EncoderConfig, ids: &[u32]) -> Rows {
    let tables = &weights.embeddings;
    let token = |(position, id): (usize, &u32)| {
        let sum = |k: usize| {
            f64::from(tables.word.row(*id as usize)[k])
                + f64::from(tables.position.row(position)[k])
                + f64::from(tables.token_type.row(0)[k])
        };
        (0..config.hidden_size).map(sum).collect()
    };
    let x = ids.iter().enumerate().map(token).collect();
    let x = layer_norm(&x, &tables.norm, f64::from(config.layer_norm_eps));
    weights.layers.iter().fold(x, |x, weights| layer(x, weights, config))
}

#[test]
fn hidden_states_agree_with_f64() {
    // The last two have other heads of the same size: fewer, and more.
    for (hidden, heads, kept) in [(8, 2, 2), (12, 3, 3), (26, 2, 2), (64, 1, 1), (10, 5, 5), (24, 6, 4), (12, 3, 4)] {
        let config = config(hidden, heads).with_heads(kept);
        let weights = seeded_weights(&config, 11);
        let ids: Vec<Vec<u32>> = [1usize, 2, 3, 7, 16, 17, 40]
            .iter()
            .map(|&length| seeded_ids(config.vocab_size, 1, length, length as u64).remove(0))
            .collect();
        let states = Reference::new(&config, &weights).forward(&ids).unwrap();
        assert_eq!(states.len(), ids.len());
        for (states, ids) in states.iter().zip(&ids) {
            let expected = forward(&weights, &config, ids);
            assert_eq!((states.rows, states.cols), (ids.len(), hidden));
            for (found, expected) in states.data.iter().zip(expected.iter().flatten()) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < TOLERANCE * (1.0 + expected.abs()), "{found} is not {expected}");
            }
        }
    }
}

#[test]
fn a_sentence_does_not_depend_on_its_batch() {
    let config = config(16, 2);
    let weights = seeded_weights(&config, 12);
    let reference = Reference::new(&config, &weights);
    let ids: Vec<Vec<u32>> = (0..60).map(|i| seeded_ids(30, 1, 1 + i % 40, i as u64).remove(0)).collect();
    let together = reference.forward(&ids).unwrap();
    for (ids, together) in ids.iter().zip(&together) {
        let alone = reference.forward(&[ids]).unwrap().remove(0);
        for (a, b) in alone.data.iter().zip(&together.data) {
            assert!(f64::from((a - b).abs()) < TOLERANCE * f64::from(1.0 + b.abs()), "{a} is not {b}");
        }
    }
}

#[test]
fn bad_batches_are_errors() {
    let config = config(8, 2);
    let weights = seeded_weights(&config, 13);
    let reference = Reference::new(&config, &weights);
    assert!(matches!(reference.forward::<Vec<u32>>(&[]), Err(Error::EmptyBatch)));
    assert!(matches!(reference.forward(&[vec![1], vec![]]), Err(Error::EmptySequence { sequence: 1 })));
    assert!(matches!(
        reference.forward(&[vec![1; 41]]),
        Err(Error::SequenceTooLong { sequence: 0, found: 41, limit: 40 })
    ));
    assert!(matches!(
        reference.forward(&[vec![1, 2, 30]]),
        Err(Error::TokenOutOfRange { sequence: 0, position: 2, found: 30, vocab_size: 30 })
    ));
}

#[test]
fn pooling_modes() {
    let states = lacuna_model::Matrix { rows: 2, cols: 2, data: vec![3.0, -4.0, 1.0, 8.0] };
    let pool = |mode, normalize| {
        let pooling = Pooling::new(mode, normalize);
        pooling.pool(&states)
    };
    assert_eq!(pool(PoolingMode::Mean, false), [2.0, 2.0]);
    assert_eq!(pool(PoolingMode::Cls, false), [3.0, -4.0]);
    assert_eq!(pool(PoolingMode::Max, false), [3.0, 8.0]);
    assert_eq!(pool(PoolingMode::Cls, true), [0.6, -0.8]);
}
