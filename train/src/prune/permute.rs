//! Outputs that need the same inputs are put next to each other, so that blocks cost less.
//!
//! Three orders of a layer may change without changing what the model computes, in any file format and at no cost when it runs: that of
//! the feed-forward neurons, that of the features of queries and keys within a head, and that of the features of values within a head.

use lacuna_model::reference::activate;
use lacuna_model::{Block, EncoderConfig, EncoderWeights, LayerWeights, Linear, Matrix, TokenIds, check_tokens};

use super::error::PruneError;
use super::forward::{attend, batches, close, embed, linear, per_batch};
use super::one_shot::check_weights;
use super::select::{columns_of, rows_of};
use crate::error::Result;

/// The same model with outputs of linear layers in other orders: groups of alike outputs share the blocks of a shape.
///
/// Outputs are alike when the same blocks of their weights matter. The importance of a weight is `w[m][k]^2 * var(x[k])`, with the variance
/// of the input over the tokens of `calibration`; a few thousand tokens are enough.
///
/// # Numerics
/// Weights move and do not change. Sums over moved features are taken in another order, so results differ in the last bits. The same order
/// on any number of threads.
///
/// # Errors
/// [`PruneError::NoBlocks`] for [`Block::Dense`]; [`PruneError::NonFinite`]; errors of the token ids and shapes.
pub fn group_alike<S: TokenIds>(
    config: &EncoderConfig,
    weights: &EncoderWeights,
    calibration: &[S],
    block: Block,
) -> Result<EncoderWeights> {
    check_tokens(config, calibration)?;
    check_weights(config, weights)?;
    if block == Block::Dense {
        return Err(PruneError::NoBlocks { block }.into());
    }
    let lengths: Vec<usize> = calibration.iter().map(|tokens| tokens.ids().len()).collect();
    let batches = batches(&lengths);
    let (count, eps) = (batches.len(), config.layer_norm_eps);
    let mut x = embed(config, weights, calibration, &batches)?;
    let mut out = weights.clone();
    for (index, layer) in out.layers.iter_mut().enumerate() {
        let attended =
            per_batch(count, |i| attend(config.heads, &x[i], [&layer.q, &layer.k, &layer.v], &batches[i].tokens));
        let middle = per_batch(count, |i| close(&x[i], &attended[i], &layer.o, &layer.attention_norm, eps));
        let inner = per_batch(count, |i| {
            let mut inner = linear(&middle[i], &layer.up);
            activate(config.activation, &mut inner.data);
            inner
        });
        let spreads =
            Spreads { x: spread(&x), attended: spread(&attended), middle: spread(&middle), inner: spread(&inner) };
        if !spreads.all().all(|x| x.is_finite()) {
            return Err(PruneError::NonFinite { matrix: format!("{index}"), what: "inputs" }.into());
        }
        x = per_batch(count, |i| close(&middle[i], &inner[i], &layer.down, &layer.output_norm, eps));
        order(layer, &spreads, config.head_size(), block);
    }
    Ok(out)
}

/// Variances of the inputs of a layer's linear layers.
struct Spreads {
    x: Vec<f64>,
    attended: Vec<f64>,
    middle: Vec<f64>,
    inner: Vec<f64>,
}

impl Spreads {
    fn all(&self) -> impl Iterator<Item = &f64> {
        self.x.iter().chain(&self.attended).chain(&self.middle).chain(&self.inner)
    }
}

/// Moves the outputs of one layer.
fn order(layer: &mut LayerWeights, spreads: &Spreads, head_size: usize, block: Block) {
    let (outputs, inputs) = (block.outputs(), block.inputs());
    let group = outputs.max(inputs);
    // What must be alike: the blocks of a row where rows share blocks, and those of a column where columns do.
    let rows = |linear: &Linear, spread: &[f64]| (outputs > 1).then(|| row_features(linear, spread, inputs));
    let columns = |linear: &Linear, spread: &[f64]| (inputs > 1).then(|| column_features(linear, spread, outputs));

    let features = [rows(&layer.up, &spreads.middle), columns(&layer.down, &spreads.inner)];
    let neurons = cluster(&joined(features, layer.up.outputs()), 0..layer.up.outputs(), group);
    layer.up = rows_of(&layer.up, &neurons);
    layer.down.weight = columns_of(&layer.down.weight, &neurons);

    let within_heads = |features: &Matrix| -> Vec<usize> {
        let heads = (0..features.rows).step_by(head_size);
        heads.flat_map(|first| cluster(features, first..first + head_size, group)).collect()
    };
    let hidden = layer.q.outputs();
    let features = [rows(&layer.q, &spreads.x), rows(&layer.k, &spreads.x)];
    let query = within_heads(&joined(features, hidden));
    (layer.q, layer.k) = (rows_of(&layer.q, &query), rows_of(&layer.k, &query));
    let features = [rows(&layer.v, &spreads.x), columns(&layer.o, &spreads.attended)];
    let value = within_heads(&joined(features, hidden));
    layer.v = rows_of(&layer.v, &value);
    layer.o.weight = columns_of(&layer.o.weight, &value);
}

/// Variance of every feature over all tokens.
fn spread(x: &[Matrix]) -> Vec<f64> {
    let features = x.first().map_or(0, |x| x.cols);
    let (mut sums, mut squares, mut tokens) = (vec![0.0f64; features], vec![0.0f64; features], 0usize);
    for x in x {
        for row in x.data.chunks_exact(features.max(1)) {
            for ((sum, square), x) in sums.iter_mut().zip(&mut squares).zip(row) {
                let x = f64::from(*x);
                *sum += x;
                *square += x * x;
            }
        }
        tokens += x.rows;
    }
    let tokens = tokens.max(1) as f64;
    sums.iter().zip(squares).map(|(sum, square)| (square / tokens - (sum / tokens).powi(2)).max(0.0)).collect()
}

/// Root of the importance of blocks of `wide` inputs, `[outputs][blocks]`.
fn row_features(linear: &Linear, spread: &[f64], wide: usize) -> Matrix {
    let (rows, cols) = (linear.outputs(), linear.inputs().div_ceil(wide));
    let mut out = Matrix::zeros(rows, cols);
    for m in 0..rows {
        let weights = linear.weight.row(m).iter().zip(spread).enumerate();
        let row = out.row_mut(m);
        weights.for_each(|(k, (w, spread))| row[k / wide] += w * w * *spread as f32);
    }
    out.data.iter_mut().for_each(|x| *x = x.sqrt());
    out
}

/// Root of the importance of blocks of `tall` outputs, `[inputs][blocks]`.
fn column_features(linear: &Linear, spread: &[f64], tall: usize) -> Matrix {
    let (rows, cols) = (linear.inputs(), linear.outputs().div_ceil(tall));
    let mut out = Matrix::zeros(rows, cols);
    for m in 0..linear.outputs() {
        for (k, (w, spread)) in linear.weight.row(m).iter().zip(spread).enumerate() {
            out.row_mut(k)[m / tall] += w * w * *spread as f32;
        }
    }
    out.data.iter_mut().for_each(|x| *x = x.sqrt());
    out
}

/// Features side by side, each of norm 1 as a whole.
fn joined(features: [Option<Matrix>; 2], rows: usize) -> Matrix {
    let parts: Vec<Matrix> = features.into_iter().flatten().collect();
    let norms: Vec<f32> = parts.iter().map(|part| dot(&part.data, &part.data).sqrt().max(f32::MIN_POSITIVE)).collect();
    let mut out = Matrix { rows, cols: parts.iter().map(|part| part.cols).sum(), data: vec![] };
    for row in 0..rows {
        for (part, norm) in parts.iter().zip(&norms) {
            out.data.extend(part.row(row).iter().map(|x| x / norm));
        }
    }
    out
}

/// Puts rows in groups, strongest first: each takes the `group - 1` rows that are left with the largest `f . g / |g|`.
fn cluster(features: &Matrix, rows: std::ops::Range<usize>, group: usize) -> Vec<usize> {
    if group < 2 || features.cols == 0 {
        return rows.collect();
    }
    let norm = |row: usize| dot(features.row(row), features.row(row)).sqrt().max(f32::MIN_POSITIVE);
    let mut left: Vec<(usize, f32)> = rows.map(|row| (row, norm(row))).collect();
    left.sort_by(|a, b| {
        let sum = |row: usize| features.row(row).iter().sum::<f32>();
        sum(b.0).total_cmp(&sum(a.0)).then(a.0.cmp(&b.0))
    });
    let mut out = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let (first, _) = left.remove(0);
        out.push(first);
        let count = (group - 1).min(left.len());
        let score = |(row, norm): &(usize, f32)| dot(features.row(first), features.row(*row)) / norm;
        let mut scores: Vec<(f32, usize)> = left.iter().enumerate().map(|(place, row)| (score(row), place)).collect();
        scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut taken: Vec<usize> = scores[..count].iter().map(|(_, place)| *place).collect();
        out.extend(taken.iter().map(|place| left[*place].0));
        taken.sort_unstable();
        taken.iter().rev().for_each(|place| {
            left.remove(*place);
        });
    }
    out
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((xs, x_rest), (ys, y_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut partial = [0.0f32; 8];
    for (x, y) in xs.iter().zip(ys) {
        partial.iter_mut().zip(x.iter().zip(y)).for_each(|(p, (x, y))| *p += x * y);
    }
    partial.iter().sum::<f32>() + x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lacuna_model::{Model, Preset, seeded_ids};

    fn config() -> EncoderConfig {
        let shape = Preset::BertMini.config();
        EncoderConfig { vocab_size: 200, layers: 2, hidden_size: 32, heads: 2, intermediate_size: 48, ..shape }
    }

    #[test]
    fn another_order_computes_the_same() {
        let model = Model::seeded(config(), 13).unwrap();
        let ids = seeded_ids(200, 10, 12, 4);
        let expected = model.reference().forward(&ids).unwrap();
        for block in [Block::B4x1, Block::B1x4, Block::B4x4, Block::B16x1] {
            let found = group_alike(&config(), model.weights(), &ids, block).unwrap();
            assert_ne!(found.layers[0].up, model.weights().layers[0].up, "{block}");
            let states = lacuna_model::reference::Reference::new(&config(), &found).forward(&ids).unwrap();
            let pairs = states.iter().flat_map(|x| &x.data).zip(expected.iter().flat_map(|x| &x.data));
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-4), "{block}");
        }
        assert!(group_alike(&config(), model.weights(), &ids, Block::Dense).is_err());
    }

    #[test]
    fn rows_that_need_the_same_inputs_meet() {
        // 16 neurons of 4 kinds, in turn: kind c reads inputs 8 c to 8 c + 7.
        let mut model = Model::seeded(config(), 17).unwrap().weights().clone();
        let up = &mut model.layers[0].up.weight;
        for row in 0..48 {
            let kind = row % 4;
            up.row_mut(row).iter_mut().enumerate().for_each(|(k, w)| *w = if k / 8 == kind { 1.0 } else { 0.01 });
        }
        let found = group_alike(&config(), &model, &seeded_ids(200, 10, 12, 4), Block::B4x1).unwrap();
        let up = &found.layers[0].up.weight;
        for group in 0..12 {
            let kinds: Vec<usize> =
                (0..4).map(|i| up.row(4 * group + i).iter().position(|w| *w == 1.0).unwrap_or(99) / 8).collect();
            assert!(kinds.iter().all(|kind| *kind == kinds[0]), "{kinds:?}");
        }
    }
}
