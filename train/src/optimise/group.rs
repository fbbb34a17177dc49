//! AdamW for tensors beside the layers of the encoder: those of a head, or the embeddings.

use rayon::prelude::*;

use super::adamw::{AdamWOptions, CHUNK, Update, sum_squares, update_part};
use crate::error::check_size;
use crate::parameters::Tensors;
use crate::{Error, Result};

/// [`AdamW`](super::AdamW) for tensors that are trained together, with the same formulas. Their gradients are clipped by a norm of their own.
#[derive(Debug, Clone)]
pub struct GroupAdamW<P> {
    options: AdamWOptions,
    pub(crate) steps: u64,
    pub(crate) first: P,
    pub(crate) second: P,
    pub(crate) average: P,
}

impl<P: Tensors> GroupAdamW<P> {
    /// An optimiser for these parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that mean nothing.
    pub fn new(options: AdamWOptions, parameters: &P) -> Result<GroupAdamW<P>> {
        options.check()?;
        let zeros = parameters.zeros_like();
        Ok(GroupAdamW { options, steps: 0, first: zeros.clone(), second: zeros, average: parameters.clone() })
    }

    /// The average of the parameters over the steps.
    pub fn average(&self) -> &P {
        &self.average
    }

    /// One update; `factor` is the schedule's. Gives the norm of the gradients before clipping.
    ///
    /// # Errors
    /// [`Error::Size`] for gradients of another shape, [`Error::NonFinite`] for gradients that are not finite; nothing is changed then.
    pub fn step(&mut self, parameters: &mut P, gradients: &P, factor: f64) -> Result<f64> {
        let norm = self.norm(gradients)?;
        check_size("tensors that are trained", parameters.tensors().len(), gradients.tensors().len())?;
        for (w, g) in parameters.tensors().iter().zip(gradients.tensors()) {
            check_size("elements that are trained", w.len(), g.len())?;
        }
        let update = Update::new(&self.options, norm, self.steps, factor);
        let decayed = update.decayed(&self.options, factor);
        let (weights, gradients) = (parameters.tensors_mut(), gradients.tensors());
        let moments = self.first.tensors_mut().into_iter().zip(self.second.tensors_mut());
        let state = moments.zip(self.average.tensors_mut());
        for (tensor, ((w, g), ((m, v), a))) in weights.into_iter().zip(gradients).zip(state).enumerate() {
            let update = if P::decays(tensor) { decayed } else { update };
            let parts = w.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK));
            let state = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK)).zip(a.par_chunks_mut(CHUNK));
            parts.zip(state).for_each(|((w, g), ((m, v), a))| update_part(update, w, g, m, v, a));
        }
        self.steps += 1;
        Ok(norm)
    }

    /// The norm of gradients that fit.
    ///
    /// # Errors
    /// Those of [`GroupAdamW::step`].
    pub fn norm(&self, gradients: &P) -> Result<f64> {
        let (found, expected) = (gradients.tensors(), self.first.tensors());
        check_size("tensors of the gradient", found.len(), expected.len())?;
        for (found, expected) in found.iter().zip(expected) {
            check_size("elements of the gradient", found.len(), expected.len())?;
        }
        let parts: Vec<&[f32]> = found.into_iter().flat_map(|values| values.chunks(CHUNK)).collect();
        let sums: Vec<f64> = parts.into_par_iter().map(sum_squares).collect();
        let sum: f64 = sums.iter().sum();
        match sum.is_finite() {
            true => Ok(sum.sqrt()),
            false => Err(Error::NonFinite { step: self.steps, place: format!("the gradient of the {}", P::NAME) }),
        }
    }
}
