//! The state of a training in a file, from which it goes on with the same bits.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use lacuna_model::{ActivationQuant, LayerQuant, LayerWeights};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use crate::mask::{Mask, Masks};
use crate::parameters::{LinearKind, TENSOR_NAMES, tensors, tensors_mut};
use crate::{Error, Result};

/// The key of the metadata.
const KEY: &str = "lacuna-train";
/// Raised when the content changes.
const VERSION: u32 = 2;
/// Names of the groups of tensors.
const GROUPS: [&str; 4] = ["weights", "first", "second", "average"];

/// Where a training stands, but for its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The version of the format.
    pub(super) version: u32,
    /// Steps done.
    pub(super) step: u64,
    /// Updates of the optimiser.
    pub(super) updates: u64,
    /// Batches drawn: with the seed, this is the random state.
    pub(super) drawn: u64,
    /// The seed of the batches.
    pub(super) seed: u64,
    /// Seconds of training so far.
    pub(super) seconds: f64,
    /// Tokens so far.
    pub(super) tokens: u64,
    /// The best dev figure so far.
    pub(super) best: Option<f64>,
    /// Whether it was asked how to round.
    pub(super) asked: bool,
}

impl Position {
    pub(super) const START: Position = Position {
        version: VERSION,
        step: 0,
        updates: 0,
        drawn: 0,
        seed: 0,
        seconds: 0.0,
        tokens: 0,
        best: None,
        asked: false,
    };
}

/// Everything that a training goes on from.
pub(super) struct State<'a> {
    pub(super) position: Position,
    /// Weights, both moments, average.
    pub(super) groups: [&'a [LayerWeights]; 4],
    pub(super) masks: &'a Masks,
    /// How the student is rounded, if it is.
    pub(super) rounding: Option<&'a [LayerQuant]>,
    /// The best average so far, if there is a dev figure.
    pub(super) best: Option<&'a [LayerWeights]>,
}

/// Writes a checkpoint. The file appears only when it is complete.
pub(super) fn save(path: &Path, state: &State<'_>) -> Result<()> {
    let mut parts: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let groups = GROUPS.iter().copied().zip(state.groups).chain(state.best.map(|best| ("best", best)));
    for (group, layers) in groups {
        for (i, values) in tensors(layers).into_iter().enumerate() {
            let name = tensor_name(group, i);
            parts.push((name, Dtype::F32, vec![values.len()], bytemuck::cast_slice(values).to_vec()));
        }
    }
    for (layer, masks) in state.masks.iter().enumerate() {
        for (kind, mask) in LinearKind::ALL.iter().zip(masks) {
            if let Some(mask) = mask {
                let bytes: Vec<u8> = mask.kept().iter().map(|&kept| u8::from(kept)).collect();
                let shape = vec![mask.groups().rows(), mask.groups().columns()];
                parts.push((mask_name(layer, *kind), Dtype::U8, shape, bytes));
            }
        }
    }
    for (layer, quant) in state.rounding.into_iter().flatten().enumerate() {
        for (name, values) in quant_tensors(quant) {
            let bytes = bytemuck::cast_slice(values).to_vec();
            parts.push((quant_name(layer, name), Dtype::F32, vec![values.len()], bytes));
        }
        let zeros = quant_zeros(quant).to_vec();
        parts.push((quant_name(layer, ZEROS), Dtype::U8, vec![zeros.len()], zeros));
    }
    let bad = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
    let views = parts.iter().map(|(name, dtype, shape, bytes)| {
        Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| bad(e.to_string()))?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let position = serde_json::to_string(&state.position).map_err(|e| bad(e.to_string()))?;
    let metadata = HashMap::from([(KEY.to_owned(), position)]);
    let bytes = serialize(views, Some(metadata)).map_err(|e| bad(e.to_string()))?;
    write_whole(path, &bytes)
}

/// Writes beside the file, then takes its name.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let fail = |action| move |source| Error::Io { path: path.to_owned(), action, source };
    let mut file = std::fs::File::create(&part).map_err(fail("create"))?;
    file.write_all(bytes).map_err(fail("write"))?;
    file.sync_all().map_err(fail("write"))?;
    std::fs::rename(&part, path).map_err(fail("replace"))
}

/// A checkpoint that was read.
pub(super) struct Loaded {
    pub(super) position: Position,
    pub(super) groups: [Vec<LayerWeights>; 4],
    pub(super) masks: Masks,
    pub(super) rounding: Option<Vec<LayerQuant>>,
    pub(super) best: Option<Vec<LayerWeights>>,
}

/// Reads a checkpoint for parameters of the shape of `like`.
pub(super) fn load(path: &Path, like: &[LayerWeights]) -> Result<Loaded> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), action: "read", source })?;
    let bad = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| bad(e.to_string()))?;
    let text = header.metadata().as_ref().and_then(|map| map.get(KEY));
    let text = text.ok_or_else(|| bad("it has no state of a training".to_owned()))?;
    let position: Position = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
    if position.version != VERSION {
        return Err(bad(format!("its version is {}; expected {VERSION}", position.version)));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|e| bad(e.to_string()))?;
    let group = |group: &str| -> Result<Vec<LayerWeights>> {
        let mut layers = like.to_vec();
        for (i, to) in tensors_mut(&mut layers).into_iter().enumerate() {
            let name = tensor_name(group, i);
            let tensor = file.tensor(&name).map_err(|e| bad(e.to_string()))?;
            if tensor.dtype() != Dtype::F32 || tensor.data().len() != 4 * to.values.len() {
                return Err(bad(format!("{name} has another type or size than the student's")));
            }
            for (to, from) in to.values.iter_mut().zip(tensor.data().as_chunks::<4>().0) {
                *to = f32::from_le_bytes(*from);
            }
        }
        Ok(layers)
    };
    let mut masks = Masks::new();
    for (layer, weights) in like.iter().enumerate() {
        let mut row: [Option<Mask>; 6] = Default::default();
        for (kind, mask) in LinearKind::ALL.iter().zip(&mut row) {
            if let Ok(tensor) = file.tensor(&mask_name(layer, *kind)) {
                let linear = kind.of(weights);
                let kept = tensor.data().iter().map(|&byte| byte != 0).collect();
                *mask = Some(Mask::new(linear.outputs(), linear.inputs(), kept)?);
            }
        }
        masks.push(row);
    }
    let rounded = file.tensor(&quant_name(0, ZEROS)).is_ok();
    let quant = |layer| read_quant(&file, layer).map_err(&bad);
    let rounding = rounded.then(|| (0..like.len()).map(quant).collect::<Result<Vec<_>>>()).transpose()?;
    let [weights, first, second, average] = GROUPS.map(group);
    let best = position.best.map(|_| group("best")).transpose()?;
    Ok(Loaded { position, groups: [weights?, first?, second?, average?], masks, rounding, best })
}

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

fn tensor_name(group: &str, i: usize) -> String {
    format!("{group}.{}.{}", i / TENSOR_NAMES.len(), TENSOR_NAMES[i % TENSOR_NAMES.len()])
}

fn mask_name(layer: usize, kind: LinearKind) -> String {
    format!("mask.{layer}.{}", lacuna_model::LINEAR_NAMES[kind as usize])
}
