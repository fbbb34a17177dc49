//! The training, and what is measured on the way.

use std::path::Path;
use std::time::Instant;

use lacuna::Model;
use lacuna::config::PoolingMode;
use lacuna::heads::HeadWeights;
use lacuna::weights::{EncoderWeights, LayerWeights};
use lacuna_train::Encoder;
use lacuna_train::distil::{
    DistilOptions, Distilled, Distiller, Events, HeadPair, Length, LogitForm, LossWeights, Losses, Progress, Pruning,
    Ramp, Source,
};
use lacuna_train::mask::{Masks, masks_of};
use lacuna_train::ops::Pool;
use lacuna_train::optimise::AdamWOptions;
use lacuna_train::rounding::Rounding;

use crate::choose::pruned_again;
use crate::dev::Dev;
use crate::error::Result;
use crate::event::Event;
use crate::heads::Heads;
use crate::identity::Identity;
use crate::observer::Observer;
use crate::options::{Options, Rounding as Rounds};
use crate::plan::Plan;
use crate::pruning::Pruner;
use crate::stop::Stop;
use crate::texts::{Sequence, Source as Sequences, Texts};

/// Steps between two figures of the dev set.
const DEV_STEPS: u64 = 200;
/// Steps between two checkpoints.
const CHECKPOINT_STEPS: u64 = 200;
/// The share of the training that is never rounded.
const ROUNDING_FROM: f64 = 0.8;
/// The cosine distance between embeddings in int8 and in f32 above which it is.
const ROUNDING_BOUND: f64 = 0.001;
/// Tokens of texts that ranges of activations are taken from.
const ROUNDING_TOKENS: usize = 5000;
/// How often a new head sees every text with a label without an option.
const PASSES: usize = 4;
/// How long a training is without an option.
pub(crate) const DEFAULT_TIME: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// Everything that a training needs.
pub(crate) struct Training<'a> {
    pub(crate) options: &'a Options,
    pub(crate) model: &'a Model,
    pub(crate) teacher: &'a Model,
    pub(crate) texts: &'a Texts,
    pub(crate) pruner: &'a Pruner<'a>,
    pub(crate) plan: Option<&'a Plan>,
    /// How the sparsity rises, if it does.
    pub(crate) ramp: Option<Ramp>,
    pub(crate) dev: Option<&'a Dev<'a>>,
    pub(crate) heads: Option<&'a Heads>,
    pub(crate) checkpoint: &'a Path,
    pub(crate) stop: Stop<'a>,
}

impl Training<'_> {
    /// The texts that there is something to learn from.
    fn sources(&self, observer: &mut dyn Observer) -> Vec<&Sequences> {
        let has_teacher = self.options.teacher.is_some();
        let alone = self.heads.is_some_and(|heads| heads.learns_from_labels_alone(has_teacher));
        if alone && !self.options.data.is_empty() {
            observer.remark(
                "`data`: a new head without `teacher` learns from labels alone; other texts are used for pruning only",
            );
        }
        self.texts.sources.iter().filter(|source| !alone || !source.labels.is_empty()).collect()
    }

    /// Trains `weights`, whose zeros stay. Returns the result, and the seconds of its prunings.
    pub(crate) fn run(&self, weights: EncoderWeights, observer: &mut dyn Observer) -> Result<(Distilled, f64)> {
        let asked = self.options;
        let sources = self.sources(observer);
        let length = match (asked.steps, asked.time) {
            (Some(steps), _) => Length::Steps(steps as u64),
            (None, None) if asked.new_head => Length::Steps(passes(&sources, asked.batch)),
            (None, time) => Length::Time(time.unwrap_or(DEFAULT_TIME)),
        };
        let losses = self
            .heads
            .map_or_else(LossWeights::default, |heads| heads.losses(asked.teacher.is_some(), asked.temperature));
        let options = DistilOptions {
            length,
            batch: asked.batch,
            optimiser: AdamWOptions { rate: asked.rate(), ..AdamWOptions::default() },
            losses,
            embeddings: asked.train_embeddings,
            ramp: self.ramp,
            seed: asked.seed,
            dev_every: if self.dev.is_some() { DEV_STEPS } else { 0 },
            rounding_from: if asked.rounding == Rounds::Never { 1.0 } else { ROUNDING_FROM },
            checkpoint: Some(self.checkpoint.to_owned()),
            checkpoint_every: CHECKPOINT_STEPS,
            ..DistilOptions::default()
        };
        let teacher = Encoder::teacher(self.teacher.config(), self.teacher.weights())?;
        let masks = masks_of(&weights.layers)?;
        let student = Encoder::masked(self.model.config(), &weights, masks.clone())?;
        let pool = match self.heads {
            Some(_) => Pool::new(PoolingMode::Mean, true)?, // nothing reads it
            None => Pool::of(self.model.pooling())?,
        };
        let sources = sources.into_iter().map(source).collect();
        drop(weights); // a large model fits once, but not twice
        let mut distiller = Distiller::new(&teacher, student, pool, sources, masks, options)?;
        if let Some(Heads { student, teacher, .. }) = self.heads {
            let pair = HeadPair { student: student.weights(), teacher: teacher.as_ref(), form: LogitForm::of(student) };
            distiller = distiller.with_head(&pair)?;
        }
        let identity = Identity::of(asked, self.plan, self.texts, self.heads.is_some());
        if asked.resume && self.checkpoint.exists() {
            identity.check(self.checkpoint)?;
            distiller.resume(self.checkpoint)?;
            observer.remark(&format!("going on at {:.0} % of the training", distiller.done() * 1e2));
        } else {
            if asked.resume {
                observer.remark(&format!("`resume`: found no {}; the training begins anew", self.checkpoint.display()));
            }
            identity.write(self.checkpoint)?;
        }
        let mut watcher = Watcher {
            model: self.model,
            texts: self.texts,
            pruner: self.pruner,
            gradual: self.plan.zip(self.ramp),
            pruning_seconds: 0.0,
            dev: self.dev,
            rounding: asked.rounding,
            observer,
        };
        let done = distiller.run(&mut watcher, self.stop.wish())?;
        Ok((done, watcher.pruning_seconds))
    }
}

/// The steps in which every text with a label is drawn [`PASSES`] times: all files have the same share of a batch.
fn passes(sources: &[&Sequences], batch: usize) -> u64 {
    let labelled = sources.iter().map(|source| source.labels.len()).max().unwrap_or(0);
    (PASSES * labelled * sources.len()).div_ceil(batch.max(1)).max(1) as u64
}

/// The texts of a file as the training draws them: as many of each file, however many it has.
fn source(texts: &Sequences) -> Source {
    let has_types = texts.sequences.iter().any(|sequence| sequence.types.is_some());
    let types = |sequence: &Sequence| sequence.types.clone().unwrap_or_else(|| vec![0; sequence.ids.len()]);
    Source {
        texts: texts.sequences.iter().map(|sequence| sequence.ids.clone()).collect(),
        types: if has_types { texts.sequences.iter().map(types).collect() } else { vec![] },
        labels: texts.labels.clone(),
        scores: texts.scores.clone(),
        weight: 1.0,
    }
}

/// Passes on what a training says.
struct Watcher<'a> {
    model: &'a Model,
    texts: &'a Texts,
    pruner: &'a Pruner<'a>,
    /// How it is pruned in the end, and how the sparsity rises until then.
    gradual: Option<(&'a Plan, Ramp)>,
    pruning_seconds: f64,
    dev: Option<&'a Dev<'a>>,
    rounding: Rounds,
    observer: &'a mut dyn Observer,
}

impl Events for Watcher<'_> {
    fn progress(&mut self, progress: &Progress) {
        let &Progress { step, done, losses, loss, gradient_norm, rate, sparsity, tokens, seconds } = progress;
        let Losses { hidden, cosine, similarity, logits, labels, scores } = losses;
        self.observer.event(&Event::Step {
            step,
            done,
            loss,
            hidden,
            cosine,
            similarity,
            logits,
            labels,
            scores,
            rate,
            gradient_norm,
            sparsity,
            tokens,
            seconds,
        });
    }

    fn dev(
        &mut self,
        step: u64,
        weights: EncoderWeights,
        head: Option<&HeadWeights>,
    ) -> lacuna_train::Result<Option<f64>> {
        let Some(dev) = self.dev else { return Ok(None) };
        let value = dev.measure(&self.model.clone().with_weights(weights)?, head)?;
        self.observer.event(&Event::dev(dev.metric(), "training", step, value));
        Ok(None) // nothing is chosen by it, so that it stays an honest figure
    }

    fn prune(
        &mut self,
        pruning: &Pruning,
        weights: &EncoderWeights,
    ) -> lacuna_train::Result<(Vec<LayerWeights>, Masks)> {
        let Some((plan, ramp)) = self.gradual else { return ().prune(pruning, weights) }; // which refuses
        let (start, &Pruning { number, step, sparsity }) = (Instant::now(), pruning);
        self.observer.event(&Event::Pruning { step, number, planned: ramp.prunings, sparsity });
        let found = pruned_again(self.pruner, (plan, &ramp), sparsity, weights, self.observer)?;
        self.pruning_seconds += start.elapsed().as_secs_f64();
        let masks = masks_of(&found.weights.layers)?;
        Ok((found.weights.layers, masks))
    }

    fn rounding(&mut self, step: u64, weights: EncoderWeights) -> lacuna_train::Result<Option<Rounding>> {
        let student = self.model.clone().with_weights(weights)?;
        let config = student.config().clone();
        let calibrated = student.calibration().report(true).run_ids(&self.texts.sample(ROUNDING_TOKENS))?;
        let distance = calibrated.report().map_or(0.0, |report| 1.0 - report.cosine_mean);
        let rounds = self.rounding == Rounds::Always || distance > ROUNDING_BOUND;
        self.observer.event(&Event::Rounding { step, distance, rounds });
        rounds.then(|| Rounding::new(&config, calibrated.quant().to_vec())).transpose()
    }
}
