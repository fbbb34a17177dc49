//! Small graphs with very many paths: each is answered after a number of steps that grows with the graph.

use lacuna_model::Activation;
use serde_json::json;

use super::*;
use crate::build::Setting;

/// A graph whose last layer normalisation reads what `make` makes of rows of a table.
fn refused_graph(make: impl FnOnce(&mut Build, &str) -> String) -> OnnxError {
    let dir = folder(json!({}));
    let mut b = Build::new();
    b.input("input_ids");
    let table = b.floats(&[20, HIDDEN], &[0.1; 20 * HIDDEN]);
    let rows = b.node("Gather", &[&table, "input_ids"], &[]);
    let y = make(&mut b, &rows);
    let gamma = b.floats(&[HIDDEN], &[1.0; HIDDEN]);
    let z = b.node("LayerNormalization", &[&y, &gamma, &gamma], &[]);
    b.output(&z, "last_hidden_state", &["batch", "sequence", "hidden"]);
    b.write(dir.path());
    refused(dir.path())
}

/// A number of 31 products, each of the one before with itself: 2^31 paths.
#[test]
fn numbers_are_computed_once() {
    for depth in [31, 1000] {
        let error = refused_graph(|b, rows| {
            let shape = b.whole(&[1, 4, HIDDEN as i64]);
            let rows = b.node("Reshape", &[rows, &shape], &[]);
            let (shape, last) = (b.node("Shape", &[&rows], &[]), b.whole(&[-1]));
            let mut number = b.node("Gather", &[&shape, &last], &[]);
            for _ in 0..depth {
                number = b.node("Mul", &[&number, &number], &[]);
            }
            b.node("Mul", &[&number, &rows], &[])
        });
        assert!(matches!(error, OnnxError::Structure { .. }), "{error}");
    }
}

/// The scale of an integer product as a product of products.
#[test]
fn factors_have_two_operands() {
    let graph = |fan: usize, depth: usize| {
        refused_graph(|b, rows| {
            let [codes, scale, zero] = b.outputs("", "DynamicQuantizeLinear", &[rows], &[]);
            let weights = b.raw(&[HIDDEN, HIDDEN], proto::DataType::Int8, vec![1; HIDDEN * HIDDEN]);
            let sums = b.node("MatMulInteger", &[&codes, &weights, &zero], &[]);
            let sums = b.node("Cast", &[&sums], &[Setting::int("to", 1)]);
            let mut factor = scale;
            for _ in 0..depth {
                factor = b.node("Mul", &vec![&*factor; fan], &[]);
            }
            let linear = b.node("Mul", &[&sums, &factor], &[]);
            b.node("Add", &[&linear, rows], &[])
        })
    };
    let error = graph(30, 6);
    assert!(
        matches!(&error, OnnxError::Structure { found, node, .. } if found == "30 inputs" && node.contains("Mul")),
        "{error}"
    );
    graph(2, 6);
    graph(2, 40);
}

/// A long chain under many layer normalisations: a walk over the chain for each of them would be quadratic.
#[test]
fn chains_are_walked_once() {
    for operator in ["Identity", "Sqrt"] {
        let error = refused_graph(|b, rows| {
            let mut value = rows.to_owned();
            for _ in 0..20_000 {
                value = b.node(operator, &[&value], &[]);
            }
            let gamma = b.floats(&[HIDDEN], &[1.0; HIDDEN]);
            for _ in 0..10_000 {
                b.node("LayerNormalization", &[&value, &gamma, &gamma], &[]);
            }
            value
        });
        assert!(matches!(error, OnnxError::Structure { .. }), "{error}");
    }
}

/// Walks that remember nothing share a budget.
#[test]
fn walks_together_take_a_bounded_number_of_steps() {
    let error = refused_graph(|b, rows| {
        let weight = b.floats(&[HIDDEN, HIDDEN], &[0.1; HIDDEN * HIDDEN]);
        let mut value = b.node("MatMul", &[rows, &weight], &[]);
        for _ in 0..20_000 {
            value = b.node("Add", &[&value, &weight], &[]);
        }
        // Every sum with a residual is asked whether it ends in a linear layer.
        let gamma = b.floats(&[HIDDEN], &[1.0; HIDDEN]);
        for _ in 0..10_000 {
            let sum = b.node("Add", &[&value, &value], &[]);
            let root = b.node("Sqrt", &[&sum], &[]);
            b.node("LayerNormalization", &[&root, &gamma, &gamma], &[]);
            let tanh = b.node("Tanh", &[&value], &[]);
            b.node("LayerNormalization", &[&tanh, &gamma, &gamma], &[]);
        }
        value
    });
    assert!(matches!(error, OnnxError::Structure { .. } | OnnxError::Limit { .. }), "{error}");
}

#[test]
fn nodes_with_many_parts_are_refused() {
    let model = small(Activation::Gelu);
    for part in 0..3 {
        let dir = folder(json!({}));
        let mut b = Build::new();
        let states = encoder(&mut b, &model, Form::PLAIN);
        b.output(&states, "last_hidden_state", &["batch", "sequence", "hidden"]);
        let node = b.graph.node.iter_mut().find(|node| node.op_type == "Concat" || node.op_type == "Shape").unwrap();
        node.op_type = "Concat".into();
        match part {
            0 => node.input = vec!["input_ids".into(); 100_000],
            1 => node.output.extend((0..100_000).map(|i| format!("more.{i}"))),
            _ => node.attribute = vec![Setting::int("axis", 0); 100_000],
        }
        b.write(dir.path());
        let error = refused(dir.path());
        assert!(matches!(&error, OnnxError::Structure { expected, .. } if expected.starts_with("at most")), "{error}");
    }
}
