//! The backward pass.

use lacuna_model::{LayerWeights, Linear};

use super::forward::{Encoder, LayerSaved, Saved};
use crate::batch::Batch;
use crate::error::check_size;
use crate::ops::{activate_backward, attention_backward, norm_backward};
use crate::parameters::LinearKind;
use crate::product::{is_sparse, outer, outer_kept, sum_tokens};
use crate::profile::{Part, timed};
use crate::tiles::Tiles;
use crate::{Error, Result};

/// Activation gradients of the backward pass, kept so that their memory is allocated once.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    /// After a backward pass: the gradient of the first layer's input, where the embeddings are trained.
    pub(super) dx: Tiles,
    dinner: Tiles,
    pub(super) dattended: Tiles,
    dq: Tiles,
    dk: Tiles,
    dv: Tiles,
}

impl Encoder {
    /// Adds the gradients of a loss to `gradients`.
    ///
    /// `seed(layer, dx)` adds the gradient of the loss with respect to the hidden states after `layer` to `dx`. It is called for each
    /// layer from the last to the first; `dx` then holds what comes from the layers after it. The input of the first layer gets a gradient
    /// only where the embeddings are trained.
    ///
    /// # Errors
    /// [`Error::Setting`] if this encoder is not a trained one or `saved` is not of a forward pass of it; [`Error::Size`] for a batch
    /// or gradients of another shape.
    pub fn backward(
        &self,
        batch: &Batch,
        saved: &Saved,
        scratch: &mut Scratch,
        gradients: &mut [LayerWeights],
        mut seed: impl FnMut(usize, &mut Tiles) -> Result<()>,
    ) -> Result<()> {
        check_size("layers of the gradients", gradients.len(), self.layers.len())?;
        check_size("layers of the forward pass", saved.layers.len(), self.layers.len())?;
        check_size("columns of the forward pass", saved.output().columns(), batch.tokens())?;
        scratch.dx.reshape(self.config.hidden_size, batch.tokens());
        scratch.dx.data_mut().fill(0.0);
        for layer in (0..self.layers.len()).rev() {
            seed(layer, &mut scratch.dx)?;
            self.layer_backward(layer, batch, saved, scratch, &mut gradients[layer])?;
        }
        Ok(())
    }

    /// From the gradient of a layer's output, in `scratch.dx`, to that of its input, which takes its place.
    fn layer_backward(
        &self,
        layer: usize,
        batch: &Batch,
        saved: &Saved,
        scratch: &mut Scratch,
        gradients: &mut LayerWeights,
    ) -> Result<()> {
        let (weights, kept, x) = (&self.layers[layer], &saved.layers[layer], saved.layer_input(layer));
        let LayerSaved { q, k, v, attention, attended, attention_norm, inner, slope, output_norm, .. } = kept;
        if slope.columns() != batch.tokens() {
            let found = "a forward pass without derivatives".to_owned();
            return Err(Error::Setting { setting: "saved states", found, expected: "those of a trained encoder" });
        }
        let Scratch { dx, dinner, dattended, dq, dk, dv } = scratch;

        timed(Part::Norm, || norm_backward(&weights.output_norm, output_norm, dx, &mut gradients.output_norm))?;
        self.linear_backward(layer, LinearKind::Down, inner, dx, &mut gradients.down)?;
        timed(Part::InputGradient, || self.product(layer, LinearKind::Down).backward(dx, dinner, false))?;
        timed(Part::Activation, || activate_backward(dinner, slope));
        self.linear_backward(layer, LinearKind::Up, kept.up_input(), dinner, &mut gradients.up)?;
        timed(Part::InputGradient, || self.product(layer, LinearKind::Up).backward(dinner, dx, true))?;

        timed(Part::Norm, || {
            norm_backward(&weights.attention_norm, attention_norm, dx, &mut gradients.attention_norm)
        })?;
        self.linear_backward(layer, LinearKind::O, attended, dx, &mut gradients.o)?;
        timed(Part::InputGradient, || self.product(layer, LinearKind::O).backward(dx, dattended, false))?;
        timed(Part::AttentionGradient, || {
            attention_backward(self.config.heads, batch, [q, k, v], attention, dattended, [dq, dk, dv])
        })?;
        let LayerWeights { q, k, v, .. } = gradients;
        for (kind, dy, gradient) in [(LinearKind::Q, dq, q), (LinearKind::K, dk, k), (LinearKind::V, dv, v)] {
            self.linear_backward(layer, kind, x, dy, gradient)?;
            if layer > 0 || self.embeddings.trained {
                timed(Part::InputGradient, || self.product(layer, kind).backward(dy, dx, true))?;
            }
        }
        Ok(())
    }

    /// `dW += dy x'` and `db += sum dy`. A sparse layer gets gradients of kept columns only.
    fn linear_backward(
        &self,
        layer: usize,
        kind: LinearKind,
        x: &Tiles,
        dy: &Tiles,
        gradient: &mut Linear,
    ) -> Result<()> {
        timed(Part::WeightGradient, || {
            match self.mask(layer, kind) {
                Some(mask) if is_sparse(Some(mask)) => outer_kept(dy, x, mask.groups(), &mut gradient.weight.data)?,
                _ => outer(dy, x, &mut gradient.weight.data)?,
            }
            sum_tokens(dy, &mut gradient.bias)
        })
    }
}
