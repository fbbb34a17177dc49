//! AdamW for the parameters of a head.

use super::adamw::{AdamWOptions, Update, sum_squares, update_part};
use crate::error::check_size;
use crate::head::HeadLayers;
use crate::{Error, Result};

/// [`AdamW`](super::AdamW) for the layers of a head, with the same formulas. The gradients of a head are clipped by a norm of their own.
#[derive(Debug, Clone)]
pub struct HeadAdamW {
    options: AdamWOptions,
    pub(crate) steps: u64,
    pub(crate) first: HeadLayers,
    pub(crate) second: HeadLayers,
    pub(crate) average: HeadLayers,
}

impl HeadAdamW {
    /// An optimiser for these parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that mean nothing.
    pub fn new(options: AdamWOptions, layers: &HeadLayers) -> Result<HeadAdamW> {
        options.check()?;
        let zeros = layers.zeros_like();
        Ok(HeadAdamW { options, steps: 0, first: zeros.clone(), second: zeros, average: layers.clone() })
    }

    /// The average of the parameters over the steps.
    pub fn average(&self) -> &HeadLayers {
        &self.average
    }

    /// One update; `factor` is the schedule's. Gives the norm of the gradients before clipping.
    ///
    /// # Errors
    /// [`Error::Size`] for gradients of another shape, [`Error::NonFinite`] for gradients that are not finite; nothing is changed then.
    pub fn step(&mut self, layers: &mut HeadLayers, gradients: &HeadLayers, factor: f64) -> Result<f64> {
        let norm = self.norm(gradients)?;
        check_size("tensors of a head", layers.tensors().len(), gradients.tensors().len())?;
        for (w, g) in layers.tensors().iter().zip(gradients.tensors()) {
            check_size("elements of a head", w.len(), g.len())?;
        }
        let update = Update::new(&self.options, norm, self.steps, factor);
        let decayed = update.decayed(&self.options, factor);
        let (weights, gradients) = (layers.tensors_mut(), gradients.tensors());
        let moments = self.first.tensors_mut().into_iter().zip(self.second.tensors_mut());
        let state = moments.zip(self.average.tensors_mut());
        for (i, ((w, g), ((m, v), a))) in weights.into_iter().zip(gradients).zip(state).enumerate() {
            // Weights have even numbers.
            update_part(if i % 2 == 0 { decayed } else { update }, w, g, m, v, a);
        }
        self.steps += 1;
        Ok(norm)
    }

    /// The norm of gradients that fit.
    ///
    /// # Errors
    /// Those of [`HeadAdamW::step`].
    pub fn norm(&self, gradients: &HeadLayers) -> Result<f64> {
        let (found, expected) = (gradients.tensors(), self.first.tensors());
        check_size("tensors of the gradient of a head", found.len(), expected.len())?;
        for (found, expected) in found.iter().zip(expected) {
            check_size("elements of the gradient of a head", found.len(), expected.len())?;
        }
        let sum: f64 = found.into_iter().map(sum_squares).sum();
        match sum.is_finite() {
            true => Ok(sum.sqrt()),
            false => Err(Error::NonFinite { step: self.steps, place: "the gradient of the head".to_owned() }),
        }
    }
}
