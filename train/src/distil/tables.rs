//! The embeddings that are trained beside the layers.

use lacuna_model::EmbeddingWeights;

use super::checkpoint::GroupState;
use crate::Result;
use crate::batch::Batch;
use crate::encoder::{Encoder, Saved, Scratch};
use crate::optimise::{AdamWOptions, GroupAdamW};
use crate::parameters::Tensors;

/// The state of the embeddings.
pub(super) struct Tables {
    optimiser: GroupAdamW<EmbeddingWeights>,
    gradients: EmbeddingWeights,
    /// The average with the best dev figure.
    best: Option<EmbeddingWeights>,
}

impl Tables {
    /// Those of a student, which computes gradients of them from now on.
    pub(super) fn new(student: &mut Encoder, options: AdamWOptions) -> Result<Tables> {
        student.train_embeddings()?;
        let optimiser = GroupAdamW::new(options, student.embeddings())?;
        let gradients = student.embeddings().zeros_like();
        Ok(Tables { optimiser, gradients, best: None })
    }

    /// Goes on with weights, both moments and average after some updates.
    pub(super) fn restore(
        &mut self,
        student: &mut Encoder,
        state: GroupState<EmbeddingWeights>,
        updates: u64,
    ) -> Result<()> {
        let [weights, first, second, average] = state.groups;
        (self.optimiser.first, self.optimiser.second, self.optimiser.average) = (first, second, average);
        self.optimiser.steps = updates;
        self.best = state.best;
        student.update_embeddings(|embeddings| {
            *embeddings = weights;
            Ok(())
        })
    }

    /// What a checkpoint holds of them.
    pub(super) fn state<'a>(&'a self, student: &'a Encoder) -> GroupState<&'a EmbeddingWeights> {
        let GroupAdamW { first, second, average, .. } = &self.optimiser;
        GroupState { groups: [student.embeddings(), first, second, average], best: self.best.as_ref() }
    }

    /// The average of the weights.
    pub(super) fn average(&self) -> &EmbeddingWeights {
        self.optimiser.average()
    }

    /// The weights with the best dev figure where there is one, else the average.
    pub(super) fn result(&self) -> &EmbeddingWeights {
        self.best.as_ref().unwrap_or(self.optimiser.average())
    }

    /// The average has the best dev figure so far.
    pub(super) fn keep_best(&mut self) {
        self.best = Some(self.optimiser.average().clone());
    }

    /// The student goes on from the average.
    pub(super) fn continue_from_average(&self, student: &mut Encoder) -> Result<()> {
        student.update_embeddings(|embeddings| {
            embeddings.clone_from(self.optimiser.average());
            Ok(())
        })
    }

    /// What was best was another model.
    pub(super) fn forget_best(&mut self) {
        self.best = None;
    }

    pub(super) fn clear(&mut self) {
        self.gradients.tensors_mut().into_iter().for_each(|values| values.fill(0.0));
    }

    /// Adds the gradients of a batch, whose backward pass through the layers is done.
    pub(super) fn backward(
        &mut self,
        student: &Encoder,
        batch: &Batch,
        saved: &Saved,
        scratch: &mut Scratch,
    ) -> Result<()> {
        student.embeddings_backward(batch, saved, scratch, &mut self.gradients)
    }

    /// Refuses gradients that are not finite, before anything is changed.
    pub(super) fn check(&self) -> Result<f64> {
        self.optimiser.norm(&self.gradients)
    }

    /// One update.
    pub(super) fn step(&mut self, student: &mut Encoder, factor: f64) -> Result<f64> {
        let mut norm = 0.0;
        student.update_embeddings(|embeddings| {
            norm = self.optimiser.step(embeddings, &self.gradients, factor)?;
            Ok(())
        })?;
        Ok(norm)
    }
}
