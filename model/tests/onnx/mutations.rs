//! Graphs of exporters, changed at one place: each is refused, or what is read of it is what rten computes.

use std::path::{Path, PathBuf};

use lacuna_model::heads::Head;
use lacuna_model::{Error, Matrix, Model, seeded_ids};
use prost::Message;
use rten_tensor::Tensor;
use rten_tensor::prelude::*;
use tempfile::TempDir;

use crate::proto::{AttributeProto, DataType, GraphProto, ModelProto, NodeProto, TensorProto};

/// Graphs in f32 whose weights are in the file itself.
const GRAPHS: [&str; 6] =
    ["bert-classify", "bert-answer", "bert-sdpa", "distilbert-tag", "electra", "roberta-classify"];
/// Changes of every graph that are tried; all of them with `LACUNA_MUTATIONS=all`.
const CHANGES: usize = 30;
/// Largest relative difference: factors of rten's sums differ in the last bits.
const TOLERANCE: f32 = 2e-3;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/onnx").join(name)
}

/// What is changed of a graph.
#[derive(Debug, Clone)]
enum Change {
    Operator(usize, &'static str),
    SwapInputs(usize, usize, usize),
    SwapOutputs(usize),
    Setting(usize, usize, Box<AttributeProto>),
    Negate(usize),
    Initializer(usize, Box<TensorProto>),
    Remove(usize),
}

/// Operators that take the place of others.
const OTHERS: [(&str, &str); 22] = [
    ("Add", "Sub"),
    ("Add", "Mul"),
    ("Sub", "Add"),
    ("Mul", "Div"),
    ("Mul", "Add"),
    ("Div", "Mul"),
    ("Erf", "Tanh"),
    ("Tanh", "Erf"),
    ("Tanh", "Sigmoid"),
    ("Relu", "Sigmoid"),
    ("Sqrt", "Identity"),
    ("Pow", "Mul"),
    ("And", "Or"),
    ("Less", "Greater"),
    ("GreaterOrEqual", "Less"),
    ("Equal", "Less"),
    ("Not", "Identity"),
    ("Softmax", "Sigmoid"),
    ("Transpose", "Identity"),
    ("ReduceMean", "ReduceMax"),
    ("ReduceMean", "ReduceSum"),
    ("IsNaN", "IsInf"),
];

/// A short constant with its first element changed.
fn other_tensor(tensor: &TensorProto) -> Option<TensorProto> {
    let mut other = tensor.clone();
    let mut raw = tensor.raw_data.clone()?.to_vec();
    if raw.len() > 64 {
        return None;
    }
    match tensor.data_type() {
        DataType::Int64 => {
            let first = raw.first_chunk_mut::<8>()?;
            *first = (i64::from_le_bytes(*first) + 1).to_le_bytes();
        }
        DataType::Float => {
            let first = raw.first_chunk_mut::<4>()?;
            let x = f32::from_le_bytes(*first);
            *first = if x.is_finite() { x * 1.5 + 0.25 } else { 1.0 }.to_le_bytes();
        }
        DataType::Bool => raw[0] ^= 1,
        _ => return None,
    }
    other.raw_data = Some(raw.into());
    Some(other)
}

fn changes(graph: &GraphProto) -> Vec<Change> {
    let mut all = Vec::new();
    for (i, node) in graph.node.iter().enumerate() {
        all.extend(OTHERS.iter().filter(|(from, _)| *from == node.op_type).map(|(_, to)| Change::Operator(i, to)));
        match &*node.op_type {
            "Sub" | "Div" | "MatMul" | "Less" | "GreaterOrEqual" | "Concat" | "Pow" if node.input.len() > 1 => {
                all.push(Change::SwapInputs(i, 0, 1));
            }
            "Where" | "LayerNormalization" => all.push(Change::SwapInputs(i, 1, 2)),
            "Split" => all.push(Change::SwapOutputs(i)),
            _ => {}
        }
        for (k, setting) in node.attribute.iter().enumerate() {
            let mut add = |changed: AttributeProto| all.push(Change::Setting(i, k, Box::new(changed)));
            if let Some(number) = setting.i {
                [number + 1, number - 1]
                    .into_iter()
                    .for_each(|i| add(AttributeProto { i: Some(i), ..setting.clone() }));
            }
            if let Some(number) = setting.f {
                add(AttributeProto { f: Some(number * 1.5 + 0.25), ..setting.clone() });
            }
            if !setting.ints.is_empty() {
                let mut ints = setting.ints.clone();
                ints.reverse();
                add(AttributeProto { ints, ..setting.clone() });
                let ints = setting.ints.iter().map(|x| x + 1).collect();
                add(AttributeProto { ints, ..setting.clone() });
            }
            if let Some(t) = setting.t.as_ref().and_then(other_tensor) {
                add(AttributeProto { t: Some(t), ..setting.clone() });
            }
        }
        all.extend([Change::Negate(i), Change::Remove(i)]);
    }
    let tensors = graph.initializer.iter().enumerate();
    all.extend(tensors.filter_map(|(i, tensor)| Some(Change::Initializer(i, Box::new(other_tensor(tensor)?)))));
    all
}

fn apply(graph: &mut GraphProto, change: &Change) {
    match change.clone() {
        Change::Operator(i, to) => {
            graph.node[i].op_type = to.into();
            if to == "Identity" || to == "Sigmoid" {
                graph.node[i].attribute.clear();
            }
        }
        Change::SwapInputs(i, a, b) => graph.node[i].input.swap(a, b),
        Change::SwapOutputs(i) => graph.node[i].output.swap(0, 1),
        Change::Setting(i, k, setting) => graph.node[i].attribute[k] = *setting,
        Change::Initializer(i, tensor) => graph.initializer[i] = *tensor,
        Change::Negate(i) => {
            let name = graph.node[i].output[0].clone();
            graph.node[i].output[0] = format!("{name}.before");
            let negated = NodeProto {
                op_type: "Neg".into(),
                name: format!("{name}.negated"),
                input: vec![format!("{name}.before")],
                output: vec![name],
                ..NodeProto::default()
            };
            graph.node.insert(i + 1, negated);
        }
        Change::Remove(i) => {
            let node = &mut graph.node[i];
            if node.op_type != "Constant" {
                (node.op_type, node.attribute) = ("Identity".into(), vec![]);
                node.input.truncate(1);
                node.output.truncate(1);
            }
        }
    }
}

/// The outputs of a graph in rten, by name; none if it refuses the graph.
fn computed(model: &ModelProto, ids: &[u32]) -> Option<Vec<(String, Vec<f32>)>> {
    let loaded = rten::Model::load(model.encode_to_vec()).ok()?;
    let graph = model.graph.as_ref()?;
    let row =
        |of: &dyn Fn(usize) -> i32| Tensor::from_data(&[1, ids.len()], (0..ids.len()).map(of).collect::<Vec<i32>>());
    let mut inputs = Vec::new();
    for input in &graph.input {
        let value = match &*input.name {
            "input_ids" => row(&|i| ids[i] as i32),
            "attention_mask" => row(&|_| 1),
            "token_type_ids" => row(&|_| 0),
            _ => continue,
        };
        inputs.push((loaded.node_id(&input.name).ok()?, value.into()));
    }
    let mut found = Vec::new();
    for output in &graph.output {
        let id = loaded.node_id(&output.name).ok()?;
        let [value] = loaded.run_n(inputs.clone(), [id], None).ok()?;
        let value: Tensor<f32> = value.try_into().ok()?;
        found.push((output.name.clone(), value.to_vec()));
    }
    Some(found)
}

fn agree(found: &[f32], expected: &[f32]) -> bool {
    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= TOLERANCE * largest)
}

/// Whether what was read gives the outputs that rten computes: hidden states, then those of the head.
fn is_read_right(
    model: &Model,
    head: Option<&Head>,
    ids: &[u32],
    outputs: &[(String, Vec<f32>)],
) -> Result<(), String> {
    let states = model.reference().forward(&[ids]).map_err(|error| error.to_string())?;
    let of_states = |name: &str| name == "states" || name == "last_hidden_state";
    for (name, found) in outputs.iter().filter(|(name, _)| of_states(name)) {
        if !agree(found, &states[0].data) {
            return Err(format!("{name} differs"));
        }
    }
    let Some(head) = head else { return Ok(()) };
    let logits: Matrix = head.logits(&states[0]).map_err(|error| error.to_string())?;
    let others: Vec<_> = outputs.iter().filter(|(name, _)| !of_states(name)).collect();
    for (i, (name, found)) in others.iter().enumerate() {
        let column: Vec<f32> = logits.data.iter().copied().skip(i).step_by(logits.cols).collect();
        let is_one = agree(found, &logits.data) || (others.len() > 1 && agree(found, &column));
        if !is_one {
            return Err(format!("{name} differs"));
        }
    }
    Ok(())
}

fn opened(dir: &Path) -> Option<(Model, Option<Head>)> {
    let model = Model::open(dir).ok()?;
    match model.head() {
        Ok(head) => Some((model, Some(head))),
        Err(Error::NoHead { .. }) => Some((model, None)),
        Err(_) => None,
    }
}

#[test]
fn changed_graphs_are_refused_or_read_right() {
    let all = std::env::var_os("LACUNA_MUTATIONS").is_some();
    let mut wrong = Vec::new();
    for name in GRAPHS {
        let dir = TempDir::new().unwrap();
        std::fs::copy(golden(name).join("config.json"), dir.path().join("config.json")).unwrap();
        let intact = ModelProto::decode(&std::fs::read(golden(name).join("model.onnx")).unwrap()[..]).unwrap();
        let changes = changes(intact.graph.as_ref().unwrap());
        let step = if all { 1 } else { changes.len().div_ceil(CHANGES) };
        let (mut refused, mut read, mut not_run) = (0, 0, 0);
        for change in [None].into_iter().chain(changes.iter().step_by(step).map(Some)) {
            let mut model = intact.clone();
            if let Some(change) = change {
                apply(model.graph.as_mut().unwrap(), change);
            }
            std::fs::write(dir.path().join("model.onnx"), model.encode_to_vec()).unwrap();
            let Some((found, head)) = opened(dir.path()) else {
                assert!(change.is_some(), "{name} is intact");
                refused += 1;
                continue;
            };
            let limit = found.config().max_position.min(11);
            let mut ids = seeded_ids(found.config().vocab_size - 2, 1, limit, 5).remove(0);
            ids.iter_mut().for_each(|id| *id += 2);
            let Some(outputs) = computed(&model, &ids) else {
                assert!(change.is_some(), "{name} is intact, and rten does not run it");
                not_run += 1;
                continue;
            };
            read += 1;
            if let Err(differs) = is_read_right(&found, head.as_ref(), &ids, &outputs) {
                let node = match change {
                    Some(
                        Change::Operator(i, _)
                        | Change::SwapInputs(i, ..)
                        | Change::SwapOutputs(i)
                        | Change::Setting(i, ..)
                        | Change::Negate(i)
                        | Change::Remove(i),
                    ) => {
                        let node = &intact.graph.as_ref().unwrap().node[*i];
                        format!("{} {:?} -> {:?}", node.op_type, node.input, node.output)
                    }
                    _ => String::new(),
                };
                wrong.push(format!("{name}: {differs}: {change:?} of {node}"));
            }
        }
        println!("{name}: {refused} refused, {read} read, {not_run} that rten does not run");
    }
    assert!(wrong.is_empty(), "{} read wrong:\n{}", wrong.len(), wrong.join("\n"));
}
