//! ONNX graphs: damaged at random, and made by hand to do one kind of harm each.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use lacuna_model::OnnxError;
use lacuna_model::{Error, Model};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::bounds::{alone, bounded};
use crate::mutated::{cases, damage};
use crate::proto::{
    AttributeProto, DataLocation, DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, ValueInfoProto,
};

/// Far more than any intact graph here takes.
const LIMIT: usize = 24 << 20;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/onnx").join(name)
}

/// A folder with the configuration of a fixture, and its graph.
fn folder(name: &str) -> (TempDir, Vec<u8>) {
    let dir = TempDir::new().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let graph = fs::read(dir.path().join("model.onnx")).unwrap();
    (dir, graph)
}

/// Loads the model and its head; an error must be one that a person can read.
fn exercise(dir: &Path) -> Result<(), Error> {
    let result = Model::open(dir).and_then(|model| {
        model.weight_files()?;
        match model.head() {
            Ok(_) | Err(Error::NoHead { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    });
    if let Err(error) = &result {
        let text = error.to_string();
        assert!(text.len() < 8192, "an error of {} bytes", text.len());
    }
    result
}

fn each(name: &str, mut make: impl FnMut(&mut ChaCha8Rng, &[u8], &Path)) {
    let (dir, graph) = folder(name);
    bounded(LIMIT, name, || exercise(dir.path())).unwrap_or_else(|error| panic!("{name} is intact: {error}"));
    let (count, mut loaded) = (cases() / 3, 0);
    for case in 0..count {
        let what = format!("{name}, case {case}");
        make(&mut ChaCha8Rng::seed_from_u64(case), &graph, dir.path());
        let outcome = catch_unwind(AssertUnwindSafe(|| bounded(LIMIT, &what, || exercise(dir.path()))));
        loaded += u64::from(outcome.unwrap_or_else(|_| panic!("{what}: panicked")).is_ok());
    }
    println!("{name}: of {count} damaged graphs {loaded} load");
    assert!(loaded < count, "{name}: damage is never found");
}

#[test]
fn damaged_bytes() {
    let _alone = alone();
    for name in ["bert", "bert-qdq", "bert-sparse", "roberta-classify", "bert-dynamic-u8", "electra", "bert-fill"] {
        each(name, |rng, graph, dir| {
            let mut bytes = graph.to_vec();
            damage(rng, &mut bytes);
            fs::write(dir.join("model.onnx"), bytes).unwrap();
        });
    }
}

/// Graphs that are well-formed messages, with parts exchanged, dropped, doubled and misdescribed.
#[test]
fn damaged_messages() {
    let _alone = alone();
    for name in ["bert", "bert-qdq", "bert-sparse", "roberta-classify", "bert-dynamic-u8", "electra", "bert-fill"] {
        each(name, |rng, graph, dir| {
            let mut model = ModelProto::decode(graph).unwrap();
            for _ in 0..rng.random_range(1..4) {
                disturb(rng, model.graph.as_mut().unwrap());
            }
            fs::write(dir.join("model.onnx"), model.encode_to_vec()).unwrap();
        });
    }
}

fn disturb(rng: &mut ChaCha8Rng, graph: &mut GraphProto) {
    let (nodes, tensors) = (graph.node.len(), graph.initializer.len());
    let (a, b) = (rng.random_range(0..nodes), rng.random_range(0..nodes));
    let (s, t) = (rng.random_range(0..tensors), rng.random_range(0..tensors));
    match rng.random_range(0..16) {
        0 => graph.node.swap(a, b),
        1 => drop(graph.node.remove(a)),
        2 => graph.node.push(graph.node[a].clone()),
        3 => graph.node[a].op_type = graph.node[b].op_type.clone(),
        4 => {
            let value = graph.node[b].output.first().cloned().unwrap_or_default();
            if let Some(input) = graph.node[a].input.first_mut() {
                *input = value;
            }
        }
        5 => {
            let value = graph.node[b].output.first().cloned().unwrap_or_default();
            if let Some(input) = graph.node[a].input.last_mut() {
                *input = value;
            }
        }
        6 => graph.node[a].input.clear(),
        7 => graph.node[a].output.clear(),
        8 => graph.node[a].attribute.clear(),
        9 => {
            for attribute in &mut graph.node[a].attribute {
                attribute.i = Some([0, 1, -1, 7, i64::MAX, i64::MIN][rng.random_range(0..6)]);
                attribute.ints.iter_mut().for_each(|i| *i = [0, 1, -1, 9, i64::MAX, i64::MIN][rng.random_range(0..6)]);
            }
        }
        10 => drop(graph.initializer.remove(t)),
        11 => graph.initializer[t].dims.reverse(),
        12 => {
            let edge = [0, 1, -1, 1 << 20, 1 << 40, i64::MAX, i64::MIN][rng.random_range(0..7)];
            graph.initializer[t].dims.push(edge);
        }
        13 => graph.initializer[t].data_type = rng.random_range(-1..18),
        14 => graph.initializer[t].raw_data = graph.initializer[s].raw_data.clone(),
        _ => {
            let name = graph.initializer[s].name.clone();
            graph.initializer[t].name = name;
        }
    }
}

/// A folder with `bert`'s configuration and a graph of these parts.
fn refused(what: &str, graph: GraphProto) -> OnnxError {
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    refused_bytes(what, &model.encode_to_vec())
}

fn refused_bytes(what: &str, bytes: &[u8]) -> OnnxError {
    let (dir, _) = folder("bert");
    fs::write(dir.path().join("model.onnx"), bytes).unwrap();
    // What is decoded of a message may be some 200 times as large as an empty part of it.
    match bounded(LIMIT + 256 * bytes.len(), what, || exercise(dir.path())) {
        Err(Error::Onnx(error)) => {
            println!("{what}: {error}");
            error
        }
        Err(error) => panic!("{what}: refused as {error}"),
        Ok(()) => panic!("{what}: accepted"),
    }
}

fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: op_type.into(),
        name: format!("the {op_type}"),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: outputs.iter().map(|name| (*name).to_owned()).collect(),
        ..NodeProto::default()
    }
}

fn graph(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
    let input = vec![ValueInfoProto { name: "input_ids".into(), ..ValueInfoProto::default() }];
    GraphProto { node, initializer, input, ..GraphProto::default() }
}

fn tensor(name: &str, dims: &[i64], raw: Option<&[u8]>) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float.into(),
        raw_data: raw.map(|raw| raw.to_vec().into()),
        ..TensorProto::default()
    }
}

#[test]
fn graphs_that_cannot_run() {
    let _alone = alone();
    let cycle = vec![node("Add", &["input_ids", "b"], &["a"]), node("Mul", &["a", "a"], &["b"])];
    assert!(matches!(refused("a cycle", graph(cycle, vec![])), OnnxError::Cycle { node, .. } if node.contains("Add")));
    let own = vec![node("Add", &["a", "a"], &["a"])];
    assert!(matches!(refused("a node that reads itself", graph(own, vec![])), OnnxError::Cycle { .. }));
    let missing = vec![node("Add", &["input_ids", "nowhere"], &["a"])];
    assert!(
        matches!(refused("a missing initialiser", graph(missing, vec![])), OnnxError::Undefined { value, .. } if value == "nowhere")
    );
    let twice =
        vec![node("Add", &["input_ids", "input_ids"], &["a"]), node("Mul", &["input_ids", "input_ids"], &["a"])];
    assert!(
        matches!(refused("a value made twice", graph(twice, vec![])), OnnxError::Duplicate { name, .. } if name == "a")
    );
    let constants = vec![tensor("w", &[1], Some(&[0; 4])), tensor("w", &[1], Some(&[0; 4]))];
    assert!(
        matches!(refused("two initialisers of a name", graph(vec![], constants)), OnnxError::Duplicate { name, .. } if name == "w")
    );
    assert!(matches!(refused("nothing", graph(vec![], vec![])), OnnxError::Structure { .. }));
    assert!(matches!(refused_bytes("an empty file", b""), OnnxError::Decode { .. }));
    assert!(matches!(refused_bytes("no protobuf", &[0xff; 64]), OnnxError::Decode { .. }));
}

#[test]
fn fused_graphs_are_refused_by_the_operators_name() {
    let _alone = alone();
    let fused = NodeProto { domain: "com.microsoft".into(), ..node("PackedAttention", &["input_ids"], &["a"]) };
    let error = refused("fused", graph(vec![fused], vec![]));
    assert!(
        matches!(&error, OnnxError::Fused { node, domain, .. } if node.contains("PackedAttention") && domain == "com.microsoft")
    );
    assert!(error.to_string().contains("without optimisation"), "{error}");
}

/// Of a file of a few kilobytes that claims terabytes nothing is allocated.
#[test]
fn claims_of_terabytes() {
    let _alone = alone();
    let (_dir, bytes) = folder("bert-dynamic-u8");
    let model = ModelProto::decode(&bytes[..]).unwrap();
    let count = model.graph.as_ref().unwrap().initializer.len();
    for i in 0..count {
        for dims in [vec![1 << 40], vec![1 << 32, 1 << 32], vec![i64::MAX, 2], vec![-1, 4], vec![0; 100]] {
            let mut model = model.clone();
            model.graph.as_mut().unwrap().initializer[i].dims = dims;
            let (dir, _) = folder("bert-dynamic-u8");
            fs::write(dir.path().join("model.onnx"), model.encode_to_vec()).unwrap();
            let what = format!("initialiser {i}");
            // Some are read by nothing that is needed here.
            match bounded(LIMIT, &what, || exercise(dir.path())) {
                Ok(()) | Err(Error::Onnx(_)) => {}
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }
}

/// Messages of two bytes that become structures of hundreds.
#[test]
fn many_small_parts() {
    let _alone = alone();
    let nodes = [0x0a, 0x00].repeat(5_000_000); // empty nodes, in a graph
    let mut bytes = vec![0x3a];
    prost::encoding::encode_varint(nodes.len() as u64, &mut bytes);
    bytes.extend(&nodes);
    let (dir, _) = folder("bert");
    fs::write(dir.path().join("model.onnx"), &bytes).unwrap();
    let outcome = bounded(LIMIT, "many nodes", || exercise(dir.path()));
    assert!(matches!(outcome, Err(Error::Onnx(OnnxError::Limit { .. }))), "{outcome:?}");
}

#[test]
fn deep_chains() {
    let _alone = alone();
    // On constants, on hidden states, and in the middle of a real graph.
    let chain = |op: &str, from: &str, n: usize| -> Vec<NodeProto> {
        let name = |i: usize| if i == 0 { from.to_owned() } else { format!("{op}.{i}") };
        (0..n).map(|i| node(op, &[&name(i)], &[&name(i + 1)])).collect()
    };
    let deep = graph(chain("Identity", "w", 50_000), vec![tensor("w", &[1], Some(&[0; 4]))]);
    assert!(matches!(refused("identities", deep), OnnxError::Structure { .. }));
    let double: Vec<NodeProto> =
        (0..60).map(|i| node("Add", &[&format!("w{i}"), &format!("w{i}")], &[&format!("w{}", i + 1)])).collect();
    assert!(matches!(
        refused("doublings", graph(double, vec![tensor("w0", &[1], Some(&[0; 4]))])),
        OnnxError::Structure { .. }
    ));

    let (dir, bytes) = folder("bert-dynamic-u8");
    for (what, op) in [("identities", "Identity"), ("square roots", "Sqrt"), ("scaled", "Mul"), ("added", "Add")] {
        let mut model = ModelProto::decode(&bytes[..]).unwrap();
        let graph = model.graph.as_mut().unwrap();
        let count = graph.node.len();
        for at in (0..count).step_by(7) {
            let Some(value) = graph.node[at].input.first().cloned() else { continue };
            let name = |i: usize| if i == 0 { value.clone() } else { format!("{op}.{at}.{i}") };
            for i in 0..200 {
                let inputs = [name(i), name(i)];
                let inputs: Vec<&str> =
                    inputs.iter().map(String::as_str).take(if op.len() == 3 { 2 } else { 1 }).collect();
                graph.node.push(node(op, &inputs, &[&name(i + 1)]));
            }
            graph.node[at].input[0] = name(200);
        }
        fs::write(dir.path().join("model.onnx"), model.encode_to_vec()).unwrap();
        bounded(4 * LIMIT, what, || exercise(dir.path())).err();
    }
}

#[test]
fn external_data_stays_in_its_folder() {
    let _alone = alone();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), [0; 4096]).unwrap();
    let secret = outside.path().join("secret").display().to_string();
    let (dir, bytes) = folder("bert");
    let disturbed = |key: &str, value: &str| {
        let mut model = ModelProto::decode(&bytes[..]).unwrap();
        for tensor in &mut model.graph.as_mut().unwrap().initializer {
            for entry in tensor.external_data.iter_mut().filter(|entry| entry.key == key) {
                value.clone_into(&mut entry.value);
            }
        }
        fs::write(dir.path().join("model.onnx"), model.encode_to_vec()).unwrap();
        bounded(LIMIT, value, || exercise(dir.path()))
    };
    for location in
        [&*secret, "../secret", "a/../../secret", "/etc/passwd", "", ".", "..", "./weights.bin", "weights.bin/.."]
    {
        let outcome = disturbed("location", location);
        println!("{location}: {outcome:?}");
        let refused = matches!(outcome, Err(Error::Onnx(OnnxError::External { .. })));
        assert!(refused || location == "./weights.bin", "{location}: {outcome:?}");
    }
    assert!(matches!(disturbed("location", "nothing.bin"), Err(Error::Io { .. })));
    for (key, value) in [
        ("offset", "18446744073709551615"),
        ("offset", "-1"),
        ("offset", "x"),
        ("length", "18446744073709551615"),
        ("length", "99999999999"),
        ("length", "1"),
        ("length", "0"),
    ] {
        let outcome = disturbed(key, value);
        assert!(
            matches!(outcome, Err(Error::Onnx(OnnxError::External { .. } | OnnxError::Tensor { .. }))),
            "{key} {value}: {outcome:?}"
        );
    }
    assert!(exercise(fixture("bert").as_path()).is_ok());
}

#[test]
fn external_data_without_a_place() {
    let _alone = alone();
    let mut constant = tensor("w", &[2, 2], None);
    constant.data_location = Some(DataLocation::External.into());
    constant.external_data = vec![StringStringEntryProto { key: "offset".into(), value: "0".into() }];
    let attribute = AttributeProto { name: "axis".into(), i: Some(0), ..AttributeProto::default() };
    let gather = NodeProto { attribute: vec![attribute], ..node("Gather", &["w", "input_ids"], &["x"]) };
    // Nothing reads the table before the structure is refused.
    assert!(matches!(refused("no location", graph(vec![gather], vec![constant])), OnnxError::Structure { .. }));
}
