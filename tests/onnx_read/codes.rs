//! Codes, scales and zero points: those of the file, bit for bit.

use lacuna::{Block, Compile};
use lacuna_model::LINEAR_NAMES;
use lacuna_model::LayerQuant;

use super::*;

/// The quantisation of what a linear layer reads.
fn input<'q>(quant: &'q LayerQuant, name: &str) -> &'q lacuna_model::ActivationQuant {
    match name {
        "q" | "k" | "v" => &quant.attn_in,
        "o" => &quant.attn_out,
        "up" => &quant.ffn_in,
        _ => &quant.gelu_out,
    }
}

#[test]
fn codes_are_those_of_the_file() {
    for name in QUANTISED {
        let golden = Golden::of(name);
        let calibrated = calibrated(load(name));
        let stored = calibrated.model().codes();
        let (mut codes, mut inputs, mut inexact) = (0, 0, 0);
        for layer in 0..calibrated.model().config().layers {
            let quantised = calibrated.quantize_layer(layer);
            for (i, (part, linear)) in LINEAR_NAMES.into_iter().zip(quantised.linears()).enumerate() {
                let what = format!("{name}, {layer}.{part}");
                let given = input(&calibrated.quant()[layer], part);
                let at = |kind: &str| format!("{kind}.{layer}.{part}");
                if let Some(expected) = golden.floats(&at("input")) {
                    assert!(
                        given.scale.iter().all(|scale| *scale == expected[0]),
                        "{what}: {} {expected:?}",
                        given.scale[0]
                    );
                    assert_eq!(f32::from(given.zero_point), expected[1], "{what}");
                    assert!(given.mean.iter().all(|mean| *mean == 0.0), "{what}");
                    inputs += 1;
                }
                let of_file = stored.and_then(|stored| stored.layers[layer].linears[i].as_ref());
                let Some(expected) = golden.codes(&at("codes")) else {
                    assert!(golden.bytes(&at("inexact")).is_some(), "{what}: the script knows every layer");
                    assert!(of_file.is_none(), "{what}: there is no exact s8");
                    inexact += 1;
                    continue;
                };
                assert_eq!(linear.weight, expected, "{what}");
                assert!(given.scale.iter().all(|scale| *scale == given.scale[0]), "{what}: one scale");
                let scales = golden.floats(&at("scale")).unwrap();
                for (found, scale) in of_file.unwrap().scale.iter().zip(&scales) {
                    // MatMulInteger has the product of both scales, which is divided by that of the input.
                    let exact = name != "bert-sparse";
                    assert!(
                        found == scale || (!exact && (found / scale - 1.0).abs() < 1e-6),
                        "{what}: {found} {scale}"
                    );
                }
                for (found, scale) in linear.weight_scale.iter().zip(&scales) {
                    assert!((found / (scale * given.scale[0]) - 1.0).abs() < 1e-6, "{what}");
                }
                codes += 1;
            }
        }
        println!("{name}: {codes} layers with codes, {inputs} with an input, {inexact} inexact");
        let (all, model) = (6 * calibrated.quant().len(), calibrated.model());
        assert_eq!(codes + inexact, all, "{name}");
        assert_eq!(inputs, if name.contains("dynamic") { 0 } else { all }, "{name}");
        let says = |text: &str| model.notes().iter().any(|note| note.contains(text));
        assert_eq!(says("do not fit s8"), inexact > 0, "{name}: {:?}", model.notes());
        assert_eq!(says("are those of the file"), codes + inputs > 0, "{name}: {:?}", model.notes());
        assert_eq!(says("calibrated instead"), name.contains("dynamic"), "{name}: {:?}", model.notes());
    }
}

#[test]
fn some_files_have_no_exact_s8_and_one_has_the_least_code() {
    let golden = Golden::of("bert-dynamic-u8");
    assert!(golden.bytes("inexact.0.q").is_some());
    let least = |layer: &str| Golden::of("bert-sparse").codes(layer).unwrap().contains(&-128);
    assert!(LINEAR_NAMES.iter().any(|name| least(&format!("codes.0.{name}"))));
}

#[test]
fn attention_keeps_scales_that_fit() {
    for name in QUANTISED {
        let (model, golden) = (load(name), Golden::of(name));
        let given = |layer: usize, part: &str| golden.floats(&format!("attention.{layer}.{part}"));
        let Some(stored) = model.codes().filter(|_| !name.contains("dynamic")) else { continue };
        for (i, layer) in stored.layers.iter().enumerate() {
            let query = given(i, "q").unwrap();
            // The graphs of torch multiply queries by keys before they divide.
            assert_eq!(layer.query.map(|q| [q.scale, q.zero_point.into()]), Some([query[0], query[1]]), "{name}");
            for (part, found) in [("k", layer.key), ("v", layer.value)] {
                let expected = given(i, part).unwrap();
                println!("{name}: {part} {expected:?}");
                assert_eq!(found, (expected[1] == 128.0).then_some(expected[0]), "{name}: {part} {expected:?}");
            }
        }
    }
    // s8 symmetric: all of them; u8 with any zero point: the queries alone.
    for (name, all) in [("bert-qdq-s8", true), ("bert-sparse", true)] {
        let model = load(name);
        for layer in &model.codes().unwrap().layers {
            assert!(layer.query.is_some() && layer.key.is_some() == all && layer.value.is_some() == all, "{name}");
        }
        let (stored, calibrated) = (model.codes().unwrap().clone(), calibrated(model));
        for (layer, quant) in stored.layers.iter().zip(calibrated.quant()) {
            assert!(quant.q_scale.iter().all(|scale| *scale == layer.query.unwrap().scale), "{name}");
            assert_eq!(quant.q_zero_point, layer.query.unwrap().zero_point, "{name}");
            assert!(quant.k_scale.iter().all(|scale| Some(*scale) == layer.key), "{name}");
            assert!(quant.v_scale.iter().all(|scale| Some(*scale) == layer.value), "{name}");
        }
    }
    let model = load("bert-qdq");
    assert!(model.notes().iter().any(|note| note.starts_with("attention is quantised")), "{:?}", model.notes());
}

#[test]
fn pruning_makes_codes_zero_and_leaves_the_others() {
    let (before, golden) = (load("bert-qdq"), Golden::of("bert-qdq"));
    let calibrated = calibrated(before.prune(Block::B1x4, 0.5).unwrap());
    let quantised = calibrated.quantize_layer(0);
    for (name, linear) in LINEAR_NAMES.into_iter().zip(quantised.linears()) {
        let expected = golden.codes(&format!("codes.0.{name}")).unwrap();
        let changed = linear.weight.iter().zip(&expected).filter(|(a, b)| a != b);
        assert!(changed.clone().all(|(code, _)| *code == 0), "{name}");
        assert!(changed.count() >= expected.len() / 3, "{name}");
    }
}

#[test]
fn blocks_of_zeros_stay_and_run_sparse() {
    let model = load("bert-sparse");
    for zeros in model.zeros() {
        assert!(zeros.zeros.b1x4.fraction() > 0.85, "{zeros:?}");
    }
    let calibrated = calibrated(model);
    for tier in tiers() {
        let encoder = calibrated.compiler().tier(tier).compile().unwrap();
        for linear in &encoder.report().linears {
            println!("{tier}: {}.{} {} {:.3}", linear.layer, linear.name, linear.form, linear.density);
        }
        let text = encoder.report().to_string();
        assert!(text.contains("are those of the file"), "{text}");
        assert!(encoder.report().linears.iter().any(|linear| linear.form == "sparse 1x4"), "{tier}: {text}");
    }
}
