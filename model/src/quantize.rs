//! Quantised layers: s8 weights, u8 activations, and the f32 factors between them.
//!
//! All granularities here are free when the model runs. A linear layer computes exact integer sums
//! `acc[m] = sum_k wq[m][k] * xq[k]` and one multiply-add per output,
//!
//! ```text
//! y[m] = weight_scale[m] * (acc[m] - zero_point * sum_k wq[m][k]) + bias[m]
//! ```
//!
//! so whatever depends on the input feature (activation scales) is folded into the weights before
//! they are rounded, and whatever depends on the output feature alone goes into the two factors.

use lacuna_pattern::ActivationBits;

use crate::codes::{LayerCodes, LinearCodes, TensorQuant};
use crate::config::EncoderConfig;
use crate::error::CalibrationError;
use crate::matrix::Matrix;
use crate::weights::{LayerWeights, Linear};

/// Largest magnitude of a weight that is quantised here; codes of files may be -128.
pub(crate) const WEIGHT_MAX: f32 = 127.0;

/// `clamp(round(x), low, high)` to nearest even, for whole numbers `low` and `high` below 2^22 in magnitude. A number that is none
/// stays so.
///
/// Adding 1.5 * 2^23 leaves no bits for a fraction; unlike [`f32::round_ties_even`] that is no call on CPUs of 2003.
#[inline]
pub(crate) fn round_code(x: f32, low: f32, high: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (x.clamp(low, high) + MAGIC) - MAGIC
}

/// How a tensor of activations becomes u8: `x[k] ~ scale[k] * (xq[k] - zero_point)`.
///
/// `xq[k] = clamp(round(x[k] / scale[k]) + zero_point, 0, 255)`, rounded to nearest even; with seven bits the largest code is 127.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationQuant {
    /// Scale per feature, positive.
    pub scale: Vec<f32>,
    /// The code of zero.
    pub zero_point: u8,
    /// Bits of the codes.
    pub bits: ActivationBits,
    /// Mean of every feature over the calibration sentences. The kernels do not use it: it lets
    /// [`CalibratedModel::quantize_layer`](crate::CalibratedModel::quantize_layer) put the mean
    /// error of rounded weights into the bias.
    pub mean: Vec<f32>,
}

impl ActivationQuant {
    /// The same scale and zero point for every feature.
    pub(crate) fn spread(tensor: TensorQuant, features: usize) -> ActivationQuant {
        let TensorQuant { scale, zero_point } = tensor;
        let bits = ActivationBits::Eight;
        ActivationQuant { scale: vec![scale; features], zero_point, bits, mean: vec![0.0; features] }
    }

    /// Quantises the value of one feature.
    pub fn quantize(&self, feature: usize, x: f32) -> u8 {
        let (zero, largest) = (f32::from(self.zero_point), f32::from(self.bits.largest()));
        (round_code(x / self.scale[feature], -zero, largest - zero) + zero) as u8
    }

    /// The value of a code.
    pub fn dequantize(&self, feature: usize, code: u8) -> f32 {
        self.scale[feature] * (f32::from(code) - f32::from(self.zero_point))
    }
}

/// The quantisation of all tensors between the kernels of one encoder layer.
///
/// ```text
/// S[i][j] = q_scale[h] * k_scale[h] / sqrt(head_size) * sum_d (Qq[i][d] - q_zero_point) * Kq[j][d]
/// P[i][j] = round(255 * exp(S[i][j] - max_j S[i][j]))                                        u8
/// O[i][d] = v_scale[d] * sum_j P[i][j] * Vq[j][d] / sum_j P[i][j]
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LayerQuant {
    /// Input of q, k, v.
    pub attn_in: ActivationQuant,
    /// Queries: u8, one scale per head.
    pub q_scale: Vec<f32>,
    /// Queries: the code of zero.
    pub q_zero_point: u8,
    /// Keys: s8 symmetric, one scale per head.
    pub k_scale: Vec<f32>,
    /// Values: s8 symmetric, one scale per feature.
    pub v_scale: Vec<f32>,
    /// Input of o.
    pub attn_out: ActivationQuant,
    /// Input of up.
    pub ffn_in: ActivationQuant,
    /// Input of down.
    pub gelu_out: ActivationQuant,
}

impl LayerQuant {
    /// The bits of the inputs of linear layers.
    fn bits(&self) -> [(&'static str, ActivationBits); 4] {
        [
            ("codes of the inputs of q, k and v", self.attn_in.bits),
            ("codes of the inputs of o", self.attn_out.bits),
            ("codes of the inputs of up", self.ffn_in.bits),
            ("codes of the inputs of down", self.gelu_out.bits),
        ]
    }

    /// Refuses quantisations that are not of a model of this configuration, or whose inputs of linear layers do not have `bits` bits.
    ///
    /// # Errors
    /// [`CalibrationError::Quantisation`] for another number of layers, features or bits, and for scales that are not positive.
    pub fn check_all(
        layers: &[LayerQuant],
        config: &EncoderConfig,
        bits: ActivationBits,
    ) -> Result<(), CalibrationError> {
        let size = |what, found: usize, expected: usize| match found == expected {
            true => Ok(()),
            false => {
                let (found, expected) = (found.to_string(), expected.to_string());
                Err(CalibrationError::Quantisation { what, found, expected })
            }
        };
        size("layers", layers.len(), config.layers)?;
        for (what, found) in layers.iter().flat_map(LayerQuant::bits) {
            if found != bits {
                let (found, expected) = (format!("{found} bits"), format!("{bits}, as the options say"));
                return Err(CalibrationError::Quantisation { what, found, expected });
            }
        }
        let (hidden, inner, heads) = (config.hidden_size, config.intermediate_size, config.heads);
        let width = heads * config.head_size();
        for layer in layers {
            let LayerQuant { attn_in, q_scale, k_scale, v_scale, attn_out, ffn_in, gelu_out, .. } = layer;
            for (what, scales, expected) in [
                ("scales of the inputs of q, k and v", &attn_in.scale, hidden),
                ("means of the inputs of q, k and v", &attn_in.mean, hidden),
                ("scales of queries", q_scale, heads),
                ("scales of keys", k_scale, heads),
                ("scales of values", v_scale, width),
                ("scales of the inputs of o", &attn_out.scale, width),
                ("means of the inputs of o", &attn_out.mean, width),
                ("scales of the inputs of up", &ffn_in.scale, hidden),
                ("means of the inputs of up", &ffn_in.mean, hidden),
                ("scales of the inputs of down", &gelu_out.scale, inner),
                ("means of the inputs of down", &gelu_out.mean, inner),
            ] {
                size(what, scales.len(), expected)?;
            }
            let scales = [&attn_in.scale, q_scale, k_scale, v_scale, &attn_out.scale, &ffn_in.scale, &gelu_out.scale];
            if let Some(wrong) = scales.into_iter().flatten().find(|scale| !(**scale > 0.0 && scale.is_finite())) {
                let (found, expected) = (wrong.to_string(), "a positive number".to_owned());
                return Err(CalibrationError::Quantisation { what: "a scale", found, expected });
            }
        }
        Ok(())
    }
}

/// A linear layer with s8 weights.
///
/// `y[m] = weight_scale[m] * (acc[m] - input_zero_point * sum_k weight[m][k]) + bias[m]` with
/// `acc[m] = sum_k weight[m][k] * xq[k]`.
///
/// # Numerics
/// Weights are rounded to nearest even, symmetric in [-127, 127]; a zero stays zero. Codes that a file has are taken as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedLinear {
    /// M, output features.
    pub m: usize,
    /// K, input features.
    pub k: usize,
    /// `[M][K]` row-major; activation scales are folded in.
    pub weight: Vec<i8>,
    /// Scale per output feature, `[M]`, positive.
    pub weight_scale: Vec<f32>,
    /// `[M]`.
    pub bias: Vec<f32>,
    /// The code of zero of the input.
    pub input_zero_point: u8,
}

/// The six linear layers of an encoder layer, quantised.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedLayer {
    /// Query projection; its input is quantised by [`LayerQuant::attn_in`].
    pub q: QuantizedLinear,
    /// Key projection; the same input.
    pub k: QuantizedLinear,
    /// Value projection; the same input.
    pub v: QuantizedLinear,
    /// Attention output projection.
    pub o: QuantizedLinear,
    /// First feed-forward projection.
    pub up: QuantizedLinear,
    /// Second feed-forward projection.
    pub down: QuantizedLinear,
}

impl QuantizedLayer {
    /// The six linear layers in the order they run: q, k, v, o, up, down.
    pub fn linears(&self) -> [&QuantizedLinear; 6] {
        [&self.q, &self.k, &self.v, &self.o, &self.up, &self.down]
    }

    /// Quantises a layer's weights for given activations, or takes the codes that a file has of them.
    pub(crate) fn new(weights: &LayerWeights, quant: &LayerQuant, stored: Option<&LayerCodes>) -> Self {
        let [q, k, v, o, up, down] = std::array::from_fn(|i| stored.and_then(|stored| stored.linears[i].as_ref()));
        Self {
            q: QuantizedLinear::with_codes(&weights.q, &quant.attn_in, q),
            k: QuantizedLinear::with_codes(&weights.k, &quant.attn_in, k),
            v: QuantizedLinear::with_codes(&weights.v, &quant.attn_in, v),
            o: QuantizedLinear::with_codes(&weights.o, &quant.attn_out, o),
            up: QuantizedLinear::with_codes(&weights.up, &quant.ffn_in, up),
            down: QuantizedLinear::with_codes(&weights.down, &quant.gelu_out, down),
        }
    }
}

impl QuantizedLinear {
    /// Quantises one linear layer for a given input.
    ///
    /// Row m of the weights becomes `round(W[m][k] * scale[k] / weight_scale[m])` with
    /// `weight_scale[m] = max_k |W[m][k] * scale[k]| / 127`; the mean of what rounding changes,
    /// `sum_k (W[m][k] - weight_scale[m] * wq[m][k] / scale[k]) * mean[k]`, goes into the bias.
    ///
    /// # Panics
    /// When the input's scales are not one per input feature.
    pub fn new(linear: &Linear, input: &ActivationQuant) -> Self {
        let (m, k) = (linear.outputs(), linear.inputs());
        assert!(input.scale.len() == k && input.mean.len() == k, "one scale and mean per feature");
        let mut weight = Vec::with_capacity(m * k);
        let mut weight_scale = Vec::with_capacity(m);
        let mut bias = Vec::with_capacity(m);
        for (row, &b) in rows(&linear.weight).zip(&linear.bias) {
            let folded = || row.iter().zip(&input.scale).map(|(w, s)| w * s);
            let max = folded().fold(0.0f32, |max, w| max.max(w.abs()));
            let scale = if max > 0.0 { max / WEIGHT_MAX } else { 1.0 };
            weight.extend(folded().map(|w| round_code(w / scale, -WEIGHT_MAX, WEIGHT_MAX) as i8));
            let rounded = &weight[weight.len() - k..];
            let lost: f64 = (0..k)
                .map(|i| {
                    let kept = scale * f32::from(rounded[i]) / input.scale[i];
                    f64::from(row[i] - kept) * f64::from(input.mean[i])
                })
                .sum();
            weight_scale.push(scale);
            bias.push(b + lost as f32);
        }
        Self { m, k, weight, weight_scale, bias, input_zero_point: input.zero_point }
    }

    /// Takes the codes of a file: `weight_scale[m] = codes.scale[m] * input.scale`, and 0 where the weight is 0, as pruning makes it.
    ///
    /// An input with a scale per feature changes codes, which is why calibration gives such inputs one scale; the weights are
    /// quantised again if it has more, or there are no codes.
    pub(crate) fn with_codes(linear: &Linear, input: &ActivationQuant, codes: Option<&LinearCodes>) -> Self {
        let (step, one) =
            (input.scale.first().copied().unwrap_or(1.0), input.scale.array_windows().all(|[a, b]| a == b));
        let Some(stored) = codes.filter(|codes| one && codes.codes.len() == linear.weight.data.len()) else {
            return Self::new(linear, input);
        };
        let kept =
            stored.codes.iter().zip(&linear.weight.data).map(|(&code, &weight)| if weight == 0.0 { 0 } else { code });
        Self {
            m: linear.outputs(),
            k: linear.inputs(),
            weight: kept.collect(),
            weight_scale: stored.scale.iter().map(|scale| scale * step).collect(),
            bias: linear.bias.clone(),
            input_zero_point: input.zero_point,
        }
    }

    /// The f32 layer that this one computes for inputs that are exactly representable:
    /// `W[m][k] = weight_scale[m] * weight[m][k] / scale[k]`.
    ///
    /// # Panics
    /// When the input's scales are not one per input feature.
    pub fn dequantize(&self, input: &ActivationQuant) -> Linear {
        assert_eq!(input.scale.len(), self.k, "one scale per feature");
        let mut data = Vec::with_capacity(self.m * self.k);
        for (row, &scale) in self.weight.chunks_exact(self.k).zip(&self.weight_scale) {
            data.extend(row.iter().zip(&input.scale).map(|(&w, s)| scale * f32::from(w) / s));
        }
        Linear { weight: Matrix { rows: self.m, cols: self.k, data }, bias: self.bias.clone() }
    }
}

fn rows(matrix: &Matrix) -> std::slice::ChunksExact<'_, f32> {
    matrix.data.chunks_exact(matrix.cols)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_rounded_to_nearest_even() {
        let edges = [0.0, -0.0, 0.5, 1.5, 2.5, 126.5, 127.5, 254.5, 255.5, 1e30, f32::INFINITY, f32::MIN_POSITIVE];
        let steps = (0..4000).map(|i| i as f32 * 0.0703125);
        for x in edges.into_iter().chain(steps).flat_map(|x| [x, -x]) {
            for (low, high) in [(-127.0, 127.0), (0.0, 255.0), (-255.0, 0.0), (-100.0, 155.0)] {
                assert_eq!(round_code(x, low, high), x.round_ties_even().clamp(low, high), "{x}");
            }
        }
        assert!(round_code(f32::NAN, 0.0, 1.0).is_nan());
    }
}
