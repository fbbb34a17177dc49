//! The forward pass.

use lacuna_model::{EmbeddingWeights, EncoderConfig, EncoderWeights, LayerNorm, LayerWeights, Linear};
use rayon::prelude::*;
use std::sync::Arc;

use crate::batch::Batch;
use crate::error::check_size;
use crate::mask::{Mask, Masks, apply, check_masks};
use crate::ops::{AttentionSaved, NormSaved, activate, attention, embed, norm};
use crate::parameters::{LINEARS, LinearKind};
use crate::product::Product;
use crate::profile::{Part, timed};
use crate::rounding::{Rounded, Rounding};
use crate::tiles::Tiles;
use crate::{Error, Result};

/// An encoder that runs on f32 tiles: a teacher, or a student that is trained or pruned.
///
/// The linear layers and normalisations of the layers are the parameters. The embeddings stay as they are, unless
/// [`Encoder::train_embeddings`] says otherwise.
#[derive(Debug, Clone)]
pub struct Encoder {
    pub(super) config: EncoderConfig,
    pub(super) embeddings: Embeddings,
    pooler: Option<Linear>,
    pub(super) layers: Vec<LayerWeights>,
    pub(super) products: Vec<[Product; LINEARS]>,
    trained: bool,
    pub(super) masks: Masks,
    rounding: Option<Arc<Rounding>>,
}

#[derive(Debug, Clone)]
pub(super) struct Embeddings {
    pub(super) weights: Arc<EmbeddingWeights>,
    pub(super) projection: Option<Product>,
    /// Whether there are gradients of them.
    pub(super) trained: bool,
}

/// What a forward pass keeps of one layer, for losses and the backward pass.
#[derive(Debug, Clone, Default)]
pub struct LayerSaved {
    pub(super) q: Tiles,
    pub(super) k: Tiles,
    pub(super) v: Tiles,
    pub(super) attention: AttentionSaved,
    pub(super) attended: Tiles,
    pub(super) attention_norm: NormSaved,
    pub(super) middle: Tiles,
    pub(super) inner: Tiles,
    pub(super) slope: Tiles,
    pub(super) output_norm: NormSaved,
    pub(super) output: Tiles,
    /// The output of the projections o and down.
    projected: Tiles,
    /// The input of the layer and the sum after attention as they are rounded, where they are: linear layers read them, and residuals
    /// do not.
    rounded: Option<Box<[Tiles; 2]>>,
}

impl LayerSaved {
    /// What up reads.
    pub(super) fn up_input(&self) -> &Tiles {
        self.rounded.as_ref().map_or(&self.middle, |rounded| &rounded[1])
    }
}

/// What a forward pass keeps. It is reused from batch to batch, so that its memory is allocated once.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    pub(super) embedding_norm: NormSaved,
    pub(super) embedded: Tiles,
    pub(super) layers: Vec<LayerSaved>,
}

impl Saved {
    /// The input of the first layer.
    pub fn embedded(&self) -> &Tiles {
        &self.embedded
    }

    /// The number of layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// The hidden states after layer `layer`, from 0.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn hidden(&self, layer: usize) -> &Tiles {
        &self.layers[layer].output
    }

    /// The hidden states after the last layer.
    pub fn output(&self) -> &Tiles {
        self.layers.last().map_or(&self.embedded, |layer| &layer.output)
    }

    /// The input of a linear layer: that of the layer for q, k and v, the output of attention, the sum after attention, the output of the
    /// activation; rounded where the encoder rounds.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn input(&self, layer: usize, kind: LinearKind) -> &Tiles {
        let saved = &self.layers[layer];
        match kind {
            LinearKind::Q | LinearKind::K | LinearKind::V => self.layer_input(layer),
            LinearKind::O => &saved.attended,
            LinearKind::Up => saved.up_input(),
            LinearKind::Down => &saved.inner,
        }
    }

    /// What q, k and v read.
    pub(super) fn layer_input(&self, layer: usize) -> &Tiles {
        if let Some(rounded) = &self.layers[layer].rounded {
            return &rounded[0];
        }
        if layer == 0 { &self.embedded } else { &self.layers[layer - 1].output }
    }
}

impl Encoder {
    /// An encoder that is only run: a teacher.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for weights that do not fit the configuration, and errors of the kernels.
    pub fn new(config: &EncoderConfig, weights: &EncoderWeights) -> Result<Encoder> {
        Encoder::make(config, weights, false, Masks::new())
    }

    /// An encoder that is only run, and keeps no second copy of its weights: its products have them, and the linear layers of
    /// [`Encoder::layers`] and [`Encoder::weights`] are empty.
    ///
    /// # Errors
    /// Those of [`Encoder::new`]; [`Encoder::update`] is refused.
    pub fn teacher(config: &EncoderConfig, weights: &EncoderWeights) -> Result<Encoder> {
        let mut encoder = Encoder::make(config, weights, false, Masks::new())?;
        for layer in &mut encoder.layers {
            for kind in LinearKind::ALL {
                kind.of_mut(layer).weight.data = Vec::new();
            }
        }
        Ok(encoder)
    }

    /// An encoder with gradients: a student.
    ///
    /// # Errors
    /// Those of [`Encoder::new`].
    pub fn trained(config: &EncoderConfig, weights: &EncoderWeights) -> Result<Encoder> {
        Encoder::make(config, weights, true, Masks::new())
    }

    /// [`Encoder::trained`], then [`Encoder::set_masks`], without packing the dense matrices first: that would take more memory than all that
    /// follows.
    ///
    /// # Errors
    /// Those of both.
    pub fn masked(config: &EncoderConfig, weights: &EncoderWeights, masks: Masks) -> Result<Encoder> {
        Encoder::make(config, weights, true, masks)
    }

    fn make(config: &EncoderConfig, weights: &EncoderWeights, trained: bool, masks: Masks) -> Result<Encoder> {
        check_size("layers of the weights", weights.layers.len(), config.layers)?;
        if config.layers == 0 {
            let (setting, found) = ("layers of an encoder", "0".to_owned());
            return Err(Error::Setting { setting, found, expected: "at least 1" });
        }
        weights.layers.iter().try_for_each(|layer| check_layer(config, layer))?;
        let projection = weights.embeddings.projection.as_ref();
        let embeddings = Embeddings {
            weights: weights.embeddings.clone(),
            projection: projection.map(|linear| Product::new(linear, None, false)).transpose()?,
            trained: false,
        };
        let (mut layers, pooler) = (weights.layers.clone(), weights.pooler.clone());
        if !masks.is_empty() {
            check_masks(&masks, &layers)?;
            apply(&masks, &mut layers);
        }
        let products = pack(&layers, &masks, trained, None)?;
        Ok(Encoder { config: config.clone(), embeddings, pooler, layers, products, trained, masks, rounding: None })
    }

    /// The configuration.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The parameters.
    pub fn layers(&self) -> &[LayerWeights] {
        &self.layers
    }

    /// The weights of the whole encoder.
    pub fn weights(&self) -> EncoderWeights {
        self.weights_with(self.layers.clone())
    }

    /// The weights of the whole encoder with other layers.
    pub(crate) fn weights_with(&self, layers: Vec<LayerWeights>) -> EncoderWeights {
        EncoderWeights { embeddings: self.embeddings.weights.clone(), layers, pooler: self.pooler.clone() }
    }

    /// Changes parameters, and packs all linear layers again.
    ///
    /// # Errors
    /// Those of [`Encoder::new`]; the encoder must not be used after one.
    pub fn update(&mut self, change: impl FnOnce(&mut [LayerWeights])) -> Result<()> {
        change(&mut self.layers);
        self.layers.iter().try_for_each(|layer| check_layer(&self.config, layer))?;
        let rounding = self.rounding.as_deref();
        self.products = timed(Part::Pack, || pack(&self.layers, &self.masks, self.trained, rounding))?;
        Ok(())
    }

    /// Rounds as an int8 model does from now on, or no longer. The parameters stay as they are; products read them rounded.
    ///
    /// # Errors
    /// Errors of the kernels.
    pub fn set_rounding(&mut self, rounding: Option<Rounding>) -> Result<()> {
        self.rounding = rounding.map(Arc::new);
        self.update(|_| ())
    }

    /// How it rounds, where it does.
    pub fn rounding(&self) -> Option<&Rounding> {
        self.rounding.as_deref()
    }

    /// The pattern of the weights from now on: products of a linear layer with a mask leave out what it does not keep, where that is
    /// faster, and gradients are computed for kept weights only. Weights outside the masks become zero. No masks make it dense again.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for masks of other shapes, and errors of the kernels.
    pub fn set_masks(&mut self, masks: &Masks) -> Result<()> {
        if !masks.is_empty() {
            check_masks(masks, &self.layers)?;
        }
        self.masks.clone_from(masks);
        self.update(|layers| apply(masks, layers))
    }

    /// The masks; empty without any.
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// Replaces one linear layer.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for another shape, and errors of the kernels.
    pub fn set_linear(&mut self, layer: usize, kind: LinearKind, linear: Linear) -> Result<()> {
        check_size("number of the layer", layer.min(self.layers.len().saturating_sub(1)), layer)?;
        let old = kind.of(&self.layers[layer]);
        check_linear(&linear, old.outputs(), old.inputs())?;
        let rounded = self.rounding.as_ref().map(|rounding| rounding.linear(layer, kind, &linear));
        let read = rounded.as_ref().unwrap_or(&linear);
        self.products[layer][kind as usize] = Product::new(read, self.mask(layer, kind), self.trained)?;
        *kind.of_mut(&mut self.layers[layer]) = linear;
        Ok(())
    }

    /// The input of the first layer: `norm(word + position + type)`, and its projection where there is one.
    ///
    /// # Errors
    /// [`Error::Setting`] for a batch that was made for larger tables, and errors of the kernels.
    pub fn embed(&self, batch: &Batch) -> Result<Tiles> {
        self.embed_saving(batch, &mut NormSaved::default())
    }

    fn embed_saving(&self, batch: &Batch, saved: &mut NormSaved) -> Result<Tiles> {
        let (tables, mut x) = (&self.embeddings.weights, Tiles::default());
        let sum = embed(tables, batch)?;
        norm(&tables.norm, self.config.layer_norm_eps, &sum, None, &mut x, saved)?;
        if let Some(projection) = &self.embeddings.projection {
            let mut projected = Tiles::default();
            projection.forward(&x, &mut projected)?;
            return Ok(projected);
        }
        Ok(x)
    }

    /// The output of attention from the input of a layer: the input of o.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) if `x` is not an activation of the batch.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn attention_part(&self, layer: usize, batch: &Batch, x: &Tiles) -> Result<Tiles> {
        let mut saved = LayerSaved::default();
        self.attend(layer, batch, x, &mut saved)?;
        Ok(saved.attended)
    }

    /// `norm(x + o(attended))`: the input of up.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for activations of other shapes.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn finish_attention(&self, layer: usize, x: &Tiles, attended: &Tiles) -> Result<Tiles> {
        let weights = &self.layers[layer].attention_norm;
        self.finish(layer, LinearKind::O, x, attended, weights)
    }

    /// `activation(up(middle))`: the input of down.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for activations of other shapes.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn up(&self, layer: usize, middle: &Tiles) -> Result<Tiles> {
        let (mut inner, mut rounded) = (Tiles::default(), Tiles::default());
        let read = self.rounded(layer, Rounded::Middle, middle, &mut rounded);
        self.product(layer, LinearKind::Up).forward(read, &mut inner)?;
        activate(self.config.activation, &mut inner, None);
        self.round(layer, Rounded::Inner, &mut inner);
        Ok(inner)
    }

    /// `norm(middle + down(inner))`: the output of the layer.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for activations of other shapes.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn down(&self, layer: usize, middle: &Tiles, inner: &Tiles) -> Result<Tiles> {
        let weights = &self.layers[layer].output_norm;
        self.finish(layer, LinearKind::Down, middle, inner, weights)
    }

    fn finish(&self, layer: usize, kind: LinearKind, x: &Tiles, inner: &Tiles, weights: &LayerNorm) -> Result<Tiles> {
        let (mut projected, mut y) = (Tiles::default(), Tiles::default());
        self.product(layer, kind).forward(inner, &mut projected)?;
        norm(weights, self.config.layer_norm_eps, x, Some(&projected), &mut y, &mut NormSaved::default())?;
        Ok(y)
    }

    pub(super) fn mask(&self, layer: usize, kind: LinearKind) -> Option<&Mask> {
        self.masks.get(layer)?[kind as usize].as_ref()
    }

    pub(super) fn product(&self, layer: usize, kind: LinearKind) -> &Product {
        &self.products[layer][kind as usize]
    }

    /// Rounds an activation, where this encoder does.
    fn round(&self, layer: usize, what: Rounded, x: &mut Tiles) {
        if let Some(rounding) = &self.rounding {
            timed(Part::Round, || rounding.round(layer, what, x));
        }
    }

    /// A rounded copy in `copy`, or the activation itself where this encoder does not round.
    fn rounded<'a>(&self, layer: usize, what: Rounded, x: &'a Tiles, copy: &'a mut Tiles) -> &'a Tiles {
        if self.rounding.is_none() {
            return x;
        }
        copy.clone_from(x);
        self.round(layer, what, copy);
        copy
    }

    fn attend(&self, layer: usize, batch: &Batch, x: &Tiles, saved: &mut LayerSaved) -> Result<()> {
        let LayerSaved { q, k, v, attention: kept, attended, rounded, .. } = saved;
        match self.rounding {
            Some(_) => drop(rounded.get_or_insert_default()),
            None => *rounded = None,
        }
        let mut none = Tiles::default();
        let copy = rounded.as_mut().map_or(&mut none, |rounded| &mut rounded[0]);
        let x = self.rounded(layer, Rounded::AttentionInput, x, copy);
        let outputs =
            [(LinearKind::Q, Rounded::Queries), (LinearKind::K, Rounded::Keys), (LinearKind::V, Rounded::Values)];
        for ((kind, what), y) in outputs.into_iter().zip([&mut *q, &mut *k, &mut *v]) {
            timed(Part::Forward, || self.product(layer, kind).forward(x, y))?;
            self.round(layer, what, y);
        }
        let codes = self.rounding.is_some();
        timed(Part::Attention, || attention(self.config.heads, batch, [q, k, v], codes, attended, kept))?;
        self.round(layer, Rounded::Attended, attended);
        Ok(())
    }

    /// All hidden states of a batch.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn forward(&self, batch: &Batch, saved: &mut Saved) -> Result<()> {
        saved.embedded = timed(Part::Embed, || self.embed_saving(batch, &mut saved.embedding_norm))?;
        self.forward_layers(batch, saved)
    }

    /// All hidden states of a batch whose embeddings `saved` holds: those of a teacher and a student with the same tables are equal.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) if they are of another shape.
    pub fn forward_from(&self, batch: &Batch, embedded: &Tiles, saved: &mut Saved) -> Result<()> {
        check_size("columns of the embeddings", embedded.columns(), batch.tokens())?;
        check_size("features of the embeddings", embedded.features(), self.config.hidden_size)?;
        saved.embedded.clone_from(embedded);
        self.forward_layers(batch, saved)
    }

    fn forward_layers(&self, batch: &Batch, saved: &mut Saved) -> Result<()> {
        saved.layers.resize_with(self.layers.len(), LayerSaved::default);
        let Saved { embedded, layers, .. } = saved;
        let mut x = &*embedded;
        for (layer, saved) in layers.iter_mut().enumerate() {
            self.layer(layer, batch, x, saved)?;
            x = &saved.output;
        }
        Ok(())
    }

    fn layer(&self, layer: usize, batch: &Batch, x: &Tiles, saved: &mut LayerSaved) -> Result<()> {
        let (weights, eps) = (&self.layers[layer], self.config.layer_norm_eps);
        self.attend(layer, batch, x, saved)?;
        let LayerSaved {
            attended, attention_norm, middle, inner, slope, output_norm, output, projected, rounded, ..
        } = saved;
        timed(Part::Forward, || self.product(layer, LinearKind::O).forward(attended, projected))?;
        timed(Part::Norm, || norm(&weights.attention_norm, eps, x, Some(projected), middle, attention_norm))?;
        let mut none = Tiles::default();
        let copy = rounded.as_mut().map_or(&mut none, |rounded| &mut rounded[1]);
        let read = self.rounded(layer, Rounded::Middle, middle, copy);
        timed(Part::Forward, || self.product(layer, LinearKind::Up).forward(read, inner))?;
        timed(Part::Activation, || activate(self.config.activation, inner, self.trained.then_some(slope)));
        self.round(layer, Rounded::Inner, inner);
        timed(Part::Forward, || self.product(layer, LinearKind::Down).forward(inner, projected))?;
        timed(Part::Norm, || norm(&weights.output_norm, eps, middle, Some(projected), output, output_norm))
    }
}

/// Packs all linear layers, on all threads.
fn pack(
    layers: &[LayerWeights],
    masks: &Masks,
    trained: bool,
    rounding: Option<&Rounding>,
) -> Result<Vec<[Product; LINEARS]>> {
    let of_layer = |(number, layer): (usize, &LayerWeights)| {
        let linears: Vec<(LinearKind, &Linear)> = LinearKind::ALL.into_iter().zip(layer.linears()).collect();
        let products: Vec<Product> = linears
            .into_par_iter()
            .map(|(kind, linear)| {
                let mask = masks.get(number).and_then(|masks| masks[kind as usize].as_ref());
                match rounding {
                    Some(rounding) => Product::new(&rounding.linear(number, kind, linear), mask, trained),
                    None => Product::new(linear, mask, trained),
                }
            })
            .collect::<Result<_>>()?;
        let found = products.len();
        products.try_into().map_err(|_| Error::Size { what: "products of a layer", found, expected: LINEARS })
    };
    layers.par_iter().enumerate().map(of_layer).collect()
}

fn check_linear(linear: &Linear, outputs: usize, inputs: usize) -> Result<()> {
    check_size("output features of a linear layer", linear.outputs(), outputs)?;
    check_size("input features of a linear layer", linear.inputs(), inputs)?;
    check_size("biases of a linear layer", linear.bias.len(), outputs)?;
    check_size("weights of a linear layer", linear.weight.data.len(), outputs * inputs)
}

fn check_layer(config: &EncoderConfig, layer: &LayerWeights) -> Result<()> {
    let hidden = config.hidden_size;
    for ((outputs, inputs), linear) in config.linear_shapes().into_iter().zip(layer.linears()) {
        check_linear(linear, outputs, inputs)?;
    }
    for norm in [&layer.attention_norm, &layer.output_norm] {
        check_size("scales of a normalisation", norm.gamma.len(), hidden)?;
        check_size("shifts of a normalisation", norm.beta.len(), hidden)?;
    }
    Ok(())
}
