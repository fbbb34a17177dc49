//! The pooling of a graph itself: followed or refused, never ignored.

use lacuna_model::{
    Activation, DenseModule, Linear, Matrix, ModuleActivation, PoolingMode, PoolingSource, SentenceModule,
};
use serde_json::json;

use super::*;
use crate::build::Setting;
use crate::proto::DataType;

const FLAT: [&str; 2] = ["batch", "features"];
const STATES: [&str; 3] = ["batch", "sequence", "hidden"];

/// A graph with what `pool` makes of the hidden states as `sentence_embedding`.
fn pooled(dir: &TempDir, pool: impl FnOnce(&mut Build, &str) -> String) {
    named(dir, "sentence_embedding", true, pool);
}

fn named(dir: &TempDir, name: &str, with_states: bool, pool: impl FnOnce(&mut Build, &str) -> String) {
    let mut b = Build::new();
    let states = encoder(&mut b, &small(Activation::Gelu), Form::PLAIN);
    if with_states {
        b.output(&states, "token_embeddings", &STATES);
    }
    let embedding = pool(&mut b, &states);
    b.output(&embedding, name, &FLAT);
    b.write(dir.path());
}

fn cls(b: &mut Build, x: &str) -> String {
    let first = b.index(0);
    b.node("Gather", &[x, &first], &[Setting::int("axis", 1)])
}

/// The mask as sentence-transformers' module Pooling expands it.
fn mask(b: &mut Build, x: &str) -> String {
    let last = b.whole(&[-1]);
    let mask = b.node("Unsqueeze", &["attention_mask", &last], &[]);
    let shape = b.node("Shape", &[x], &[]);
    let mask = b.node("Expand", &[&mask, &shape], &[]);
    b.node("Cast", &[&mask], &[Setting::int("to", DataType::Float as i64)])
}

fn sum(b: &mut Build, x: &str) -> String {
    let axis = b.whole(&[1]);
    b.node("ReduceSum", &[x, &axis], &[Setting::int("keepdims", 0)])
}

/// Sum and count.
fn counted(b: &mut Build, x: &str) -> (String, String) {
    let mask = mask(b, x);
    let kept = b.node("Mul", &[x, &mask], &[]);
    let (total, count, tiny) = (sum(b, &kept), sum(b, &mask), b.scalar(1e-9));
    (total, b.node("Clip", &[&count, &tiny], &[]))
}

fn mean(b: &mut Build, x: &str) -> String {
    let (sum, count) = counted(b, x);
    b.node("Div", &[&sum, &count], &[])
}

fn max(b: &mut Build, x: &str) -> String {
    let mask = mask(b, x);
    let (zero, least, axis) = (b.scalar(0.0), b.scalar(-1e9), b.whole(&[1]));
    let padding = b.node("Equal", &[&mask, &zero], &[]);
    let kept = b.node("Where", &[&padding, &least, x], &[]);
    b.node("ReduceMax", &[&kept, &axis], &[Setting::int("keepdims", 0)])
}

/// torch.nn.functional.normalize.
fn normalised(b: &mut Build, x: &str) -> String {
    let (axis, tiny) = (b.whole(&[1]), b.scalar(1e-12));
    let norm = b.node("ReduceL2", &[x, &axis], &[]);
    let norm = b.node("Clip", &[&norm, &tiny], &[]);
    let shape = b.node("Shape", &[x], &[]);
    let norm = b.node("Expand", &[&norm, &shape], &[]);
    b.node("Div", &[x, &norm], &[])
}

fn projection() -> Linear {
    let value = |i: usize| ((i * 29) % 53) as f32 / 60.0 - 0.4;
    Linear {
        weight: Matrix { rows: 3, cols: HIDDEN, data: (0..3 * HIDDEN).map(value).collect() },
        bias: vec![0.5, -0.25, 1.0],
    }
}

fn dense(b: &mut Build, x: &str) -> String {
    let linear = projection();
    let (weight, bias) = (b.floats(&[3, HIDDEN], &linear.weight.data), b.floats(&[3], &linear.bias));
    b.node("Gemm", &[x, &weight, &bias], &[Setting::int("transB", 1)])
}

#[test]
fn every_mode_is_followed() {
    type Pool = fn(&mut Build, &str) -> String;
    let sqrt_len: Pool = |b, x| {
        let (sum, count) = counted(b, x);
        let root = b.node("Sqrt", &[&count], &[]);
        b.node("Div", &[&sum, &root], &[])
    };
    let both: Pool = |b, x| {
        let (cls, mean) = (cls(b, x), mean(b, x));
        b.node("Concat", &[&cls, &mean], &[Setting::int("axis", 1)])
    };
    let slice: Pool = |b, x| {
        let (zero, one) = (b.whole(&[0]), b.whole(&[1]));
        let first = b.node("Slice", &[x, &zero, &one, &one], &[]);
        b.node("Squeeze", &[&first, &one], &[])
    };
    for (modes, pool) in [
        (&[PoolingMode::Cls][..], cls as Pool),
        (&[PoolingMode::Cls], slice),
        (&[PoolingMode::Mean], mean),
        (&[PoolingMode::Max], max),
        (&[PoolingMode::MeanSqrtLen], sqrt_len),
        (&[PoolingMode::Cls, PoolingMode::Mean], both),
    ] {
        for normalize in [false, true] {
            let dir = folder(json!({}));
            pooled(&dir, |b, x| {
                let y = pool(b, x);
                if normalize { normalised(b, &y) } else { y }
            });
            let found = Model::open(dir.path()).unwrap_or_else(|error| panic!("{modes:?}: {error}"));
            let pooling = found.pooling();
            let modules = if normalize { vec![SentenceModule::Normalize] } else { vec![] };
            assert_eq!((&pooling.modes[..], &pooling.modules), (modes, &modules));
            assert!(
                matches!(&pooling.source, PoolingSource::Graph { output, .. } if output == "sentence_embedding"),
                "{:?}",
                pooling.source
            );
        }
    }
}

#[test]
fn modules_are_followed() {
    let linear = projection();
    for (operator, activation) in [
        ("", ModuleActivation::Identity),
        ("Tanh", ModuleActivation::Tanh),
        ("Sigmoid", ModuleActivation::Sigmoid),
        ("Relu", ModuleActivation::Relu),
        ("Gelu", ModuleActivation::Gelu),
    ] {
        let dir = folder(json!({}));
        pooled(&dir, |b, x| {
            let y = mean(b, x);
            let y = dense(b, &y);
            let y = if operator.is_empty() { y } else { b.node(operator, &[&y], &[]) };
            normalised(b, &y)
        });
        let found = Model::open(dir.path()).unwrap_or_else(|error| panic!("{operator}: {error}"));
        let expected = SentenceModule::Dense(DenseModule { linear: linear.clone(), activation });
        assert_eq!(found.pooling().modules, [expected, SentenceModule::Normalize], "{operator}");
    }
}

#[test]
fn norms_are_known_in_every_spelling() {
    type Norm = fn(&mut Build, &str) -> String;
    let squares: Norm = |b, x| {
        let (two, axis) = (b.scalar(2.0), b.whole(&[-1]));
        let square = b.node("Pow", &[x, &two], &[]);
        let sum = b.node("ReduceSum", &[&square, &axis], &[]);
        let root = b.node("Sqrt", &[&sum], &[]);
        b.node("Div", &[x, &root], &[])
    };
    let whole: Norm = |b, x| b.node("LpNormalization", &[x], &[Setting::int("axis", -1), Setting::int("p", 2)]);
    for norm in [normalised as Norm, squares, whole] {
        let dir = folder(json!({}));
        pooled(&dir, |b, x| {
            let y = cls(b, x);
            norm(b, &y)
        });
        assert_eq!(Model::open(dir.path()).unwrap().pooling().modules, [SentenceModule::Normalize]);
    }
}

#[test]
fn other_pooling_is_refused_with_its_node() {
    type Pool = fn(&mut Build, &str) -> String;
    let last: Pool = |b, x| {
        let place = b.index(-1);
        b.node("Gather", &[x, &place], &[Setting::int("axis", 1)])
    };
    let total: Pool = |b, x| {
        let mask = mask(b, x);
        let kept = b.node("Mul", &[x, &mask], &[]);
        sum(b, &kept)
    };
    let unmasked: Pool = |b, x| {
        let (total, (_, count)) = (sum(b, x), counted(b, x));
        b.node("Div", &[&total, &count], &[])
    };
    let norm_of_another: Pool = |b, x| {
        let (y, z, axis) = (cls(b, x), mean(b, x), b.whole(&[1]));
        let norm = b.node("ReduceL2", &[&z, &axis], &[]);
        b.node("Div", &[&y, &norm], &[])
    };
    let softplus: Pool = |b, x| {
        let y = cls(b, x);
        let y = dense(b, &y);
        b.node("Softplus", &[&y], &[])
    };
    for (operator, pool) in
        [("Gather", last), ("ReduceSum", total), ("Div", unmasked), ("Div", norm_of_another), ("Softplus", softplus)]
    {
        let dir = folder(json!({}));
        pooled(&dir, pool);
        let error = refused(dir.path()).to_string();
        assert!(error.contains(operator) && error.contains("pooling of the last hidden states"), "{operator}: {error}");
    }
}

#[test]
fn the_only_output_is_followed_whatever_its_name() {
    let dir = folder(json!({}));
    named(&dir, "1607", false, |b, x| {
        let y = cls(b, x);
        normalised(b, &y)
    });
    let found = Model::open(dir.path()).unwrap();
    assert_eq!((&found.pooling().modes[..], found.pooling().is_normalized()), (&[PoolingMode::Cls][..], true));
    // A projection of every token is no pooling of hidden states.
    let mut b = Build::new();
    let states = encoder(&mut b, &small(Activation::Gelu), Form::PLAIN);
    let weight = b.floats(&[HIDDEN, 3], &[0.5; 3 * HIDDEN]);
    let projected = b.node("MatMul", &[&states, &weight], &[]);
    b.output(&projected, "last_hidden_state", &STATES);
    b.write(dir.path());
    let error = refused(dir.path()).to_string();
    assert!(error.contains("hidden states of every token"), "{error}");
}

#[test]
fn a_pooler_beside_the_hidden_states_is_no_pooling() {
    let dir = folder(json!({}));
    named(&dir, "pooler_output", true, |b, x| {
        let y = cls(b, x);
        let weight = b.floats(&[HIDDEN, HIDDEN], &[0.125; HIDDEN * HIDDEN]);
        let y = b.node("MatMul", &[&y, &weight], &[]);
        b.node("Tanh", &[&y], &[])
    });
    let found = Model::open(dir.path()).unwrap();
    assert!(found.weights().pooler.is_some());
    assert!(matches!(found.pooling().source, PoolingSource::Assumed(_)), "{:?}", found.pooling());
    // Alone, it is the embedding.
    named(&dir, "pooler_output", false, |b, x| {
        let y = cls(b, x);
        let y = dense(b, &y);
        b.node("Tanh", &[&y], &[])
    });
    assert_eq!(Model::open(dir.path()).unwrap().pooling().features(HIDDEN), 3);
}

#[test]
fn files_that_say_otherwise_are_named() {
    let dir = folder(json!({}));
    let settings = dir.path().join("1_Pooling");
    std::fs::create_dir(&settings).unwrap();
    let write = |mode: &str| {
        let of = json!({"word_embedding_dimension": HIDDEN, "pooling_mode": mode});
        std::fs::write(settings.join("config.json"), of.to_string()).unwrap();
    };
    pooled(&dir, cls);
    write("cls");
    let found = Model::open(dir.path()).unwrap();
    assert!(matches!(found.pooling().source, PoolingSource::File(_)));
    write("mean");
    match Model::open(dir.path()) {
        Err(Error::Onnx(error @ OnnxError::Pooling { .. })) => {
            let text = error.to_string();
            for part in ["\"sentence_embedding\"", "the graph has cls", "1_Pooling", "mean"] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        other => panic!("{other:?}"),
    }
    // A folder without modules.json cannot say that embeddings are normalised; the graph can.
    write("cls");
    pooled(&dir, |b, x| {
        let y = cls(b, x);
        normalised(b, &y)
    });
    let found = Model::open(dir.path()).unwrap();
    assert!(found.pooling().is_normalized() && matches!(found.pooling().source, PoolingSource::Graph { .. }));
}
