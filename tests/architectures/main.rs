//! Every architecture: against hidden states of another implementation, through the compiled encoder, and in its files.
//!
//! `tests/golden/make.py` makes the models and the hidden states, with the `transformers` library.

mod checkpoint;
mod compiled;
mod configs;
mod files;
mod golden;
#[path = "../support/tiers.rs"]
mod tiers;
mod types;

use lacuna::tokens::seeded_ids;
use lacuna::weights::Matrix;
use lacuna::{CalibratedModel, Compile, Encoder, Model};
use lacuna_jit::Tier;

use self::tiers::tiers;

/// Calibrated on seeded tokens, in sequences of every length up to 24: attention over few tokens has larger outputs.
fn calibrated(model: Model) -> CalibratedModel {
    let (vocab, limit) = (model.config().vocab_size, model.config().max_position);
    let mut ids = seeded_ids(vocab, 96, limit.min(24), 3);
    ids.iter_mut().enumerate().for_each(|(i, ids)| ids.truncate(1 + i % 24));
    model.calibration().run_ids(&ids).unwrap()
}

fn compile(model: &CalibratedModel, tier: Tier) -> Encoder {
    model.compiler().tier(tier).compile().unwrap()
}

/// Of all values of a sequence together.
fn cosine(a: &Matrix, b: &Matrix) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(&a.data, &b.data) / (dot(&a.data, &a.data) * dot(&b.data, &b.data)).sqrt()
}
