//! How much the result of a model depends on what its linear layers compute.

use lacuna_model::{EncoderConfig, EncoderWeights, LayerNorm, LayerWeights, Matrix, TokenIds};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::error::PruneError;
use super::forward::{batches, embed};
use crate::batch::Batch;
use crate::error::Result;
use crate::ops::{
    AttentionSaved, NormSaved, Pool, activate, activate_backward, attention, attention_backward, norm, norm_backward,
};
use crate::product::Product;
use crate::tiles::Tiles;

/// Mean squared derivatives of a model's embeddings with respect to the outputs of its linear layers.
///
/// ```text
/// rows[layer][linear][m] = mean over tokens, sum over k of (d e[k] / d y[m])^2
/// ```
///
/// So an error of mean square d^2 in output m changes the embedding by about `rows[m] * d^2` per token, if errors are independent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensitivity {
    /// `[layer][q, k, v, o, up, down][M]`
    pub rows: Vec<[Vec<f64>; 6]>,
    /// What an error at each token costs, relative to the mean: `[layer][input of q, k and v; of o; of up; of down][token]`. The tokens are
    /// those of the sequences that were measured. Empty if tokens cost the same.
    pub tokens: Vec<[Vec<f32>; 4]>,
}

impl Sensitivity {
    /// Measures a model on sequences of token ids.
    ///
    /// # Numerics
    /// Derivatives are estimated with one random direction of the embedding per sequence: `E[(d (u . e) / d y)^2]` over random signs u is
    /// the sum over k. Equal seeds give equal bits, on any number of threads.
    ///
    /// # Errors
    /// Errors of the token ids, and of the kernels.
    pub fn measure<S: TokenIds>(
        config: &EncoderConfig,
        weights: &EncoderWeights,
        pool: Pool,
        sequences: &[S],
        seed: u64,
    ) -> Result<Self> {
        lacuna_model::check_tokens(config, sequences)?;
        let mut model = Derivatives::new(config, weights)?;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids().len()).collect();
        for run in batches(&lengths) {
            let tokens: Vec<Typed> = sequences[run.sequences.clone()].iter().map(Typed::of).collect();
            let batch = Batch::new(config, &tokens)?;
            let embedded = embed(config, weights, sequences, std::slice::from_ref(&run))?;
            let x = embedded.first().map(Tiles::from_rows).unwrap_or_default();
            let x = model.forward(&batch, x)?;
            let pooled = pool.forward(&batch, &x)?;
            let mut signs = Matrix::zeros(pooled.embeddings.rows, pooled.embeddings.cols);
            signs.data.iter_mut().for_each(|sign| *sign = if random.next_u32() & 1 == 0 { -1.0 } else { 1.0 });
            let mut dx = Tiles::zeros(x.features(), x.columns());
            pool.backward(&batch, &pooled, &signs, &mut dx)?;
            model.backward(&batch, dx)?;
        }
        let tokens: usize = lengths.iter().sum();
        let mut rows = model.rows;
        let mut places = model.tokens;
        places.iter_mut().flatten().for_each(|values| normalise(values));
        rows.iter_mut().flatten().flatten().for_each(|sum| *sum /= tokens.max(1) as f64);
        Ok(Self { rows, tokens: places })
    }

    /// Refuses a sensitivity of another model, or tokens' costs of other sequences.
    pub(super) fn check(&self, layers: usize, tokens: usize) -> Result<(), PruneError> {
        let check = PruneError::fit;
        check("layers of sensitivities", self.rows.len(), layers)?;
        if !self.tokens.is_empty() {
            check("layers of tokens' sensitivities", self.tokens.len(), layers)?;
        }
        self.tokens.iter().flatten().try_for_each(|costs| check("tokens of sensitivities", costs.len(), tokens))
    }

    /// Pulls the costs of tokens towards 1: 0 makes them equal, 1 leaves them as measured.
    #[must_use]
    pub fn with_token_share(mut self, share: f32) -> Self {
        let all = self.tokens.iter_mut().flatten().flatten();
        all.for_each(|x| *x = 1.0 + share * (*x - 1.0));
        self
    }
}

/// One sequence by reference.
struct Typed<'a> {
    ids: &'a [u32],
    types: Option<&'a [u32]>,
}

impl<'a> Typed<'a> {
    fn of<S: TokenIds>(sequence: &'a S) -> Self {
        Self { ids: sequence.ids(), types: sequence.types() }
    }
}

impl TokenIds for Typed<'_> {
    fn ids(&self) -> &[u32] {
        self.ids
    }

    fn types(&self) -> Option<&[u32]> {
        self.types
    }
}

/// A model that keeps what derivatives of activations need, but no gradients of weights.
struct Derivatives<'a> {
    config: &'a EncoderConfig,
    layers: &'a [LayerWeights],
    products: Vec<[Product; 6]>,
    kept: Vec<Kept>,
    /// Sums of squares over tokens.
    rows: Vec<[Vec<f64>; 6]>,
    /// Sums of squares over rows, of the tokens so far.
    tokens: Vec<[Vec<f32>; 4]>,
}

#[derive(Default)]
struct Kept {
    q: Tiles,
    k: Tiles,
    v: Tiles,
    attention: AttentionSaved,
    attention_norm: NormSaved,
    slope: Tiles,
    output_norm: NormSaved,
}

impl<'a> Derivatives<'a> {
    fn new(config: &'a EncoderConfig, weights: &'a EncoderWeights) -> Result<Self> {
        let mut products = Vec::with_capacity(weights.layers.len());
        for LayerWeights { q, k, v, o, up, down, .. } in &weights.layers {
            let make = |linear| Product::new(linear, None, true);
            products.push([make(q)?, make(k)?, make(v)?, make(o)?, make(up)?, make(down)?]);
        }
        let rows = products.iter().map(|six| six.each_ref().map(|product| vec![0.0; product.outputs()])).collect();
        let kept = weights.layers.iter().map(|_| Kept::default()).collect();
        let tokens = weights.layers.iter().map(|_| Default::default()).collect();
        Ok(Self { config, tokens, layers: &weights.layers, products, kept, rows })
    }

    /// From the input of the first layer to the last hidden states.
    fn forward(&mut self, batch: &Batch, mut x: Tiles) -> Result<Tiles> {
        let (heads, eps) = (self.config.heads, self.config.layer_norm_eps);
        let (mut inner, mut projected, mut y) = (Tiles::default(), Tiles::default(), Tiles::default());
        for ((layer, products), kept) in self.layers.iter().zip(&self.products).zip(&mut self.kept) {
            let [q, k, v, o, up, down] = products;
            q.forward(&x, &mut kept.q)?;
            k.forward(&x, &mut kept.k)?;
            v.forward(&x, &mut kept.v)?;
            attention(heads, batch, [&kept.q, &kept.k, &kept.v], false, &mut inner, &mut kept.attention)?;
            o.forward(&inner, &mut projected)?;
            norm(&layer.attention_norm, eps, &x, Some(&projected), &mut y, &mut kept.attention_norm)?;
            up.forward(&y, &mut inner)?;
            activate(self.config.activation, &mut inner, Some(&mut kept.slope));
            down.forward(&inner, &mut projected)?;
            norm(&layer.output_norm, eps, &y, Some(&projected), &mut x, &mut kept.output_norm)?;
        }
        Ok(x)
    }

    /// Adds the squares of derivatives, from that of the last hidden states.
    fn backward(&mut self, batch: &Batch, mut dx: Tiles) -> Result<()> {
        let [mut dinner, mut dattended] = [Tiles::default(), Tiles::default()];
        let [mut dq, mut dk, mut dv] = [Tiles::default(), Tiles::default(), Tiles::default()];
        let layers = self.layers.iter().zip(&self.products).zip(&self.kept).zip(&mut self.rows).zip(&mut self.tokens);
        for ((((layer, products), kept), rows), tokens) in layers.rev() {
            let mut unused = LayerNorm { gamma: vec![0.0; dx.features()], beta: vec![0.0; dx.features()] };
            let [q, k, v, o, up, down] = products;
            norm_backward(&layer.output_norm, &kept.output_norm, &mut dx, &mut unused)?;
            add_squares(&dx, &mut rows[5], &mut tokens[3], false);
            down.backward(&dx, &mut dinner, false)?;
            activate_backward(&mut dinner, &kept.slope);
            add_squares(&dinner, &mut rows[4], &mut tokens[2], false);
            up.backward(&dinner, &mut dx, true)?;
            norm_backward(&layer.attention_norm, &kept.attention_norm, &mut dx, &mut unused)?;
            add_squares(&dx, &mut rows[3], &mut tokens[1], false);
            o.backward(&dx, &mut dattended, false)?;
            let qkv = [&kept.q, &kept.k, &kept.v];
            let heads = self.config.heads;
            attention_backward(heads, batch, qkv, &kept.attention, &dattended, [&mut dq, &mut dk, &mut dv])?;
            for (i, (product, dy)) in [(q, &dq), (k, &dk), (v, &dv)].into_iter().enumerate() {
                add_squares(dy, &mut rows[i], &mut tokens[0], i > 0);
                product.backward(dy, &mut dx, true)?;
            }
        }
        Ok(())
    }
}

/// `rows[m] += sum over tokens dy[m]^2`; padding columns are zero. Sums over rows are appended to `tokens`, or added to the last ones.
fn add_squares(dy: &Tiles, rows: &mut [f64], tokens: &mut Vec<f32>, add: bool) {
    let (size, wide) = (dy.tile_elements(), lacuna_kernels::TILE);
    let first = if add { tokens.len() - dy.columns() } else { tokens.len() };
    tokens.resize(first + dy.columns(), 0.0);
    for (tile, tokens) in dy.data().chunks_exact(size.max(1)).zip(tokens[first..].chunks_mut(wide)) {
        for (row, sum) in tile.chunks_exact(wide).zip(&mut *rows) {
            *sum += f64::from(row.iter().map(|x| x * x).sum::<f32>());
            tokens.iter_mut().zip(row).for_each(|(token, x)| *token += x * x);
        }
    }
}

/// No token costs more than this many times the mean: one direction per sequence is a rough estimate.
const MOST: f32 = 10.0;

/// Divides by the mean.
fn normalise(tokens: &mut [f32]) {
    let mean = tokens.iter().map(|x| f64::from(*x)).sum::<f64>() / tokens.len().max(1) as f64;
    if mean > 0.0 {
        tokens.iter_mut().for_each(|x| *x = ((f64::from(*x) / mean) as f32).min(MOST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lacuna_model::{Model, PoolingMode, Preset, seeded_ids};

    #[test]
    fn squares_are_those_of_differences() {
        let config = EncoderConfig { vocab_size: 60, layers: 2, intermediate_size: 128, ..Preset::BertMini.config() };
        let model = Model::seeded(config.clone(), 5).unwrap();
        let pool = Pool::new(PoolingMode::Mean, true).unwrap();
        let ids: Vec<Vec<u32>> = seeded_ids(60, 1, 6, 9);
        // A bias moves an output of all tokens. With one token, that is the derivative itself.
        let one = [ids[0][..1].to_vec()];
        let alone: Vec<&Vec<u32>> = std::iter::repeat_n(&one[0], 400).collect();
        let single = Sensitivity::measure(&config, model.weights(), pool, &alone, 1).unwrap();
        for (kind, m) in [(2, 7), (3, 0), (4, 100), (5, 255)] {
            let moved = |by: f32| {
                let mut weights = model.weights().clone();
                let layer = &mut weights.layers[1];
                let linear = [&mut layer.q, &mut layer.k, &mut layer.v, &mut layer.o, &mut layer.up, &mut layer.down];
                linear.into_iter().nth(kind).unwrap().bias[m] += by;
                let reference = lacuna_model::reference::Reference::new(&config, &weights);
                let mean = reference.forward(&one).unwrap()[0].row(0).to_vec();
                let norm = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
                mean.iter().map(|x| x / norm).collect::<Vec<f32>>()
            };
            let (a, b, step) = (moved(0.05), moved(-0.05), 0.1);
            let expected: f64 = a.iter().zip(&b).map(|(a, b)| f64::from((a - b) / step).powi(2)).sum();
            let value = single.rows[1][kind][m];
            assert!((value - expected).abs() < 0.25 * expected + 1e-9, "{kind} {m}: {value} {expected}");
        }
    }
}
