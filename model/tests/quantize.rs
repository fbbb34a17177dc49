//! Quantised layers: exact arithmetic, bounded error, zeros that stay zero.

use lacuna_model::reference::TapSet;
use lacuna_model::{
    ActivationBits, ActivationQuant, Block, CalibrationOptions, EncoderConfig, Error, Linear, Matrix, Model, Preset,
    QuantizedLinear, RangeMethod, Smoothing, seeded_ids,
};
use proptest::prelude::*;

fn linear_and_input() -> impl Strategy<Value = (Linear, ActivationQuant, Vec<f32>)> {
    (1usize..12, 1usize..40).prop_flat_map(|(m, k)| {
        let weights = prop::collection::vec(prop_oneof![4 => -1.0f32..1.0, 1 => Just(0.0)], m * k);
        let bias = prop::collection::vec(-1.0f32..1.0, m);
        let scale = prop::collection::vec(0.001f32..0.1, k);
        let mean = prop::collection::vec(-1.0f32..1.0, k);
        let codes = prop::collection::vec(any::<u8>(), k);
        (weights, bias, scale, any::<u8>(), mean, codes).prop_map(
            move |(data, bias, scale, zero_point, mean, codes)| {
                let linear = Linear { weight: Matrix { rows: m, cols: k, data }, bias };
                let input = ActivationQuant { scale, zero_point, bits: ActivationBits::Eight, mean };
                let x = codes.iter().enumerate().map(|(k, &code)| input.dequantize(k, code)).collect();
                (linear, input, x)
            },
        )
    })
}

/// What the kernels compute: exact integer sums, then one scale and one addend per output.
fn integer_forward(layer: &QuantizedLinear, codes: &[u8]) -> Vec<f64> {
    let row = |(m, row): (usize, &[i8])| {
        let acc: i64 = row.iter().zip(codes).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
        let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
        let exact = acc - i64::from(layer.input_zero_point) * sum;
        f64::from(layer.weight_scale[m]) * exact as f64 + f64::from(layer.bias[m])
    };
    layer.weight.chunks_exact(layer.k).enumerate().map(row).collect()
}

proptest! {
    #[test]
    fn integer_arithmetic_is_what_the_dequantized_layer_computes((linear, input, x) in linear_and_input()) {
        let quantized = QuantizedLinear::new(&linear, &input);
        let codes: Vec<u8> = x.iter().enumerate().map(|(k, &x)| input.quantize(k, x)).collect();
        let fake = quantized.dequantize(&input);
        for (m, y) in integer_forward(&quantized, &codes).into_iter().enumerate() {
            let dot: f64 = fake.weight.row(m).iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            let expected = dot + f64::from(fake.bias[m]);
            prop_assert!((y - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{y} is not {expected}");
        }
    }

    #[test]
    fn every_weight_is_within_half_a_step((linear, input, _x) in linear_and_input()) {
        let quantized = QuantizedLinear::new(&linear, &input);
        for m in 0..quantized.m {
            let step = quantized.weight_scale[m];
            prop_assert!(step > 0.0);
            for k in 0..quantized.k {
                let folded = linear.weight.row(m)[k] * input.scale[k];
                let code = quantized.weight[m * quantized.k + k];
                prop_assert!(code != i8::MIN);
                prop_assert!((folded - step * f32::from(code)).abs() <= step * 0.500_01);
                if linear.weight.row(m)[k] == 0.0 {
                    prop_assert_eq!(code, 0);
                }
            }
        }
    }

    #[test]
    fn bias_correction_is_exact_at_the_mean((linear, input, _x) in linear_and_input()) {
        let fake = QuantizedLinear::new(&linear, &input).dequantize(&input);
        let at_mean = |layer: &Linear, m: usize| {
            let dot: f64 = layer.weight.row(m).iter().zip(&input.mean).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            dot + f64::from(layer.bias[m])
        };
        for m in 0..linear.outputs() {
            prop_assert!((at_mean(&fake, m) - at_mean(&linear, m)).abs() < 1e-4);
        }
    }

    #[test]
    fn activations_round_trip_within_half_a_step(
        scale in 0.001f32..10.0,
        zero_point in any::<u8>(),
        bits in prop::sample::select(&ActivationBits::ALL[..]),
        x in -5.0f32..5.0,
    ) {
        let zero_point = zero_point.min(bits.largest());
        let quant = ActivationQuant { scale: vec![scale], zero_point, bits, mean: vec![0.0] };
        let code = quant.quantize(0, x);
        let back = quant.dequantize(0, code);
        let zero = f32::from(zero_point);
        prop_assert!(code <= bits.largest());
        let clipped = x.clamp(-zero * scale, (f32::from(bits.largest()) - zero) * scale);
        prop_assert!((back - clipped).abs() <= 0.501 * scale);
    }
}

fn small() -> Model {
    let config = EncoderConfig { layers: 2, vocab_size: 200, ..Preset::BertMini.config() };
    Model::seeded(config, 5).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn zeros_survive_quantisation() {
    let model = small().prune(Block::B4x1, 0.9).unwrap().calibration().run_ids(&seeded_ids(200, 8, 32, 1)).unwrap();
    for (i, weights) in model.model().weights().layers.iter().enumerate() {
        let quantized = model.quantize_layer(i);
        for (linear, quantized) in weights.linears().into_iter().zip(quantized.linears()) {
            assert_eq!((quantized.m, quantized.k), (linear.outputs(), linear.inputs()));
            for (w, q) in linear.weight.data.iter().zip(&quantized.weight) {
                assert!(*w != 0.0 || *q == 0);
            }
        }
    }
}

#[test]
fn rounding_nothing_changes_nothing() {
    let ids = seeded_ids(200, 8, 32, 2);
    let model = small().calibration().run_ids(&ids).unwrap();
    let simulated = model.simulate(&ids, TapSet::NONE, false).unwrap();
    let reference = model.model().reference().embed(&ids, model.model().pooling()).unwrap();
    for (a, b) in simulated.iter().zip(&reference) {
        assert!(cosine(a, b) > 0.999_999);
    }
}

#[test]
fn every_scheme_stays_close_and_is_deterministic() {
    let ids = seeded_ids(200, 16, 32, 3);
    let reference = small().reference().embed(&ids, small().pooling()).unwrap();
    for range in [RangeMethod::MinMax, RangeMethod::Percentile(99.9), RangeMethod::Mse, RangeMethod::Kl] {
        for smoothing in [Smoothing::None, Smoothing::Alpha(0.7), Smoothing::Search] {
            let default = CalibrationOptions { sample_rows: 64, ..CalibrationOptions::default() };
            let options = CalibrationOptions { range, smoothing, attention_range: range, ..default };
            let model = small().calibration().options(options).run_ids(&ids).unwrap();
            let again = small().calibration().options(options).run_ids(&ids).unwrap();
            assert_eq!(model.quant(), again.quant());
            let simulated = model.simulate(&ids, TapSet::ALL, true).unwrap();
            for (a, b) in simulated.iter().zip(&reference) {
                assert!(cosine(a, b) > 0.98, "{range:?} {smoothing:?}: cosine {}", cosine(a, b));
            }
        }
    }
}

#[test]
fn bad_options_and_missing_tokenizers_are_errors() {
    let ids = seeded_ids(200, 1, 8, 4);
    let default = CalibrationOptions::default();
    for options in [
        CalibrationOptions { range: RangeMethod::Percentile(50.0), ..default },
        CalibrationOptions { attention_range: RangeMethod::Percentile(100.5), ..default },
        CalibrationOptions { smoothing: Smoothing::Alpha(1.5), ..default },
        CalibrationOptions { smoothing: Smoothing::Alpha(f32::NAN), ..default },
        CalibrationOptions { headroom: 0.5, ..default },
        CalibrationOptions { floor: -1.0, ..default },
        CalibrationOptions { sample_rows: 0, ..default },
    ] {
        let error = small().calibration().options(options).run_ids(&ids).expect_err("bad options");
        assert!(matches!(error, Error::CalibrationOption { .. }), "{error}");
    }
    assert!(matches!(small().calibration().run(["text"]), Err(Error::NoTokenizer)));
    assert!(matches!(small().calibration().run_ids::<Vec<u32>>(&[]), Err(Error::EmptyBatch)));
}
