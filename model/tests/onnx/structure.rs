//! The graphs themselves.

use std::collections::{HashMap, HashSet};

use lacuna_model::export::OnnxSummary;
use lacuna_model::{LINEAR_NAMES, Matrix, Model};
use prost::Message;

use crate::proto::{AttributeProto, AttributeType, DataType, ModelProto, TensorProto};
use crate::{forms, messages, pruned, small};

/// The linear layers of a checkpoint, in the order of [`LINEAR_NAMES`].
const LINEARS: [&str; LINEAR_NAMES.len()] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
];

/// The constants of a model by name.
fn constants(model: &ModelProto) -> HashMap<&str, &TensorProto> {
    model.graph.as_ref().unwrap().initializer.iter().map(|t| (t.name.as_str(), t)).collect()
}

/// The elements of a constant of this type and shape.
#[track_caller]
fn elements<'a>(tensor: &'a TensorProto, data_type: DataType, dims: &[usize]) -> &'a [u8] {
    assert_eq!(tensor.data_type(), data_type, "{}", tensor.name);
    assert_eq!(tensor.dims, dims.iter().map(|&d| d as i64).collect::<Vec<_>>(), "{}", tensor.name);
    tensor.raw_data.as_deref().unwrap()
}

#[track_caller]
fn floats(tensor: &TensorProto, dims: &[usize]) -> Vec<f32> {
    let bytes = elements(tensor, DataType::Float, dims).chunks_exact(4);
    bytes.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn what_is_encoded_is_decoded() {
    for (form, onnx) in forms(&small(2, 26)) {
        let bytes = onnx.to_bytes();
        assert_eq!(bytes.len(), onnx.encoded_len(), "{form}");
        assert_eq!(ModelProto::decode(&bytes[..]).unwrap().encode_to_vec(), bytes, "{form}");
        let mut written = Vec::new();
        onnx.write_to(&mut written).unwrap();
        assert_eq!(written, bytes, "{form}");
    }
}

#[test]
fn equal_models_give_equal_bytes() {
    for ((form, a), (_, b)) in forms(&pruned()).into_iter().zip(forms(&pruned())) {
        assert_eq!(a.to_bytes(), b.to_bytes(), "{form}");
    }
}

#[test]
fn every_value_is_made_once_and_before_it_is_read() {
    for (form, onnx) in forms(&small(2, 32)) {
        let written = messages(&onnx);
        let graph = written.graph.as_ref().unwrap();
        let mut made: HashSet<&str> = HashSet::new();
        let starts = graph.input.iter().map(|v| &v.name).chain(graph.initializer.iter().map(|t| &t.name));
        for name in starts {
            assert!(made.insert(name), "{form}: {name} twice");
        }
        let (mut nodes, mut read) = (HashSet::new(), HashSet::new());
        for node in &graph.node {
            assert!(nodes.insert(&node.name), "{form}: node {} twice", node.name);
            assert_eq!(node.domain, "", "{form}: {} is of another operator set", node.name);
            for input in &node.input {
                assert!(made.contains(input.as_str()), "{form}: {} reads {input} too early", node.name);
                read.insert(input.as_str());
            }
            for output in &node.output {
                assert!(made.insert(output), "{form}: {output} twice");
            }
        }
        let outputs: Vec<&str> = graph.output.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(outputs, ["last_hidden_state", "sentence_embedding"], "{form}");
        let inputs: Vec<&str> = graph.input.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(inputs, ["input_ids", "attention_mask", "token_type_ids"], "{form}");
        read.extend(outputs);
        let idle: Vec<&&str> = made.difference(&read).collect();
        assert_eq!(idle, [] as [&&str; 0], "{form}: nobody reads these");
        let written = messages(&onnx);
        assert_eq!(written.ir_version, 8);
        let sets: Vec<_> = written.opset_import.iter().map(|set| (set.domain.as_str(), set.version)).collect();
        assert_eq!(sets, [("", 17)]);
    }
}

/// RoBERTa has one token type, DistilBERT none: their graphs have no input for them.
#[test]
fn token_types_are_an_input_where_the_model_has_them() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    for (name, expected) in [
        ("bert", &["input_ids", "attention_mask", "token_type_ids"][..]),
        ("electra", &["input_ids", "attention_mask", "token_type_ids"]),
        ("roberta", &["input_ids", "attention_mask"]),
        ("xlm-roberta", &["input_ids", "attention_mask"]),
        ("distilbert", &["input_ids", "attention_mask"]),
    ] {
        let model = Model::open(golden.join(name)).unwrap();
        let graph = messages(&model.to_onnx().unwrap()).graph.unwrap();
        let inputs: Vec<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(inputs, expected, "{name}");
        let has_table = graph.initializer.iter().any(|tensor| tensor.name.contains("token_type"));
        assert_eq!(has_table, name != "distilbert", "{name}");
    }
}

#[test]
fn tables_norms_and_biases_are_the_models_own() {
    let model = small(2, 26);
    let weights = model.weights();
    for (form, onnx) in forms(&model) {
        let written = messages(&onnx);
        let constants = constants(&written);
        let tables = [
            ("word", &weights.embeddings.word),
            ("position", &weights.embeddings.position),
            ("token_type", &weights.embeddings.token_type),
        ];
        for (name, table) in tables {
            let tensor = constants[format!("embeddings.{name}_embeddings.weight").as_str()];
            assert_eq!(floats(tensor, &[table.rows, table.cols]), table.data, "{form}");
        }
        let mut norms = vec![("embeddings".to_owned(), &weights.embeddings.norm)];
        for (i, layer) in weights.layers.iter().enumerate() {
            norms.push((format!("encoder.layer.{i}.attention.output"), &layer.attention_norm));
            norms.push((format!("encoder.layer.{i}.output"), &layer.output_norm));
        }
        for (at, norm) in norms {
            for (part, values) in [("weight", &norm.gamma), ("bias", &norm.beta)] {
                let tensor = constants[format!("{at}.LayerNorm.{part}").as_str()];
                assert_eq!(floats(tensor, &[values.len()]), *values, "{form}");
            }
        }
    }
}

/// Calls `check` with every linear layer and the name it has in a checkpoint.
fn each_linear(model: &Model, mut check: impl FnMut(String, &lacuna_model::Linear)) {
    for (i, layer) in model.weights().layers.iter().enumerate() {
        for (name, linear) in LINEARS.iter().zip(layer.linears()) {
            check(format!("encoder.layer.{i}.{name}"), linear);
        }
    }
}

/// Element `(r, c)` of a matrix that is stored as `[K][M]`.
fn at<T: Copy>(stored: &[T], matrix: &Matrix, r: usize, c: usize) -> T {
    stored[c * matrix.rows + r]
}

#[test]
fn f32_weights_are_the_models_own() {
    let model = pruned();
    let onnx = model.to_onnx().unwrap();
    let written = messages(&onnx);
    let constants = constants(&written);
    each_linear(&model, |name, linear| {
        let weight = &linear.weight;
        let stored = floats(constants[format!("{name}.weight").as_str()], &[weight.cols, weight.rows]);
        for r in 0..weight.rows {
            for c in 0..weight.cols {
                assert_eq!(at(&stored, weight, r, c), weight.row(r)[c], "{name}[{r}][{c}]");
            }
        }
        assert_eq!(floats(constants[format!("{name}.bias").as_str()], &[weight.rows]), linear.bias, "{name}");
    });
}

#[test]
fn int8_weights_are_the_models_own_within_half_a_step_and_zeros_stay() {
    let model = pruned();
    for (form, onnx) in &forms(&model)[1..] {
        let written = messages(onnx);
        let constants = constants(&written);
        each_linear(&model, |name, linear| {
            let weight = &linear.weight;
            let codes = elements(
                constants[format!("{name}.weight_quantized").as_str()],
                DataType::Int8,
                &[weight.cols, weight.rows],
            );
            let scales = floats(constants[format!("{name}.weight_scale").as_str()], &[weight.rows]);
            assert_eq!(scales.len(), weight.rows, "{form}: {name}");
            for (r, scale) in scales.into_iter().enumerate() {
                for c in 0..weight.cols {
                    let (code, original) = (at(codes, weight, r, c) as i8, weight.row(r)[c]);
                    let error = (f32::from(code) * scale - original).abs();
                    assert!(error <= 0.501 * scale, "{form}: {name}[{r}][{c}] is off by {error}");
                    assert!(original != 0.0 || code == 0, "{form}: {name}[{r}][{c}] was zero, is {code}");
                }
            }
        });
    }
}

#[test]
fn the_summary_counts_linear_weights_and_their_zeros() {
    let model = pruned();
    let zeros = model.zeros();
    let total: usize = zeros.iter().map(|linear| linear.m * linear.k).sum();
    let zero: usize = zeros.iter().map(|linear| linear.zeros.unstructured.zero).sum();
    for (form, onnx) in forms(&model) {
        let OnnxSummary { bytes, ir_version, opset, nodes, initializers, weights, zeros } = onnx.summary();
        let written = messages(&onnx);
        let graph = written.graph.as_ref().unwrap();
        assert_eq!((bytes, ir_version, opset), (onnx.to_bytes().len(), 8, 17), "{form}");
        assert_eq!((nodes, initializers), (graph.node.len(), graph.initializer.len()), "{form}");
        assert_eq!(weights, total, "{form}");
        match form {
            "f32" => assert_eq!(zeros, zero),
            _ => assert!(zeros >= zero && zeros < zero + total / 20, "{form}: {zeros} zeros of {zero}"),
        }
    }
}

/// Readers meet files of other writers: with fields that are not known here, and lists in either encoding.
#[test]
fn unknown_fields_and_both_encodings_of_lists_are_read() {
    let model = small(1, 8).to_onnx().unwrap();
    let mut bytes = model.to_bytes();
    bytes.extend([0xc2, 0x3e, 3, b'n', b'e', b'w']); // field 1000, three bytes
    assert_eq!(ModelProto::decode(&bytes[..]).unwrap(), messages(&model));

    let expected = AttributeProto {
        name: "p".into(),
        ints: vec![0, 2, 300],
        r#type: AttributeType::Ints.into(),
        ..AttributeProto::default()
    };
    let (name, kind) = ([0x0a, 1, b'p'], [0xa0, 1, 7]);
    let unpacked = [&name[..], &[0x40, 0, 0x40, 2, 0x40, 0xac, 2], &kind].concat();
    let packed = [&name[..], &[0x42, 4, 0, 2, 0xac, 2], &kind].concat();
    for bytes in [&unpacked, &packed] {
        assert_eq!(AttributeProto::decode(&bytes[..]).unwrap(), expected);
    }
    assert_eq!(expected.encode_to_vec(), unpacked);
}

/// A zero that is set is written, since some readers ask whether it is there.
#[test]
fn zeros_are_not_absent() {
    let zero = AttributeProto { i: Some(0), ..AttributeProto::default() };
    assert_eq!(zero.encode_to_vec(), [0x18, 0]);
}
