//! How many codes of the calibration texts lie at an end of their range.

use serde::{Deserialize, Serialize};

use super::collect::{Halves, TapStats};
use crate::quantize::{ActivationQuant, LayerQuant, round_code};
use crate::reference::Tap;

/// Of every static tensor of an encoder layer the share of codes at an end of their range, as calibration saw it.
///
/// With the range `minmax` it is nearly 0. A share that is much larger when the model runs means texts of a kind that calibration did not
/// see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SaturatedShares {
    /// Input of q, k and v.
    pub attn_in: f32,
    /// Queries.
    pub query: f32,
    /// Keys.
    pub key: f32,
    /// Values.
    pub value: f32,
    /// Input of o.
    pub attn_out: f32,
    /// Input of up.
    pub ffn_in: f32,
    /// Input of down; at the upper end alone, since activation functions rest at the lower one.
    pub gelu_out: f32,
}

impl SaturatedShares {
    /// Of the sampled rows of a layer.
    pub(super) fn of(quant: &LayerQuant, head_size: usize, stats: &[Halves]) -> SaturatedShares {
        let rows = |tap: Tap| stats[tap as usize].all();
        let both = |tap, quant| affine(&rows(tap), quant, true);
        let query_zero = f32::from(quant.q_zero_point);
        SaturatedShares {
            attn_in: both(Tap::AttentionInput, &quant.attn_in),
            query: symmetric(&rows(Tap::Query), &quant.q_scale, head_size, (-query_zero, 255.0 - query_zero)),
            key: symmetric(&rows(Tap::Key), &quant.k_scale, head_size, (-128.0, 127.0)),
            value: symmetric(&rows(Tap::Value), &quant.v_scale, 1, (-128.0, 127.0)),
            attn_out: both(Tap::AttentionOutput, &quant.attn_out),
            ffn_in: both(Tap::FeedForwardInput, &quant.ffn_in),
            gelu_out: affine(&rows(Tap::GeluOutput), &quant.gelu_out, false),
        }
    }
}

/// Of u8 codes; without `below` at the upper end alone.
fn affine(stats: &TapStats, quant: &ActivationQuant, below: bool) -> f32 {
    share(stats, |feature, x| {
        let code = quant.quantize(feature, x);
        code == quant.bits.largest() || below && code == u8::MIN
    })
}

/// Of codes between `ends`, with a scale per `features` neighbouring features.
fn symmetric(stats: &TapStats, scales: &[f32], features: usize, (low, high): (f32, f32)) -> f32 {
    share(stats, |feature, x| {
        let Some(scale) = scales.get(feature / features.max(1)) else { return false };
        let code = round_code(x / scale, low, high);
        code == low || code == high
    })
}

fn share(stats: &TapStats, is_saturated: impl Fn(usize, f32) -> bool) -> f32 {
    let (mut all, mut saturated) = (0usize, 0usize);
    for row in stats.rows() {
        all += row.len();
        saturated += row.iter().enumerate().filter(|(feature, x)| is_saturated(*feature, **x)).count();
    }
    saturated as f32 / all.max(1) as f32
}
