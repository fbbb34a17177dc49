//! Rounding as the int8 model rounds, in f32: a student that is trained so is what runs.

use lacuna_kernels::{ChunksMut, Parallel, TILE};
use lacuna_model::{ActivationQuant, EncoderConfig, LayerQuant, Linear, QuantizedLinear};

use crate::Result;
use crate::cpu::multiversion;
use crate::parameters::LinearKind;
use crate::tiles::Tiles;

/// How the tensors between the kernels of an int8 model are rounded, for a student in f32.
///
/// Every input of a linear layer, the queries, keys and values, the attention weights and the weights of the linear layers take the values
/// that their codes stand for; see [`LayerQuant`] for the formulas. Sums stay in f32.
///
/// # Gradients
/// Straight through: each rounding counts as the identity, also where a code is at an end of its range. The gradient of a weight is that
/// of its rounded value, with the rounded input.
///
/// # Source
/// Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only inference, 2018.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounding {
    layers: Vec<LayerQuant>,
    head_size: usize,
}

/// An activation that is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounded {
    /// Input of q, k and v.
    AttentionInput,
    Queries,
    Keys,
    Values,
    /// Input of o.
    Attended,
    /// Input of up.
    Middle,
    /// Input of down.
    Inner,
}

impl Rounding {
    /// The rounding of a calibrated model, see [`CalibratedModel::quant`](lacuna_model::CalibratedModel::quant).
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) for layers of another shape than the configuration's, codes of
    /// unequal bits, and scales that are not positive.
    pub fn new(config: &EncoderConfig, layers: Vec<LayerQuant>) -> Result<Rounding> {
        let bits = layers.first().map(|layer| layer.attn_in.bits).unwrap_or_default();
        LayerQuant::check_all(&layers, config, bits).map_err(lacuna_model::Error::from)?;
        Ok(Rounding { layers, head_size: config.head_size() })
    }

    /// The quantisation of every layer.
    pub fn layers(&self) -> &[LayerQuant] {
        &self.layers
    }

    /// A linear layer with the weights that the int8 model has: their codes as f32, and biases that take the mean error of the codes.
    pub(crate) fn linear(&self, layer: usize, kind: LinearKind, linear: &Linear) -> Linear {
        let quant = &self.layers[layer];
        let input = match kind {
            LinearKind::Q | LinearKind::K | LinearKind::V => &quant.attn_in,
            LinearKind::O => &quant.attn_out,
            LinearKind::Up => &quant.ffn_in,
            LinearKind::Down => &quant.gelu_out,
        };
        QuantizedLinear::new(linear, input).dequantize(input)
    }

    /// Rounds an activation of a layer.
    pub(crate) fn round(&self, layer: usize, what: Rounded, x: &mut Tiles) {
        let (quant, size) = (&self.layers[layer], self.head_size);
        match what {
            Rounded::AttentionInput => affine(&quant.attn_in, x),
            Rounded::Attended => affine(&quant.attn_out, x),
            Rounded::Middle => affine(&quant.ffn_in, x),
            Rounded::Inner => affine(&quant.gelu_out, x),
            Rounded::Queries => {
                let zero = f32::from(quant.q_zero_point);
                codes(x, |feature| quant.q_scale[feature / size], -zero, 255.0 - zero);
            }
            Rounded::Keys => codes(x, |feature| quant.k_scale[feature / size], -128.0, 127.0),
            Rounded::Values => codes(x, |feature| quant.v_scale[feature], -128.0, 127.0),
        }
    }
}

fn affine(quant: &ActivationQuant, x: &mut Tiles) {
    let (zero, largest) = (f32::from(quant.zero_point), f32::from(quant.bits.largest()));
    codes(x, |feature| quant.scale[feature], -zero, largest - zero);
}

/// `x[k] = s[k] clamp(round(x[k] / s[k]), low, high)`, s being the scale of feature k. Zero stays zero, so padding does too.
fn codes(x: &mut Tiles, scale: impl Fn(usize) -> f32 + Sync, low: f32, high: f32) {
    let (features, tile) = (x.features(), x.tile_elements());
    Parallel::Rayon.for_each_chunk(ChunksMut::new(x.data_mut(), tile.max(1)), |_, tile| {
        for (feature, row) in tile.chunks_exact_mut(TILE).enumerate().take(features) {
            round_row(row, scale(feature), low, high);
        }
    });
}

/// Adding and subtracting it leaves no bits for a fraction, and rounds to nearest even.
pub(crate) const NEAREST: f32 = 12_582_912.0; // 1.5 * 2^23

multiversion! {
    fn round_row(row: &mut [f32], scale: f32, low: f32, high: f32) {
        for x in row {
            *x = (((*x / scale).clamp(low, high) + NEAREST) - NEAREST) * scale;
        }
    }
}
