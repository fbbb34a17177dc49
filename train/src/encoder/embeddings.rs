//! The embeddings, where they are trained.

use std::sync::Arc;

use lacuna_model::EmbeddingWeights;

use super::backward::Scratch;
use super::forward::{Encoder, Saved};
use crate::batch::Batch;
use crate::error::check_size;
use crate::ops::{embed_backward, norm_backward};
use crate::parameters::Tensors;
use crate::product::Product;
use crate::profile::{Part, timed};
use crate::{Error, Result};

impl Encoder {
    /// The embeddings.
    pub fn embeddings(&self) -> &EmbeddingWeights {
        &self.embeddings.weights
    }

    /// Lets backward passes go on to the input of the first layer, for [`Encoder::embeddings_backward`].
    ///
    /// # Errors
    /// Errors of the kernels.
    pub fn train_embeddings(&mut self) -> Result<()> {
        let projection = self.embeddings.weights.projection.as_ref();
        self.embeddings.projection = projection.map(|linear| Product::new(linear, None, true)).transpose()?;
        self.embeddings.trained = true;
        Ok(())
    }

    /// Changes the embeddings, but for their projection.
    ///
    /// # Errors
    /// [`Error::Size`] if the change gave them other shapes, and errors of `change`; the encoder must not be used after one.
    pub fn update_embeddings(&mut self, change: impl FnOnce(&mut EmbeddingWeights) -> Result<()>) -> Result<()> {
        let sizes = |weights: &EmbeddingWeights| weights.tensors().iter().map(|values| values.len()).sum();
        let before = sizes(&self.embeddings.weights);
        change(Arc::make_mut(&mut self.embeddings.weights))?;
        check_size("elements of the embeddings", sizes(&self.embeddings.weights), before)
    }

    /// Adds the gradients of the embeddings to `gradients`. [`Encoder::backward`] of the same batch must have run just before: `scratch`
    /// holds what it left. The projection gets no gradient.
    ///
    /// # Errors
    /// [`Error::Setting`] if the embeddings are not trained; [`Error::Size`] for a forward pass or gradients of another shape.
    pub fn embeddings_backward(
        &self,
        batch: &Batch,
        saved: &Saved,
        scratch: &mut Scratch,
        gradients: &mut EmbeddingWeights,
    ) -> Result<()> {
        if !self.embeddings.trained {
            let found = "embeddings that are not trained".to_owned();
            return Err(Error::Setting { setting: "encoder", found, expected: "one after train_embeddings" });
        }
        let Scratch { dx, dattended: dsum, .. } = scratch;
        check_size("columns of the gradient", dx.columns(), batch.tokens())?;
        timed(Part::Embed, || {
            let dx = match &self.embeddings.projection {
                Some(projection) => {
                    projection.backward(dx, dsum, false)?;
                    dsum
                }
                None => dx,
            };
            norm_backward(&self.embeddings.weights.norm, &saved.embedding_norm, dx, &mut gradients.norm)?;
            embed_backward(batch, dx, gradients)
        })
    }
}
