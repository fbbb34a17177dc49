//! The gradient of each operation against central differences of an obvious f64 version of it.

use lacuna_model::{EncoderConfig, LayerNorm, Linear, Matrix, PoolingMode, Preset};
use lacuna_train::ops::{AttentionSaved, NormSaved, Pool, attention, attention_backward, norm, norm_backward};
use lacuna_train::product::{Product, outer, sum_tokens};
use lacuna_train::{Batch, Tiles};

fn matrix(rows: usize, cols: usize, seed: f64) -> Matrix {
    Matrix { rows, cols, data: (0..rows * cols).map(|i| (i as f64 * 0.83 + seed).sin() as f32).collect() }
}

fn wide(m: &Matrix) -> Vec<f64> {
    m.data.iter().map(|&x| f64::from(x)).collect()
}

fn weighted(y: &[f64], r: &Matrix) -> f64 {
    y.iter().zip(&r.data).map(|(y, &r)| y * f64::from(r)).sum()
}

/// Compares `found`, the gradient of `f` at `x`, with differences.
fn check(name: &str, found: &[f32], x: &[f64], f: impl Fn(&[f64]) -> f64) {
    assert_eq!(found.len(), x.len());
    let mut at = x.to_vec();
    for i in 0..x.len() {
        let mut value = |d: f64| {
            at[i] = x[i] + d;
            let value = f(&at);
            at[i] = x[i];
            value
        };
        let expected = (value(1e-5) - value(-1e-5)) / 2e-5;
        assert!(
            (f64::from(found[i]) - expected).abs() < 2e-4 * expected.abs().max(1.0),
            "{name} {i}: {} {expected}",
            found[i]
        );
    }
}

#[test]
fn normalisation() {
    let (tokens, features) = (66, 7);
    let (x, r) = (matrix(tokens, features, 0.1), matrix(tokens, features, 0.7));
    let weights = LayerNorm { gamma: matrix(1, features, 1.0).data, beta: matrix(1, features, 2.0).data };
    let exact = |x: &[f64], gamma: &[f64], beta: &[f64]| {
        let rows = x.chunks_exact(features).flat_map(|x| {
            let mean = x.iter().sum::<f64>() / features as f64;
            let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / features as f64;
            (0..features).map(|k| gamma[k] * (x[k] - mean) / (var + 1e-5).sqrt() + beta[k]).collect::<Vec<f64>>()
        });
        weighted(&rows.collect::<Vec<f64>>(), &r)
    };
    let (mut y, mut saved) = (Tiles::default(), NormSaved::default());
    norm(&weights, 1e-5, &Tiles::from_rows(&x), None, &mut y, &mut saved).unwrap();
    let mut dx = Tiles::from_rows(&r);
    let mut gradient = LayerNorm { gamma: vec![0.0; features], beta: vec![0.0; features] };
    norm_backward(&weights, &saved, &mut dx, &mut gradient).unwrap();
    let of = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let (gamma, beta) = (of(&weights.gamma), of(&weights.beta));
    check("x", &dx.to_rows().data, &wide(&x), |x| exact(x, &gamma, &beta));
    check("gamma", &gradient.gamma, &gamma, |gamma| exact(&wide(&x), gamma, &beta));
    check("beta", &gradient.beta, &beta, |beta| exact(&wide(&x), &gamma, beta));
}

fn batch(lengths: &[usize]) -> Batch {
    let sequences: Vec<Vec<u32>> = lengths.iter().map(|&n| vec![1; n]).collect();
    Batch::new(&EncoderConfig { ..Preset::BertMini.config() }, &sequences).unwrap()
}

#[test]
fn attention_of_several_sequences() {
    let batch = batch(&[3, 1, 17, 5]);
    let (heads, hidden, tokens) = (2, 6, batch.tokens());
    let inputs = [0.1, 0.9, 1.7].map(|seed| matrix(tokens, hidden, seed));
    let r = matrix(tokens, hidden, 2.9);
    let exact = |q: &[f64], k: &[f64], v: &[f64]| {
        let mut out = vec![0.0; tokens * hidden];
        let size = hidden / heads;
        for (range, head) in batch.ranges().iter().flat_map(|range| (0..heads).map(move |head| (range, head))) {
            let at = |token: usize, d: usize| token * hidden + head * size + d;
            for i in range.clone() {
                let dot = |j: usize| (0..size).map(|d| q[at(i, d)] * k[at(j, d)]).sum::<f64>() / (size as f64).sqrt();
                let weights: Vec<f64> = range.clone().map(|j| dot(j).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for (j, w) in range.clone().zip(&weights) {
                    (0..size).for_each(|d| out[at(i, d)] += w / sum * v[at(j, d)]);
                }
            }
        }
        weighted(&out, &r)
    };
    let tiles = inputs.each_ref().map(Tiles::from_rows);
    let (mut out, mut saved) = (Tiles::default(), AttentionSaved::default());
    let parts = [&tiles[0], &tiles[1], &tiles[2]];
    attention(heads, &batch, parts, false, &mut out, &mut saved).unwrap();
    let [mut dq, mut dk, mut dv] = [Tiles::default(), Tiles::default(), Tiles::default()];
    let dout = Tiles::from_rows(&r);
    attention_backward(heads, &batch, parts, &saved, &dout, [&mut dq, &mut dk, &mut dv]).unwrap();
    let [q, k, v] = inputs.each_ref().map(wide);
    assert!((weighted(&wide(&out.to_rows()), &r) - exact(&q, &k, &v)).abs() < 1e-4);
    check("q", &dq.to_rows().data, &q, |q| exact(q, &k, &v));
    check("k", &dk.to_rows().data, &k, |k| exact(&q, k, &v));
    check("v", &dv.to_rows().data, &v, |v| exact(&q, &k, v));
    assert!(attention(4, &batch, parts, false, &mut out, &mut saved).is_err());
}

#[test]
fn pooling() {
    let batch = batch(&[3, 63, 2]);
    let x = matrix(batch.tokens(), 5, 0.3);
    let r = matrix(batch.sequences(), 5, 0.8);
    for (mode, normalise) in [(PoolingMode::Mean, true), (PoolingMode::Mean, false), (PoolingMode::Cls, true)] {
        let exact = |x: &[f64]| {
            let rows = batch.ranges().iter().flat_map(|range| {
                let tokens = if mode == PoolingMode::Cls { 1 } else { range.len() };
                let mean = |k: usize| (0..tokens).map(|t| x[(range.start + t) * 5 + k]).sum::<f64>() / tokens as f64;
                let p: Vec<f64> = (0..5).map(mean).collect();
                let norm = if normalise { p.iter().map(|p| p * p).sum::<f64>().sqrt() } else { 1.0 };
                p.into_iter().map(move |p| p / norm).collect::<Vec<f64>>()
            });
            weighted(&rows.collect::<Vec<f64>>(), &r)
        };
        let pool = Pool::new(mode, normalise).unwrap();
        let pooled = pool.forward(&batch, &Tiles::from_rows(&x)).unwrap();
        let mut dx = Tiles::zeros(5, batch.tokens());
        pool.backward(&batch, &pooled, &r, &mut dx).unwrap();
        check(mode.name(), &dx.to_rows().data, &wide(&x), exact);
    }
    assert!(Pool::new(PoolingMode::Max, true).is_err());
}

#[test]
fn linear_products() {
    let (m, k, tokens) = (5, 9, 66);
    let (x, r) = (matrix(tokens, k, 0.2), matrix(tokens, m, 0.6));
    let linear = Linear { weight: matrix(m, k, 1.1), bias: matrix(1, m, 0.4).data };
    let bias: Vec<f64> = linear.bias.iter().map(|&b| f64::from(b)).collect();
    let exact = |x: &[f64], w: &[f64], b: &[f64]| {
        let row =
            |x: &[f64]| (0..m).map(|i| b[i] + (0..k).map(|j| w[i * k + j] * x[j]).sum::<f64>()).collect::<Vec<f64>>();
        weighted(&x.chunks_exact(k).flat_map(row).collect::<Vec<f64>>(), &r)
    };
    let product = Product::new(&linear, None, true).unwrap();
    let (x_tiles, dy, mut y, mut dx) = (Tiles::from_rows(&x), Tiles::from_rows(&r), Tiles::default(), Tiles::default());
    product.forward(&x_tiles, &mut y).unwrap();
    let w = wide(&linear.weight);
    assert!((weighted(&wide(&y.to_rows()), &r) - exact(&wide(&x), &w, &bias)).abs() < 1e-3);
    product.backward(&dy, &mut dx, false).unwrap();
    let (mut dw, mut db) = (vec![0.0; m * k], vec![0.0; m]);
    outer(&dy, &x_tiles, &mut dw).unwrap();
    sum_tokens(&dy, &mut db).unwrap();
    check("x", &dx.to_rows().data, &wide(&x), |x| exact(x, &w, &bias));
    check("w", &dw, &w, |w| exact(&wide(&x), w, &bias));
    check("b", &db, &bias, |b| exact(&wide(&x), &w, b));
    assert!(Product::new(&linear, None, false).unwrap().backward(&dy, &mut dx, false).is_err());
}
