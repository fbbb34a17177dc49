//! The training, and what is measured on the way.

use std::path::Path;

use lacuna::Model;
use lacuna::tokens::SentenceTokenizer;
use lacuna::weights::EncoderWeights;
use lacuna_console::error::Result;
use lacuna_console::interrupt;
use lacuna_console::output::say;
use lacuna_train::Encoder;
use lacuna_train::distil::{DistilOptions, Distilled, Distiller, Events, Length, Progress, Source};
use lacuna_train::mask::masks_of;
use lacuna_train::ops::Pool;
use lacuna_train::optimise::AdamWOptions;

use super::args::Args;
use super::identity::Identity;
use super::log::{Event, Log};
use super::plan::Plan;
use super::texts::Texts;
use crate::evaluate::pairs::Pairs;

/// How often the pairs are looked at, in shares of the training.
const DEV_STEPS: u64 = 200;
/// Steps between two checkpoints.
const CHECKPOINT_STEPS: u64 = 200;
/// How long a training is without an option.
pub(super) const DEFAULT_TIME: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// Sentence pairs, as token ids of the model.
pub(super) struct Dev<'a> {
    pub(super) pairs: &'a Pairs,
    ids: Vec<Vec<u32>>,
}

impl<'a> Dev<'a> {
    pub(super) fn new(pairs: &'a Pairs, tokenizer: &SentenceTokenizer) -> Result<Dev<'a>> {
        let ids = tokenizer.encode_batch(&pairs.sentences)?.into_iter().map(|encoded| encoded.ids).collect();
        Ok(Dev { pairs, ids })
    }

    /// The rank correlation of a model in f32, with these weights in place of its own.
    pub(super) fn spearman(&self, model: &Model, weights: &EncoderWeights) -> lacuna_train::Result<f64> {
        let model = model.clone().with_weights(weights.clone())?;
        let embeddings = model.reference().embed(&self.ids, model.pooling())?;
        Ok(self.pairs.spearman(&embeddings))
    }
}

/// Everything that a training needs.
pub(super) struct Training<'a> {
    pub(super) args: &'a Args,
    pub(super) model: &'a Model,
    pub(super) teacher: &'a Model,
    pub(super) texts: &'a Texts,
    pub(super) plan: Option<&'a Plan>,
    pub(super) dev: Option<&'a Dev<'a>>,
    pub(super) checkpoint: &'a Path,
}

impl Training<'_> {
    /// Trains `weights`, whose zeros stay.
    pub(super) fn run(&self, weights: &EncoderWeights, log: &mut Log) -> Result<Distilled> {
        let args = self.args;
        let length = match (args.steps, args.time) {
            (Some(steps), _) => Length::Steps(steps as u64),
            (None, time) => Length::Time(time.unwrap_or(DEFAULT_TIME)),
        };
        let options = DistilOptions {
            length,
            batch: args.batch,
            optimiser: AdamWOptions { rate: args.learning_rate, ..AdamWOptions::default() },
            seed: args.seed,
            dev_every: if self.dev.is_some() { DEV_STEPS } else { 0 },
            checkpoint: Some(self.checkpoint.to_owned()),
            checkpoint_every: CHECKPOINT_STEPS,
            ..DistilOptions::default()
        };
        let teacher = Encoder::new(self.teacher.config(), self.teacher.weights())?;
        let student = Encoder::trained(self.model.config(), weights)?;
        let pool = Pool::of(self.model.pooling())?;
        // As many texts of each file, however many it has.
        let sources = self.texts.sources.iter().map(|texts| Source { texts: texts.clone(), weight: 1.0 }).collect();
        let masks = masks_of(&weights.layers)?;
        let mut distiller = Distiller::new(&teacher, student, pool, sources, masks, options)?;
        let identity = Identity::of(args, self.plan, self.texts);
        if args.resume && self.checkpoint.exists() {
            identity.check(self.checkpoint)?;
            distiller.resume(self.checkpoint)?;
            say(format_args!("going on at {:.0} % of the training", distiller.done() * 1e2));
        } else {
            if args.resume {
                say(format_args!("--resume: found no {}; the training begins anew", self.checkpoint.display()));
            }
            identity.write(self.checkpoint)?;
        }
        let mut watcher = Watcher { model: self.model, dev: self.dev, log };
        Ok(distiller.run(&mut watcher, interrupt::flag())?)
    }
}

/// Passes on what a training says.
struct Watcher<'a> {
    model: &'a Model,
    dev: Option<&'a Dev<'a>>,
    log: &'a mut Log,
}

impl Events for Watcher<'_> {
    fn progress(&mut self, progress: &Progress) {
        let &Progress { step, done, losses, loss, gradient_norm, rate, tokens, seconds } = progress;
        let (hidden, cosine, similarity) = (losses.hidden, losses.cosine, losses.similarity);
        self.log.add(&Event::Step {
            step,
            done,
            loss,
            hidden,
            cosine,
            similarity,
            rate,
            gradient_norm,
            tokens,
            seconds,
        });
    }

    fn dev(&mut self, step: u64, weights: &EncoderWeights) -> lacuna_train::Result<Option<f64>> {
        let Some(dev) = self.dev else { return Ok(None) };
        let spearman = dev.spearman(self.model, weights)?;
        self.log.add(&Event::Dev { stage: "training", step, spearman });
        Ok(None) // nothing is chosen by it, so that it stays an honest figure
    }
}
