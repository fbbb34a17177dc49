//! Outputs that need the same inputs are put next to each other, so that blocks cost less.
//!
//! Three orders of a layer may change without changing what the model computes, in any file format and at no cost when it runs: that of
//! the feed-forward neurons, that of the features of queries and keys within a head, and that of the features of values within a head.
//! The residual stream keeps its order, so that hidden states and embeddings can be compared with those of the model before.

use lacuna_model::reference::activate;
use lacuna_model::{EncoderConfig, EncoderWeights, LayerWeights, Linear, Matrix, TokenIds, check_tokens};
use rayon::prelude::*;

use super::cut::Cut;
use super::error::PruneError;
use super::exchange::{Part, exchange};
use super::forward::{attend, batches, close, embed, linear, per_batch};
use super::grid::Grid;
use super::one_shot::check_weights;
use super::select::{columns_of, rows_of};
use crate::error::Result;

/// The same model with outputs of linear layers in other orders: more of what matters stays when the matrices are cut like this.
///
/// What matters is the importance of a weight, `w[m][k]^2 * var(x[k])`, with the variance of the input over the tokens of `calibration`; a
/// few thousand tokens are enough. Outputs are grouped with those that are most alike, then they change places as long as blocks with more
/// importance stay.
///
/// # Numerics
/// Weights move and do not change. Sums over moved features are taken in another order, so results differ in the last bits. The same order
/// on any number of threads.
///
/// # Errors
/// [`PruneError::NoBlocks`] for [`Block::Dense`](lacuna_model::Block::Dense); [`PruneError::NonFinite`]; [`PruneError::Shape`] for cuts of
/// another number of layers; errors of the token ids and shapes.
pub fn group_alike<S: TokenIds>(
    config: &EncoderConfig,
    weights: &EncoderWeights,
    calibration: &[S],
    cuts: &[[Cut; 6]],
) -> Result<EncoderWeights> {
    check_tokens(config, calibration)?;
    check_weights(config, weights)?;
    PruneError::fit("layers of cuts", cuts.len(), weights.layers.len())?;
    for cut in cuts.iter().flatten() {
        Grid::new(1, 1, cut.block)?;
    }
    let lengths: Vec<usize> = calibration.iter().map(|tokens| tokens.ids().len()).collect();
    let batches = batches(&lengths);
    let (count, eps) = (batches.len(), config.layer_norm_eps);
    let mut x = embed(config, weights, calibration, &batches)?;
    let mut layers = Vec::with_capacity(cuts.len());
    for (index, layer) in weights.layers.iter().enumerate() {
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
        layers.push((layer.clone(), spreads));
    }
    layers.par_iter_mut().zip(cuts).enumerate().for_each(|(index, ((layer, spreads), cuts))| {
        order(layer, spreads, config.head_size(), cuts, index as u64);
    });
    let layers = layers.into_iter().map(|(layer, _)| layer).collect();
    Ok(EncoderWeights { layers, ..weights.clone() })
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
fn order(layer: &mut LayerWeights, spreads: &Spreads, head_size: usize, cuts: &[Cut; 6], seed: u64) {
    let [q, k, v, o, up, down] = *cuts;
    let parts = [rows(&layer.up, &spreads.middle, up), columns(&layer.down, &spreads.inner, down)];
    let neurons = ordered(parts, layer.up.outputs(), layer.up.outputs(), seed);
    layer.up = rows_of(&layer.up, &neurons);
    layer.down.weight = columns_of(&layer.down.weight, &neurons);

    let parts = [rows(&layer.q, &spreads.x, q), rows(&layer.k, &spreads.x, k)];
    let query = ordered(parts, layer.q.outputs(), head_size, seed);
    (layer.q, layer.k) = (rows_of(&layer.q, &query), rows_of(&layer.k, &query));
    let parts = [rows(&layer.v, &spreads.x, v), columns(&layer.o, &spreads.attended, o)];
    let value = ordered(parts, layer.v.outputs(), head_size, seed);
    layer.v = rows_of(&layer.v, &value);
    layer.o.weight = columns_of(&layer.o.weight, &value);
}

/// What a matrix says about the order of its rows, if rows share blocks.
fn rows(linear: &Linear, spread: &[f64], Cut { block, sparsity }: Cut) -> Option<Part> {
    let importance = || row_importance(linear, spread, block.inputs());
    (block.outputs() > 1).then(|| Part { importance: importance(), group: block.outputs(), sparsity })
}

/// What a matrix says about the order of its columns, if columns share blocks.
fn columns(linear: &Linear, spread: &[f64], Cut { block, sparsity }: Cut) -> Option<Part> {
    let importance = || column_importance(linear, spread, block.outputs());
    (block.inputs() > 1).then(|| Part { importance: importance(), group: block.inputs(), sparsity })
}

/// The order of `count` members that suits all parts, each within its segment.
fn ordered(parts: [Option<Part>; 2], count: usize, segment: usize, seed: u64) -> Vec<usize> {
    let parts: Vec<Part> = parts.into_iter().flatten().collect();
    let group = parts.iter().map(|part| part.group).max().unwrap_or(1);
    let features = joined(&parts, count);
    let segments = (0..count).step_by(segment.max(1));
    let mut order: Vec<usize> =
        segments.flat_map(|first| cluster(&features, first..count.min(first + segment), group)).collect();
    exchange(&parts, &mut order, segment.max(1), seed);
    order
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

/// Importance of blocks of `wide` inputs, `[outputs][blocks]`.
fn row_importance(linear: &Linear, spread: &[f64], wide: usize) -> Matrix {
    let (rows, cols) = (linear.outputs(), linear.inputs().div_ceil(wide));
    let mut out = Matrix::zeros(rows, cols);
    for m in 0..rows {
        let weights = linear.weight.row(m).iter().zip(spread).enumerate();
        let row = out.row_mut(m);
        weights.for_each(|(k, (w, spread))| row[k / wide] += w * w * *spread as f32);
    }
    out
}

/// Importance of blocks of `tall` outputs, `[inputs][blocks]`.
fn column_importance(linear: &Linear, spread: &[f64], tall: usize) -> Matrix {
    let (rows, cols) = (linear.inputs(), linear.outputs().div_ceil(tall));
    let mut out = Matrix::zeros(rows, cols);
    for m in 0..linear.outputs() {
        for (k, (w, spread)) in linear.weight.row(m).iter().zip(spread).enumerate() {
            out.row_mut(k)[m / tall] += w * w * *spread as f32;
        }
    }
    out
}

/// Roots of importance side by side, those of each part of norm 1 as a whole.
fn joined(parts: &[Part], rows: usize) -> Matrix {
    let all = |part: &Part| part.importance.data.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    let scales: Vec<f32> = parts.iter().map(|part| 1.0 / all(part)).collect();
    let mut out = Matrix { rows, cols: parts.iter().map(|part| part.importance.cols).sum(), data: vec![] };
    for row in 0..rows {
        for (part, scale) in parts.iter().zip(&scales) {
            out.data.extend(part.importance.row(row).iter().map(|x| (x * scale).sqrt()));
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
    use lacuna_model::{Block, Model, Preset, seeded_ids};

    fn config() -> EncoderConfig {
        let shape = Preset::BertMini.config();
        EncoderConfig { vocab_size: 200, layers: 2, hidden_size: 32, heads: 2, intermediate_size: 48, ..shape }
    }

    fn cuts(block: Block) -> Vec<[Cut; 6]> {
        vec![[Cut { block, sparsity: 0.75 }; 6]; 2]
    }

    #[test]
    fn another_order_computes_the_same() {
        let model = Model::seeded(config(), 13).unwrap();
        let ids = seeded_ids(200, 10, 12, 4);
        let expected = model.reference().forward(&ids).unwrap();
        for block in [Block::B4x1, Block::B1x4, Block::B4x4, Block::B16x1] {
            let found = group_alike(&config(), model.weights(), &ids, &cuts(block)).unwrap();
            assert_ne!(found.layers[0].up, model.weights().layers[0].up, "{block}");
            let states = lacuna_model::reference::Reference::new(&config(), &found).forward(&ids).unwrap();
            let pairs = states.iter().flat_map(|x| &x.data).zip(expected.iter().flat_map(|x| &x.data));
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-4), "{block}");
        }
        assert!(group_alike(&config(), model.weights(), &ids, &cuts(Block::Dense)).is_err());
        assert!(group_alike(&config(), model.weights(), &ids, &cuts(Block::B4x1)[..1]).is_err());
    }

    #[test]
    fn rows_that_need_the_same_inputs_meet() {
        // 48 neurons of 4 kinds, in turn: kind c reads inputs 8 c to 8 c + 7.
        let mut model = Model::seeded(config(), 17).unwrap().weights().clone();
        let up = &mut model.layers[0].up.weight;
        for row in 0..48 {
            let kind = row % 4;
            up.row_mut(row).iter_mut().enumerate().for_each(|(k, w)| *w = if k / 8 == kind { 1.0 } else { 0.01 });
        }
        let found = group_alike(&config(), &model, &seeded_ids(200, 10, 12, 4), &cuts(Block::B4x1)).unwrap();
        let up = &found.layers[0].up.weight;
        for group in 0..12 {
            let kinds: Vec<usize> =
                (0..4).map(|i| up.row(4 * group + i).iter().position(|w| *w == 1.0).unwrap_or(99) / 8).collect();
            assert!(kinds.iter().all(|kind| *kind == kinds[0]), "{kinds:?}");
        }
    }
}
