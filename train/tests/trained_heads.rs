//! Heads: their logits, their gradients, and their training with an encoder.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Tensor, Var};
use lacuna_kernels::Block;
use lacuna_model::heads::{Dense, DenseActivation, HeadWeights};
use lacuna_model::{Activation, EncoderConfig, Linear, Matrix, Model, PoolingMode, Preset, seeded_ids};
use lacuna_train::distil::{
    DistilOptions, Distiller, Events, HeadPair, Length, LogitForm, LossWeights, Progress, Source,
};
use lacuna_train::encoder::Tensors;
use lacuna_train::head::{HeadSaved, TrainedHead, new_classification};
use lacuna_train::mask::{Masks, masks_of};
use lacuna_train::ops::Pool;
use lacuna_train::optimise::AdamWOptions;
use lacuna_train::{Batch, Encoder, Error, Tiles};

const HIDDEN: usize = 22;

const ACTIVATIONS: [DenseActivation; 4] = [
    DenseActivation::Tanh,
    DenseActivation::Feature(Activation::Relu),
    DenseActivation::Feature(Activation::Gelu),
    DenseActivation::Feature(Activation::GeluTanh),
];

fn matrix(rows: usize, cols: usize, seed: f32) -> Matrix {
    Matrix { rows, cols, data: (0..rows * cols).map(|i| (i as f32 * 1.7 + seed).sin() * 0.4).collect() }
}

fn linear(outputs: usize, inputs: usize, seed: f32) -> Linear {
    Linear { weight: matrix(outputs, inputs, seed), bias: matrix(1, outputs, seed + 0.3).data }
}

/// Heads of every form, with the name of each.
fn heads() -> Vec<(String, HeadWeights)> {
    let first = |activation| {
        let dense = Dense { linear: linear(HIDDEN, HIDDEN, 0.1), activation };
        (format!("{activation:?}"), HeadWeights::First { dense, out: linear(3, HIDDEN, 0.9) })
    };
    let each = ("each".to_owned(), HeadWeights::Each(linear(5, HIDDEN, 0.4)));
    ACTIVATIONS.into_iter().map(first).chain([each]).collect()
}

/// 70 sequences, so that first tokens lie in two tiles.
fn batch() -> Batch {
    let config = EncoderConfig { vocab_size: 50, ..Preset::BertMini.config() };
    let sequences: Vec<Vec<u32>> = (0..70).flat_map(|i| seeded_ids(50, 1, 1 + i % 5, i as u64)).collect();
    Batch::new(&config, &sequences).unwrap()
}

/// Logits, the gradients of `sum r logits` with respect to the tensors of the head, and that of the states.
fn ours(weights: &HeadWeights, batch: &Batch, states: &Matrix) -> (Matrix, Vec<Vec<f32>>, Matrix) {
    let (head, tiles) = (TrainedHead::new(weights).unwrap(), Tiles::from_rows(states));
    let mut saved = HeadSaved::default();
    let logits = head.forward(batch, &tiles, &mut saved).unwrap();
    let mut gradients = head.layers().zeros_like();
    let mut dx = Tiles::zeros(HIDDEN, batch.tokens());
    let r = matrix(logits.rows, logits.cols, 0.6);
    head.backward(batch, &saved, &r, &mut gradients, &mut dx).unwrap();
    (logits, gradients.tensors().into_iter().map(<[f32]>::to_vec).collect(), dx.to_rows())
}

#[test]
fn logits_are_those_of_the_model() {
    let batch = batch();
    let states = matrix(batch.tokens(), HIDDEN, 0.2);
    for (name, weights) in heads() {
        let (found, ..) = ours(&weights, &batch, &states);
        let mut expected = Vec::new();
        for range in batch.ranges() {
            let data = states.data[range.start * HIDDEN..range.end * HIDDEN].to_vec();
            expected.extend(weights.logits(&Matrix { rows: range.len(), cols: HIDDEN, data }).data);
        }
        assert_eq!(found.data.len(), expected.len());
        assert!(found.data.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
    }
}

/// The head in f64, written down from its definition: `sum r logits`.
fn exact(weights: &HeadWeights, tensors: &[Vec<f64>], batch: &Batch, states: &[f64]) -> f64 {
    let product = |w: &[f64], b: &[f64], x: &[f64]| -> Vec<f64> {
        b.iter()
            .zip(w.chunks_exact(x.len()))
            .map(|(b, w)| b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>())
            .collect()
    };
    let rows: Vec<usize> = match weights {
        HeadWeights::First { .. } => batch.ranges().iter().map(|range| range.start).collect(),
        _ => (0..batch.tokens()).collect(),
    };
    let r = matrix(rows.len(), weights.outputs(), 0.6);
    let of_row = |(row, token): (usize, &usize)| {
        let mut x = states[token * HIDDEN..][..HIDDEN].to_vec();
        if let HeadWeights::First { dense, .. } = weights {
            x = product(&tensors[2], &tensors[3], &x);
            for x in &mut x {
                *x = match dense.activation {
                    DenseActivation::Tanh => x.tanh(),
                    DenseActivation::Feature(Activation::Relu) => x.max(0.0),
                    DenseActivation::Feature(Activation::Gelu) => {
                        0.5 * *x * (1.0 + libm::erf(*x / std::f64::consts::SQRT_2))
                    }
                    DenseActivation::Feature(Activation::GeluTanh) => {
                        let inner = (2.0 / std::f64::consts::PI).sqrt() * (*x + 0.044715 * x.powi(3));
                        0.5 * *x * (1.0 + inner.tanh())
                    }
                };
            }
        }
        let logits = product(&tensors[0], &tensors[1], &x);
        logits.iter().zip(r.row(row)).map(|(y, r)| y * f64::from(*r)).sum::<f64>()
    };
    rows.iter().enumerate().map(of_row).sum()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

#[test]
fn gradients_are_central_differences() {
    let batch = batch();
    let states = matrix(batch.tokens(), HIDDEN, 0.2);
    for (name, weights) in heads() {
        let (_, gradients, dx) = ours(&weights, &batch, &states);
        let head = TrainedHead::new(&weights).unwrap();
        let mut tensors: Vec<Vec<f64>> = head.layers().tensors().into_iter().map(wide).collect();
        let mut x = wide(&states.data);
        let near = |found: f32, above: f64, below: f64| {
            let expected = (above - below) / 2e-6;
            assert!((f64::from(found) - expected).abs() < 1e-3 * expected.abs().max(1.0), "{name}: {found} {expected}");
        };
        for tensor in 0..tensors.len() {
            for i in (0..tensors[tensor].len()).step_by(3) {
                let value = tensors[tensor][i];
                let mut at = |d: f64| {
                    tensors[tensor][i] = value + d;
                    exact(&weights, &tensors, &batch, &x)
                };
                let (above, below) = (at(1e-6), at(-1e-6));
                tensors[tensor][i] = value;
                near(gradients[tensor][i], above, below);
            }
        }
        for i in (0..x.len()).step_by(7) {
            let value = x[i];
            let mut at = |d: f64| {
                x[i] = value + d;
                exact(&weights, &tensors, &batch, &x)
            };
            let (above, below) = (at(1e-6), at(-1e-6));
            x[i] = value;
            near(dx.data[i], above, below);
        }
    }
}

#[test]
fn gradients_are_those_of_candle() {
    let batch = batch();
    let states = matrix(batch.tokens(), HIDDEN, 0.2);
    for (name, weights) in heads() {
        let (_, gradients, dx) = ours(&weights, &batch, &states);
        let var = |data: &[f32], shape: &[usize]| {
            Var::from_tensor(&Tensor::from_slice(data, shape, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap())
                .unwrap()
        };
        let (out, dense) = match &weights {
            HeadWeights::First { dense, out } => (out, Some(dense)),
            HeadWeights::Each(out) => (out, None),
            HeadWeights::Vocabulary { .. } => panic!("not trained"),
        };
        let mut vars = Vec::new();
        let mut product = |linear: &Linear, x: &Tensor| {
            let w = var(&linear.weight.data, &[linear.outputs(), linear.inputs()]);
            let b = var(&linear.bias, &[linear.outputs()]);
            let y = x.matmul(&w.t().unwrap()).unwrap().broadcast_add(&b).unwrap();
            vars.push([w, b]);
            y
        };
        let x = var(&states.data, &[states.rows, HIDDEN]);
        let logits = match dense {
            None => product(out, &x),
            Some(dense) => {
                let rows: Vec<u32> = batch.ranges().iter().map(|range| range.start as u32).collect();
                let rows = Tensor::from_vec(rows, batch.sequences(), &Device::Cpu).unwrap();
                let z = product(&dense.linear, &x.index_select(&rows, 0).unwrap());
                let a = match dense.activation {
                    DenseActivation::Tanh => z.tanh(),
                    DenseActivation::Feature(Activation::Relu) => z.relu(),
                    DenseActivation::Feature(Activation::Gelu) => z.gelu_erf(),
                    DenseActivation::Feature(Activation::GeluTanh) => z.gelu(),
                };
                product(out, &a.unwrap())
            }
        };
        let (rows, cols) = logits.dims2().unwrap();
        let r = var(&matrix(rows, cols, 0.6).data, &[rows, cols]);
        let store = (logits * r.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = |var: &Var| -> Vec<f64> { store.get(var).unwrap().flatten_all().unwrap().to_vec1().unwrap() };
        // Ours begin with the last layer.
        let expected: Vec<Vec<f64>> = vars.iter().rev().flatten().map(gradient).chain([gradient(&x)]).collect();
        let found: Vec<&[f32]> = gradients.iter().map(|values| &values[..]).chain([&dx.data[..]]).collect();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.len(), expected.len());
            let near =
                |(found, expected): (&f32, &f64)| (f64::from(*found) - expected).abs() < 1e-4 * expected.abs().max(1.0);
            assert!(found.iter().zip(expected).all(near), "{name}");
        }
    }
}

#[test]
fn heads_and_states_that_do_not_fit_are_errors() {
    let (batch, (_, weights)) = (batch(), heads().remove(0));
    let head = TrainedHead::new(&weights).unwrap();
    let mut saved = HeadSaved::default();
    let narrow = Tiles::zeros(HIDDEN - 1, batch.tokens());
    assert!(matches!(head.forward(&batch, &narrow, &mut saved), Err(Error::Size { .. })));
    let short = Tiles::zeros(HIDDEN, batch.tokens() - 1);
    assert!(matches!(head.forward(&batch, &short, &mut saved), Err(Error::Size { .. })));
    let HeadWeights::First { dense, .. } = weights else { panic!("no dense layer") };
    let wrong = HeadWeights::First { dense, out: linear(3, HIDDEN + 1, 0.1) };
    assert!(matches!(TrainedHead::new(&wrong), Err(Error::Size { .. })));
}

fn config() -> EncoderConfig {
    let shape = Preset::BertMini.config();
    EncoderConfig { layers: 2, hidden_size: 32, heads: 2, intermediate_size: 48, vocab_size: 60, ..shape }
}

/// Texts whose class is told by their first word, and texts without labels.
fn sources(labelled: bool) -> Vec<Source> {
    let texts = |seed: u64| -> Vec<Vec<u32>> {
        (0..40)
            .flat_map(|i| seeded_ids(58, 1, 3 + i % 9, seed + i as u64))
            .enumerate()
            .map(|(i, mut ids)| {
                ids[0] = 58 + i as u32 % 2;
                ids
            })
            .collect()
    };
    let labels = if labelled { (0..40).map(|i| i % 2).collect() } else { Vec::new() };
    vec![
        Source { texts: texts(1), labels, weight: 1.0, ..Source::default() },
        Source { texts: texts(100), weight: 1.0, ..Source::default() },
    ]
}

fn options(steps: u64, losses: LossWeights) -> DistilOptions {
    let optimiser = AdamWOptions { rate: 3e-3, ema: 0.9, ..AdamWOptions::default() };
    DistilOptions {
        length: Length::Steps(steps),
        batch: 8,
        optimiser,
        losses,
        dev_every: 10,
        ..DistilOptions::default()
    }
}

fn pool() -> Pool {
    Pool::new(PoolingMode::Mean, true).unwrap()
}

fn model() -> Model {
    Model::seeded(config(), 4).unwrap()
}

fn dense() -> Masks {
    (0..2).map(|_| Default::default()).collect()
}

/// Random weights that are large enough for logits that differ.
fn head(seed: u64) -> HeadWeights {
    let mut head = new_classification(&config(), None, 2, seed);
    if let HeadWeights::First { dense, out } = &mut head {
        [dense.linear.weight.data.as_mut_slice(), out.weight.data.as_mut_slice()]
            .into_iter()
            .flatten()
            .for_each(|w| *w *= 10.0);
    }
    head
}

#[derive(Default)]
struct Recorded {
    losses: Vec<f64>,
    parts: Vec<(f64, f64)>,
    stop_at: Option<(u64, std::sync::Arc<AtomicBool>)>,
}

impl Events for Recorded {
    fn progress(&mut self, progress: &Progress) {
        self.losses.push(progress.loss);
        self.parts.push((progress.losses.logits, progress.losses.labels));
        if let Some((step, stop)) = &self.stop_at
            && progress.step == *step
        {
            stop.store(true, Ordering::Relaxed);
        }
    }

    fn dev(
        &mut self,
        _: u64,
        _: lacuna_model::EncoderWeights,
        head: Option<&HeadWeights>,
    ) -> lacuna_train::Result<Option<f64>> {
        assert!(head.is_some());
        Ok(Some(-self.losses[self.losses.len() - 1]))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn a_new_head_learns_labels_without_a_teacher() {
    let teacher = Encoder::new(&config(), model().weights()).unwrap();
    let student = Encoder::trained(&config(), model().weights()).unwrap();
    let losses = LossWeights { hidden: 0.0, logits: 0.0, ..LossWeights::of_head() };
    let start = new_classification(&config(), None, 2, 7);
    let pair = HeadPair { student: &start, teacher: None, form: LogitForm::Classes };
    let mut distiller = Distiller::new(&teacher, student, pool(), sources(true), dense(), options(120, losses))
        .unwrap()
        .with_head(&pair)
        .unwrap();
    let mut events = Recorded::default();
    let result = distiller.run(&mut events, &AtomicBool::new(false)).unwrap();
    let labels = |range: std::ops::Range<usize>| mean(events.parts[range].iter().map(|part| part.1));
    assert!(labels(110..120) < 0.2 * labels(0..10), "{} to {}", labels(0..10), labels(110..120));
    // The head of the result classifies with the encoder of the result.
    let trained = model().with_weights(result.weights).unwrap();
    let head = result.head.unwrap();
    let source = &sources(true)[0];
    let states = trained.reference().forward(&source.texts).unwrap();
    let right = states.iter().zip(&source.labels).filter(|(states, label)| {
        let logits = head.logits(states);
        (logits.data[1] > logits.data[0]) == (**label == 1)
    });
    assert!(right.count() >= 38);
}

#[test]
fn a_sparse_student_follows_the_logits_of_its_teacher() {
    let teacher = Encoder::new(&config(), model().weights()).unwrap();
    let pruned = model().prune(Block::B4x1, 0.5).unwrap();
    let masks = masks_of(&pruned.weights().layers).unwrap();
    for form in [LogitForm::Classes, LogitForm::Values] {
        let student = Encoder::trained(&config(), pruned.weights()).unwrap();
        let of_teacher = head(1);
        let pair = HeadPair { student: &of_teacher, teacher: Some(&of_teacher), form };
        let mut distiller = Distiller::new(
            &teacher,
            student,
            pool(),
            sources(false),
            masks.clone(),
            options(80, LossWeights::of_head()),
        )
        .unwrap()
        .with_head(&pair)
        .unwrap();
        let mut events = Recorded::default();
        let result = distiller.run(&mut events, &AtomicBool::new(false)).unwrap();
        let logits = |range: std::ops::Range<usize>| mean(events.parts[range].iter().map(|part| part.0));
        assert!(logits(70..80) < 0.5 * logits(0..10), "{form:?}: {} to {}", logits(0..10), logits(70..80));
        assert_eq!(masks_of(&result.weights.layers).unwrap(), masks);
    }
}

#[test]
fn heads_of_tokens_and_answers_follow_their_teachers() {
    let teacher = Encoder::new(&config(), model().weights()).unwrap();
    let of = |outputs: usize, seed: f32| HeadWeights::Each(linear(outputs, 32, seed));
    for (outputs, form) in [(5, LogitForm::Classes), (2, LogitForm::Positions)] {
        let student = Encoder::trained(&config(), model().weights()).unwrap();
        let (from, to) = (of(outputs, 0.2), of(outputs, 0.7));
        let pair = HeadPair { student: &from, teacher: Some(&to), form };
        let mut distiller =
            Distiller::new(&teacher, student, pool(), sources(false), dense(), options(60, LossWeights::of_head()))
                .unwrap()
                .with_head(&pair)
                .unwrap();
        let mut events = Recorded::default();
        distiller.run(&mut events, &AtomicBool::new(false)).unwrap();
        let logits = |range: std::ops::Range<usize>| mean(events.parts[range].iter().map(|part| part.0));
        assert!(logits(50..60) < 0.3 * logits(0..5), "{form:?}: {} to {}", logits(0..5), logits(50..60));
    }
}

#[test]
fn interrupted_trainings_of_heads_go_on_with_the_same_bits_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let teacher = Encoder::new(&config(), model().weights()).unwrap();
    let (of_teacher, start) = (head(1), head(2));
    let pair = HeadPair { student: &start, teacher: Some(&of_teacher), form: LogitForm::Classes };
    let losses = LossWeights::of_head();
    let new = |options: DistilOptions| {
        let student = Encoder::trained(&config(), model().weights()).unwrap();
        Distiller::new(&teacher, student, pool(), sources(true), dense(), options).unwrap()
    };
    let whole = {
        let mut distiller = new(options(25, losses)).with_head(&pair).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let mut events = Recorded::default();
        let result = pool.install(|| distiller.run(&mut events, &AtomicBool::new(false))).unwrap();
        (result.weights, result.head, events.losses)
    };
    let with_file = DistilOptions { checkpoint: Some(path.clone()), ..options(25, losses) };
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let mut events = Recorded { stop_at: Some((13, stop.clone())), ..Recorded::default() };
    assert!(new(with_file.clone()).with_head(&pair).unwrap().run(&mut events, &stop).unwrap().stopped);
    // Another head to begin with: all of it is in the file.
    let other = HeadPair { student: &of_teacher, ..pair };
    let mut second = new(with_file.clone()).with_head(&other).unwrap();
    second.resume(&path).unwrap();
    let result = second.run(&mut events, &AtomicBool::new(false)).unwrap();
    assert_eq!(events.losses, whole.2);
    assert!(result.weights == whole.0 && result.head == whole.1);

    // A checkpoint with a head is none of a training without, and the other way round.
    let error = new(with_file.clone()).resume(&path).unwrap_err();
    assert!(matches!(&error, Error::Checkpoint { reason, .. } if reason.contains("of the head, too")), "{error}");
    new(DistilOptions { dev_every: 0, ..with_file.clone() }).save().unwrap();
    let error = new(with_file).with_head(&pair).unwrap().resume(&path).unwrap_err();
    assert!(matches!(&error, Error::Checkpoint { reason, .. } if reason.contains("head.out.weight")), "{error}");
}

#[test]
fn labels_and_heads_that_mean_nothing_are_refused() {
    let teacher = Encoder::new(&config(), model().weights()).unwrap();
    let new = |sources: Vec<Source>, student: &HeadWeights, of_teacher: Option<&HeadWeights>, form| {
        let encoder = Encoder::trained(&config(), model().weights()).unwrap();
        let pair = HeadPair { student, teacher: of_teacher, form };
        Distiller::new(&teacher, encoder, pool(), sources, dense(), options(5, LossWeights::of_head()))
            .unwrap()
            .with_head(&pair)
            .map(drop)
    };
    let two = head(1);
    assert!(new(sources(true), &two, None, LogitForm::Classes).is_ok());
    let mut high = sources(true);
    high[0].labels[3] = 2;
    let error = new(high, &two, None, LogitForm::Classes).unwrap_err();
    assert_eq!(error.to_string(), "labels of the texts is 2 for 2 classes; expected a class of the head");
    let error = new(sources(true), &two, None, LogitForm::Values).unwrap_err();
    assert!(matches!(error, Error::Setting { setting: "labels of the texts", .. }), "{error}");
    let each = HeadWeights::Each(linear(2, 32, 0.1));
    assert!(matches!(new(sources(true), &each, None, LogitForm::Classes), Err(Error::Setting { .. })));
    assert!(matches!(new(sources(false), &two, Some(&each), LogitForm::Classes), Err(Error::Size { .. })));
    let three = new_classification(&config(), None, 3, 1);
    assert!(matches!(new(sources(false), &two, Some(&three), LogitForm::Classes), Err(Error::Size { .. })));
    let wide = HeadWeights::Each(linear(2, 33, 0.1));
    assert!(matches!(new(sources(false), &wide, None, LogitForm::Classes), Err(Error::Size { .. })));
}
