//! Whole attention heads and feed-forward neurons are removed, and smaller dense matrices remain.
//!
//! A head is a block of inputs of `o`, and a neuron an input of `down`, so that both are eliminated as blocks of one group of all rows.
//! What the removal costs is then exact, and `o` and `down` are refitted to what the dense model computes. The activation may become another
//! one on the way: then `down` is refitted to its outputs.

use std::time::Instant;

use lacuna_model::reference::activate;
use lacuna_model::{
    Activation, EncoderConfig, EncoderWeights, LINEAR_NAMES, LayerWeights, Linear, Matrix, TokenIds, check_tokens,
};

use super::choose::choose;
use super::eliminate::{Elimination, eliminate};
use super::error::PruneError;
use super::forward::{Batch, attend, batches, close, distance, embed, linear, per_batch};
use super::grid::{Grid, Mask};
use super::moments::Moments;
use super::one_shot::check_weights;
use super::problem::{Inputs, Target};
use super::refit::refit;
use super::report::Answer;
use super::select::{columns_of, rows_of};
use crate::error::Result;

/// What every layer keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Structure {
    /// Attention heads that every layer keeps.
    pub heads: usize,
    /// Feed-forward neurons that every layer keeps: features between the projections up and down.
    pub neurons: usize,
    /// The activation of the smaller model.
    pub activation: Activation,
    /// What is added to the diagonal of second moments, relative to its mean.
    pub damping: f64,
}

impl Structure {
    /// All heads and neurons of a model, and its activation.
    pub fn of(config: &EncoderConfig) -> Structure {
        Structure {
            heads: config.heads,
            neurons: config.intermediate_size,
            activation: config.activation,
            damping: 0.01,
        }
    }
}

/// A model with fewer heads and neurons.
///
/// With H' heads of S features and F' neurons left, `q`, `k` and `v` are `H' S x hidden`, `o` is `hidden x H' S`, `up` is `F' x hidden` and
/// `down` is `hidden x F'`.
#[derive(Debug, Clone, PartialEq)]
pub struct Smaller {
    /// The shape.
    pub config: EncoderConfig,
    /// The weights.
    pub weights: EncoderWeights,
    /// What every layer keeps.
    pub layers: Vec<LayerCut>,
}

/// What a layer keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerCut {
    /// The layer.
    pub layer: usize,
    /// Its heads that stay, ascending.
    pub heads: Vec<usize>,
    /// Its neurons that stay, ascending.
    pub neurons: Vec<usize>,
    /// `sum |x - y|^2 / sum |y|^2` of the hidden states after the layer, y those of the dense model.
    pub hidden_error: f64,
    /// Wall time.
    pub seconds: f64,
}

/// Removes heads and neurons of every layer, first layer first, and refits what remains.
///
/// # Numerics
/// The same bits on any number of threads.
///
/// # Errors
/// [`PruneError::Setting`] for more heads or neurons than there are, or none; else those of [`one_shot`](super::one_shot()).
pub fn remove<S: TokenIds, A: Answer>(
    config: &EncoderConfig,
    dense: &EncoderWeights,
    calibration: &[S],
    structure: Structure,
    progress: &mut dyn FnMut(&LayerCut) -> A,
) -> Result<Smaller> {
    check_tokens(config, calibration)?;
    check_weights(config, dense)?;
    for (setting, found, most) in
        [("heads", structure.heads, config.heads), ("neurons", structure.neurons, config.intermediate_size)]
    {
        if found == 0 || found > most {
            let expected = "at least 1, and at most what the model has";
            return Err(PruneError::Setting { setting, found: found as f64, expected }.into());
        }
    }
    let lengths: Vec<usize> = calibration.iter().map(|tokens| tokens.ids().len()).collect();
    let batches = batches(&lengths);
    let states = embed(config, dense, calibration, &batches)?;
    let mut run = Run { config, structure, batches: &batches, student: states.clone(), dense: states };
    let mut weights = dense.clone();
    let mut layers = Vec::with_capacity(weights.layers.len());
    for (index, (dense, layer)) in dense.layers.iter().zip(&mut weights.layers).enumerate() {
        let start = Instant::now();
        let heads = run.attention(index, dense, layer)?;
        let neurons = run.feed_forward(index, dense, layer)?;
        let hidden_error = distance(&run.student, &run.dense);
        let cut = LayerCut { layer: index, heads, neurons, hidden_error, seconds: start.elapsed().as_secs_f64() };
        progress(&cut).check()?;
        layers.push(cut);
    }
    let config = EncoderConfig {
        intermediate_size: structure.neurons,
        activation: structure.activation,
        ..config.with_heads(structure.heads)
    };
    Ok(Smaller { config, weights, layers })
}

/// Both models up to the layer that is being cut.
struct Run<'a> {
    config: &'a EncoderConfig,
    structure: Structure,
    batches: &'a [Batch],
    student: Vec<Matrix>,
    dense: Vec<Matrix>,
}

impl Run<'_> {
    /// Cuts heads. Returns those that stay.
    fn attention(&mut self, index: usize, dense: &LayerWeights, layer: &mut LayerWeights) -> Result<Vec<usize>> {
        let (count, size, eps) = (self.batches.len(), self.config.head_size(), self.config.layer_norm_eps);
        let moments = self.moments(&self.student, &self.dense, false)?;
        let name = |linear: usize| format!("{index}.{}", LINEAR_NAMES[linear]);
        let inputs = Inputs::new(&moments, self.structure.damping, &name(0))?;
        for (i, (from, to)) in
            [(&dense.q, &mut layer.q), (&dense.k, &mut layer.k), (&dense.v, &mut layer.v)].into_iter().enumerate()
        {
            *to = follow(&inputs, &moments, from, &name(i))?;
        }
        let attended = |x: &[Matrix], heads: usize, layer: &LayerWeights| {
            per_batch(count, |i| attend(heads, &x[i], [&layer.q, &layer.k, &layer.v], &self.batches[i].tokens))
        };
        let dense_inner = attended(&self.dense, self.config.heads, dense);
        let inner = attended(&self.student, self.config.heads, layer);
        let moments = self.moments(&inner, &dense_inner, true)?;
        let (o, kept) = self.cut(&moments, &dense.o, size, self.structure.heads, &name(3))?;
        let features: Vec<usize> = kept.iter().flat_map(|head| head * size..(head + 1) * size).collect();
        layer.o = o;
        for linear in [&mut layer.q, &mut layer.k, &mut layer.v] {
            *linear = rows_of(linear, &features);
        }
        let inner = attended(&self.student, kept.len(), layer);
        let closed = |x: &[Matrix], inner: &[Matrix], layer: &LayerWeights| {
            per_batch(count, |i| close(&x[i], &inner[i], &layer.o, &layer.attention_norm, eps))
        };
        (self.dense, self.student) = (closed(&self.dense, &dense_inner, dense), closed(&self.student, &inner, layer));
        Ok(kept)
    }

    /// Cuts neurons. Returns those that stay.
    fn feed_forward(&mut self, index: usize, dense: &LayerWeights, layer: &mut LayerWeights) -> Result<Vec<usize>> {
        let (count, eps) = (self.batches.len(), self.config.layer_norm_eps);
        let name = |linear: usize| format!("{index}.{}", LINEAR_NAMES[linear]);
        let moments = self.moments(&self.student, &self.dense, false)?;
        let inputs = Inputs::new(&moments, self.structure.damping, &name(4))?;
        layer.up = follow(&inputs, &moments, &dense.up, &name(4))?;
        let activated = |x: &[Matrix], layer: &LayerWeights, activation| {
            per_batch(count, |i| {
                let mut inner = linear(&x[i], &layer.up);
                activate(activation, &mut inner.data);
                inner
            })
        };
        let dense_inner = activated(&self.dense, dense, self.config.activation);
        let inner = activated(&self.student, layer, self.structure.activation);
        let moments = self.moments(&inner, &dense_inner, true)?;
        let (down, kept) = self.cut(&moments, &dense.down, 1, self.structure.neurons, &name(5))?;
        layer.down = down;
        layer.up = rows_of(&layer.up, &kept);
        let inner: Vec<Matrix> = inner.iter().map(|inner| columns_of(inner, &kept)).collect();
        let closed = |x: &[Matrix], inner: &[Matrix], layer: &LayerWeights| {
            per_batch(count, |i| close(&x[i], &inner[i], &layer.down, &layer.output_norm, eps))
        };
        (self.dense, self.student) = (closed(&self.dense, &dense_inner, dense), closed(&self.student, &inner, layer));
        Ok(kept)
    }

    /// Keeps so many blocks of `wide` inputs. Returns the smaller layer, refitted, and the blocks.
    fn cut(
        &self,
        moments: &Moments,
        dense: &Linear,
        wide: usize,
        keep: usize,
        name: &str,
    ) -> Result<(Linear, Vec<usize>), PruneError> {
        let inputs = Inputs::new(moments, self.structure.damping, name)?;
        let target = Target::new(&inputs, moments, dense, name)?;
        let grid = Grid::of_inputs(dense.outputs(), dense.inputs(), wide)?;
        let total = grid.across();
        // One block goes at a time, so that the last ones are exact.
        let options = Elimination { fraction: f64::MIN_POSITIVE, keep: 0.0 };
        let fine = if total > 256 { Elimination { fraction: 1.0 / 64.0, ..options } } else { options };
        let losses = eliminate(&inputs, &target, grid, fine, name)?;
        let mask = choose(&losses, (total - keep) as f64 / total as f64)?;
        let layer = refit(&inputs, &target, &mask, name)?;
        let kept = (0..total).filter(|block| mask.kept()[*block]).collect();
        Ok((Linear { weight: columns_of(&layer.weight, &mask.columns(0)), bias: layer.bias }, kept))
    }

    fn moments(&self, student: &[Matrix], dense: &[Matrix], residual: bool) -> Result<Moments, PruneError> {
        Moments::of_streams(student, dense, residual.then_some((&self.student[..], &self.dense[..])), None)
    }
}

/// A dense layer that computes from the student's inputs what it should from the dense ones.
fn follow(inputs: &Inputs, moments: &Moments, dense: &Linear, name: &str) -> Result<Linear, PruneError> {
    let target = Target::new(inputs, moments, dense, name)?;
    let grid = Grid::of_inputs(dense.outputs(), dense.inputs(), 1)?;
    refit(inputs, &target, &Mask::full(grid), name)
}
