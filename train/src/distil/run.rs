//! The training loop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use lacuna_model::{EncoderWeights, LayerWeights, Matrix};

use super::checkpoint::{Beside, GroupState, Position, State, load, save};
use super::losses::{Losses, add_difference, embedding_losses, layer_map, squared_error};
use super::options::{DistilOptions, Distilled, Events, Length, Progress};
use super::ramp::Pruning;
use super::sample::{Drawn, Sampler, Source};
use super::scores::{ScoredPair, score_loss};
use super::tables::Tables;
use super::task::{HeadPair, Task};
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

/// What is known of the texts of a batch.
struct Gold {
    /// The class of each text that has one.
    labels: Vec<Option<usize>>,
    pairs: Vec<ScoredPair>,
}

impl Gold {
    fn of(drawn: &[Drawn<'_>]) -> Gold {
        let pair = |(first, text): (usize, &Drawn<'_>)| text.score.map(|score| ScoredPair { first, score });
        Gold {
            labels: drawn.iter().map(|text| text.label).collect(),
            pairs: drawn.iter().enumerate().filter_map(pair).collect(),
        }
    }
}

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
    task: Option<Task>,
    tables: Option<Tables>,
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
        mut student: Encoder,
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
        let optimiser = AdamW::with_average(options.optimiser, student.layers().to_vec(), masks)?;
        let position = Position { seed: options.seed, ..Position::START };
        let sampler = Sampler::new(sources, options.batch, options.seed)?;
        let tables = options.embeddings.then(|| Tables::new(&mut student, options.optimiser)).transpose()?;
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
            gradients: Vec::new(),
            saved,
            scratch,
            best: None,
            task: None,
            tables,
        };
        if distiller.student.masks() != distiller.optimiser.masks() {
            distiller.student.set_masks(distiller.optimiser.masks())?;
        }
        Ok(distiller)
    }

    /// The same training with a head on the student, which learns from the teacher's head where there is one, and from the labels of the
    /// texts.
    ///
    /// # Errors
    /// [`Error::Size`] for heads that do not fit each other or the encoders, [`Error::Setting`] for labels that are no classes of the head,
    /// and for the head of a masked language model.
    pub fn with_head(self, heads: &HeadPair<'_>) -> Result<Distiller<'a>> {
        let (hidden, label) = (self.student.config().hidden_size, self.sampler.largest_label());
        let task = Task::new(heads, hidden, label, self.options.optimiser)?;
        Ok(Distiller { task: Some(task), ..self })
    }

    /// Goes on from a checkpoint: the steps that follow have the same bits as without the interruption.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Checkpoint`] for a file that cannot be read, is not a checkpoint of this student, or has another seed.
    /// After an error this training cannot go on: make another.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        // The buffers are read into: a second copy of a large model might not fit.
        let AdamW { first, second, average, .. } = &mut self.optimiser;
        let [first, second, average] = [first, second, average].map(std::mem::take);
        let like = [self.student.layers().to_vec(), first, second, average];
        let embeddings = self.tables.is_some().then(|| self.student.embeddings());
        let loaded = load(path, like, &Beside { head: self.task.as_ref().map(Task::layers), embeddings })?;
        if loaded.position.seed != self.options.seed {
            let reason = format!("its seed is {}; expected {}", loaded.position.seed, self.options.seed);
            return Err(Error::Checkpoint { path: path.to_owned(), reason });
        }
        let [mut weights, first, second, average] = loaded.groups;
        let optimiser = &mut self.optimiser;
        (optimiser.first, optimiser.second, optimiser.average) = (first, second, average);
        optimiser.steps = loaded.position.updates;
        optimiser.set_masks(loaded.masks, &mut weights)?;
        if let (Some(task), Some(GroupState { groups, best })) = (&mut self.task, loaded.head) {
            task.restore(groups, best, loaded.position.updates)?;
        }
        if let (Some(tables), Some(state)) = (&mut self.tables, loaded.embeddings) {
            tables.restore(&mut self.student, state, loaded.position.updates)?;
        }
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
        let mut weights = self.student.weights_with(self.optimiser.average().to_vec());
        if let Some(tables) = &self.tables {
            weights.embeddings = Arc::new(tables.average().clone());
        }
        weights
    }

    /// Trains until the end, or until `stop` is set: then the state is kept, and the result is the best so far.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for a loss or a gradient that is not finite; the weights and the last checkpoint are those of the last good
    /// step. Errors of files, kernels and events.
    pub fn run(&mut self, events: &mut dyn Events, stop: &AtomicBool) -> Result<Distilled> {
        let mut stopped = false;
        // A slow step may end the time before the last pruning: it still comes, and a step after it.
        while self.done() < 1.0 || self.due().is_some() {
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
        if let Some(tables) = &self.tables {
            weights.embeddings = Arc::new(tables.result().clone());
        }
        let head = self.task.as_ref().map(Task::result);
        let Position { step, seconds, tokens, best, .. } = self.position;
        let prunings = self.position.prunings.clone();
        let masks = self.optimiser.masks().clone();
        let rounding = self.student.rounding().cloned();
        Ok(Distilled { weights, head, masks, rounding, prunings, best, steps: step, tokens, seconds, stopped })
    }

    /// One step: a batch, or as many as an update takes.
    ///
    /// # Errors
    /// Those of [`Distiller::run`].
    pub fn step(&mut self, events: &mut dyn Events) -> Result<Progress> {
        self.prune(events)?;
        let (start, done) = (Instant::now(), self.done());
        if !self.position.asked && done >= self.options.rounding_from {
            self.position.asked = true;
            self.free_buffers();
            if let Some(rounding) = events.rounding(self.position.step, self.average())? {
                self.student.set_rounding(Some(rounding))?;
                self.forget_best();
            }
        }
        match self.gradients.is_empty() {
            true => self.gradients = zeros_like(self.student.layers()),
            false => tensors_mut(&mut self.gradients).into_iter().for_each(|tensor| tensor.values.fill(0.0)),
        }
        self.task.iter_mut().for_each(Task::clear);
        self.tables.iter_mut().for_each(Tables::clear);
        let mut losses = Losses::default();
        for _ in 0..self.options.accumulate {
            let drawn = self.sampler.next_batch();
            let batch = Batch::new(self.teacher.config(), &drawn)?;
            let gold = Gold::of(&drawn);
            self.position.tokens += batch.tokens() as u64;
            let part = self.gradients_of(&batch, &gold)?;
            losses.add(&part, 1.0 / self.options.accumulate as f64);
        }
        let factor = self.options.factor(done);
        let at_step = |error| match error {
            Error::NonFinite { place, .. } => Error::NonFinite { step: self.position.step, place },
            other => other,
        };
        if let Some(task) = &self.task {
            task.check().map_err(at_step)?;
        }
        if let Some(tables) = &self.tables {
            tables.check().map_err(at_step)?;
        }
        let (mut norm, optimiser, gradients) = (Ok(0.0), &mut self.optimiser, &mut self.gradients);
        self.student.update(|layers| norm = optimiser.step(layers, gradients, factor))?;
        let mut gradient_norm = norm.map_err(at_step)?;
        if let Some(task) = &mut self.task {
            gradient_norm = gradient_norm.hypot(task.step(factor)?);
        }
        if let Some(tables) = &mut self.tables {
            gradient_norm = gradient_norm.hypot(tables.step(&mut self.student, factor)?);
        }
        let position = &mut self.position;
        position.step += 1;
        position.updates = self.optimiser.steps();
        position.drawn = self.sampler.drawn();
        position.seconds += start.elapsed().as_secs_f64();
        let (step, tokens, seconds) = (position.step, position.tokens, position.seconds);
        let (loss, rate) = (losses.total(&self.options.losses), factor * self.options.optimiser.rate);
        let sparsity = self.options.ramp.map(|ramp| ramp.sparsity(self.pruned()));
        Ok(Progress { step, done: self.done(), losses, loss, gradient_norm, rate, sparsity, tokens, seconds })
    }

    /// The number of the last pruning of the ramp that was done.
    fn pruned(&self) -> u32 {
        self.position.prunings.last().map_or(0, |pruning| pruning.number)
    }

    /// The pruning of the ramp that comes before the next step. If several are due, it is the last one.
    fn due(&self) -> Option<Pruning> {
        let ramp = self.options.ramp?;
        let number = ramp.last_due(self.done());
        let pruning = Pruning { number, step: self.position.step, sparsity: ramp.sparsity(number) };
        (number > self.pruned()).then_some(pruning)
    }

    /// Prunes the average again, if that is due. The training goes on from the result: it is the student and its average from now on.
    fn prune(&mut self, events: &mut dyn Events) -> Result<()> {
        let Some(pruning) = self.due() else { return Ok(()) };
        self.free_buffers();
        let (mut layers, masks) = events.prune(&pruning, &self.average())?;
        check_size("layers that were pruned", layers.len(), self.student.layers().len())?;
        self.optimiser.set_masks(masks, &mut layers)?;
        self.optimiser.average.clone_from(&layers);
        self.replace(layers)?;
        self.task.iter_mut().try_for_each(Task::continue_from_average)?;
        if let Some(tables) = &mut self.tables {
            tables.continue_from_average(&mut self.student)?;
        }
        self.forget_best();
        self.position.prunings.push(pruning);
        Ok(())
    }

    /// Gives back what only a step needs: events may need as much memory, and the next step allocates it again.
    fn free_buffers(&mut self) {
        self.gradients = Vec::new();
        self.saved = Default::default();
        self.scratch = Scratch::default();
    }

    /// What was best so far was another model.
    fn forget_best(&mut self) {
        self.best = None;
        self.position.best = None;
        self.task.iter_mut().for_each(Task::forget_best);
        self.tables.iter_mut().for_each(Tables::forget_best);
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
        let head = self.task.as_ref().map(Task::state);
        let embeddings = self.tables.as_ref().map(|tables| tables.state(&self.student));
        let rounding = self.student.rounding().map(Rounding::layers);
        save(path, &State { position: self.position.clone(), groups, masks, rounding, best, head, embeddings })
    }

    fn replace(&mut self, layers: Vec<LayerWeights>) -> Result<()> {
        self.student.set_masks(self.optimiser.masks())?;
        self.student.update(|old| old.clone_from_slice(&layers))
    }

    fn develop(&mut self, events: &mut dyn Events) -> Result<()> {
        self.free_buffers();
        let head = self.task.as_ref().map(Task::average);
        if let Some(figure) = events.dev(self.position.step, self.average(), head.as_ref())?
            && self.position.best.is_none_or(|best| figure > best)
        {
            self.position.best = Some(figure);
            self.best = Some(self.optimiser.average().to_vec());
            self.task.iter_mut().for_each(Task::keep_best);
            self.tables.iter_mut().for_each(Tables::keep_best);
        }
        Ok(())
    }

    /// Adds the gradients of one batch, and what is known of its texts.
    fn gradients_of(&mut self, batch: &Batch, gold: &Gold) -> Result<Losses> {
        let [of_teacher, of_student] = &mut self.saved;
        let weights = self.options.losses;
        let follows_teacher = weights.follows_teacher();
        if follows_teacher {
            self.teacher.forward(batch, of_teacher)?;
        }
        self.student.forward(batch, of_student)?;
        let (teacher, student) = (&*of_teacher, &*of_student);
        let mut losses = Losses::default();
        let (mut embeddings, mut sizes) = (None, Vec::with_capacity(self.map.len()));
        timed(Part::Loss, || {
            for (layer, &followed) in self.map.iter().enumerate().filter(|_| weights.hidden > 0.0) {
                let (error, size) = squared_error(student.hidden(layer), teacher.hidden(followed))?;
                losses.hidden += error / size / self.map.len() as f64;
                sizes.push(size);
            }
            let reads_pairs = weights.scores > 0.0 && !gold.pairs.is_empty();
            if weights.compares_embeddings() || reads_pairs {
                let pool = |saved: &Saved| -> Result<Pooled> { self.pool.forward(batch, saved.output()) };
                let of_student = pool(student)?;
                let mut gradient = Matrix::zeros(of_student.embeddings.rows, of_student.embeddings.cols);
                if weights.compares_embeddings() {
                    let of_teacher = pool(teacher)?;
                    (losses.cosine, losses.similarity, gradient) =
                        embedding_losses(&of_student.embeddings, &of_teacher.embeddings, &weights)?;
                }
                if reads_pairs {
                    let (scores, part) = score_loss(&of_student.embeddings, &gold.pairs)?;
                    losses.scores = scores;
                    let weight = weights.scores as f32;
                    gradient.data.iter_mut().zip(&part.data).for_each(|(g, x)| *g = weight.mul_add(*x, *g));
                }
                let share = 1.0 / self.options.accumulate as f32;
                gradient.data.iter_mut().for_each(|g| *g *= share);
                embeddings = Some((of_student, gradient));
            }
            Ok::<_, Error>(())
        })?;
        let mut task = match &mut self.task {
            Some(task) => {
                let followed = follows_teacher.then(|| teacher.output());
                let found = task.losses(batch, &gold.labels, student.output(), followed, &weights)?;
                (losses.logits, losses.labels) = (found.logits, found.labels);
                Some((task, found))
            }
            None => None,
        };
        if !losses.total(&weights).is_finite() {
            let layer = (0..student.layers()).find(|&layer| !student.hidden(layer).is_finite());
            let place = layer.map_or("the loss".to_owned(), |layer| format!("the output of layer {layer}"));
            return Err(Error::NonFinite { step: self.position.step, place });
        }
        let last = self.map.len() - 1;
        let share = 2.0 * weights.hidden / (self.map.len() * self.options.accumulate) as f64;
        self.student.backward(batch, student, &mut self.scratch, &mut self.gradients, |layer, dx| {
            timed(Part::Loss, || {
                if let Some(size) = sizes.get(layer) {
                    let (a, b) = (student.hidden(layer), teacher.hidden(self.map[layer]));
                    add_difference(a, b, (share / size) as f32, dx)?;
                }
                if layer < last {
                    return Ok(());
                }
                if let Some((pooled, gradient)) = &embeddings {
                    self.pool.backward(batch, pooled, gradient, dx)?;
                }
                match &mut task {
                    Some((task, found)) => task.backward(batch, found, 1.0 / self.options.accumulate as f32, dx),
                    None => Ok(()),
                }
            })
        })?;
        if let Some(tables) = &mut self.tables {
            tables.backward(&self.student, batch, student, &mut self.scratch)?;
        }
        Ok(losses)
    }
}
