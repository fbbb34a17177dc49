//! Simulation of every precision against an independent forward pass, and calibration that threads do not change.

use half::bf16;
use lacuna_model::reference::{Observer, Reference, Site, Tap, TapSet};
use lacuna_model::{
    ActivationQuant, CalibratedModel, CalibrationOptions, Choice, EncoderConfig, Keep, LayerPrecision, Linear, Model,
    Precision, Preset, seeded_ids,
};

fn small(preset: Preset) -> Model {
    let config = EncoderConfig {
        layers: 2,
        hidden_size: 64,
        heads: 2,
        intermediate_size: 256,
        vocab_size: 200,
        ..preset.config()
    };
    Model::seeded(config, 5).unwrap()
}

/// The model whose second layer's inputs of the named tap, and their readers' weights, are rounded by `input` and `weights`.
struct Rounded<F> {
    tap: Tap,
    round: F,
}

impl<F: Fn(&mut [f32]) + Sync> Observer for Rounded<F> {
    fn tensor(&self, site: Site, values: &mut [f32], features: usize) {
        if site.layer == 1 {
            values.chunks_exact_mut(features).for_each(&self.round);
        }
    }

    fn wants(&self, tap: Tap) -> bool {
        tap == self.tap
    }
}

/// `x[k] = r[k] s (code - 128)` with the scale of the token, in f64 where that is not f32's business.
fn dynamic(row: &mut [f32], relative: &[f32]) {
    let ratios: Vec<f32> = row.iter().zip(relative).map(|(x, r)| x / r).collect();
    let scale = ratios.iter().map(|ratio| ratio.abs()).reduce(f32::max).unwrap() / 127.0;
    for (x, r) in row.iter_mut().zip(relative) {
        let code = (*x / (r * scale)).round_ties_even() as i32 + 128;
        assert!((1..=255).contains(&code), "{code}");
        *x = r * scale * (code - 128) as f32;
    }
}

/// Weights in s8 with relative scales folded in, written out; the mean error goes into the bias.
fn folded(linear: &Linear, quant: &ActivationQuant) -> Linear {
    let mut rounded = linear.clone();
    for (m, bias) in rounded.bias.iter_mut().enumerate() {
        let row = linear.weight.row(m);
        let products: Vec<f32> = row.iter().zip(&quant.scale).map(|(w, r)| w * r).collect();
        let step = products.iter().map(|w| w.abs()).reduce(f32::max).unwrap() / 127.0;
        let mut lost = 0.0;
        for (k, w) in rounded.weight.row_mut(m).iter_mut().enumerate() {
            let kept = step * (products[k] / step).round_ties_even() / quant.scale[k];
            lost += f64::from(*w - kept) * f64::from(quant.mean[k]);
            *w = kept;
        }
        *bias += lost as f32;
    }
    rounded
}

fn halved(linear: &Linear) -> Linear {
    let mut rounded = linear.clone();
    rounded.weight.data.iter_mut().for_each(|w| *w = bf16::from_f32(*w).to_f32());
    rounded
}

/// Largest difference of any embedding feature.
fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_precision_is_simulated_as_it_is_defined() {
    let ids = seeded_ids(200, 6, 20, 1);
    let calibrated = small(Preset::BertMini).calibration().run_ids(&ids).unwrap();
    let (config, weights) = (calibrated.model().config(), calibrated.model().weights());
    let exact = calibrated.model().reference().embed(&ids, calibrated.model().pooling()).unwrap();
    for tap in [Tap::AttentionInput, Tap::FeedForwardInput, Tap::GeluOutput] {
        let quant = match tap {
            Tap::AttentionInput => &calibrated.quant()[1].attn_in,
            Tap::FeedForwardInput => &calibrated.quant()[1].ffn_in,
            _ => &calibrated.quant()[1].gelu_out,
        };
        let mut errors = Vec::new();
        for precision in [Precision::Dynamic, Precision::Bf16, Precision::F32] {
            // Everything else in f32, so that nothing hides a difference.
            let mut layer = LayerPrecision::all(Precision::F32);
            *match tap {
                Tap::AttentionInput => &mut layer.attn_in,
                Tap::FeedForwardInput => &mut layer.ffn_in,
                _ => &mut layer.gelu_out,
            } = precision;
            let model = calibrated.clone().with_precision(vec![LayerPrecision::all(Precision::F32), layer]).unwrap();
            let mut expected = weights.clone();
            let rounded = |linear: &Linear| match precision {
                Precision::Dynamic => folded(linear, quant),
                Precision::Bf16 => halved(linear),
                _ => linear.clone(),
            };
            let other = expected.layers[1].clone();
            let layer = &mut expected.layers[1];
            match tap {
                Tap::AttentionInput => {
                    (layer.q, layer.k, layer.v) = (rounded(&other.q), rounded(&other.k), rounded(&other.v));
                }
                Tap::FeedForwardInput => layer.up = rounded(&other.up),
                _ => layer.down = rounded(&other.down),
            }
            // Weights of `o` are always s8: simulated without rounding weights they are not, so they are taken as they are there.
            let o = calibrated.quantize_layer(1).o.dequantize(&calibrated.quant()[1].attn_out);
            let first = calibrated.quantize_layer(0).o.dequantize(&calibrated.quant()[0].attn_out);
            (expected.layers[1].o, expected.layers[0].o) = (o, first);
            let round = |row: &mut [f32]| match precision {
                Precision::Dynamic => dynamic(row, &quant.scale),
                Precision::Bf16 => row.iter_mut().for_each(|x| *x = bf16::from_f32(*x).to_f32()),
                _ => {}
            };
            let observer = Rounded { tap, round };
            let pooling = model.model().pooling();
            let expected = Reference::new(config, &expected).embed_observed(&ids, pooling, &observer).unwrap();
            let taps = TapSet::only(Tap::AttentionInput).with(Tap::FeedForwardInput).with(Tap::GeluOutput);
            let simulated = model.simulate(&ids, taps, true).unwrap();
            assert!(
                difference(&simulated, &expected) < 2e-6,
                "{tap:?} {precision}: {}",
                difference(&simulated, &expected)
            );
            errors.push(difference(&simulated, &exact));
        }
        // o stays in 8 bit, so there is always a difference to f32, and every precision has its own.
        assert!(
            errors.iter().all(|error| *error > 0.0) && errors[0] != errors[1] && errors[1] != errors[2],
            "{errors:?}"
        );
    }
}

#[test]
fn nothing_is_rounded_in_f32() {
    let ids = seeded_ids(200, 4, 16, 2);
    let model = small(Preset::BertMini).calibration().run_ids(&ids).unwrap();
    let exact = model.model().reference().embed(&ids, model.model().pooling()).unwrap();
    let taps = TapSet::only(Tap::AttentionInput).with(Tap::FeedForwardInput).with(Tap::GeluOutput);
    for precision in Precision::ALL {
        let model = model.clone().with_precision(vec![LayerPrecision::all(precision); 2]).unwrap();
        let simulated = model.simulate(&ids, taps, false).unwrap();
        let error = difference(&simulated, &exact);
        assert_eq!(error < 1e-6, precision == Precision::F32, "{precision}: {error}");
    }
}

#[test]
fn calibration_is_the_same_on_any_number_of_threads() {
    // Lengths of all kinds, so that groups of sequences fall differently.
    let ids: Vec<Vec<u32>> = (0..40).map(|i| seeded_ids(200, 1, 1 + i * 7 % 31, i as u64).remove(0)).collect();
    let options = CalibrationOptions { choice: Choice::Measured, keep: Some(Keep::below(36.0)), ..Default::default() };
    for preset in [Preset::BertMini, Preset::ElectraSmall] {
        let calibrate = |threads: usize| -> CalibratedModel {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| small(preset).calibration().options(options).run_ids(&ids).unwrap())
        };
        let one = calibrate(1);
        assert!(one.report().unwrap().tensors.len() >= 14);
        for threads in [2, 5] {
            let other = calibrate(threads);
            assert_eq!(one.quant(), other.quant());
            assert_eq!(one.projection_quant(), other.projection_quant());
            assert_eq!(one.precision(), other.precision());
            assert_eq!(one.report(), other.report());
        }
    }
}

#[test]
fn a_report_changes_nothing_and_keeping_moves_what_is_below() {
    let ids = seeded_ids(200, 12, 24, 3);
    let with =
        |options: CalibrationOptions| small(Preset::BertMini).calibration().options(options).run_ids(&ids).unwrap();
    let plain = with(CalibrationOptions::default());
    let reported = with(CalibrationOptions { report: true, ..Default::default() });
    assert!(plain.report().is_none());
    assert_eq!(plain.quant(), reported.quant());
    assert_eq!(reported.precision(), plain.precision());
    let report = reported.report().unwrap();
    assert!(report.cosine_min > 0.98 && report.cosine_min <= report.cosine_mean, "{report:?}");
    // A limit in the middle of the tensors that have a choice.
    let db = |tensor: &lacuna_model::TensorReport| tensor.precisions.first().and_then(|of| of.snr_db);
    let mut all: Vec<f64> = report.tensors.iter().filter_map(db).collect();
    all.sort_by(f64::total_cmp);
    assert_eq!(all.len(), 6);
    let below = 0.5 * (all[2] + all[3]);
    let kept = with(CalibrationOptions { keep: Some(Keep::below(below)), ..Default::default() });
    assert_eq!(kept.quant(), plain.quant());
    let report = kept.report().unwrap();
    for tensor in report.tensors.iter().filter(|tensor| db(tensor).is_some()) {
        let layer = kept.precision()[tensor.layer.unwrap()];
        let precision = match tensor.tensor {
            "attn_in" => layer.attn_in,
            "ffn_in" => layer.ffn_in,
            _ => layer.gelu_out,
        };
        assert_eq!(precision, tensor.precision);
        assert_eq!(precision != Precision::Static, db(tensor).unwrap() < below, "{tensor:?}");
        assert!(tensor.snr_db.is_none_or(|db| db >= below), "{tensor:?}");
    }
}

#[test]
fn options_out_of_bounds_are_named() {
    for below_db in [-1.0, 201.0, f64::NAN] {
        let options = CalibrationOptions { keep: Some(Keep::below(below_db)), ..Default::default() };
        let error =
            small(Preset::BertMini).calibration().options(options).run_ids(&seeded_ids(200, 1, 4, 1)).unwrap_err();
        assert!(error.to_string().contains("keep below: found "), "{error}");
    }
}
