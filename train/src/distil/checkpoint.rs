//! The state of a training in a file, from which it goes on with the same bits.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use lacuna_model::{LayerQuant, LayerWeights};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use super::quants::{quant_parts, read_quants};
use crate::head::{HEAD_TENSOR_NAMES, HeadLayers};
use crate::mask::{Mask, Masks};
use crate::parameters::{LinearKind, TENSOR_NAMES, tensors, tensors_mut};
use crate::{Error, Result};

/// A tensor of the file: name, type, shape, bytes.
type Part = (String, Dtype, Vec<usize>, Vec<u8>);

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
    /// The same of the head, if one is trained.
    pub(super) head: Option<HeadState<&'a HeadLayers>>,
}

/// What a training of a head goes on from.
pub(super) struct HeadState<L> {
    /// Weights, both moments, average.
    pub(super) groups: [L; 4],
    /// The best average so far.
    pub(super) best: Option<L>,
}

/// Writes a checkpoint. The file appears only when it is complete.
pub(super) fn save(path: &Path, state: &State<'_>) -> Result<()> {
    let mut parts: Vec<Part> = Vec::new();
    let groups = GROUPS.iter().copied().zip(state.groups).chain(state.best.map(|best| ("best", best)));
    for (group, layers) in groups {
        for (i, values) in tensors(layers).into_iter().enumerate() {
            let name = tensor_name(group, i);
            parts.push((name, Dtype::F32, vec![values.len()], bytemuck::cast_slice(values).to_vec()));
        }
    }
    if let Some(HeadState { groups, best }) = &state.head {
        let groups = GROUPS.iter().copied().zip(*groups).chain(best.map(|best| ("best", best)));
        for (group, layers) in groups {
            for (values, name) in layers.tensors().into_iter().zip(HEAD_TENSOR_NAMES) {
                let bytes = bytemuck::cast_slice(values).to_vec();
                parts.push((head_name(group, name), Dtype::F32, vec![values.len()], bytes));
            }
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
        parts.extend(quant_parts(layer, quant));
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
    pub(super) head: Option<HeadState<HeadLayers>>,
}

/// Reads a checkpoint for parameters of the shape of `like`, and a head of the shape of `head`.
pub(super) fn load(path: &Path, like: &[LayerWeights], head: Option<&HeadLayers>) -> Result<Loaded> {
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
    let fill = |name: &str, to: &mut [f32]| -> Result<()> {
        let tensor = file.tensor(name).map_err(|e| bad(e.to_string()))?;
        if tensor.dtype() != Dtype::F32 || tensor.data().len() != 4 * to.len() {
            return Err(bad(format!("{name} has another type or size than the student's")));
        }
        for (to, from) in to.iter_mut().zip(tensor.data().as_chunks::<4>().0) {
            *to = f32::from_le_bytes(*from);
        }
        Ok(())
    };
    let group = |group: &str| -> Result<Vec<LayerWeights>> {
        let mut layers = like.to_vec();
        for (i, to) in tensors_mut(&mut layers).into_iter().enumerate() {
            fill(&tensor_name(group, i), to.values)?;
        }
        Ok(layers)
    };
    let group_of_head = |group: &str, like: &HeadLayers| -> Result<HeadLayers> {
        let mut layers = like.clone();
        for (to, name) in layers.tensors_mut().into_iter().zip(HEAD_TENSOR_NAMES) {
            fill(&head_name(group, name), to)?;
        }
        Ok(layers)
    };
    let has_head = file.names().iter().any(|name| name.starts_with(&head_name(GROUPS[0], "")));
    if has_head && head.is_none() {
        return Err(bad("it is of a training with a head".to_owned()));
    }
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
    let rounding = read_quants(&file, like.len()).map_err(&bad)?;
    let [weights, first, second, average] = GROUPS.map(group);
    let best = position.best.map(|_| group("best")).transpose()?;
    let of_head = |like: &HeadLayers| -> Result<HeadState<HeadLayers>> {
        let [weights, first, second, average] = GROUPS.map(|group| group_of_head(group, like));
        let best = position.best.map(|_| group_of_head("best", like)).transpose()?;
        Ok(HeadState { groups: [weights?, first?, second?, average?], best })
    };
    let head = head.map(of_head).transpose()?;
    Ok(Loaded { position, groups: [weights?, first?, second?, average?], masks, rounding, best, head })
}

fn head_name(group: &str, name: &str) -> String {
    format!("{group}.head.{name}")
}

fn tensor_name(group: &str, i: usize) -> String {
    format!("{group}.{}.{}", i / TENSOR_NAMES.len(), TENSOR_NAMES[i % TENSOR_NAMES.len()])
}

fn mask_name(layer: usize, kind: LinearKind) -> String {
    format!("mask.{layer}.{}", lacuna_model::LINEAR_NAMES[kind as usize])
}
