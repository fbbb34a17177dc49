//! The training loop.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use lacuna_model::{EncoderWeights, LayerWeights};

use super::checkpoint::{Position, State, load, save};
use super::losses::{Losses, add_difference, embedding_losses, layer_map, squared_error};
use super::options::{DistilOptions, Distilled, Events, Length, Progress};
use super::sample::{Sampler, Source};
use crate::batch::Batch;
use crate::encoder::{Encoder, Saved, Scratch};
use crate::error::check_size;
use crate::mask::Masks;
use crate::ops::{Pool, Pooled};
use crate::optimise::AdamW;
use crate::parameters::{tensors_mut, zeros_like};
use crate::profile::{Part, timed};
use crate::rounding::Rounding;
use crate::{Error, Result};

/// Trains a student against a teacher.
pub struct Distiller<'a> {
    teacher: &'a Encoder,
    student: Encoder,
    pool: Pool,
    map: Vec<usize>,
    sampler: Sampler,
    optimiser: AdamW,
    options: DistilOptions,
    position: Position,
    gradients: Vec<LayerWeights>,
    saved: [Saved; 2],
    scratch: Scratch,
    best: Option<Vec<LayerWeights>>,
}

impl<'a> Distiller<'a> {
    /// A training from the start. The weights outside `masks` become zero and stay so: the pattern lock. Give
    /// [`masks_of`](crate::mask::masks_of) the weights of a pruned model for its own pattern.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that mean nothing; [`Error::Size`] if the student's hidden size is not the teacher's, and for
    /// masks of other shapes.
    pub fn new(
        teacher: &'a Encoder,
        student: Encoder,
        pool: Pool,
        sources: Vec<Source>,
        masks: Masks,
        options: DistilOptions,
    ) -> Result<Distiller<'a>> {
        let (of_student, of_teacher) = (student.config(), teacher.config());
        check_size("hidden size of the student", of_student.hidden_size, of_teacher.hidden_size)?;
        options.check(of_student.layers, of_teacher.layers)?;
        let map = match &options.layer_map {
            Some(map) => map.clone(),
            None => layer_map(of_student.layers, of_teacher.layers)?,
        };
        let mut layers = student.layers().to_vec();
        let optimiser = AdamW::new(options.optimiser, &mut layers, masks)?;
        let position = Position { seed: options.seed, ..Position::START };
        let sampler = Sampler::new(sources, options.batch, options.seed)?;
        let gradients = zeros_like(&layers);
        let (saved, scratch) = ([Saved::default(), Saved::default()], Scratch::default());
        let mut distiller = Distiller {
            teacher,
            student,
            pool,
            map,
            sampler,
            optimiser,
            options,
            position,
            gradients,
            saved,
            scratch,
            best: None,
        };
        distiller.replace(layers)?;
        Ok(distiller)
    }

    /// Goes on from a checkpoint: the steps that follow have the same bits as without the interruption.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Checkpoint`] for a file that cannot be read, is not a checkpoint of this student, or has another seed.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let loaded = load(path, self.student.layers())?;
        if loaded.position.seed != self.options.seed {
            let reason = format!("its seed is {}; expected {}", loaded.position.seed, self.options.seed);
            return Err(Error::Checkpoint { path: path.to_owned(), reason });
        }
        let [mut weights, first, second, average] = loaded.groups;
        let mut optimiser = AdamW::new(self.options.optimiser, &mut weights, loaded.masks)?;
        (optimiser.first, optimiser.second, optimiser.average) = (first, second, average);
        optimiser.steps = loaded.position.updates;
        self.optimiser = optimiser;
        self.replace(weights)?;
        let behind = loaded.position.drawn.saturating_sub(self.sampler.drawn());
        self.sampler.skip(behind);
        (self.position, self.best) = (loaded.position, loaded.best);
        let rounding = loaded.rounding.map(|layers| Rounding::new(self.student.config(), layers)).transpose()?;
        self.student.set_rounding(rounding)
    }

    /// The student as it is now, without averaging.
    pub fn student(&self) -> &Encoder {
        &self.student
    }

    /// The average of the student's weights.
    pub fn average(&self) -> EncoderWeights {
        EncoderWeights { layers: self.optimiser.average().to_vec(), ..self.student.weights() }
    }

    /// Trains until the end, or until `stop` is set: then the state is kept, and the result is the best so far.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for a loss or a gradient that is not finite; the weights and the last checkpoint are those of the last good
    /// step. Errors of files, kernels and events.
    pub fn run(&mut self, events: &mut dyn Events, stop: &AtomicBool) -> Result<Distilled> {
        let mut stopped = false;
        while self.done() < 1.0 {
            if stop.load(Ordering::Relaxed) {
                stopped = true;
                break;
            }
            let progress = self.step(events)?;
            events.progress(&progress);
            let step = self.position.step;
            let due = |every: u64| every > 0 && step.is_multiple_of(every);
            if due(self.options.dev_every) {
                self.develop(events)?;
            }
            if due(self.options.checkpoint_every) {
                self.save()?;
            }
        }
        if !stopped && self.options.dev_every > 0 && !self.position.step.is_multiple_of(self.options.dev_every) {
            self.develop(events)?;
        }
        self.save()?;
        let mut weights = self.average();
        if let Some(best) = &self.best {
            weights.layers.clone_from(best);
        }
        let Position { step, seconds, tokens, best, .. } = self.position;
        let masks = self.optimiser.masks().clone();
        let rounding = self.student.rounding().cloned();
        Ok(Distilled { weights, masks, rounding, best, steps: step, tokens, seconds, stopped })
    }

    /// One step: a batch, or as many as an update takes.
    ///
    /// # Errors
    /// Those of [`Distiller::run`].
    pub fn step(&mut self, events: &mut dyn Events) -> Result<Progress> {
        let (start, done) = (Instant::now(), self.done());
        if let Some(masks) = events.masks(self.position.step, done, self.student.layers())? {
            let mut layers = self.student.layers().to_vec();
            self.optimiser.set_masks(masks, &mut layers)?;
            self.best = None; // it has another pattern
            self.position.best = None;
            self.replace(layers)?;
        }
        if !self.position.asked && done >= self.options.rounding_from {
            self.position.asked = true;
            if let Some(rounding) = events.rounding(self.position.step, &self.average())? {
                self.student.set_rounding(Some(rounding))?;
                self.best = None; // it was another model
                self.position.best = None;
            }
        }
        tensors_mut(&mut self.gradients).into_iter().for_each(|tensor| tensor.values.fill(0.0));
        let mut losses = Losses::default();
        for _ in 0..self.options.accumulate {
            let batch = Batch::new(self.teacher.config(), &self.sampler.next_batch())?;
            self.position.tokens += batch.tokens() as u64;
            let part = self.gradients_of(&batch)?;
            let share = 1.0 / self.options.accumulate as f64;
            losses.hidden += share * part.hidden;
            losses.cosine += share * part.cosine;
            losses.similarity += share * part.similarity;
        }
        let factor = self.options.schedule.factor(done);
        let (mut norm, optimiser, gradients) = (Ok(0.0), &mut self.optimiser, &mut self.gradients);
        self.student.update(|layers| norm = optimiser.step(layers, gradients, factor))?;
        let gradient_norm = norm.map_err(|error| match error {
            Error::NonFinite { place, .. } => Error::NonFinite { step: self.position.step, place },
            other => other,
        })?;
        let position = &mut self.position;
        position.step += 1;
        position.updates = self.optimiser.steps();
        position.drawn = self.sampler.drawn();
        position.seconds += start.elapsed().as_secs_f64();
        let (step, tokens, seconds) = (position.step, position.tokens, position.seconds);
        let (loss, rate) = (losses.total(&self.options.losses), factor * self.options.optimiser.rate);
        Ok(Progress { step, done: self.done(), losses, loss, gradient_norm, rate, tokens, seconds })
    }

    /// The share of the training that is done.
    pub fn done(&self) -> f64 {
        match self.options.length {
            Length::Steps(steps) => self.position.step as f64 / steps as f64,
            Length::Time(time) => self.position.seconds / time.as_secs_f64(),
        }
    }

    /// Writes the checkpoint, if there is a place for it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self) -> Result<()> {
        let Some(path) = &self.options.checkpoint else { return Ok(()) };
        let AdamW { first, second, average, .. } = &self.optimiser;
        let groups = [self.student.layers(), first, second, average];
        let (masks, best) = (self.optimiser.masks(), self.best.as_deref());
        let rounding = self.student.rounding().map(Rounding::layers);
        save(path, &State { position: self.position.clone(), groups, masks, rounding, best })
    }

    fn replace(&mut self, layers: Vec<LayerWeights>) -> Result<()> {
        self.student.set_masks(self.optimiser.masks())?;
        self.student.update(|old| old.clone_from_slice(&layers))
    }

    fn develop(&mut self, events: &mut dyn Events) -> Result<()> {
        if let Some(figure) = events.dev(self.position.step, &self.average())?
            && self.position.best.is_none_or(|best| figure > best)
        {
            self.position.best = Some(figure);
            self.best = Some(self.optimiser.average().to_vec());
        }
        Ok(())
    }

    /// Adds the gradients of one batch.
    fn gradients_of(&mut self, batch: &Batch) -> Result<Losses> {
        let [of_teacher, of_student] = &mut self.saved;
        self.teacher.forward(batch, of_teacher)?;
        self.student.forward(batch, of_student)?;
        let (teacher, student) = (&*of_teacher, &*of_student);
        let weights = self.options.losses;
        let pool = |saved: &Saved| -> Result<Pooled> { self.pool.forward(batch, saved.output()) };
        let (pooled, losses, sizes, gradient) = timed(Part::Loss, || {
            let (of_student, of_teacher) = (pool(student)?, pool(teacher)?);
            let (mut hidden, mut sizes) = (0.0, Vec::with_capacity(self.map.len()));
            for (layer, &followed) in self.map.iter().enumerate() {
                let (error, size) = squared_error(student.hidden(layer), teacher.hidden(followed))?;
                hidden += error / size / self.map.len() as f64;
                sizes.push(size);
            }
            let (cosine, similarity, mut gradient) =
                embedding_losses(&of_student.embeddings, &of_teacher.embeddings, &weights)?;
            let share = 1.0 / self.options.accumulate as f32;
            gradient.data.iter_mut().for_each(|g| *g *= share);
            Ok::<_, Error>((of_student, Losses { hidden, cosine, similarity }, sizes, gradient))
        })?;
        if !losses.total(&weights).is_finite() {
            let layer = (0..student.layers()).find(|&layer| !student.hidden(layer).is_finite());
            let place = layer.map_or("the loss".to_owned(), |layer| format!("the output of layer {layer}"));
            return Err(Error::NonFinite { step: self.position.step, place });
        }
        let last = self.map.len() - 1;
        let share = 2.0 * weights.hidden / (self.map.len() * self.options.accumulate) as f64;
        self.student.backward(batch, student, &mut self.scratch, &mut self.gradients, |layer, dx| {
            timed(Part::Loss, || {
                let (a, b) = (student.hidden(layer), teacher.hidden(self.map[layer]));
                add_difference(a, b, (share / sizes[layer]) as f32, dx)?;
                if layer == last { self.pool.backward(batch, &pooled, &gradient, dx) } else { Ok(()) }
            })
        })?;
        Ok(losses)
    }
}
