//! The state of a training in a file, from which it goes on with the same bits.

use std::path::Path;

use lacuna_model::{LayerQuant, LayerWeights};
use serde::{Deserialize, Serialize};

use super::quants::{quant_parts, read_quants};
use super::ramp::Pruning;
use super::tensor_file::{Part, TensorFile, write};
use crate::head::{HEAD_TENSOR_NAMES, HeadLayers};
use crate::mask::{Mask, Masks};
use crate::parameters::{LinearKind, TENSOR_NAMES, tensors, tensors_mut};
use crate::{Error, Result};

/// The key of the metadata.
const KEY: &str = "lacuna-train";
/// Raised when the content changes.
const VERSION: u32 = 3;
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
    /// The prunings of the ramp that were done.
    #[serde(default)] // so that the version of an older file is read
    pub(super) prunings: Vec<Pruning>,
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
        prunings: Vec::new(),
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
    let mut parts: Vec<Part<'_>> = Vec::new();
    let groups = GROUPS.iter().copied().zip(state.groups).chain(state.best.map(|best| ("best", best)));
    for (group, layers) in groups {
        let tensors = tensors(layers).into_iter().enumerate();
        parts.extend(tensors.map(|(i, values)| Part::f32(tensor_name(group, i), values)));
    }
    if let Some(HeadState { groups, best }) = &state.head {
        let groups = GROUPS.iter().copied().zip(*groups).chain(best.map(|best| ("best", best)));
        for (group, layers) in groups {
            let tensors = layers.tensors().into_iter().zip(HEAD_TENSOR_NAMES);
            parts.extend(tensors.map(|(values, name)| Part::f32(head_name(group, name), values)));
        }
    }
    for (layer, masks) in state.masks.iter().enumerate() {
        for (kind, mask) in LinearKind::ALL.iter().zip(masks) {
            if let Some(mask) = mask {
                let bytes: Vec<u8> = mask.kept().iter().map(|&kept| u8::from(kept)).collect();
                let shape = vec![mask.groups().rows(), mask.groups().columns()];
                parts.push(Part::u8(mask_name(layer, *kind), shape, bytes));
            }
        }
    }
    for (layer, quant) in state.rounding.into_iter().flatten().enumerate() {
        parts.extend(quant_parts(layer, quant));
    }
    let bad = |error: serde_json::Error| Error::Checkpoint { path: path.to_owned(), reason: error.to_string() };
    write(path, KEY, serde_json::to_string(&state.position).map_err(bad)?, &parts)
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

/// Reads a checkpoint into parameters of the shape of the student, and those of a head of the shape of `head`.
pub(super) fn load(path: &Path, mut groups: [Vec<LayerWeights>; 4], head: Option<&HeadLayers>) -> Result<Loaded> {
    let mut file = TensorFile::open(path)?;
    let text = file.text(KEY).ok_or_else(|| file.bad("it has no state of a training".to_owned()))?;
    let position: Position = serde_json::from_str(text).map_err(|error| file.bad(error.to_string()))?;
    if position.version != VERSION {
        return Err(file.bad(format!("its version is {}; expected {VERSION}", position.version)));
    }
    if head.is_none() && file.has_prefix(&head_name(GROUPS[0], "")) {
        return Err(file.bad("it is of a training with a head".to_owned()));
    }
    let fill = |file: &mut TensorFile, group: &str, layers: &mut [LayerWeights]| -> Result<()> {
        let mut tensors = tensors_mut(layers).into_iter().enumerate();
        tensors.try_for_each(|(i, to)| file.fill(&tensor_name(group, i), to.values))
    };
    GROUPS.iter().zip(&mut groups).try_for_each(|(group, layers)| fill(&mut file, group, layers))?;
    let mut masks = Masks::new();
    for (layer, weights) in groups[0].iter().enumerate() {
        let mut row: [Option<Mask>; 6] = Default::default();
        for (kind, mask) in LinearKind::ALL.iter().zip(&mut row) {
            let name = mask_name(layer, *kind);
            if file.has(&name) {
                let linear = kind.of(weights);
                let kept = file.bytes(&name)?.into_iter().map(|byte| byte != 0).collect();
                let found = Mask::new(linear.outputs(), linear.inputs(), kept);
                *mask = Some(found.map_err(|error| file.bad(format!("{name}: {error}")))?);
            }
        }
        masks.push(row);
    }
    let mut best = position.best.map(|_| groups[0].clone());
    if let Some(best) = &mut best {
        fill(&mut file, "best", best)?;
    }
    let rounding = read_quants(&mut file, groups[0].len())?;
    let mut of_head = |group: &str, like: &HeadLayers| -> Result<HeadLayers> {
        let mut layers = like.clone();
        for (to, name) in layers.tensors_mut().into_iter().zip(HEAD_TENSOR_NAMES) {
            file.fill(&head_name(group, name), to)?;
        }
        Ok(layers)
    };
    let head = match head {
        Some(like) => {
            let [weights, first, second, average] = GROUPS.map(|group| of_head(group, like));
            let best = position.best.map(|_| of_head("best", like)).transpose()?;
            Some(HeadState { groups: [weights?, first?, second?, average?], best })
        }
        None => None,
    };
    Ok(Loaded { position, groups, masks, rounding, best, head })
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
