//! The optimiser against its formula in f64, and its masks.

use lacuna_model::{EncoderConfig, Model, Preset};
use lacuna_train::Error;
use lacuna_train::encoder::{tensors, tensors_mut, zeros_like};
use lacuna_train::mask::{Mask, Masks, masks_of};
use lacuna_train::optimise::{AdamW, AdamWOptions};

fn model() -> Model {
    let shape = Preset::BertMini.config();
    Model::seeded(
        EncoderConfig { layers: 2, hidden_size: 12, heads: 3, intermediate_size: 20, vocab_size: 9, ..shape },
        2,
    )
    .unwrap()
}

fn gradient(i: usize, step: usize) -> f32 {
    ((i * 7 + step * 3) as f32).sin() * 0.1
}

#[test]
fn updates_are_those_of_the_formula_and_masked_weights_stay_zero() {
    let options = AdamWOptions { rate: 0.01, ..AdamWOptions::default() };
    let mut layers = model().weights().layers.clone();
    let mut masks: Masks = layers.iter().map(|_| Default::default()).collect();
    let kept: Vec<bool> = (0..144).map(|i| i / 12 / 4 % 2 == 0 || i % 3 == 0).collect();
    masks[1][0] = Some(Mask::new(12, 12, kept.clone()).unwrap());
    let mut optimiser = AdamW::new(options, &mut layers, masks).unwrap();
    let start = layers.clone();
    let mut gradients = zeros_like(&layers);
    let mut norms = Vec::new();
    for step in 0..3 {
        for tensor in tensors_mut(&mut gradients) {
            tensor.values.iter_mut().enumerate().for_each(|(i, g)| *g = gradient(i, step));
        }
        norms.push(optimiser.step(&mut layers, &mut gradients, 0.5).unwrap());
        let q = &layers[1].q.weight.data;
        assert!(q.iter().zip(&kept).all(|(w, kept)| *kept || w.to_bits() == 0));
        let average = &optimiser.average()[1].q.weight.data;
        assert!(average.iter().zip(&kept).all(|(w, kept)| *kept || w.to_bits() == 0));
    }
    for (number, (start, found)) in tensors(&start).iter().zip(tensors(&layers)).enumerate() {
        let decay = if number % 16 < 12 && number % 2 == 0 { 0.01 } else { 0.0 };
        for (i, (&start, &found)) in start.iter().zip(found).enumerate() {
            let (mut w, mut m, mut v) = (f64::from(start), 0.0, 0.0);
            if number == 16 && !kept[i] {
                continue;
            }
            for (step, norm) in norms.iter().enumerate() {
                let g = f64::from(gradient(i, step)) * (1.0 / norm).min(1.0);
                m = 0.9 * m + 0.1 * g;
                v = 0.98 * v + 0.02 * g * g;
                let t = step as i32 + 1;
                let direction = m / (1.0 - 0.9f64.powi(t)) / ((v / (1.0 - 0.98f64.powi(t))).sqrt() + 1e-8);
                w -= 0.005 * (decay * w + direction);
            }
            assert!((f64::from(found) - w).abs() < 2e-5, "tensor {number}: {found} is not {w}");
        }
    }
    assert_eq!(masks_of(&layers).unwrap()[1][0].as_ref().unwrap().kept(), kept);
}

#[test]
fn gradients_that_are_not_finite_change_nothing() {
    let mut layers = model().weights().layers.clone();
    let masks = masks_of(&layers).unwrap();
    let mut optimiser = AdamW::new(AdamWOptions::default(), &mut layers, masks).unwrap();
    let (before, mut gradients) = (layers.clone(), zeros_like(&layers));
    gradients[1].up.bias[3] = f32::NAN;
    let error = optimiser.step(&mut layers, &mut gradients, 1.0).unwrap_err();
    assert!(matches!(error, Error::NonFinite { step: 0, .. }), "{error}");
    assert_eq!(error.to_string(), "step 0: the gradient of layer 1 has values that are not finite");
    assert_eq!(layers, before);
    let bad = AdamWOptions { rate: f64::NAN, ..AdamWOptions::default() };
    assert!(matches!(AdamW::new(bad, &mut layers, Masks::new()), Err(Error::Setting { .. })));
}
