//! The quantisation of a rounded student as tensors of a checkpoint.

use lacuna_model::{ActivationQuant, LayerQuant};
use safetensors::tensor::{Dtype, SafeTensors};

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

/// Zero points, in the order of the forward pass.
fn quant_zeros(quant: &LayerQuant) -> [u8; 5] {
    let LayerQuant { attn_in, q_zero_point, attn_out, ffn_in, gelu_out, .. } = quant;
    [attn_in.zero_point, *q_zero_point, attn_out.zero_point, ffn_in.zero_point, gelu_out.zero_point]
}

/// The tensors of a layer.
pub(super) fn quant_parts(layer: usize, quant: &LayerQuant) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    let floats = quant_tensors(quant).into_iter().map(|(name, values)| {
        let bytes = bytemuck::cast_slice(values).to_vec();
        (quant_name(layer, name), Dtype::F32, vec![values.len()], bytes)
    });
    let zeros = quant_zeros(quant).to_vec();
    floats.chain([(quant_name(layer, ZEROS), Dtype::U8, vec![zeros.len()], zeros)]).collect()
}

/// The quantisation of all layers, or none if the file has none.
pub(super) fn read_quants(file: &SafeTensors<'_>, layers: usize) -> Result<Option<Vec<LayerQuant>>, String> {
    match file.tensor(&quant_name(0, ZEROS)) {
        Err(_) => Ok(None),
        Ok(_) => (0..layers).map(|layer| read_quant(file, layer)).collect::<Result<_, _>>().map(Some),
    }
}

/// What [`quant_tensors`] and [`quant_zeros`] gave.
fn read_quant(file: &SafeTensors<'_>, layer: usize) -> Result<LayerQuant, String> {
    let tensor = |name, dtype| {
        let tensor = file.tensor(&quant_name(layer, name)).map_err(|e| e.to_string())?;
        match tensor.dtype() == dtype {
            true => Ok(tensor.data()),
            false => Err(format!("{} has type {:?}; expected {dtype:?}", quant_name(layer, name), tensor.dtype())),
        }
    };
    let floats = |name| -> Result<Vec<f32>, String> {
        Ok(tensor(name, Dtype::F32)?.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let zeros = tensor(ZEROS, Dtype::U8)?;
    let zeros: [u8; 5] = zeros.try_into().map_err(|_| format!("{} zero points; expected 5", zeros.len()))?;
    let input = |scale, mean, zero_point| -> Result<ActivationQuant, String> {
        Ok(ActivationQuant { scale: floats(scale)?, zero_point, mean: floats(mean)? })
    };
    Ok(LayerQuant {
        attn_in: input("attention_in.scale", "attention_in.mean", zeros[0])?,
        q_scale: floats("queries.scale")?,
        q_zero_point: zeros[1],
        k_scale: floats("keys.scale")?,
        v_scale: floats("values.scale")?,
        attn_out: input("attention_out.scale", "attention_out.mean", zeros[2])?,
        ffn_in: input("up_in.scale", "up_in.mean", zeros[3])?,
        gelu_out: input("down_in.scale", "down_in.mean", zeros[4])?,
    })
}

fn quant_name(layer: usize, name: &str) -> String {
    format!("rounding.{layer}.{name}")
}
