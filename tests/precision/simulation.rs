//! The encoder written out in f64, one number at a time, with every tensor rounded as its precision says.

use lacuna::calibration::LayerPrecision;
use lacuna::config::Activation;
use lacuna::weights::{LayerNorm, Linear, Matrix};
use lacuna::{CalibratedModel, Precision};
use lacuna_model::{ActivationBits, ActivationQuant, LayerQuant, QuantizedLinear};

type Rows = Vec<Vec<f64>>;

/// Hidden states after the last layer.
pub(crate) fn forward(model: &CalibratedModel, precision: &[LayerPrecision], ids: &[Vec<u32>]) -> Vec<Matrix> {
    ids.iter().map(|ids| sentence(model, precision, ids)).collect()
}

fn sentence(model: &CalibratedModel, precision: &[LayerPrecision], ids: &[u32]) -> Matrix {
    let (config, weights) = (model.model().config(), model.model().weights());
    let eps = f64::from(config.layer_norm_eps);
    let tables = &weights.embeddings;
    let row = |(position, id): (usize, &u32)| {
        let tables = [tables.word.row(*id as usize), tables.position.row(position), tables.token_type.row(0)];
        (0..config.embedding_features()).map(|k| tables.iter().map(|row| f64::from(row[k])).sum()).collect()
    };
    let mut x = layer_norm(&ids.iter().enumerate().map(row).collect(), &tables.norm, eps);
    if let (Some(float), Some(quant)) = (&tables.projection, model.projection_quant()) {
        x = linear(&x, Precision::Static, quant, float, &model.quantize_projection().unwrap());
    }
    for (i, precision) in precision.iter().enumerate() {
        let (float, quant, q) = (&weights.layers[i], &model.quant()[i], model.quantize_layer(i));
        let attn_in = |float, quantized| linear(&x, precision.attn_in, &quant.attn_in, float, quantized);
        let [query, key, value] = [attn_in(&float.q, &q.q), attn_in(&float.k, &q.k), attn_in(&float.v, &q.v)];
        let attended = attention(&query, &key, &value, quant);
        let o = linear(&attended, Precision::Static, &quant.attn_out, &float.o, &q.o);
        x = layer_norm(&add(&x, &o), &float.attention_norm, eps);
        let mut inner = linear(&x, precision.ffn_in, &quant.ffn_in, &float.up, &q.up);
        inner.iter_mut().flatten().for_each(|y| *y = activated(config.activation, *y));
        let down = linear(&inner, precision.gelu_out, &quant.gelu_out, &float.down, &q.down);
        x = layer_norm(&add(&x, &down), &float.output_norm, eps);
    }
    let data = x.iter().flatten().map(|&x| x as f32).collect();
    Matrix { rows: ids.len(), cols: config.hidden_size, data }
}

fn linear(
    x: &Rows,
    precision: Precision,
    quant: &ActivationQuant,
    float: &Linear,
    quantized: &QuantizedLinear,
) -> Rows {
    let scale = |k: usize| f64::from(quant.scale[k]);
    // The largest code, and of dynamic codes how many there are on either side of zero.
    let (largest, half_range) = match quant.bits {
        ActivationBits::Seven => (127.0, 63.0),
        ActivationBits::Eight => (255.0, 127.0),
    };
    let input = |x: &Vec<f64>| -> Vec<f64> {
        match precision {
            Precision::Static => {
                x.iter().enumerate().map(|(k, &x)| code(x / scale(k), quant.zero_point, largest) * scale(k)).collect()
            }
            Precision::Dynamic => {
                let max = x.iter().enumerate().map(|(k, x)| (x / scale(k)).abs()).fold(0.0, f64::max);
                let step = if max == 0.0 { 1.0 } else { max / half_range };
                let rounded =
                    |(k, x): (usize, &f64)| code(x / scale(k) / step, half_range as u8 + 1, largest) * step * scale(k);
                x.iter().enumerate().map(rounded).collect()
            }
            Precision::Bf16 => x.iter().map(|&x| half(x as f32)).collect(),
            Precision::F32 => x.clone(),
        }
    };
    let k = float.inputs();
    let weight = |m: usize, i: usize| match precision {
        Precision::Bf16 => half(float.weight.row(m)[i]),
        Precision::F32 => f64::from(float.weight.row(m)[i]),
        _ => f64::from(quantized.weight_scale[m]) * f64::from(quantized.weight[m * k + i]) / scale(i),
    };
    let bias = |m: usize| match precision {
        Precision::Bf16 | Precision::F32 => float.bias[m],
        _ => quantized.bias[m],
    };
    let weights: Rows = (0..float.outputs()).map(|m| (0..k).map(|i| weight(m, i)).collect()).collect();
    let output = |x: &[f64], m: usize| x.iter().zip(&weights[m]).map(|(x, w)| x * w).sum::<f64>() + f64::from(bias(m));
    x.iter().map(input).map(|x| (0..float.outputs()).map(|m| output(&x, m)).collect()).collect()
}

/// The nearest code, less that of zero.
fn code(x: f64, zero: u8, largest: f64) -> f64 {
    (x.round_ties_even() + f64::from(zero)).clamp(0.0, largest) - f64::from(zero)
}

/// To the upper 16 bits, to nearest even.
fn half(x: f32) -> f64 {
    let bits = u64::from(x.to_bits());
    f64::from(f32::from_bits(((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000) as u32))
}

fn symmetric(x: f64, scale: f32, low: f64, high: f64) -> f64 {
    (x / f64::from(scale)).round_ties_even().clamp(low, high) * f64::from(scale)
}

/// Of u8 queries, s8 keys and values, u8 weights; not rounded.
fn attention(q: &Rows, k: &Rows, v: &Rows, quant: &LayerQuant) -> Rows {
    let size = q[0].len() / quant.q_scale.len();
    let (low, high) = (-f64::from(quant.q_zero_point), 255.0 - f64::from(quant.q_zero_point));
    let rounded = |x: &Rows, of: &dyn Fn(usize, f64) -> f64| -> Rows {
        x.iter().map(|row| row.iter().enumerate().map(|(d, &x)| of(d, x)).collect()).collect()
    };
    let q = rounded(q, &|d, x| symmetric(x, quant.q_scale[d / size], low, high));
    let k = rounded(k, &|d, x| symmetric(x, quant.k_scale[d / size], -128.0, 127.0));
    let v = rounded(v, &|d, x| symmetric(x, quant.v_scale[d], -128.0, 127.0));
    let mut out = vec![vec![0.0; q[0].len()]; q.len()];
    for (i, out) in out.iter_mut().enumerate() {
        for head in 0..quant.q_scale.len() {
            let part = head * size..(head + 1) * size;
            let score = |k: &Vec<f64>| part.clone().map(|d| q[i][d] * k[d]).sum::<f64>() / (size as f64).sqrt();
            let scores: Vec<f64> = k.iter().map(score).collect();
            let max = scores.iter().fold(f64::NEG_INFINITY, |max, s| max.max(*s));
            let p: Vec<f64> = scores.iter().map(|s| (255.0 * (s - max).exp()).round_ties_even()).collect();
            let sum: f64 = p.iter().sum();
            for d in part {
                out[d] = p.iter().zip(&v).map(|(p, v)| p * v[d]).sum::<f64>() / sum;
            }
        }
    }
    out
}

fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Gelu => 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Relu => x.max(0.0),
    }
}

fn layer_norm(x: &Rows, norm: &LayerNorm, eps: f64) -> Rows {
    let row = |x: &Vec<f64>| {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let affine = norm.gamma.iter().zip(&norm.beta);
        let scale = 1.0 / (variance + eps).sqrt();
        x.iter().zip(affine).map(|(v, (g, b))| (v - mean) * scale * f64::from(*g) + f64::from(*b)).collect()
    };
    x.iter().map(row).collect()
}

fn add(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}
