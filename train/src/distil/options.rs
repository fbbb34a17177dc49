//! Settings of a distillation, and what it reports.

use std::path::PathBuf;
use std::time::Duration;

use lacuna_model::heads::HeadWeights;
use lacuna_model::{EncoderWeights, LayerWeights};

use super::losses::{LossWeights, Losses};
use super::ramp::{Pruning, Ramp};
use crate::mask::Masks;
use crate::optimise::{AdamWOptions, Schedule};
use crate::rounding::Rounding;
use crate::{Error, Result};

/// How long a training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// A number of steps: the result depends on nothing but the data, the settings and the seed.
    Steps(u64),
    /// Wall time, interruptions, dev figures and prunings left out. The result depends on the speed of the machine.
    Time(Duration),
}

/// The settings of a [`Distiller`](super::Distiller).
#[derive(Debug, Clone, PartialEq)]
pub struct DistilOptions {
    /// How long it is.
    pub length: Length,
    /// Texts of a batch.
    pub batch: usize,
    /// Batches whose gradients are averaged for one update.
    pub accumulate: usize,
    /// The optimiser.
    pub optimiser: AdamWOptions,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// The weights of the losses.
    pub losses: LossWeights,
    /// The teacher's layer for each layer of the student; evenly spaced if there is none.
    pub layer_map: Option<Vec<usize>>,
    /// Gradual pruning in the first part of the training; without it, the pattern of the student stays as it is.
    pub ramp: Option<Ramp>,
    /// The share of the training after which [`Events::rounding`] is asked, 0 to 1; 1 for never.
    pub rounding_from: f64,
    /// Whether the embeddings are trained, too.
    pub embeddings: bool,
    /// The seed of the batches.
    pub seed: u64,
    /// Steps between two dev figures; 0 for none.
    pub dev_every: u64,
    /// Where checkpoints are written.
    pub checkpoint: Option<PathBuf>,
    /// Steps between two checkpoints; 0 for one at the end only.
    pub checkpoint_every: u64,
}

impl Default for DistilOptions {
    fn default() -> DistilOptions {
        DistilOptions {
            length: Length::Steps(1000),
            batch: 64,
            accumulate: 1,
            optimiser: AdamWOptions::default(),
            schedule: Schedule::default(),
            losses: LossWeights::default(),
            layer_map: None,
            ramp: None,
            rounding_from: 1.0,
            embeddings: false,
            seed: 0,
            dev_every: 200,
            checkpoint: None,
            checkpoint_every: 0,
        }
    }
}

impl DistilOptions {
    pub(super) fn check(&self, layers: usize, teacher_layers: usize) -> Result<()> {
        let refuse = |setting, found: String, expected| Err(Error::Setting { setting, found, expected });
        if matches!(self.length, Length::Steps(0) | Length::Time(Duration::ZERO)) {
            return refuse("length of the training", "0".to_owned(), "at least a step");
        }
        if self.accumulate == 0 {
            return refuse("batches of an update", "0".to_owned(), "at least 1");
        }
        if !(0.0..=1.0).contains(&self.rounding_from) {
            return refuse("begin of the rounding", self.rounding_from.to_string(), "a share from 0 to 1");
        }
        if let Some(ramp) = &self.ramp {
            ramp.check()?;
            if let Length::Steps(steps) = self.length
                && !ramp.fits(steps)
            {
                return refuse("steps of the training", steps.to_string(), "a step after the last pruning");
            }
            if self.rounding_from < ramp.until {
                let found = self.rounding_from.to_string();
                return refuse("begin of the rounding", found, "a share after the last pruning");
            }
        }
        let LossWeights { hidden, cosine, similarity, temperature, logits, labels, scores, logit_temperature } =
            self.losses;
        if let Some(weight) =
            [hidden, cosine, similarity, logits, labels, scores].into_iter().find(|w| !(*w >= 0.0 && w.is_finite()))
        {
            return refuse("weight of a loss", weight.to_string(), "0 or more");
        }
        for temperature in [temperature, logit_temperature] {
            if !(temperature > 0.0 && temperature.is_finite()) {
                return refuse("temperature", temperature.to_string(), "a positive number");
            }
        }
        if let Some(map) = &self.layer_map
            && (map.len() != layers || map.iter().any(|&layer| layer >= teacher_layers))
        {
            return refuse("layer map", format!("{map:?}"), "a layer of the teacher for each layer of the student");
        }
        Ok(())
    }

    /// The factor of the learning rate at a share of the training.
    pub(super) fn factor(&self, done: f64) -> f64 {
        match &self.ramp {
            Some(ramp) => ramp.factor(&self.schedule, done),
            None => self.schedule.factor(done),
        }
    }
}

/// Where a training stands after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// The share of the training that is done, 0 to 1.
    pub done: f64,
    /// The losses of the step.
    pub losses: Losses,
    /// Their weighted sum.
    pub loss: f64,
    /// The norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// The learning rate of the step.
    pub rate: f64,
    /// The sparsity of gradual pruning, if there is one.
    pub sparsity: Option<f64>,
    /// Tokens so far.
    pub tokens: u64,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// What a training calls as it goes. Every method does nothing unless it is written.
pub trait Events {
    /// After every step.
    fn progress(&mut self, progress: &Progress) {
        let _ = progress;
    }

    /// The dev figure of the average weights and of the head that is trained with them, larger being better; `None` if there is none.
    ///
    /// # Errors
    /// Any error ends the training.
    fn dev(&mut self, step: u64, weights: EncoderWeights, head: Option<&HeadWeights>) -> Result<Option<f64>> {
        let _ = (step, weights, head);
        Ok(None)
    }

    /// A pruning of [`DistilOptions::ramp`]: the layers that the student has from this step on, and the masks of their zeros. `weights` are
    /// the average so far. Zeros that they have should stay. Not called without a ramp.
    ///
    /// # Errors
    /// Any error ends the training. Unless it is written, [`Error::Setting`].
    fn prune(&mut self, pruning: &Pruning, weights: &EncoderWeights) -> Result<(Vec<LayerWeights>, Masks)> {
        let _ = weights;
        let found = format!("due at step {}, but nothing prunes", pruning.step);
        Err(Error::Setting { setting: "gradual pruning", found, expected: "events that prune" })
    }

    /// How the student is rounded from this step to the end, or `None` to train it unrounded. Asked once, before the first step at which
    /// [`DistilOptions::rounding_from`] of the training is done. `weights` are the average so far.
    ///
    /// # Errors
    /// Any error ends the training.
    fn rounding(&mut self, step: u64, weights: EncoderWeights) -> Result<Option<Rounding>> {
        let _ = (step, weights);
        Ok(None)
    }
}

/// No events.
impl Events for () {}

/// The result of a training.
#[derive(Debug, Clone)]
pub struct Distilled {
    /// The weights with the best dev figure where there is one, else the average at the end.
    pub weights: EncoderWeights,
    /// The head that was trained with them, if there is one.
    pub head: Option<HeadWeights>,
    /// The masks at the end.
    pub masks: Masks,
    /// How the student was rounded at the end, if it was.
    pub rounding: Option<Rounding>,
    /// The prunings of the ramp that were done.
    pub prunings: Vec<Pruning>,
    /// The best dev figure.
    pub best: Option<f64>,
    /// Steps done.
    pub steps: u64,
    /// Tokens of all batches.
    pub tokens: u64,
    /// Seconds of training, dev figures and prunings left out.
    pub seconds: f64,
    /// Whether the stop flag ended it.
    pub stopped: bool,
}
