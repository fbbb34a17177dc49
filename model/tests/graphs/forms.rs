//! f32 and f16 graphs: the same weights, whatever the spelling.

use lacuna_model::{Activation, Error, OnnxError};
use serde_json::json;

use super::*;
use crate::encoder::{ActivationForm, AttentionForm, EmbeddingForm, NormForm};

#[test]
fn every_spelling_is_the_same_model() {
    let gelu = small(Activation::Gelu);
    for norm in [NormForm::Operator, NormForm::WrittenOut, NormForm::Skip] {
        let form = Form { norm, ..Form::PLAIN };
        assert_same(&read(&gelu, form, json!({}), false).unwrap(), &gelu, &format!("{norm:?}"));
    }
    for attention in [
        AttentionForm::Plain,
        AttentionForm::ThroughThree,
        AttentionForm::ThroughThreeOptimised,
        AttentionForm::FusedMatMul,
        AttentionForm::Packed,
        AttentionForm::MultiHead,
        AttentionForm::MultiHeadWithout,
        AttentionForm::Onnx,
        AttentionForm::OnnxThree,
    ] {
        for gemm in [false, true] {
            let form = Form { attention, gemm, ..Form::PLAIN };
            let found = read(&gelu, form, json!({}), false);
            let found = found.unwrap_or_else(|error| panic!("{attention:?}, gemm {gemm}: {error}"));
            assert_same(&found, &gelu, &format!("{attention:?}"));
        }
    }
    for activation in
        [ActivationForm::WrittenOut, ActivationForm::Gelu, ActivationForm::FusedGelu, ActivationForm::BiasGelu]
    {
        let form = Form { activation, ..Form::PLAIN };
        assert_same(&read(&gelu, form, json!({}), false).unwrap(), &gelu, &format!("{activation:?}"));
    }
    let form = Form {
        embeddings: EmbeddingForm::Fused,
        attention: AttentionForm::Packed,
        norm: NormForm::Skip,
        ..Form::PLAIN
    };
    let form = Form { activation: ActivationForm::BiasGelu, ..form };
    assert_same(&read(&gelu, form, json!({}), false).unwrap(), &gelu, "all of them fused");
    let tanh = small(Activation::GeluTanh);
    let form = Form { activation: ActivationForm::FastGelu, ..Form::PLAIN };
    assert_same(&read(&tanh, form, json!({"hidden_act": "gelu_new"}), false).unwrap(), &tanh, "FastGelu");
}

#[test]
fn other_functions_are_refused() {
    let model = small(Activation::Gelu);
    let refused = |form| match read(&model, form, json!({}), false) {
        Err(Error::Onnx(error)) => error.to_string(),
        other => panic!("{form:?}: {other:?}"),
    };
    let attention = |attention| refused(Form { attention, ..Form::PLAIN });
    let error = attention(AttentionForm::Causal);
    assert!(error.contains("unidirectional = 1") && error.contains("(Attention)"), "{error}");
    let error = attention(AttentionForm::ConstantMask);
    assert!(error.contains("constant mask of different values"), "{error}");
    let error = attention(AttentionForm::Triangle);
    assert!(error.contains("triangular mask") && error.contains("(Trilu)"), "{error}");
    let error = attention(AttentionForm::ThroughThreeWrong);
    assert!(error.contains("order"), "{error}");
    // FastGelu is the tanh form, which this config.json does not name.
    let error = refused(Form { activation: ActivationForm::FastGelu, ..Form::PLAIN });
    assert!(error.contains("gelu-tanh") && error.contains("config.json says gelu"), "{error}");
}

#[test]
fn operators_that_are_not_read_are_refused_by_name() {
    let model = small(Activation::Gelu);
    for operator in [
        "QOrderedAttention",
        "QOrderedMatMul",
        "PackedAttention",
        "RemovePadding",
        "GroupQueryAttention",
        "MatMulNBits",
        "SkipSimplifiedLayerNormalization",
        "LongformerAttention",
    ] {
        let dir = folder(json!({}));
        let mut b = Build::new();
        let states = encoder(&mut b, &model, Form::PLAIN);
        let states = b.node_of(build::FUSED, operator, &[&states], &[]);
        b.output(&states, "last_hidden_state", &["batch", "sequence", "hidden"]);
        b.write(dir.path());
        let error = super::refused(dir.path());
        assert!(matches!(&error, OnnxError::Fused { node, .. } if node.contains(operator)), "{operator}: {error}");
    }
}

/// The epsilon of the graph counts: what f16 makes of 1e-12, and any other that all layer normalisations share.
#[test]
fn the_epsilon_of_the_graph_is_used() {
    let model = small(Activation::Gelu);
    for (epsilon, half, expected) in [
        (1e-12, false, 1e-12),
        (1e-12, true, 0.0),
        (1e-7, true, 1.1920929e-7),
        (6e-8, true, 5.9604645e-8),
        (1e-5, false, 1e-5),
        (1e-5, true, 1.001358e-5),
    ] {
        let form = Form { norm: NormForm::WrittenOut, epsilon, ..Form::PLAIN };
        let found = read(&model, form, json!({}), half).unwrap();
        assert_eq!(found.config().layer_norm_eps, expected, "{epsilon}, {half}");
        let is_said = found.notes().iter().any(|note| note.contains("layer_norm_eps"));
        assert_eq!(is_said, expected != 1e-12, "{epsilon}: {:?}", found.notes());
        let largest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        for (a, b) in found.weights().layers.iter().zip(&model.weights().layers) {
            let difference = largest(&a.up.weight.data, &b.up.weight.data);
            assert!(difference < if half { 1e-3 } else { 0.0f32.next_up() }, "{difference}");
        }
    }
    // f16 changes 1e-5 by less than a thousandth or so, which is the same number; it is said where it is another.
    let form = Form { norm: NormForm::WrittenOut, epsilon: 1e-5, ..Form::PLAIN };
    let found = read(&model, form, json!({"layer_norm_eps": 1e-5}), false).unwrap();
    assert_eq!((found.config().layer_norm_eps, found.notes().len()), (1e-5, 0));
    for epsilon in [-1.0, 1.0, f32::NAN] {
        let form = Form { epsilon, ..Form::PLAIN };
        assert!(matches!(read(&model, form, json!({}), false), Err(Error::Onnx(OnnxError::Structure { .. }))));
    }
}

#[test]
fn epsilons_that_differ_are_refused() {
    let model = small(Activation::Gelu);
    let dir = folder(json!({}));
    let mut b = Build::new();
    let states = encoder(&mut b, &model, Form::PLAIN);
    b.output(&states, "last_hidden_state", &["batch", "sequence", "hidden"]);
    let norm = b.graph.node.iter_mut().rfind(|node| node.op_type == "LayerNormalization").unwrap();
    norm.attribute[0].f = Some(1e-5);
    b.write(dir.path());
    let error = super::refused(dir.path()).to_string();
    assert!(error.contains("the epsilon 0.00001") && error.contains("expected 0.000000000001"), "{error}");
}

#[test]
fn token_types_are_what_the_graph_has() {
    let model = small(Activation::Gelu);
    let of = |embeddings, settings| read(&model, Form { embeddings, ..Form::PLAIN }, settings, false);
    let row = model.weights().embeddings.token_type.row(0).to_vec();
    let one = of(EmbeddingForm::OneType, json!({})).unwrap();
    assert_eq!(one.weights().embeddings.token_type.data, row.repeat(2));
    assert!(one.notes().iter().any(|note| note.contains("token types make no difference")), "{:?}", one.notes());
    let one = of(EmbeddingForm::OneType, json!({"type_vocab_size": 1})).unwrap();
    assert_eq!((one.weights().embeddings.token_type.data.clone(), one.notes().len()), (row, 0));
    let none = of(EmbeddingForm::NoTypes, json!({"type_vocab_size": 1})).unwrap();
    assert_eq!(none.weights().embeddings.token_type.data, vec![0.0; HIDDEN]);
    let error = of(EmbeddingForm::NoTypes, json!({})).unwrap_err().to_string();
    assert!(error.contains("no token type embeddings"), "{error}");
}
