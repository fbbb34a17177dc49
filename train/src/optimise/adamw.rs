//! The optimiser AdamW, with clipping, masks and an average of the weights.

use lacuna_model::LayerWeights;
use rayon::prelude::*;

use crate::cpu::multiversion;
use crate::error::check_size;
use crate::mask::{Masks, apply, check_masks};
use crate::parameters::{TensorKind, tensors, tensors_mut, zeros_like};
use crate::profile::{Part, timed};
use crate::{Error, Result};

/// Elements that one task updates or sums: sums do not depend on the number of threads.
pub(super) const CHUNK: usize = 1 << 14;

/// The settings of [`AdamW`].
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdamWOptions {
    /// The learning rate before the schedule's factor.
    pub rate: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay of weights; biases and normalisations have none.
    pub weight_decay: f64,
    /// The largest norm of all gradients together; larger ones are scaled down to it.
    pub clip: f64,
    /// Decay of the average of the weights, at most; at step t it is `min(ema, (t + 1) / (t + 10))`.
    pub ema: f64,
}

impl Default for AdamWOptions {
    fn default() -> AdamWOptions {
        AdamWOptions { rate: 5e-4, beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: 0.01, clip: 1.0, ema: 0.99 }
    }
}

impl AdamWOptions {
    /// Refuses values that mean nothing.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        let share = |x: f64| (0.0..1.0).contains(&x);
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let rules = [
            ("learning rate", self.rate, positive(self.rate), "a positive number"),
            ("beta1", self.beta1, share(self.beta1), "0 <= beta1 < 1"),
            ("beta2", self.beta2, share(self.beta2), "0 <= beta2 < 1"),
            ("eps", self.eps, positive(self.eps), "a positive number"),
            ("weight decay", self.weight_decay, self.weight_decay >= 0.0, "0 or more"),
            ("clip", self.clip, positive(self.clip), "a positive number"),
            ("ema", self.ema, share(self.ema), "0 <= ema < 1"),
        ];
        match rules.into_iter().find(|(_, _, valid, _)| !valid) {
            Some((setting, found, _, expected)) => Err(Error::Setting { setting, found: found.to_string(), expected }),
            None => Ok(()),
        }
    }
}

/// AdamW with decoupled weight decay, in f32.
///
/// ```text
/// m = beta1 m + (1 - beta1) g      v = beta2 v + (1 - beta2) g^2
/// w = w - rate (decay w + (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps))
/// average = e average + (1 - e) w
/// ```
///
/// A weight outside its mask is exactly zero, and so are its gradient, its moments and its average.
///
/// # Source
/// Loshchilov and Hutter, Decoupled weight decay regularization, 2019.
#[derive(Debug, Clone)]
pub struct AdamW {
    options: AdamWOptions,
    masks: Masks,
    pub(crate) steps: u64,
    pub(crate) first: Vec<LayerWeights>,
    pub(crate) second: Vec<LayerWeights>,
    pub(crate) average: Vec<LayerWeights>,
}

/// The numbers of one update.
#[derive(Clone, Copy)]
pub(super) struct Update {
    scale: f32,
    beta1: f32,
    beta2: f32,
    correction1: f32,
    correction2: f32,
    rate: f32,
    decay: f32,
    eps: f32,
    ema: f32,
}

impl Update {
    /// The update number `step`, from 0, for gradients of this norm. It has no weight decay.
    pub(super) fn new(options: &AdamWOptions, norm: f64, step: u64, factor: f64) -> Update {
        let &AdamWOptions { rate, beta1, beta2, eps, clip, ema, .. } = options;
        let t = (step + 1) as f64;
        Update {
            scale: (clip / (norm + 1e-6)).min(1.0) as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            correction1: (1.0 / (1.0 - beta1.powf(t))) as f32,
            correction2: (1.0 / (1.0 - beta2.powf(t))) as f32,
            rate: (rate * factor) as f32,
            decay: 0.0,
            eps: eps as f32,
            ema: ema.min(t / (t + 9.0)) as f32,
        }
    }

    /// The same with the weight decay of `options`.
    pub(super) fn decayed(self, options: &AdamWOptions, factor: f64) -> Update {
        Update { decay: (options.rate * factor * options.weight_decay) as f32, ..self }
    }
}

impl AdamW {
    /// An optimiser for some parameters, which the masks are applied to.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that mean nothing, [`Error::Size`] for masks of other shapes.
    pub fn new(options: AdamWOptions, layers: &mut [LayerWeights], masks: Masks) -> Result<AdamW> {
        options.check()?;
        check_masks(&masks, layers)?;
        apply(&masks, layers);
        AdamW::with_average(options, layers.to_vec(), masks)
    }

    /// An optimiser whose average begins with these parameters, which the masks are applied to. They are not copied.
    ///
    /// # Errors
    /// Those of [`AdamW::new`].
    pub(crate) fn with_average(options: AdamWOptions, mut average: Vec<LayerWeights>, masks: Masks) -> Result<AdamW> {
        options.check()?;
        check_masks(&masks, &average)?;
        apply(&masks, &mut average);
        Ok(AdamW { options, masks, steps: 0, first: zeros_like(&average), second: zeros_like(&average), average })
    }

    /// Other masks from now on: weights, moments and average outside them become zero.
    ///
    /// # Errors
    /// [`Error::Size`] for masks of other shapes.
    pub fn set_masks(&mut self, masks: Masks, layers: &mut [LayerWeights]) -> Result<()> {
        check_masks(&masks, layers)?;
        self.masks = masks;
        for values in [layers, &mut self.first, &mut self.second, &mut self.average] {
            apply(&self.masks, values);
        }
        Ok(())
    }

    /// The masks.
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// Updates so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The average of the weights over the steps.
    pub fn average(&self) -> &[LayerWeights] {
        &self.average
    }

    /// One update; `factor` is the schedule's. Gradients outside the masks count as zero. Gives the norm of the gradients before clipping.
    ///
    /// # Numerics
    /// The norm is summed in f64 in a fixed order. The update of an element depends on nothing else, so that threads do not change it.
    ///
    /// # Errors
    /// [`Error::Size`] for gradients of another shape, [`Error::NonFinite`] for gradients that are not finite; nothing is changed then.
    pub fn step(&mut self, layers: &mut [LayerWeights], gradients: &mut [LayerWeights], factor: f64) -> Result<f64> {
        timed(Part::Optimiser, || self.update(layers, gradients, factor))
    }

    fn update(&mut self, layers: &mut [LayerWeights], gradients: &mut [LayerWeights], factor: f64) -> Result<f64> {
        check_size("layers of the gradients", gradients.len(), self.first.len())?;
        check_size("layers of the weights", layers.len(), self.first.len())?;
        apply(&self.masks, gradients);
        let sums = squares(gradients);
        if let Some(layer) = sums.iter().position(|sum| !sum.is_finite()) {
            return Err(Error::NonFinite { step: self.steps, place: format!("the gradient of layer {layer}") });
        }
        let norm = sums.iter().sum::<f64>().sqrt();
        let update = Update::new(&self.options, norm, self.steps, factor);
        let decayed = update.decayed(&self.options, factor);
        let (first, second) = (tensors_mut(&mut self.first), tensors_mut(&mut self.second));
        let (weights, average) = (tensors_mut(layers), tensors_mut(&mut self.average));
        let mut tasks = Vec::new();
        for ((((w, g), m), v), a) in weights.into_iter().zip(tensors(gradients)).zip(first).zip(second).zip(average) {
            check_size("elements of a gradient", g.len(), w.values.len())?;
            let update = if matches!(w.kind, TensorKind::Weight(_)) { decayed } else { update };
            let parts = w.values.chunks_mut(CHUNK).zip(g.chunks(CHUNK));
            let parts =
                parts.zip(m.values.chunks_mut(CHUNK)).zip(v.values.chunks_mut(CHUNK)).zip(a.values.chunks_mut(CHUNK));
            tasks.extend(parts.map(|((((w, g), m), v), a)| (update, w, g, m, v, a)));
        }
        tasks.into_par_iter().for_each(|(update, w, g, m, v, a)| update_part(update, w, g, m, v, a));
        self.steps += 1;
        Ok(norm)
    }
}

multiversion! {
    /// One update of some elements of one tensor: weights, gradients, both moments, average.
    pub(super) fn update_part(u: Update, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], a: &mut [f32]) {
        for ((((w, g), m), v), a) in w.iter_mut().zip(g).zip(m).zip(v).zip(a) {
            let g = g * u.scale;
            *m = m.mul_add(u.beta1, (1.0 - u.beta1) * g);
            *v = v.mul_add(u.beta2, (1.0 - u.beta2) * g * g);
            let direction = *m * u.correction1 / ((*v * u.correction2).sqrt() + u.eps);
            *w = u.rate.mul_add(-direction, u.decay.mul_add(-*w, *w));
            *a = u.ema.mul_add(*a - *w, *w);
        }
    }
}

/// The sum of squares of some elements.
pub(super) fn sum_squares(part: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    for eight in part.chunks(8) {
        lanes.iter_mut().zip(eight).for_each(|(lane, &x)| *lane += f64::from(x) * f64::from(x));
    }
    lanes.iter().sum()
}

/// The sum of squares of each layer.
fn squares(layers: &[LayerWeights]) -> Vec<f64> {
    let of_layer = |layer: &LayerWeights| {
        let parts: Vec<&[f32]> =
            tensors(std::slice::from_ref(layer)).into_iter().flat_map(|values| values.chunks(CHUNK)).collect();
        let sums: Vec<f64> = parts.into_par_iter().map(sum_squares).collect();
        sums.iter().sum()
    };
    layers.iter().map(of_layer).collect()
}
