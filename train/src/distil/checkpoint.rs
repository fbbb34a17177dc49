//! The state of a training in a file, from which it goes on with the same bits.

use std::path::Path;

use lacuna_model::{EmbeddingWeights, LayerQuant, LayerWeights};
use serde::{Deserialize, Serialize};

use super::quants::{quant_parts, read_quants};
use super::ramp::Pruning;
use super::tensor_file::{Part, TensorFile, write};
use crate::head::HeadLayers;
use crate::mask::{Mask, Masks};
use crate::parameters::{LinearKind, TENSOR_NAMES, Tensors, tensors, tensors_mut};
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
    pub(super) head: Option<GroupState<&'a HeadLayers>>,
    /// The same of the embeddings, if they are trained.
    pub(super) embeddings: Option<GroupState<&'a EmbeddingWeights>>,
}

/// What a training of tensors beside the layers goes on from.
pub(super) struct GroupState<L> {
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
    parts.extend(state.head.iter().flat_map(group_parts));
    parts.extend(state.embeddings.iter().flat_map(group_parts));
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
    pub(super) head: Option<GroupState<HeadLayers>>,
    pub(super) embeddings: Option<GroupState<EmbeddingWeights>>,
}

/// What is trained beside the layers, whose shapes a checkpoint must have.
#[derive(Default)]
pub(super) struct Beside<'a> {
    pub(super) head: Option<&'a HeadLayers>,
    pub(super) embeddings: Option<&'a EmbeddingWeights>,
}

/// Reads a checkpoint into parameters of the shape of the student, and those of what is trained beside it.
pub(super) fn load(path: &Path, mut groups: [Vec<LayerWeights>; 4], beside: &Beside<'_>) -> Result<Loaded> {
    let mut file = TensorFile::open(path)?;
    let text = file.text(KEY).ok_or_else(|| file.bad("it has no state of a training".to_owned()))?;
    let position: Position = serde_json::from_str(text).map_err(|error| file.bad(error.to_string()))?;
    if position.version != VERSION {
        return Err(file.bad(format!("its version is {}; expected {VERSION}", position.version)));
    }
    for (name, is_trained) in
        [(HeadLayers::NAME, beside.head.is_some()), (EmbeddingWeights::NAME, beside.embeddings.is_some())]
    {
        if !is_trained && file.has_prefix(&group_name(GROUPS[0], name, "")) {
            return Err(file.bad(format!("it is of a training of the {name}, too")));
        }
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
    let has_best = position.best.is_some();
    let head = beside.head.map(|like| read_group(&mut file, like, has_best)).transpose()?;
    let embeddings = beside.embeddings.map(|like| read_group(&mut file, like, has_best)).transpose()?;
    Ok(Loaded { position, groups, masks, rounding, best, head, embeddings })
}

/// The tensors of what is trained beside the layers.
fn group_parts<'a, P: Tensors + 'a>(state: &GroupState<&'a P>) -> Vec<Part<'a>> {
    let groups = GROUPS.iter().copied().zip(state.groups).chain(state.best.map(|best| ("best", best)));
    let parts = groups.flat_map(|(group, parameters)| {
        let named = parameters.tensors().into_iter().zip(P::TENSORS);
        named.map(move |(values, name)| Part::f32(group_name(group, P::NAME, name), values))
    });
    parts.collect()
}

/// Reads them into parameters of the shape of `like`.
fn read_group<P: Tensors>(file: &mut TensorFile, like: &P, has_best: bool) -> Result<GroupState<P>> {
    let mut of = |group: &str| -> Result<P> {
        let mut parameters = like.clone();
        for (to, name) in parameters.tensors_mut().into_iter().zip(P::TENSORS) {
            file.fill(&group_name(group, P::NAME, name), to)?;
        }
        Ok(parameters)
    };
    let [weights, first, second, average] = GROUPS.map(&mut of);
    let best = has_best.then(|| of("best")).transpose()?;
    Ok(GroupState { groups: [weights?, first?, second?, average?], best })
}

fn group_name(group: &str, what: &str, name: &str) -> String {
    format!("{group}.{what}.{name}")
}

fn tensor_name(group: &str, i: usize) -> String {
    format!("{group}.{}.{}", i / TENSOR_NAMES.len(), TENSOR_NAMES[i % TENSOR_NAMES.len()])
}

fn mask_name(layer: usize, kind: LinearKind) -> String {
    format!("mask.{layer}.{}", lacuna_model::LINEAR_NAMES[kind as usize])
}
