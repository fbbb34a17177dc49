//! Which weights of the linear layers a student may have.

use lacuna_model::LayerWeights;
use rayon::prelude::*;

use crate::Result;
use crate::error::check_size;
use crate::parameters::{LinearKind, TensorKind, tensors_mut};
use crate::product::groups::{GROUP, RowGroups};

/// The kept weights of one linear layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    kept: Vec<bool>,
    groups: RowGroups,
    /// Whether the groups hold kept weights only.
    whole: bool,
}

impl Mask {
    /// A mask `[outputs][inputs]`.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for another number of elements.
    pub fn new(outputs: usize, inputs: usize, kept: Vec<bool>) -> Result<Mask> {
        let groups = RowGroups::new(outputs, inputs, &kept)?;
        let in_groups: usize =
            (0..outputs.div_ceil(GROUP)).map(|g| groups.group(g).len() * (outputs - g * GROUP).min(GROUP)).sum();
        let whole = in_groups == kept.iter().filter(|&&kept| kept).count();
        Ok(Mask { kept, groups, whole })
    }

    /// Whether each weight is kept, `[outputs][inputs]`.
    pub fn kept(&self) -> &[bool] {
        &self.kept
    }

    /// The kept columns per group of four rows.
    pub fn groups(&self) -> &RowGroups {
        &self.groups
    }

    /// Whether every group of four rows keeps whole columns: the blocks are 4x1 or taller.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The share of weights that are not kept.
    pub fn sparsity(&self) -> f64 {
        let zeros = self.kept.iter().filter(|&&kept| !kept).count();
        zeros as f64 / self.kept.len().max(1) as f64
    }

    /// Makes the other weights zero.
    pub fn apply(&self, values: &mut [f32]) {
        for (value, &kept) in values.iter_mut().zip(&self.kept) {
            *value = if kept { *value } else { 0.0 };
        }
    }
}

/// A mask for each linear layer that has one, `[layer][linear]` in the order of [`LinearKind::ALL`].
pub type Masks = Vec<[Option<Mask>; 6]>;

/// The pattern of the zeros that weights have now: the pattern lock of a pruned model. Layers without a zero get no mask.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) for weights whose parts do not fit.
pub fn masks_of(layers: &[LayerWeights]) -> Result<Masks> {
    let mut masks = Masks::new();
    for layer in layers {
        let mut row: [Option<Mask>; 6] = Default::default();
        for (mask, linear) in row.iter_mut().zip(layer.linears()) {
            if linear.weight.data.contains(&0.0) {
                let kept = linear.weight.data.iter().map(|&w| w != 0.0).collect();
                *mask = Some(Mask::new(linear.outputs(), linear.inputs(), kept)?);
            }
        }
        masks.push(row);
    }
    Ok(masks)
}

/// Refuses masks of other shapes than the weights have.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size).
pub fn check_masks(masks: &Masks, layers: &[LayerWeights]) -> Result<()> {
    check_size("layers of the masks", masks.len(), layers.len())?;
    for (masks, layer) in masks.iter().zip(layers) {
        for (kind, mask) in LinearKind::ALL.iter().zip(masks) {
            if let Some(mask) = mask {
                check_size("rows of a mask", mask.groups.rows(), kind.of(layer).outputs())?;
                check_size("columns of a mask", mask.groups.columns(), kind.of(layer).inputs())?;
            }
        }
    }
    Ok(())
}

/// Makes the weights outside the masks zero.
pub fn apply(masks: &Masks, values: &mut [LayerWeights]) {
    let tensors = tensors_mut(values);
    let masked: Vec<(&Mask, &mut [f32])> = tensors
        .into_iter()
        .filter_map(|tensor| match tensor.kind {
            TensorKind::Weight(kind) => Some((masks.get(tensor.layer)?[kind as usize].as_ref()?, tensor.values)),
            _ => None,
        })
        .collect();
    masked.into_par_iter().for_each(|(mask, values)| mask.apply(values));
}
