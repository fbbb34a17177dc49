//! Fused operators in int8: codes are kept bit for bit.

use lacuna_model::{Activation, ActivationBits, Linear, LinearCodes};
use serde_json::json;

use super::*;
use crate::build::FUSED;
use crate::proto::DataType;

/// Codes `[K][M]`, which are `round(weight / scale)`, and the scale.
fn codes_of(linear: &Linear) -> (Vec<i8>, f32) {
    let largest = linear.weight.data.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let scale = largest / 127.0;
    (encoder::transposed(linear).iter().map(|x| (x / scale).round() as i8).collect(), scale)
}

fn bytes(codes: &[i8]) -> Vec<u8> {
    codes.iter().map(|code| code.cast_unsigned()).collect()
}

/// How linear layers are quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// DynamicQuantizeMatMul.
    Dynamic,
    /// DynamicQuantizeLinear, then MatMulIntegerToFloat.
    ToFloat,
    /// QuantizeLinear with a constant scale, then MatMulIntegerToFloat.
    Static,
    /// QuantizeLinear with a constant scale, then QGemm with a bias of s32.
    Gemm,
}

const INPUT_SCALE: f32 = 0.03;
const INPUT_ZERO: u8 = 120;

fn rounded(b: &mut Build, x: &str) -> (String, String, String) {
    let (scale, zero) = (b.scalar(INPUT_SCALE), b.raw(&[], DataType::Uint8, vec![INPUT_ZERO]));
    (b.node("QuantizeLinear", &[x, &scale, &zero], &[]), scale, zero)
}

/// Replaces the two nodes of every linear layer of a plain graph, whose attention is written out.
fn quantised(model: &Model, kind: Kind) -> Result<Model, Error> {
    let dir = folder(json!({}));
    let mut b = Build::new();
    let states = encoder(&mut b, model, Form::PLAIN);
    b.output(&states, "last_hidden_state", &["batch", "sequence", "hidden"]);
    let nodes = std::mem::take(&mut b.graph.node);
    for mut node in nodes {
        let constant =
            node.input.get(1).and_then(|name| b.graph.initializer.iter().find(|tensor| tensor.name == *name));
        let Some(tensor) = constant.filter(|_| node.op_type == "MatMul").cloned() else {
            // What follows has a name of its own already, so order does not matter.
            b.graph.node.push(node);
            continue;
        };
        let (k, m) = (usize::try_from(tensor.dims[0]).unwrap(), usize::try_from(tensor.dims[1]).unwrap());
        let raw = tensor.raw_data.unwrap();
        let values: Vec<f32> = raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let largest = values.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        let step = largest / 127.0;
        let codes: Vec<i8> = values.iter().map(|x| (x / step).round() as i8).collect();
        let weight = b.raw(&[k, m], DataType::Int8, bytes(&codes));
        let (scale, zero) = (b.scalar(step), b.raw(&[], DataType::Int8, vec![0]));
        let x = node.input[0].clone();
        node.domain = FUSED.to_owned();
        node.input = match kind {
            Kind::Dynamic => {
                node.op_type = "DynamicQuantizeMatMul".into();
                vec![x, weight, scale, zero]
            }
            Kind::ToFloat => {
                node.op_type = "MatMulIntegerToFloat".into();
                let [codes, of, at] = b.outputs("", "DynamicQuantizeLinear", &[&x], &[]);
                vec![codes, weight, of, scale, at, zero]
            }
            Kind::Static => {
                node.op_type = "MatMulIntegerToFloat".into();
                let (codes, of, at) = rounded(&mut b, &x);
                vec![codes, weight, of, scale, at, zero]
            }
            Kind::Gemm => {
                node.op_type = "QGemm".into();
                let (codes, of, at) = rounded(&mut b, &x);
                vec![codes, of, at, weight, scale, zero]
            }
        };
        b.graph.node.push(node);
    }
    b.write(dir.path());
    Model::open(dir.path())
}

#[test]
fn codes_of_fused_products_are_kept() {
    let model = small(Activation::Gelu);
    for kind in [Kind::Dynamic, Kind::ToFloat, Kind::Static, Kind::Gemm] {
        let found = quantised(&model, kind).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        check_codes(&found, &model, &format!("{kind:?}"));
        for layer in &found.codes().unwrap().layers {
            let inputs = [layer.attn_in, layer.attn_out, layer.ffn_in, layer.gelu_out];
            for input in inputs {
                let expected = matches!(kind, Kind::Static | Kind::Gemm).then_some((INPUT_SCALE, INPUT_ZERO));
                assert_eq!(input.map(|quant| (quant.scale, quant.zero_point)), expected, "{kind:?}");
            }
        }
        // Scales of the file are for codes of eight bits. Without any, seven are possible.
        let seven = found.calibration().activation_bits(ActivationBits::Seven).run_ids(&[[1, 2, 3], [3, 2, 1]]);
        match (kind, seven) {
            (Kind::Static | Kind::Gemm, Err(error)) => {
                let expected = "layer 0, attn_in: the model's file has scales for codes of 8 bits; expected none for codes of 7 bits";
                assert!(error.to_string().starts_with(expected), "{kind:?}: {error}");
            }
            (Kind::Dynamic | Kind::ToFloat, seven) => {
                let seven = seven.unwrap();
                assert!(seven.quant().iter().all(|layer| layer.ffn_in.zero_point <= 127), "{kind:?}");
            }
            (kind, Ok(_)) => panic!("{kind:?}: calibrated"),
        }
    }
}

fn check_codes(found: &Model, model: &Model, what: &str) {
    for (found, layer) in found.codes().unwrap().layers.iter().zip(&model.weights().layers) {
        let linears = [&layer.q, &layer.k, &layer.v, &layer.o, &layer.up, &layer.down];
        for (found, linear) in found.linears.iter().zip(linears) {
            let LinearCodes { codes, scale } = found.as_ref().unwrap_or_else(|| panic!("{what}: no codes"));
            let (expected, step) = codes_of(linear);
            let (m, k) = (linear.outputs(), linear.inputs());
            let turned: Vec<i8> = (0..m * k).map(|i| expected[i % k * m + i / k]).collect();
            assert_eq!(*codes, turned, "{what}");
            assert!(scale.iter().all(|scale| (scale / step - 1.0).abs() < 1e-6), "{what}: {scale:?}, {step}");
        }
    }
}

/// QAttention: q, k and v beside each other, with a scale for all or one per column.
#[test]
fn codes_of_fused_attention_are_kept() {
    let model = small(Activation::Gelu);
    for (per_column, dynamic) in [(false, false), (true, false), (false, true)] {
        let dir = folder(json!({}));
        let mut b = Build::new();
        let form = Form { attention: encoder::AttentionForm::Packed, ..Form::PLAIN };
        let states = encoder(&mut b, &model, form);
        b.output(&states, "last_hidden_state", &["batch", "sequence", "hidden"]);
        let mut layers = model.weights().layers.iter();
        for mut node in std::mem::take(&mut b.graph.node) {
            if node.op_type != "Attention" {
                b.graph.node.push(node);
                continue;
            }
            let layer = layers.next().unwrap();
            let parts = [&layer.q, &layer.k, &layer.v].map(codes_of);
            let row = |row: usize| parts.iter().flat_map(move |(codes, _)| codes[row * HIDDEN..][..HIDDEN].to_vec());
            let codes: Vec<i8> = (0..HIDDEN).flat_map(row).collect();
            let weight = b.raw(&[HIDDEN, 3 * HIDDEN], DataType::Int8, bytes(&codes));
            let scales: Vec<f32> = parts.iter().flat_map(|(_, scale)| [*scale; HIDDEN]).collect();
            let (scale, zero) = match per_column {
                true => (b.floats(&[3 * HIDDEN], &scales), b.raw(&[3 * HIDDEN], DataType::Int8, vec![0; 3 * HIDDEN])),
                false => (b.scalar(0.5), b.raw(&[], DataType::Int8, vec![0])),
            };
            let (x, of, at) = match dynamic {
                true => {
                    let [x, of, at] = b.outputs("", "DynamicQuantizeLinear", &[&node.input[0]], &[]);
                    (x, of, at)
                }
                false => rounded(&mut b, &node.input[0]),
            };
            let (bias, mask) = (node.input[2].clone(), node.input[3].clone());
            node.op_type = "QAttention".into();
            node.input = vec![x, weight, bias, of, scale, mask, at, zero];
            b.graph.node.push(node);
        }
        b.write(dir.path());
        let found = Model::open(dir.path()).unwrap_or_else(|error| panic!("{per_column}: {error}"));
        for (found, layer) in found.codes().unwrap().layers.iter().zip(&model.weights().layers) {
            let expected = (!dynamic).then_some((INPUT_SCALE, INPUT_ZERO));
            assert_eq!(found.attn_in.map(|quant| (quant.scale, quant.zero_point)), expected);
            for (found, linear) in found.linears.iter().zip([&layer.q, &layer.k, &layer.v]) {
                let LinearCodes { codes, scale } = found.as_ref().unwrap();
                let (expected, step) = codes_of(linear);
                let turned: Vec<i8> =
                    (0..HIDDEN * HIDDEN).map(|i| expected[i % HIDDEN * HIDDEN + i / HIDDEN]).collect();
                assert_eq!(*codes, turned);
                assert_eq!(*scale, vec![if per_column { step } else { 0.5 }; HIDDEN]);
            }
        }
        let biases = found.weights().layers.iter().map(|layer| &layer.k.bias);
        assert!(biases.eq(model.weights().layers.iter().map(|layer| &layer.k.bias)));
    }
}
