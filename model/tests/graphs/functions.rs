//! Graphs with functions of their own.

use lacuna_model::Activation;
use serde_json::json;

use super::*;
use crate::build::{Setting, named_node};
use crate::proto::{FunctionProto, NodeProto};

const OWN: &str = "pkg.onnxscript.torch_lib";

fn call(domain: &str, node: NodeProto) -> NodeProto {
    NodeProto { domain: domain.to_owned(), ..node }
}

/// The function `norm(x, gamma, beta)` with its epsilon as a setting, and `outer` that calls it.
fn functions() -> Vec<FunctionProto> {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let mut norm = named_node("LayerNormalization", &["x", "gamma", "beta"], &["y"]);
    norm.attribute = vec![Setting { ref_attr_name: "eps".into(), ..Setting::float("epsilon", 0.0) }];
    let mut inner = named_node("norm", &["a", "b", "c"], &["kept"]);
    inner.attribute = vec![Setting { ref_attr_name: "eps".into(), ..Setting::float("eps", 0.0) }];
    let function = |name: &str, input: &[&str], output: &[&str], node| FunctionProto {
        name: name.into(),
        input: names(input),
        output: names(output),
        node,
        domain: OWN.into(),
        ..FunctionProto::default()
    };
    vec![
        FunctionProto {
            attribute_proto: vec![Setting::float("eps", 1e-5)],
            ..function("norm", &["x", "gamma", "beta"], &["y"], vec![norm])
        },
        function("outer", &["a", "b", "c"], &["d"], vec![call(OWN, inner), named_node("Identity", &["kept"], &["d"])]),
    ]
}

#[test]
fn functions_are_what_their_nodes_compute() {
    let model = small(Activation::Gelu);
    for (name, given, expected) in
        [("norm", true, 1e-12), ("norm", false, 1e-5), ("outer", true, 1e-12), ("outer", false, 1e-5)]
    {
        let dir = folder(json!({}));
        let mut b = Build::new();
        let states = encoder(&mut b, &model, Form::PLAIN);
        b.output(&states, "last_hidden_state", &["batch", "sequence", "hidden"]);
        for node in b.graph.node.iter_mut().filter(|node| node.op_type == "LayerNormalization") {
            (node.op_type, node.domain) = (name.into(), OWN.into());
            node.attribute = if given { vec![Setting::float("eps", 1e-12)] } else { vec![] };
        }
        b.functions = functions();
        b.write(dir.path());
        let found = Model::open(dir.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_same(&found, &model, name);
        assert_eq!(found.config().layer_norm_eps, expected, "{name}, {given}");
    }
}

#[test]
fn functions_without_end_are_refused() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let function = |name: &str, node| FunctionProto {
        name: name.into(),
        input: names(&["x"]),
        output: names(&["y"]),
        node,
        domain: OWN.into(),
        ..FunctionProto::default()
    };
    let itself = vec![function("f0", vec![call(OWN, named_node("f0", &["x"], &["y"]))])];
    // Each calls the next one twice: 2^30 nodes.
    let doubled = |i: usize| {
        let next = format!("f{}", i + 1);
        vec![call(OWN, named_node(&next, &["x"], &["z"])), call(OWN, named_node(&next, &["z"], &["y"]))]
    };
    let mut doubling: Vec<FunctionProto> = (0..30).map(|i| function(&format!("f{i}"), doubled(i))).collect();
    doubling.push(function("f30", vec![named_node("Identity", &["x"], &["y"])]));
    for functions in [itself, doubling] {
        let dir = folder(json!({}));
        let mut b = Build::new();
        b.input("input_ids");
        let y = b.node_of(OWN, "f0", &["input_ids"], &[]);
        b.output(&y, "last_hidden_state", &["batch", "sequence", "hidden"]);
        b.functions = functions;
        b.write(dir.path());
        let error = super::refused(dir.path());
        assert!(matches!(error, OnnxError::Limit { .. }), "{error}");
    }
}
