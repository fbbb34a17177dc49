//! Gradual pruning of a tiny model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lacuna_kernels::Block;
use lacuna_model::{EncoderConfig, EncoderWeights, LayerWeights, Model, PoolingMode, Preset, seeded_ids};
use lacuna_train::distil::{DistilOptions, Distiller, Events, Length, Progress, Pruning, Ramp, Source};
use lacuna_train::mask::{Mask, Masks, masks_of};
use lacuna_train::ops::Pool;
use lacuna_train::optimise::AdamWOptions;
use lacuna_train::prune::{OneShotOptions, one_shot};
use lacuna_train::{Encoder, Error, Result};

const RAMP: Ramp = Ramp { start: 0.25, end: 0.75, until: 0.4, prunings: 4 };
/// Steps of the training; the prunings come before the steps 3, 5, 8 and 10.
const STEPS: u64 = 25;

fn config() -> EncoderConfig {
    let shape = Preset::BertMini.config();
    EncoderConfig { layers: 2, hidden_size: 32, heads: 2, intermediate_size: 48, vocab_size: 60, ..shape }
}

fn texts(seed: u64) -> Vec<Vec<u32>> {
    (0..40).flat_map(|i| seeded_ids(60, 1, 3 + i % 9, seed + i as u64)).collect()
}

fn options() -> DistilOptions {
    let optimiser = AdamWOptions { rate: 3e-3, ema: 0.9, ..AdamWOptions::default() };
    let length = Length::Steps(STEPS);
    DistilOptions { length, batch: 8, accumulate: 2, optimiser, dev_every: 4, ramp: Some(RAMP), ..Default::default() }
}

fn pruned(weights: &EncoderWeights, sparsity: f64) -> Result<(EncoderWeights, Masks)> {
    let options = OneShotOptions { keep_zeros: true, ..OneShotOptions::new(Block::B4x1, sparsity) };
    let found = one_shot(&config(), weights, &texts(7), &options, &mut |_| {})?;
    let masks = masks_of(&found.weights.layers)?;
    Ok((found.weights, masks))
}

fn teacher() -> Encoder {
    Encoder::new(&config(), Model::seeded(config(), 4).unwrap().weights()).unwrap()
}

/// Prunes as the ramp says, and records everything.
#[derive(Default)]
struct Recorded {
    progress: Vec<(f64, f64, Option<f64>)>,
    prunings: Vec<Pruning>,
    masks: Vec<Masks>,
    stop_at: Option<(u64, Arc<AtomicBool>)>,
}

impl Events for Recorded {
    fn progress(&mut self, progress: &Progress) {
        self.progress.push((progress.loss, progress.rate, progress.sparsity));
        if let Some((step, stop)) = &self.stop_at
            && progress.step == *step
        {
            stop.store(true, Ordering::Relaxed);
        }
    }

    fn prune(&mut self, pruning: &Pruning, weights: &EncoderWeights) -> Result<(Vec<LayerWeights>, Masks)> {
        let (weights, masks) = pruned(weights, pruning.sparsity)?;
        self.prunings.push(*pruning);
        self.masks.push(masks.clone());
        Ok((weights.layers, masks))
    }
}

fn distiller(teacher: &Encoder, options: DistilOptions) -> Distiller<'_> {
    let (weights, masks) = pruned(&teacher.weights(), RAMP.start).unwrap();
    let student = Encoder::trained(&config(), &weights).unwrap();
    let pool = Pool::new(PoolingMode::Mean, true).unwrap();
    let source = Source { texts: texts(1), weight: 1.0, ..Source::default() };
    Distiller::new(teacher, student, pool, vec![source], masks, options).unwrap()
}

fn all(masks: &Masks) -> impl Iterator<Item = &Mask> {
    masks.iter().flatten().map(|mask| mask.as_ref().unwrap())
}

#[test]
fn zeros_grow_by_the_ramp_and_are_locked_then() {
    let teacher = teacher();
    let mut distiller = distiller(&teacher, options());
    let mut events = Recorded { masks: vec![distiller.student().masks().clone()], ..Recorded::default() };
    let result = distiller.run(&mut events, &AtomicBool::new(false)).unwrap();
    assert_eq!(
        events.prunings.iter().map(|p| (p.number, p.step)).collect::<Vec<_>>(),
        [(1, 3), (2, 5), (3, 8), (4, 10)]
    );
    assert_eq!(result.prunings, events.prunings);
    for (masks, sparsity) in events.masks.iter().zip((0..=4).map(|number| RAMP.sparsity(number))) {
        assert!(all(masks).all(|mask| (mask.sparsity() - sparsity).abs() < 0.01), "{sparsity}");
    }
    for two in events.masks.windows(2) {
        for (earlier, later) in all(&two[0]).zip(all(&two[1])) {
            assert!(
                earlier.kept().iter().zip(later.kept()).all(|(earlier, later)| *earlier || !later),
                "a zero came back"
            );
        }
    }
    assert_eq!(&result.masks, events.masks.last().unwrap());
    assert_eq!(masks_of(&result.weights.layers).unwrap(), result.masks);
    assert_eq!(masks_of(&distiller.student().weights().layers).unwrap(), result.masks);
    // Every step says its sparsity; the rate is as high as it gets until the last pruning, and rises again after it.
    let sparsities: Vec<f64> = events.progress.iter().filter_map(|progress| progress.2).collect();
    assert_eq!((sparsities.len(), sparsities[2], sparsities[3]), (25, RAMP.start, RAMP.sparsity(1)));
    let rates: Vec<f64> = events.progress.iter().map(|progress| progress.1).collect();
    assert!(rates[1..10].iter().all(|rate| *rate == 3e-3) && rates[10] < 1e-3 && rates[11] > 2e-3, "{rates:?}");
    assert!(rates[24] < 2e-4, "{rates:?}");
}

#[test]
fn interruptions_beside_a_pruning_change_no_bit_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let teacher = teacher();
    let whole = {
        let mut distiller = distiller(&teacher, options());
        let mut events = Recorded::default();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let result = pool.install(|| distiller.run(&mut events, &AtomicBool::new(false))).unwrap();
        (result.weights, distiller.student().weights(), events)
    };
    // Right before the second pruning, right after it, and right after the last one.
    for at in [5, 6, 11] {
        let with_file = DistilOptions { checkpoint: Some(path.clone()), ..options() };
        let stop = Arc::new(AtomicBool::new(false));
        let mut events = Recorded { stop_at: Some((at, stop.clone())), ..Recorded::default() };
        let result = distiller(&teacher, with_file.clone()).run(&mut events, &stop).unwrap();
        assert_eq!((result.steps, result.stopped), (at, true));
        let mut second = distiller(&teacher, with_file);
        second.resume(&path).unwrap();
        let result = second.run(&mut events, &AtomicBool::new(false)).unwrap();
        assert_eq!((&events.progress, &events.prunings), (&whole.2.progress, &whole.2.prunings));
        assert!(result.weights == whole.0 && second.student().weights() == whole.1, "{at}");
        assert_eq!(result.prunings, events.prunings);
    }
}

/// A training of few steps, or of a time that one step uses up, still reaches the sparsity.
#[test]
fn short_trainings_skip_prunings_but_not_the_last_one() {
    let teacher = teacher();
    let short = Length::Time(std::time::Duration::from_nanos(1));
    for (length, numbers) in [(Length::Steps(2), &[4][..]), (Length::Steps(4), &[2, 4]), (short, &[4])] {
        let mut events = Recorded::default();
        let result = distiller(&teacher, DistilOptions { length, dev_every: 0, ..options() })
            .run(&mut events, &AtomicBool::new(false))
            .unwrap();
        assert_eq!(result.prunings.iter().map(|pruning| pruning.number).collect::<Vec<_>>(), numbers);
        assert!(all(&result.masks).all(|mask| (mask.sparsity() - RAMP.end).abs() < 0.01));
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let teacher = teacher();
    let refused = |options: DistilOptions| {
        let student = Encoder::trained(&config(), &teacher.weights()).unwrap();
        let pool = Pool::new(PoolingMode::Mean, true).unwrap();
        let source = Source { texts: texts(1), weight: 1.0, ..Source::default() };
        let masks = vec![Default::default(), Default::default()];
        Distiller::new(&teacher, student, pool, vec![source], masks, options).err().map(|error| error.to_string())
    };
    let error = |options| refused(options).unwrap_or_default();
    assert!(error(DistilOptions { length: Length::Steps(1), ..options() }).contains("steps of the training is 1"));
    assert!(error(DistilOptions { rounding_from: 0.3, ..options() }).contains("begin of the rounding is 0.3"));
    let ramp = Some(Ramp { start: 0.8, ..RAMP });
    assert!(error(DistilOptions { ramp, ..options() }).contains("gradual pruning is from 0.8 to 0.75"));
    // Events that do not prune, and layers of another model.
    let error = distiller(&teacher, options()).run(&mut (), &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, Error::Setting { setting: "gradual pruning", .. }), "{error}");
    struct Short;
    impl Events for Short {
        fn prune(&mut self, _: &Pruning, weights: &EncoderWeights) -> Result<(Vec<LayerWeights>, Masks)> {
            let layers = weights.layers[1..].to_vec();
            let masks = masks_of(&layers)?;
            Ok((layers, masks))
        }
    }
    let error = distiller(&teacher, options()).run(&mut Short, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, Error::Size { .. }), "{error}");
}
