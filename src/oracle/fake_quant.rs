//! Simulation of the int8 model in f32: the same forward pass with every tensor rounded to the
//! values that its codes stand for.

use super::{Observer, Site, Tap};
use crate::quantize::{ActivationQuant, LayerQuant, QuantizedLayer};
use crate::weights::{EncoderWeights, LayerWeights};

/// Largest code of an attention weight.
const PROBABILITY_CODES: f32 = 255.0;

/// Which tensors a simulation rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapSet(u32);

impl TapSet {
    /// All of them.
    pub const ALL: TapSet = TapSet((1 << Tap::ALL.len()) - 1);
    /// None of them.
    pub const NONE: TapSet = TapSet(0);

    /// One tap alone.
    pub fn only(tap: Tap) -> Self {
        Self(1 << tap as u32)
    }

    /// This set and one more tap.
    #[must_use]
    pub fn with(self, tap: Tap) -> Self {
        Self(self.0 | 1 << tap as u32)
    }

    /// Whether a tap is in the set.
    pub fn contains(self, tap: Tap) -> bool {
        self.0 & (1 << tap as u32) != 0
    }
}

/// An observer that rounds tensors as the int8 model does.
///
/// Together with [`FakeQuant::weights`] it makes the [`Oracle`](super::Oracle) predict the output of
/// the int8 model up to the f32 rounding of sums.
pub struct FakeQuant<'a> {
    quant: &'a [LayerQuant],
    projection: Option<&'a ActivationQuant>,
    head_size: usize,
    taps: TapSet,
}

impl<'a> FakeQuant<'a> {
    /// A simulation of the rounding of some tensors.
    pub fn new(quant: &'a [LayerQuant], head_size: usize, taps: TapSet) -> Self {
        Self { quant, projection: None, head_size, taps }
    }

    /// The same, that rounds the input of the embeddings' projection too.
    #[must_use]
    pub fn with_projection(self, projection: Option<&'a ActivationQuant>) -> Self {
        Self { projection, ..self }
    }

    /// The f32 weights that the quantised linear layers stand for, with their biases. The projection of the embeddings stays as it
    /// is.
    pub fn weights(weights: &EncoderWeights, quant: &[LayerQuant], layers: &[QuantizedLayer]) -> EncoderWeights {
        let mut fake = weights.clone();
        for ((layer, quant), quantized) in fake.layers.iter_mut().zip(quant).zip(layers) {
            *layer = LayerWeights {
                q: quantized.q.dequantize(&quant.attn_in),
                k: quantized.k.dequantize(&quant.attn_in),
                v: quantized.v.dequantize(&quant.attn_in),
                o: quantized.o.dequantize(&quant.attn_out),
                up: quantized.up.dequantize(&quant.ffn_in),
                down: quantized.down.dequantize(&quant.gelu_out),
                attention_norm: layer.attention_norm.clone(),
                output_norm: layer.output_norm.clone(),
            };
        }
        fake
    }
}

impl Observer for FakeQuant<'_> {
    fn tensor(&self, site: Site, values: &mut [f32], features: usize) {
        let quant = &self.quant[site.layer];
        match site.tap {
            Tap::AttentionInput => affine(values, features, &quant.attn_in),
            Tap::AttentionOutput => affine(values, features, &quant.attn_out),
            Tap::FeedForwardInput => affine(values, features, &quant.ffn_in),
            Tap::GeluOutput => affine(values, features, &quant.gelu_out),
            Tap::ProjectionInput => {
                if let Some(projection) = self.projection {
                    affine(values, features, projection);
                }
            }
            Tap::Query => {
                let zero = f32::from(quant.q_zero_point);
                let scale = |k: usize| quant.q_scale[k / self.head_size];
                symmetric(values, features, scale, -zero, 255.0 - zero);
            }
            Tap::Key => {
                let scale = |k: usize| quant.k_scale[k / self.head_size];
                symmetric(values, features, scale, -128.0, 127.0);
            }
            Tap::Value => {
                symmetric(values, features, |k| quant.v_scale[k], -128.0, 127.0);
            }
            Tap::Probabilities => {
                for p in values {
                    *p = (*p * PROBABILITY_CODES).round_ties_even() / PROBABILITY_CODES;
                }
            }
        }
    }

    fn wants(&self, tap: Tap) -> bool {
        self.taps.contains(tap)
    }
}

fn affine(values: &mut [f32], features: usize, quant: &ActivationQuant) {
    for row in values.chunks_exact_mut(features) {
        for (k, x) in row.iter_mut().enumerate() {
            *x = quant.dequantize(k, quant.quantize(k, *x));
        }
    }
}

fn symmetric(values: &mut [f32], features: usize, scale: impl Fn(usize) -> f32, low: f32, high: f32) {
    for row in values.chunks_exact_mut(features) {
        for (k, x) in row.iter_mut().enumerate() {
            *x = (*x / scale(k)).round_ties_even().clamp(low, high) * scale(k);
        }
    }
}
