//! The training loop on a tiny model.

use std::sync::atomic::{AtomicBool, Ordering};

use lacuna_kernels::Block;
use lacuna_model::heads::HeadWeights;
use lacuna_model::{Activation, EncoderConfig, EncoderWeights, Model, PoolingMode, Preset, seeded_ids};
use lacuna_train::distil::{DistilOptions, Distiller, Events, Length, LossWeights, Progress, Source};
use lacuna_train::encoder::Saved;
use lacuna_train::mask::{Masks, masks_of};
use lacuna_train::ops::Pool;
use lacuna_train::optimise::AdamWOptions;
use lacuna_train::{Batch, Encoder, Error, Result};

fn config(layers: usize) -> EncoderConfig {
    let shape = Preset::BertMini.config();
    EncoderConfig { layers, hidden_size: 32, heads: 2, intermediate_size: 48, vocab_size: 60, ..shape }
}

fn sources() -> Vec<Source> {
    let of = |seed, weight| Source {
        texts: (0..40).flat_map(|i| seeded_ids(60, 1, 3 + i % 9, seed + i as u64)).collect(),
        weight,
        ..Source::default()
    };
    vec![of(1, 1.0), of(100, 2.0)]
}

fn options(steps: u64) -> DistilOptions {
    let optimiser = AdamWOptions { rate: 3e-3, ema: 0.9, ..AdamWOptions::default() };
    DistilOptions { length: Length::Steps(steps), batch: 8, optimiser, dev_every: 10, ..DistilOptions::default() }
}

fn pool() -> Pool {
    Pool::new(PoolingMode::Mean, true).unwrap()
}

fn teacher() -> Encoder {
    Encoder::new(&config(2), Model::seeded(config(2), 4).unwrap().weights()).unwrap()
}

/// A student with half of its weights zero in blocks of 4x1; those of the teacher where the shape is the teacher's.
fn pruned_of(config: &EncoderConfig) -> (Encoder, Masks) {
    let model = Model::seeded(config.clone(), 4).unwrap().prune(Block::B4x1, 0.5).unwrap();
    let masks = masks_of(&model.weights().layers).unwrap();
    (Encoder::trained(config, model.weights()).unwrap(), masks)
}

fn pruned() -> (Encoder, Masks) {
    pruned_of(&config(2))
}

/// A student with one head of two, a third of the neurons, and another activation.
fn smaller() -> EncoderConfig {
    EncoderConfig { intermediate_size: 16, activation: Activation::Relu, ..config(2).with_heads(1) }
}

#[derive(Default)]
struct Recorded {
    losses: Vec<f64>,
    stop_at: Option<(u64, std::sync::Arc<AtomicBool>)>,
}

impl Events for Recorded {
    fn progress(&mut self, progress: &Progress) {
        self.losses.push(progress.loss);
        if let Some((step, stop)) = &self.stop_at
            && progress.step == *step
        {
            stop.store(true, Ordering::Relaxed);
        }
    }

    fn dev(&mut self, _step: u64, weights: EncoderWeights, _: Option<&HeadWeights>) -> Result<Option<f64>> {
        assert_eq!(weights.layers.len(), 2);
        Ok(Some(-self.losses[self.losses.len() - 1]))
    }
}

#[test]
fn losses_fall_and_zeros_stay() {
    let (teacher, (student, masks)) = (teacher(), pruned());
    let mut distiller = Distiller::new(&teacher, student, pool(), sources(), masks.clone(), options(60)).unwrap();
    let mut events = Recorded::default();
    let result = distiller.run(&mut events, &AtomicBool::new(false)).unwrap();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&events.losses[..5]), mean(&events.losses[55..]));
    assert!(last < 0.7 * first, "{first} to {last}");
    assert_eq!((result.steps, result.stopped), (60, false));
    assert!(result.best.is_some());
    assert_eq!(masks_of(&result.weights.layers).unwrap(), masks);
}

/// Students of another width of attention learn, and a checkpoint of one shape is refused by another.
#[test]
fn smaller_students_learn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let (teacher, (student, masks)) = (teacher(), pruned_of(&smaller()));
    let with_file = DistilOptions { checkpoint: Some(path.clone()), ..options(60) };
    let mut distiller = Distiller::new(&teacher, student, pool(), sources(), masks, with_file).unwrap();
    let mut events = Recorded::default();
    let result = distiller.run(&mut events, &AtomicBool::new(false)).unwrap();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&events.losses[55..]) < 0.9 * mean(&events.losses[..5]), "{:?}", events.losses);
    assert_eq!(result.weights.layers[0].o.inputs(), 16);
    let (student, masks) = pruned();
    let mut other = Distiller::new(&teacher, student, pool(), sources(), masks, options(60)).unwrap();
    assert!(matches!(other.resume(&path), Err(Error::Checkpoint { .. })));
}

#[test]
fn interrupted_trainings_go_on_with_the_same_bits_on_any_number_of_threads() {
    for shape in [config(2), smaller()] {
        interrupted(&shape, false);
    }
    interrupted(&config(2), true);
}

fn interrupted(shape: &EncoderConfig, embeddings: bool) {
    let options = |steps| DistilOptions { embeddings, ..options(steps) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let teacher = teacher();
    let whole = {
        let (student, masks) = pruned_of(shape);
        let mut distiller = Distiller::new(&teacher, student, pool(), sources(), masks, options(25)).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let mut events = Recorded::default();
        let result = pool.install(|| distiller.run(&mut events, &AtomicBool::new(false))).unwrap();
        (result.weights, distiller.student().weights(), events.losses)
    };
    let with_file = DistilOptions { checkpoint: Some(path.clone()), ..options(25) };
    let (student, masks) = pruned_of(shape);
    let mut first = Distiller::new(&teacher, student, pool(), sources(), masks, with_file.clone()).unwrap();
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let mut events = Recorded { stop_at: Some((13, stop.clone())), ..Recorded::default() };
    let result = first.run(&mut events, &stop).unwrap();
    assert_eq!((result.steps, result.stopped), (13, true));

    let (student, _) = pruned_of(shape);
    let mut second = Distiller::new(
        &teacher,
        student,
        pool(),
        sources(),
        Masks::from([Default::default(), Default::default()]),
        with_file,
    )
    .unwrap();
    second.resume(&path).unwrap();
    let result = second.run(&mut events, &AtomicBool::new(false)).unwrap();
    assert_eq!(events.losses, whole.2);
    assert!(result.weights == whole.0 && second.student().weights() == whole.1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no half-written file is left");
    let moved = result.weights.embeddings.word != Model::seeded(shape.clone(), 4).unwrap().weights().embeddings.word;
    assert_eq!(moved, embeddings, "embeddings are trained where that is asked for");
    if embeddings {
        let (student, masks) = pruned_of(shape);
        let plain = DistilOptions { embeddings: false, ..options(25) };
        let mut other = Distiller::new(&teacher, student, pool(), sources(), masks, plain).unwrap();
        assert!(matches!(other.resume(&path), Err(Error::Checkpoint { .. })), "another training");
    }
}

/// Gold scores that contradict the teacher change the order of cosines.
#[test]
fn students_learn_the_order_of_gold_scores() {
    let texts: Vec<Vec<u32>> = (0..24).flat_map(|i| seeded_ids(60, 1, 6, i)).collect();
    let (teacher, (student, masks)) = (teacher(), pruned());
    let cosines = |encoder: &Encoder| -> Vec<f32> {
        let batch = Batch::new(&config(2), &texts).unwrap();
        let mut saved = Saved::default();
        encoder.forward(&batch, &mut saved).unwrap();
        let e = pool().forward(&batch, saved.output()).unwrap().embeddings;
        (0..12).map(|i| e.row(2 * i).iter().zip(e.row(2 * i + 1)).map(|(a, b)| a * b).sum()).collect()
    };
    // The reverse of what the teacher says.
    let scores: Vec<f32> = cosines(&teacher).iter().map(|cosine| -cosine).collect();
    let in_order = |cosines: &[f32]| {
        let pairs = (0..12).flat_map(|i| (0..12).map(move |j| (i, j))).filter(|&(i, j)| scores[i] > scores[j]);
        let right = pairs.clone().filter(|&(i, j)| cosines[i] > cosines[j]).count();
        right as f64 / pairs.count() as f64
    };
    let source = Source { texts: texts.clone(), scores: scores.clone(), weight: 1.0, ..Source::default() };
    let losses = LossWeights { hidden: 0.0, cosine: 0.0, similarity: 0.0, scores: 1.0, ..LossWeights::default() };
    let options = DistilOptions { losses, dev_every: 0, ..options(200) };
    let mut distiller = Distiller::new(&teacher, student, pool(), vec![source], masks, options).unwrap();
    let before = in_order(&cosines(distiller.student()));
    let result = distiller.run(&mut Recorded::default(), &AtomicBool::new(false)).unwrap();
    let after = in_order(&cosines(&Encoder::new(&config(2), &result.weights).unwrap()));
    assert!(before < 0.5 && after > 0.85, "{before} of the pairs in the right order, then {after}");
}

#[test]
fn students_can_have_fewer_layers() {
    let teacher = teacher();
    let weights = Model::seeded(config(2), 4).unwrap().weights().clone();
    let short = EncoderWeights { layers: weights.layers[1..].to_vec(), ..weights };
    let student = Encoder::trained(&config(1), &short).unwrap();
    let none = DistilOptions { dev_every: 0, ..options(4) };
    let mut distiller = Distiller::new(&teacher, student, pool(), sources(), vec![Default::default()], none).unwrap();
    assert_eq!(distiller.run(&mut (), &AtomicBool::new(false)).unwrap().weights.layers.len(), 1);
}

#[test]
fn values_that_are_not_finite_end_the_training() {
    let teacher = teacher();
    let mut weights = Model::seeded(config(2), 4).unwrap().weights().clone();
    weights.layers[1].up.weight.data[5] = 3e38;
    weights.layers[1].up.weight.data[6] = 3e38;
    weights.layers[1].attention_norm.gamma.fill(1e3);
    let student = Encoder::trained(&config(2), &weights).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let with_file = DistilOptions { checkpoint: Some(path.clone()), ..options(4) };
    let masks = (0..2).map(|_| Default::default()).collect();
    let mut distiller = Distiller::new(&teacher, student, pool(), sources(), masks, with_file).unwrap();
    let error = distiller.run(&mut (), &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.to_string(), "step 0: the output of layer 1 has values that are not finite");
    assert!(!path.exists());
    assert!(matches!(distiller.resume(&path), Err(Error::Io { .. })));
    std::fs::write(&path, b"no checkpoint").unwrap();
    assert!(matches!(distiller.resume(&path), Err(Error::Checkpoint { .. })));
}

/// A student with smaller tables than its teacher cannot read the teacher's batches.
#[test]
fn smaller_tables_are_an_error_and_no_panic() {
    let teacher = teacher();
    let small = EncoderConfig { vocab_size: 10, ..config(2) };
    let student = Encoder::trained(&small, Model::seeded(small.clone(), 4).unwrap().weights()).unwrap();
    let masks = (0..2).map(|_| Default::default()).collect();
    let mut distiller = Distiller::new(&teacher, student, pool(), sources(), masks, options(2)).unwrap();
    assert!(matches!(distiller.run(&mut (), &AtomicBool::new(false)), Err(Error::Setting { .. })));
    let none = EncoderConfig { layers: 0, ..config(2) };
    let weights = EncoderWeights { layers: Vec::new(), ..teacher.weights() };
    assert!(matches!(Encoder::new(&none, &weights), Err(Error::Setting { .. })));
}
