//! The quantisation of a rounded student as tensors of a checkpoint.

use lacuna_model::{ActivationBits, ActivationQuant, LayerQuant};

use super::tensor_file::{Part, TensorFile};
use crate::Result;

/// The name of the zero points.
const ZEROS: &str = "zero_points";

/// Scales and means of a layer's quantisation.
fn quant_tensors(quant: &LayerQuant) -> [(&'static str, &[f32]); 11] {
    let LayerQuant { attn_in, q_scale, k_scale, v_scale, attn_out, ffn_in, gelu_out, .. } = quant;
    [
        ("attention_in.scale", &attn_in.scale),
        ("attention_in.mean", &attn_in.mean),
        ("queries.scale", q_scale),
        ("keys.scale", k_scale),
        ("values.scale", v_scale),
        ("attention_out.scale", &attn_out.scale),
        ("attention_out.mean", &attn_out.mean),
        ("up_in.scale", &ffn_in.scale),
        ("up_in.mean", &ffn_in.mean),
        ("down_in.scale", &gelu_out.scale),
        ("down_in.mean", &gelu_out.mean),
    ]
}

/// Zero points, in the order of the forward pass. Codes of seven bits are told by a 7 behind them, which older readers refuse.
fn quant_zeros(quant: &LayerQuant) -> Vec<u8> {
    let LayerQuant { attn_in, q_zero_point, attn_out, ffn_in, gelu_out, .. } = quant;
    let zeros = [attn_in.zero_point, *q_zero_point, attn_out.zero_point, ffn_in.zero_point, gelu_out.zero_point];
    let bits = Some(attn_in.bits.count()).filter(|_| !attn_in.bits.is_default());
    zeros.into_iter().chain(bits).collect()
}

/// The tensors of a layer.
pub(super) fn quant_parts(layer: usize, quant: &LayerQuant) -> Vec<Part<'_>> {
    let floats = quant_tensors(quant).into_iter().map(|(name, values)| Part::f32(quant_name(layer, name), values));
    let zeros = quant_zeros(quant);
    floats.chain([Part::u8(quant_name(layer, ZEROS), vec![zeros.len()], zeros)]).collect()
}

/// The quantisation of all layers, or none if the file has none.
pub(super) fn read_quants(file: &mut TensorFile, layers: usize) -> Result<Option<Vec<LayerQuant>>> {
    match file.has(&quant_name(0, ZEROS)) {
        true => (0..layers).map(|layer| read_quant(file, layer)).collect::<Result<_>>().map(Some),
        false => Ok(None),
    }
}

/// What [`quant_tensors`] and [`quant_zeros`] gave.
fn read_quant(file: &mut TensorFile, layer: usize) -> Result<LayerQuant> {
    let zeros = file.bytes(&quant_name(layer, ZEROS))?;
    let (zeros, bits) = match zeros[..] {
        [a, b, c, d, e] => ([a, b, c, d, e], ActivationBits::default()),
        [a, b, c, d, e, bits] => ([a, b, c, d, e], ActivationBits::try_from(bits).map_err(|found| file.bad(found))?),
        _ => return Err(file.bad(format!("{} zero points; expected 5", zeros.len()))),
    };
    let mut floats = |name| file.floats(&quant_name(layer, name));
    let mut input = |scale, mean, zero_point| -> Result<ActivationQuant> {
        Ok(ActivationQuant { scale: floats(scale)?, zero_point, bits, mean: floats(mean)? })
    };
    let attn_in = input("attention_in.scale", "attention_in.mean", zeros[0])?;
    let attn_out = input("attention_out.scale", "attention_out.mean", zeros[2])?;
    let ffn_in = input("up_in.scale", "up_in.mean", zeros[3])?;
    let gelu_out = input("down_in.scale", "down_in.mean", zeros[4])?;
    Ok(LayerQuant {
        attn_in,
        q_scale: floats("queries.scale")?,
        q_zero_point: zeros[1],
        k_scale: floats("keys.scale")?,
        v_scale: floats("values.scale")?,
        attn_out,
        ffn_in,
        gelu_out,
    })
}

fn quant_name(layer: usize, name: &str) -> String {
    format!("rounding.{layer}.{name}")
}
