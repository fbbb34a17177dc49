//! The pruning, as the options or measured times say.

use lacuna::weights::EncoderWeights;
use lacuna::{Block, Encoder, Model, Tier};
use lacuna_train::prune::{Cut, MatrixReport, OneShotOptions, Progress, Pruned, group_alike, one_shot};

use crate::error::Result;
use crate::event::Event;
use crate::observer::{Observer, Stage, during};
use crate::stop::Stop;
use crate::texts::Sequence;
use crate::times::{TimeOptions, Times, measure, time_of, timed};

/// The block shapes that `--block auto` looks at.
pub(crate) const SHAPES: [Block; 5] = [Block::B4x1, Block::B8x1, Block::B16x1, Block::B4x4, Block::B1x4];
/// Sparsities that are timed.
const SPARSITIES: [f64; 8] = [0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95];
/// One part in so many of the calibration decides the order of outputs.
const ORDER_SHARE: usize = 4;

/// What pruning works on.
pub(crate) struct Pruner<'a> {
    pub(crate) dense: &'a Model,
    /// Token ids of texts.
    pub(crate) calibration: Vec<Sequence>,
    /// Whether neurons and features of heads may change places.
    pub(crate) may_reorder: bool,
    /// Tokens of the sequence whose time counts.
    pub(crate) seq: usize,
    pub(crate) seed: u64,
    /// Threads whose times count.
    pub(crate) measuring_threads: usize,
    pub(crate) tier: Tier,
    pub(crate) stop: Stop<'a>,
}

impl Pruner<'_> {
    /// The dense weights in an order that suits the cuts.
    pub(crate) fn ordered(&self, cuts: &[[Cut; 6]], observer: &mut dyn Observer) -> Result<EncoderWeights> {
        let weights = self.dense.weights();
        if !self.reorders(cuts) {
            return Ok(weights.clone());
        }
        let some = &self.calibration[..self.calibration.len().div_ceil(ORDER_SHARE)];
        Ok(during(observer, &Stage::Order, || group_alike(self.dense.config(), weights, some, cuts))?)
    }

    /// Whether neurons and features change places for these cuts. Blocks of 4x1 and smaller ones gain nothing by it: all-MiniLM-L6-v2 at 80 %
    /// has 0.8450 with it and 0.8455 without.
    pub(crate) fn reorders(&self, cuts: &[[Cut; 6]]) -> bool {
        let gains = |cut: &Cut| cut.sparsity > 0.0 && matches!(cut.block, Block::B8x1 | Block::B16x1 | Block::B4x4);
        self.may_reorder && cuts.iter().flatten().any(gains)
    }

    /// Prunes and refits weights, unless the run is abandoned meanwhile.
    pub(crate) fn prune(
        &self,
        weights: &EncoderWeights,
        options: &OneShotOptions,
        stop: Stop<'_>,
        observer: &mut dyn Observer,
    ) -> lacuna_train::Result<Pruned> {
        let mut progress = |progress: &Progress| {
            match progress {
                Progress::Matrix(report) => {
                    let &MatrixReport { layer, name, sparsity, relative_error, seconds } = report;
                    observer.event(&Event::Matrix { layer, name, sparsity, relative_error, seconds });
                }
                Progress::Layer(report) => {
                    let (layer, hidden_error, seconds) = (report.layer, report.hidden_error, report.seconds);
                    observer.event(&Event::Layer { layer, hidden_error, seconds });
                }
                _ => {}
            }
            stop.flow()
        };
        one_shot(self.dense.config(), weights, &self.calibration, options, &mut progress)
    }

    /// Times of kernels on this machine.
    pub(crate) fn times(&self, shapes: &[Block], observer: &mut dyn Observer) -> Result<Times> {
        let (threads, tier) = (self.measuring_threads, self.tier);
        let options = TimeOptions { seq: self.seq, threads, tier, blocks: shapes, sparsities: &SPARSITIES };
        let times = during(observer, &Stage::Kernels, || measure(self.dense.config(), &options))?;
        observer.times(&times);
        Ok(times)
    }

    /// Seconds of the whole model with these weights in int8.
    pub(crate) fn seconds(&self, weights: EncoderWeights, observer: &mut dyn Observer) -> Result<f64> {
        let model = self.dense.clone().with_weights(weights).map_err(lacuna::Error::from)?;
        self.seconds_of(&timed(&model, self.tier)?, observer)
    }

    /// Seconds of an encoder.
    pub(crate) fn seconds_of(&self, encoder: &Encoder, observer: &mut dyn Observer) -> Result<f64> {
        during(observer, &Stage::Timing, || time_of(encoder, self.seq, self.measuring_threads))
    }

    /// How the matrices of all layers are pruned if all are pruned alike.
    pub(crate) fn alike(&self, block: Block, sparsity: f64) -> Vec<[Cut; 6]> {
        vec![[Cut { block, sparsity }; 6]; self.dense.config().layers]
    }
}
