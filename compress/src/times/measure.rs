//! Times of whole encoder layers with random zeros, seen through the library's own clock.
//!
//! Which blocks are zero hardly matters for the time, their number does. So a model of the same sizes with few layers and random weights is
//! pruned to every sparsity, compiled as any model, and run in turn with all others.

use std::time::{Duration, Instant};

use lacuna::config::EncoderConfig;
use lacuna::report::{Profile, Stage};
use lacuna::tokens::seeded_ids;
use lacuna::{Block, Compile, Encoder, Form, Model, Tier};
use lacuna_measure::stats::median;

use super::table::{Row, Times};
use crate::error::Result;
use crate::threads::pool;

/// Most weights of the linear layers of a model that is timed; one layer may have more.
const WEIGHTS: usize = 4_000_000;
/// Words of a model that is timed.
const VOCABULARY: usize = 500;
/// Tokens of the sequence that a model is calibrated on: its ranges do not matter.
const CALIBRATION: usize = 8;
/// How long all models are timed in turn, and how often at least and at most.
const TIME: Duration = Duration::from_millis(1500);
const ROUNDS: (usize, usize) = (9, 101);
/// How long one model is timed.
const ONE: Duration = Duration::from_millis(300);

/// What is measured.
pub struct TimeOptions<'a> {
    /// Tokens of the sequence.
    pub seq: usize,
    /// Threads that run it.
    pub threads: usize,
    /// The instruction set.
    pub tier: Tier,
    /// Block shapes.
    pub blocks: &'a [Block],
    /// Fractions of zero blocks.
    pub sparsities: &'a [f64],
}

/// Measures models of this shape. It takes seconds.
///
/// # Errors
/// Those of compiling and running a model.
pub fn measure(config: &EncoderConfig, options: &TimeOptions<'_>) -> Result<Times> {
    let start = Instant::now();
    pool(options.threads)?.install(|| {
        let model = small(config)?;
        let mut subjects = vec![Subject::new(&model, options)?];
        let mut sparsities = options.sparsities.to_vec();
        sparsities.sort_by(f64::total_cmp);
        for &block in options.blocks {
            for &sparsity in &sparsities {
                subjects.push(Subject::new(&model.clone().prune(block, sparsity)?, options)?);
            }
        }
        let begin = Instant::now();
        for round in 0..ROUNDS.1 {
            if round >= ROUNDS.0 && begin.elapsed() > TIME {
                break;
            }
            subjects.iter_mut().try_for_each(Subject::sample)?;
        }
        let layers = subjects[0].encoder.config().layers as f64;
        let groups = |subject: &Subject| {
            [Stage::QueryKeyValue, Stage::AttentionOutput, Stage::Up, Stage::Down]
                .map(|stage| subject.us(&[stage]) / layers)
        };
        // These do not depend on the zeros.
        let shared =
            |stages: &[Stage]| median(&mut subjects.iter().map(|subject| subject.us(stages)).collect::<Vec<f64>>());
        let pairs = options.blocks.iter().flat_map(|&block| sparsities.iter().map(move |&sparsity| (block, sparsity)));
        let rows = pairs.zip(&subjects[1..]);
        let rows = rows.map(|((block, sparsity), subject)| Row { block, sparsity, us: groups(subject) });
        Ok(Times {
            seq: options.seq,
            threads: options.threads,
            layers: config.layers,
            dense_us: groups(&subjects[0]),
            rows: falling(rows.collect()),
            rest_us: shared(&[Stage::Attention, Stage::LayerNorm]) / layers,
            fixed_us: shared(&[Stage::Embedding, Stage::Pooling, Stage::Other]),
            seconds: start.elapsed().as_secs_f64(),
        })
    })
}

/// Rows in which more zeros never take longer: other work on the machine only ever lengthens a time.
fn falling(mut rows: Vec<Row>) -> Vec<Row> {
    for i in 1..rows.len() {
        let (before, row) = (rows[i - 1].clone(), &mut rows[i]);
        if before.block == row.block {
            row.us.iter_mut().zip(before.us).for_each(|(us, before)| *us = us.min(before));
        }
    }
    rows
}

/// The median time of one sequence of a model in seconds, as the library runs it, hot.
///
/// # Errors
/// Those of compiling and running the model.
pub(crate) fn time_of(encoder: &Encoder, seq: usize, threads: usize) -> Result<f64> {
    let ids = seeded_ids(encoder.config().vocab_size, 1, seq, 1);
    pool(threads)?.install(|| {
        let mut out = vec![0.0; encoder.features()];
        let mut samples = Vec::new();
        let start = Instant::now();
        while samples.len() < ROUNDS.0 || start.elapsed() < ONE {
            let start = Instant::now();
            encoder.embed_ids_into(&ids, &mut out)?;
            samples.push(start.elapsed().as_secs_f64());
        }
        Ok(median(&mut samples))
    })
}

/// A model of few layers and words.
fn small(config: &EncoderConfig) -> Result<Model> {
    let weights = 4 * config.hidden_size * config.hidden_size + 2 * config.hidden_size * config.intermediate_size;
    let layers = (WEIGHTS / weights.max(1)).clamp(1, config.layers.max(1));
    Ok(Model::seeded(EncoderConfig { layers, vocab_size: VOCABULARY, ..config.clone() }, 1)?)
}

/// An encoder to time: what it computes does not matter, its zeros do.
///
/// # Errors
/// Those of compiling.
pub(crate) fn timed(model: &Model, tier: Tier) -> Result<Encoder> {
    let ids = seeded_ids(model.config().vocab_size, 1, CALIBRATION.min(model.config().max_position), 1);
    Ok(model.clone().calibration().run_ids(&ids)?.compiler().tier(tier).form(Form::Auto).compile()?)
}

/// A model that is timed.
struct Subject {
    encoder: Encoder,
    ids: Vec<Vec<u32>>,
    out: Vec<f32>,
    profiles: Vec<Profile>,
}

impl Subject {
    fn new(model: &Model, options: &TimeOptions<'_>) -> Result<Subject> {
        let encoder = timed(model, options.tier)?;
        let (ids, out) = (seeded_ids(model.config().vocab_size, 1, options.seq, 2), vec![0.0; encoder.features()]);
        Ok(Subject { encoder, ids, out, profiles: Vec::new() })
    }

    /// One call with hot caches: the one before it is not counted.
    fn sample(&mut self) -> Result<()> {
        self.encoder.embed_ids_into(&self.ids, &mut self.out)?;
        self.profiles.push(self.encoder.profile(&self.ids, &mut self.out)?);
        Ok(())
    }

    /// The median of the time that some stages take together, in microseconds.
    fn us(&self, stages: &[Stage]) -> f64 {
        let time = |profile: &Profile| stages.iter().map(|&stage| profile.stage(stage).as_secs_f64()).sum::<f64>();
        median(&mut self.profiles.iter().map(time).collect::<Vec<f64>>()) * 1e6
    }
}

#[cfg(test)]
mod tests {
    use lacuna::Preset;

    use super::*;
    use crate::times::GROUPS;

    #[test]
    fn more_zeros_never_take_longer() {
        let row = |block, sparsity, us| Row { block, sparsity, us: [us; 4] };
        let times =
            [(Block::B4x1, 0.5, 9.0), (Block::B4x1, 0.8, 11.0), (Block::B4x1, 0.9, 4.0), (Block::B4x4, 0.5, 7.0)];
        let found = falling(times.into_iter().map(|(block, sparsity, us)| row(block, sparsity, us)).collect());
        assert_eq!(found.iter().map(|row| row.us[0]).collect::<Vec<f64>>(), [9.0, 9.0, 4.0, 7.0]);
    }

    #[test]
    fn every_shape_and_sparsity_has_a_time() {
        let config = EncoderConfig { layers: 3, ..Preset::BertMini.config() };
        let tier = Tier::select(None).unwrap();
        let blocks = [Block::B4x1, Block::B4x4];
        let options = TimeOptions { seq: 16, threads: 1, tier, blocks: &blocks, sparsities: &[0.9, 0.5] };
        let times = measure(&config, &options).unwrap();
        assert_eq!((times.seq, times.layers, times.rows.len()), (16, 3, 4));
        for group in 0..GROUPS.len() {
            for block in blocks {
                assert!([0.5, 0.7, 0.9].iter().all(|&s| times.group(group, block, s).unwrap() > 0.0));
            }
        }
        assert!(times.dense_model() > times.others() && times.others() > 0.0);
    }
}
