//! A rounded student against the simulation of the int8 model, and its training.

use std::sync::atomic::AtomicBool;

use lacuna_kernels::Block;
use lacuna_model::reference::TapSet;
use lacuna_model::{CalibratedModel, EncoderConfig, EncoderWeights, Model, Pooling, PoolingMode, Preset, seeded_ids};
use lacuna_train::distil::{DistilOptions, Distiller, Events, Length, Progress, Source};
use lacuna_train::encoder::Saved;
use lacuna_train::mask::masks_of;
use lacuna_train::ops::Pool;
use lacuna_train::optimise::AdamWOptions;
use lacuna_train::rounding::Rounding;
use lacuna_train::{Batch, Encoder, Result};

fn config() -> EncoderConfig {
    let shape = Preset::BertMini.config();
    EncoderConfig { layers: 2, hidden_size: 32, heads: 2, intermediate_size: 48, vocab_size: 60, ..shape }
}

fn texts(count: u64, seed: u64) -> Vec<Vec<u32>> {
    (0..count).flat_map(|i| seeded_ids(60, 1, 3 + (i % 9) as usize, seed + i)).collect()
}

fn pruned() -> Model {
    Model::seeded(config(), 4).unwrap().prune(Block::B4x1, 0.5).unwrap()
}

fn calibrated(model: Model) -> CalibratedModel {
    model.calibration().run_ids(&texts(30, 1)).unwrap()
}

/// Embeddings of a student.
fn embed(student: &Encoder, texts: &[Vec<u32>]) -> Vec<f32> {
    let batch = Batch::new(student.config(), texts).unwrap();
    let mut saved = Saved::default();
    student.forward(&batch, &mut saved).unwrap();
    pool().forward(&batch, saved.output()).unwrap().embeddings.data
}

fn pool() -> Pool {
    Pool::new(PoolingMode::Mean, true).unwrap()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn rounded_students_are_the_int8_model_up_to_sums_in_f32() {
    let calibrated = calibrated(pruned().with_pooling(Pooling::new(PoolingMode::Mean, true)).unwrap());
    let model = calibrated.model();
    let rounding = Rounding::new(model.config(), calibrated.quant().to_vec()).unwrap();
    let texts = texts(20, 900);
    let mut student = Encoder::trained(model.config(), model.weights()).unwrap();
    let exact = embed(&student, &texts);
    student.set_rounding(Some(rounding.clone())).unwrap();
    let rounded = embed(&student, &texts);
    let expected = calibrated.simulate(&texts, TapSet::ALL, true).unwrap().concat();
    // A sum at the middle between two codes may fall to either side: few do.
    let (error, change) = (distance(&rounded, &expected), distance(&exact, &expected));
    assert!(error < 0.05 * change, "the rounding moves embeddings by {change}, and the student is {error} off");
    let close = rounded.iter().zip(&expected).filter(|(a, b)| (**a - **b).abs() < 1e-6).count();
    assert!(close * 10 > rounded.len() * 9, "{close} of {} are equal", rounded.len());

    assert_eq!(student.weights(), model.weights().clone(), "parameters stay as they are");
    student.set_rounding(None).unwrap();
    assert_eq!(embed(&student, &texts), exact);
}

#[test]
fn quantisations_of_other_models_are_refused() {
    let quant = calibrated(pruned()).quant().to_vec();
    let refused = |quant, config: &EncoderConfig| Rounding::new(config, quant).unwrap_err().to_string();
    assert!(refused(quant[..1].to_vec(), &config()).contains("quantisation: layers: found 1; expected 2"));
    let wide = EncoderConfig { intermediate_size: 64, ..config() };
    assert!(refused(quant.clone(), &wide).contains("scales of the inputs of down: found 48; expected 64"));
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let mut quant = quant.clone();
        quant[1].v_scale[3] = wrong;
        assert!(refused(quant, &config()).contains("expected a positive number"), "{wrong}");
    }
}

/// Rounds from the asked step on.
#[derive(Default)]
struct Rounds {
    asked: Vec<u64>,
    losses: Vec<f64>,
}

impl Events for Rounds {
    fn progress(&mut self, progress: &Progress) {
        self.losses.push(progress.loss);
    }

    fn rounding(&mut self, step: u64, weights: EncoderWeights) -> Result<Option<Rounding>> {
        self.asked.push(step);
        let calibrated = calibrated(pruned().with_weights(weights)?);
        Rounding::new(&config(), calibrated.quant().to_vec()).map(Some)
    }
}

#[test]
fn rounded_trainings_lower_the_loss_and_go_on_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let teacher = Encoder::new(&config(), Model::seeded(config(), 4).unwrap().weights()).unwrap();
    let student = || {
        let model = pruned();
        (Encoder::trained(&config(), model.weights()).unwrap(), masks_of(&model.weights().layers).unwrap())
    };
    let options = |steps| DistilOptions {
        length: Length::Steps(steps),
        batch: 8,
        optimiser: AdamWOptions { rate: 3e-3, ema: 0.9, ..AdamWOptions::default() },
        rounding_from: 0.25,
        dev_every: 0,
        checkpoint: Some(path.clone()),
        ..DistilOptions::default()
    };
    let new = |options| {
        let (student, masks) = student();
        let sources = vec![Source { texts: texts(40, 1), weight: 1.0, ..Source::default() }];
        Distiller::new(&teacher, student, pool(), sources, masks, options).unwrap()
    };
    let (mut whole, mut events) = (new(options(40)), Rounds::default());
    let result = whole.run(&mut events, &AtomicBool::new(false)).unwrap();
    assert_eq!(events.asked, [10]);
    assert!(result.rounding.is_some());
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&events.losses[10..15]), mean(&events.losses[35..]));
    assert!(last < 0.9 * first, "{first} to {last}");

    let (mut part, mut losses) = (new(options(40)), Rounds::default());
    for _ in 0..20 {
        let progress = part.step(&mut losses).unwrap();
        losses.progress(&progress);
    }
    part.save().unwrap();
    let mut rest = new(options(40));
    rest.resume(&path).unwrap();
    let again = rest.run(&mut losses, &AtomicBool::new(false)).unwrap();
    assert_eq!((losses.losses, losses.asked), (events.losses, vec![10]));
    assert_eq!((again.weights, again.rounding), (result.weights, result.rounding));
}
