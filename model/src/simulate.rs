//! The quantised model in f32.

use std::sync::Arc;

use rayon::prelude::*;

use crate::codes::{FileCodes, LayerCodes};
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::pooling::Pooling;
use crate::precision::{LayerPrecision, Precision};
use crate::quantize::{ActivationQuant, LayerQuant};
use crate::reference::{FakeQuant, Reference, TapSet, reader_weights};
use crate::tokens::TokenIds;
use crate::weights::{EncoderWeights, LayerWeights};

/// A model, and how it is quantised.
pub(crate) struct Simulation<'a> {
    pub(crate) config: &'a EncoderConfig,
    pub(crate) weights: &'a EncoderWeights,
    pub(crate) pooling: &'a Pooling,
    /// Per layer.
    pub(crate) quant: &'a [LayerQuant],
    /// Of the input of the embeddings' projection.
    pub(crate) projection: Option<&'a ActivationQuant>,
    /// Per layer.
    pub(crate) precision: &'a [LayerPrecision],
    /// What the file says.
    pub(crate) codes: Option<&'a FileCodes>,
}

impl Simulation<'_> {
    /// Embeddings with some tensors rounded, and weights too if `weights` is set; groups of sequences for the threads there are.
    pub(crate) fn embed<S: TokenIds>(&self, ids: &[S], taps: TapSet, weights: bool) -> Result<Vec<Vec<f32>>> {
        self.embed_in_groups(ids, taps, weights, rayon::current_num_threads())
    }

    /// The same with a given number of groups; see [`Reference::forward_in_groups`].
    pub(crate) fn embed_in_groups<S: TokenIds>(
        &self,
        ids: &[S],
        taps: TapSet,
        weights: bool,
        groups: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let fake = weights.then(|| self.fake_weights());
        let reference = Reference::new(self.config, fake.as_ref().unwrap_or(self.weights));
        let observer = FakeQuant::new(self.quant, self.config.head_size(), taps)
            .with_projection(self.projection)
            .with_precision(self.precision);
        let states = reference.forward_in_groups(ids, groups, &observer)?;
        Ok(states.iter().map(|states| self.pooling.pool(states)).collect())
    }

    /// The f32 weights that the rounded linear layers stand for, with their biases.
    fn fake_weights(&self) -> EncoderWeights {
        let codes = |i: usize| self.codes.and_then(|codes| codes.layers.get(i));
        let layers = self.weights.layers.par_iter().zip(self.quant).zip(self.precision).enumerate();
        let layers = layers.map(|(i, ((layer, quant), precision))| fake_layer(layer, quant, *precision, codes(i)));
        let mut embeddings = self.weights.embeddings.clone();
        if let Some((projection, input)) = embeddings.projection.as_ref().zip(self.projection) {
            let codes = self.codes.and_then(|codes| codes.projection.as_ref());
            let rounded = reader_weights(projection, codes, input, Precision::Static);
            Arc::make_mut(&mut embeddings).projection = Some(rounded);
        }
        EncoderWeights { embeddings, layers: layers.collect(), pooler: self.weights.pooler.clone() }
    }
}

fn fake_layer(
    layer: &LayerWeights,
    quant: &LayerQuant,
    precision: LayerPrecision,
    codes: Option<&LayerCodes>,
) -> LayerWeights {
    let [q, k, v, o, up, down] = std::array::from_fn(|i| codes.and_then(|codes| codes.linears[i].as_ref()));
    LayerWeights {
        q: reader_weights(&layer.q, q, &quant.attn_in, precision.attn_in),
        k: reader_weights(&layer.k, k, &quant.attn_in, precision.attn_in),
        v: reader_weights(&layer.v, v, &quant.attn_in, precision.attn_in),
        o: reader_weights(&layer.o, o, &quant.attn_out, Precision::Static),
        up: reader_weights(&layer.up, up, &quant.ffn_in, precision.ffn_in),
        down: reader_weights(&layer.down, down, &quant.gelu_out, precision.gelu_out),
        attention_norm: layer.attention_norm.clone(),
        output_norm: layer.output_norm.clone(),
    }
}
