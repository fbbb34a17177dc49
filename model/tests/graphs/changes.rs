//! Graphs in which one thing is changed, so that they compute something else: each is followed or refused, never read as before.

use lacuna_model::Activation;
use serde_json::json;

use super::*;
use crate::build::Setting;
use crate::encoder::NormForm;
use crate::proto::{DataType, NodeProto};

/// A change of a finished graph.
type Change = fn(&mut Build);

fn changed(form: Form, change: Change) -> Result<Model, Error> {
    let dir = folder(json!({}));
    let mut b = Build::new();
    let states = encoder(&mut b, &small(Activation::Gelu), form);
    b.output(&states, "last_hidden_state", &["batch", "sequence", "hidden"]);
    change(&mut b);
    b.write(dir.path());
    Model::open(dir.path())
}

/// Every change is refused with a node, what is found and what is expected.
fn all_refused(form: Form, changes: &[(&str, Change)]) {
    changed(form, |_| ()).unwrap_or_else(|error| panic!("{form:?}: {error}"));
    for (what, change) in changes {
        match changed(form, *change) {
            Err(Error::Onnx(OnnxError::Structure { .. } | OnnxError::Config { .. })) => {}
            Err(error) => panic!("{what}: refused as {error}"),
            Ok(_) => panic!("{what}: accepted"),
        }
    }
}

fn nth<'b>(b: &'b mut Build, operator: &str, n: usize) -> &'b mut NodeProto {
    b.graph.node.iter_mut().filter(|node| node.op_type == operator).nth(n).unwrap()
}

fn set(node: &mut NodeProto, setting: Setting) {
    node.attribute.retain(|old| old.name != setting.name);
    node.attribute.push(setting);
}

/// Puts nodes between a value and all that read it.
fn inject(b: &mut Build, value: &str, make: impl FnOnce(&mut Build, &str) -> String) {
    let readers = b.graph.node.len();
    let new = make(b, value);
    for node in &mut b.graph.node[..readers] {
        node.input.iter_mut().filter(|input| *input == value).for_each(|input| input.clone_from(&new));
    }
}

/// The same for an input of a node.
fn behind(b: &mut Build, operator: &str, n: usize, make: impl FnOnce(&mut Build, &str) -> String) {
    let value = nth(b, operator, n).input[0].clone();
    inject(b, &value, make);
}

/// The places of the tokens, as a column and a row.
fn places(b: &mut Build) -> (String, String) {
    let (zero, one, axis) = (b.index(0), b.index(1), b.whole(&[1]));
    let shape = b.node("Shape", &["input_ids"], &[]);
    let length = b.node("Gather", &[&shape, &one], &[]);
    let row = b.node("Range", &[&zero, &length, &one], &[]);
    (b.node("Unsqueeze", &[&row, &axis], &[]), row)
}

fn float(b: &mut Build, x: &str) -> String {
    b.node("Cast", &[x], &[Setting::int("to", DataType::Float as i64)])
}

#[test]
fn masks_hide_padding_only() {
    all_refused(
        Form::PLAIN,
        &[
            ("causal by places", |b| {
                behind(b, "Softmax", 0, |b, x| {
                    let (column, row) = places(b);
                    let (least, zero) = (b.scalar(-1e4), b.scalar(0.0));
                    let later = b.node("Less", &[&column, &row], &[]);
                    let mask = b.node("Where", &[&later, &least, &zero], &[]);
                    b.node("Add", &[x, &mask], &[])
                });
            }),
            ("a window wider than a few tokens", |b| {
                behind(b, "Softmax", 0, |b, x| {
                    let (column, row) = places(b);
                    let (least, zero, width) = (b.scalar(-1e4), b.scalar(0.0), b.index(12));
                    let far = b.node("Sub", &[&column, &row], &[]);
                    let far = b.node("Greater", &[&far, &width], &[]);
                    let mask = b.node("Where", &[&far, &least, &zero], &[]);
                    b.node("Add", &[x, &mask], &[])
                });
            }),
            ("distances", |b| {
                behind(b, "Softmax", 0, |b, x| {
                    let (column, row) = places(b);
                    let far = b.node("Sub", &[&column, &row], &[]);
                    let far = b.node("Abs", &[&far], &[]);
                    let (far, slope) = (float(b, &far), b.scalar(-0.5));
                    let bias = b.node("Mul", &[&far, &slope], &[]);
                    b.node("Add", &[x, &bias], &[])
                });
            }),
            ("tokens", |b| {
                behind(b, "Softmax", 0, |b, x| {
                    let axes = b.whole(&[1, 2]);
                    let ids = float(b, "input_ids");
                    let ids = b.node("Unsqueeze", &[&ids, &axes], &[]);
                    b.node("Add", &[x, &ids], &[])
                });
            }),
            ("one token", |b| {
                behind(b, "Softmax", 0, |b, x| {
                    let (axes, one, least) = (b.whole(&[1, 2]), b.index(17), b.scalar(-1e4));
                    let is_one = b.node("Equal", &["input_ids", &one], &[]);
                    let is_one = b.node("Unsqueeze", &[&is_one, &axes], &[]);
                    b.node("Where", &[&is_one, &least, x], &[])
                });
            }),
            ("negative scores", |b| {
                behind(b, "Softmax", 0, |b, x| {
                    let zero = b.scalar(0.0);
                    b.node("Max", &[x, &zero], &[])
                });
            }),
            ("the mask the other way round", |b| {
                inject(b, "attention_mask", |b, x| {
                    let one = b.index(1);
                    b.node("Sub", &[&one, x], &[])
                });
                nth(b, "Sub", 0).input.swap(0, 1);
                let (column, row) = places(b);
                let far = b.node("Equal", &[&column, &row], &[]);
                let far = float(b, &far);
                behind(b, "Softmax", 1, |b, x| b.node("Sub", &[x, &far], &[]));
            }),
        ],
    );
}

#[test]
fn layers_are_normalised_over_their_features() {
    all_refused(
        Form::PLAIN,
        &[
            ("over tokens and features", |b| set(nth(b, "LayerNormalization", 0), Setting::int("axis", 1))),
            ("the same, from the end", |b| set(nth(b, "LayerNormalization", 2), Setting::int("axis", -2))),
        ],
    );
    all_refused(
        Form { norm: NormForm::WrittenOut, ..Form::PLAIN },
        &[
            ("the mean over tokens", |b| {
                let axis = b.whole(&[1]);
                nth(b, "ReduceMean", 0).input[1] = axis;
            }),
            ("the variance over tokens", |b| {
                let axis = b.whole(&[1]);
                nth(b, "ReduceMean", 3).input[1] = axis;
            }),
        ],
    );
}

#[test]
fn rows_of_tables_are_those_of_the_tokens() {
    all_refused(
        Form::PLAIN,
        &[
            ("positions from the end", |b| {
                let (last, index) = (b.index(6), nth(b, "Gather", 2).input[1].clone());
                let turned = b.node("Sub", &[&last, &index], &[]);
                nth(b, "Gather", 2).input[1] = turned;
            }),
            ("positions from two on", |b| {
                let (two, index) = (b.index(2), nth(b, "Gather", 2).input[1].clone());
                let later = b.node("Add", &[&index, &two], &[]);
                nth(b, "Gather", 2).input[1] = later;
            }),
            ("positions up to a bound", |b| {
                let (most, index) = (b.index(9), nth(b, "Gather", 2).input[1].clone());
                let bounded = b.node("Min", &[&index, &most], &[]);
                nth(b, "Gather", 2).input[1] = bounded;
            }),
            ("other types", |b| {
                let one = b.index(1);
                let turned = b.node("Sub", &[&one, "token_type_ids"], &[]);
                nth(b, "Gather", 3).input[1] = turned;
            }),
            ("other tokens", |b| {
                let three = b.index(3);
                let moved = b.node("Mod", &["input_ids", &three], &[]);
                nth(b, "Gather", 0).input[1] = moved;
            }),
        ],
    );
    // One type for all tokens is followed.
    let model = small(Activation::Gelu);
    for kind in [0usize, 1] {
        let change: Change = match kind {
            0 => |b| {
                let zero = b.raw(&[1, 1], DataType::Int64, vec![0; 8]);
                nth(b, "Gather", 3).input[1] = zero;
            },
            _ => |b| {
                let one = b.raw(&[1, 1], DataType::Int64, 1i64.to_le_bytes().to_vec());
                nth(b, "Gather", 3).input[1] = one;
            },
        };
        let found = changed(Form::PLAIN, change).unwrap();
        let row = model.weights().embeddings.token_type.row(kind);
        assert_eq!(found.weights().embeddings.token_type.data, row.repeat(2), "{kind}");
        assert!(
            found.notes().iter().any(|note| note.contains("token types make no difference")),
            "{:?}",
            found.notes()
        );
    }
}

#[test]
fn heads_stay_beside_each_other() {
    all_refused(
        Form::PLAIN,
        &[
            ("the context is not turned back", |b| {
                let turned = nth(b, "Transpose", 3);
                (turned.op_type, turned.attribute) = ("Identity".into(), vec![]);
            }),
            ("queries are turned otherwise", |b| set(nth(b, "Transpose", 0), Setting::ints("perm", &[0, 2, 3, 1]))),
            ("keys are not turned", |b| set(nth(b, "Transpose", 2), Setting::ints("perm", &[0, 2, 1, 3]))),
            ("softmax over queries", |b| set(nth(b, "Softmax", 1), Setting::int("axis", 2))),
            ("softmax as before operator set 13", |b| {
                b.opset = 12;
                nth(b, "Softmax", 0).attribute.clear();
            }),
            ("values times queries", |b| nth(b, "MatMul", 4).input.swap(0, 1)),
            ("half of the scores", |b| {
                behind(b, "Softmax", 0, |b, x| {
                    let half = b.scalar(0.5);
                    b.node("Mul", &[x, &half], &[])
                });
            }),
        ],
    );
}

#[test]
fn what_is_between_layers_is_nothing() {
    all_refused(
        Form::PLAIN,
        &[
            ("whole numbers", |b| {
                behind(b, "MatMul", 0, |b, x| {
                    let whole = b.node("Cast", &[x], &[Setting::int("to", DataType::Int32 as i64)]);
                    float(b, &whole)
                });
            }),
            ("signs", |b| {
                behind(b, "MatMul", 0, |b, x| {
                    let is_not_zero = b.node("Cast", &[x], &[Setting::int("to", DataType::Bool as i64)]);
                    float(b, &is_not_zero)
                });
            }),
            ("dropout as in training", |b| {
                behind(b, "MatMul", 0, |b, x| {
                    let (ratio, training) = (b.scalar(0.5), b.raw(&[], DataType::Bool, vec![1]));
                    b.node("Dropout", &[x, &ratio, &training], &[])
                });
            }),
            ("another scale behind codes", |b| {
                behind(b, "MatMul", 0, |b, x| {
                    let (scale, half) = (b.scalar(0.04), b.scalar(0.02));
                    let zero = b.raw(&[], DataType::Uint8, vec![128]);
                    let codes = b.node("QuantizeLinear", &[x, &scale, &zero], &[]);
                    b.node("DequantizeLinear", &[&codes, &half, &zero], &[])
                });
            }),
            ("another zero point behind codes", |b| {
                behind(b, "MatMul", 0, |b, x| {
                    let scale = b.scalar(0.04);
                    let (zero, other) =
                        (b.raw(&[], DataType::Uint8, vec![128]), b.raw(&[], DataType::Uint8, vec![127]));
                    let codes = b.node("QuantizeLinear", &[x, &scale, &zero], &[]);
                    b.node("DequantizeLinear", &[&codes, &scale, &other], &[])
                });
            }),
            ("codes that cut off most values", |b| {
                behind(b, "MatMul", 0, |b, x| {
                    let (scale, zero) = (b.scalar(1e-3), b.raw(&[], DataType::Uint8, vec![128]));
                    let codes = b.node("QuantizeLinear", &[x, &scale, &zero], &[]);
                    b.node("DequantizeLinear", &[&codes, &scale, &zero], &[])
                });
            }),
            ("what is no number is that of another value", |b| {
                let weights = nth(b, "Softmax", 0).output[0].clone();
                inject(b, &weights, |b, x| {
                    let zero = b.scalar(0.0);
                    let less = b.node("Neg", &[x], &[]);
                    let root = b.node("Sqrt", &[&less], &[]);
                    let is_none = b.node("IsNaN", &[&root], &[]);
                    b.node("Where", &[&is_none, &zero, x], &[])
                });
            }),
            ("an activation that is cut off", |b| {
                let down = nth(b, "MatMul", 7).input[0].clone();
                inject(b, &down, |b, x| {
                    let ten = b.scalar(10.0);
                    b.node("Min", &[x, &ten], &[])
                });
            }),
            ("the weights of another layer", |b| {
                let weight = nth(b, "MatMul", 1).input[1].clone();
                let place = b.graph.node.iter().position(|node| node.input.get(1) == Some(&weight)).unwrap();
                let one = b.scalar(1.5);
                let doubled = b.node("Mul", &[&weight, &one], &[]);
                let again = b.node("MatMul", &[&b.graph.node[place].input[0].clone(), &doubled], &[]);
                let name = b.graph.node[place].output[0].clone();
                inject(b, &name, |b, x| b.node("Add", &[x, &again], &[]));
            }),
        ],
    );
}

/// Hidden states that are changed before they are an output, beside BERT's pooler.
#[test]
fn changed_outputs_are_not_replaced_by_the_pooler() {
    for what in ["half", "tanh", "earlier", "none"] {
        let dir = folder(json!({}));
        let mut b = Build::new();
        let states = encoder(&mut b, &small(Activation::Gelu), Form::PLAIN);
        let value = match what {
            "half" => {
                let half = b.scalar(0.5);
                b.node("Mul", &[&states, &half], &[])
            }
            "tanh" => b.node("Tanh", &[&states], &[]),
            "earlier" => nth(&mut b, "LayerNormalization", 2).output[0].clone(),
            _ => states.clone(),
        };
        b.output(&value, "last_hidden_state", &["batch", "sequence", "hidden"]);
        let first = b.index(0);
        let first = b.node("Gather", &[&states, &first], &[Setting::int("axis", 1)]);
        let weight = b.floats(&[HIDDEN, HIDDEN], &[0.125; HIDDEN * HIDDEN]);
        let pooled = b.node("MatMul", &[&first, &weight], &[]);
        let pooled = b.node("Tanh", &[&pooled], &[]);
        b.output(&pooled, "pooler_output", &["batch", "hidden"]);
        b.write(dir.path());
        assert_eq!(Model::open(dir.path()).is_ok(), what == "none", "{what}");
    }
}

/// Constants: a cast to bool is followed, scales for blocks are refused.
#[test]
fn constants_are_what_the_graph_computes() {
    let model = small(Activation::Gelu);
    let found = changed(Form::PLAIN, |b| {
        let weight = nth(b, "MatMul", 0).input[1].clone();
        let is_not_zero = b.node("Cast", &[&weight], &[Setting::int("to", DataType::Bool as i64)]);
        let ones = float(b, &is_not_zero);
        nth(b, "MatMul", 0).input[1] = ones;
    });
    let found = found.unwrap();
    let q = &found.weights().layers[0].q;
    let expected: Vec<f32> = model.weights().layers[0].q.weight.data.iter().map(|&x| f32::from(x != 0.0)).collect();
    assert_eq!(q.weight.data, expected);
    let blocks = changed(Form::PLAIN, |b| {
        let codes = b.raw(&[HIDDEN, HIDDEN], DataType::Int8, vec![3; HIDDEN * HIDDEN]);
        let scales = b.floats(&[1, HIDDEN], &[0.01; HIDDEN]);
        let settings = [Setting::int("axis", 0), Setting::int("block_size", HIDDEN as i64)];
        let weight = b.node("DequantizeLinear", &[&codes, &scales], &settings);
        nth(b, "MatMul", 0).input[1] = weight;
    });
    let error = blocks.unwrap_err().to_string();
    assert!(error.contains("scales for blocks"), "{error}");
}
