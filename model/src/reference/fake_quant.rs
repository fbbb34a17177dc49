//! Simulation of the quantised model in f32: the same forward pass with every tensor rounded to the
//! values that its codes stand for.

use half::bf16;
use lacuna_pattern::ActivationBits;

use super::observe::{Observer, Site, Tap};
use crate::codes::LinearCodes;
use crate::matrix::Matrix;
use crate::precision::{LayerPrecision, Precision};
use crate::quantize::{ActivationQuant, LayerQuant, QuantizedLinear, round_code};
use crate::weights::Linear;

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
/// Over rounded weights, as [`CalibratedModel::simulate`](crate::CalibratedModel::simulate) makes them, it lets the
/// [`Reference`](super::Reference) predict the output of the quantised model up to the f32 rounding of sums.
pub struct FakeQuant<'a> {
    quant: &'a [LayerQuant],
    projection: Option<&'a ActivationQuant>,
    /// Per layer; static where there is none.
    precision: &'a [LayerPrecision],
    head_size: usize,
    taps: TapSet,
}

impl<'a> FakeQuant<'a> {
    /// A simulation of the rounding of some tensors.
    pub fn new(quant: &'a [LayerQuant], head_size: usize, taps: TapSet) -> Self {
        Self { quant, projection: None, precision: &[], head_size, taps }
    }

    /// The same, that rounds the input of the embeddings' projection too.
    #[must_use]
    pub fn with_projection(self, projection: Option<&'a ActivationQuant>) -> Self {
        Self { projection, ..self }
    }

    /// The same with other precisions than static, one entry per layer.
    #[must_use]
    pub fn with_precision(self, precision: &'a [LayerPrecision]) -> Self {
        Self { precision, ..self }
    }
}

impl Observer for FakeQuant<'_> {
    fn tensor(&self, site: Site, values: &mut [f32], features: usize) {
        let quant = &self.quant[site.layer];
        let precision = self.precision.get(site.layer).copied().unwrap_or_default();
        match site.tap {
            Tap::AttentionInput => round_tensor(values, features, &quant.attn_in, precision.attn_in),
            Tap::AttentionOutput => affine(values, features, &quant.attn_out),
            Tap::FeedForwardInput => round_tensor(values, features, &quant.ffn_in, precision.ffn_in),
            Tap::GeluOutput => round_tensor(values, features, &quant.gelu_out, precision.gelu_out),
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
                    *p = round_code(*p * PROBABILITY_CODES, 0.0, PROBABILITY_CODES) / PROBABILITY_CODES;
                }
            }
        }
    }

    fn wants(&self, tap: Tap) -> bool {
        self.taps.contains(tap)
    }
}

/// Rounds `[rows][features]` values as the readers of a tensor see them.
///
/// Static: `scale[k] (code - zero_point)`. Dynamic, with `r[k] = scale[k]`: `s[n] = max_k |x[n][k] / r[k]| / 127` (63 with seven bits), then
/// `r[k] s[n] round(x[n][k] / (r[k] s[n]))`. bf16: to the nearest bf16, ties to even. f32: as they are.
pub(crate) fn round_tensor(values: &mut [f32], features: usize, quant: &ActivationQuant, precision: Precision) {
    match precision {
        Precision::Static => affine(values, features, quant),
        Precision::Dynamic => {
            values.chunks_exact_mut(features).for_each(|row| per_token(row, &quant.scale, quant.bits))
        }
        Precision::Bf16 => values.iter_mut().for_each(|x| *x = bf16::from_f32(*x).to_f32()),
        Precision::F32 => {}
    }
}

/// The weights of a linear layer as it has them in a precision, in f32; the bias takes the mean error of s8 weights.
///
/// The relative scales of dynamic inputs are folded into s8 weights as static scales are; codes of a file are taken as they are.
pub(crate) fn reader_weights(
    linear: &Linear,
    codes: Option<&LinearCodes>,
    input: &ActivationQuant,
    precision: Precision,
) -> Linear {
    let Linear { weight: Matrix { rows, cols, data }, bias } = linear;
    match precision {
        Precision::Static | Precision::Dynamic => QuantizedLinear::with_codes(linear, input, codes).dequantize(input),
        Precision::Bf16 => {
            let data = data.iter().map(|&w| bf16::from_f32(w).to_f32()).collect();
            Linear { weight: Matrix { rows: *rows, cols: *cols, data }, bias: bias.clone() }
        }
        Precision::F32 => linear.clone(),
    }
}

/// Codes about 128, with seven bits about 64, and a scale of the row's own; a row of zeros stays one.
fn per_token(row: &mut [f32], relative: &[f32], bits: ActivationBits) {
    let codes = f32::from(bits.largest() / 2);
    let largest = row.iter().zip(relative).fold(0.0f32, |max, (x, r)| max.max((x / r).abs()));
    let scale = largest / codes;
    if scale == 0.0 {
        return row.fill(0.0);
    }
    for (x, r) in row.iter_mut().zip(relative) {
        let step = r * scale;
        *x = round_code(*x / step, -codes - 1.0, codes) * step;
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
            *x = round_code(*x / scale(k), low, high) * scale(k);
        }
    }
}
