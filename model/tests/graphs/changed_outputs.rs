//! What is behind the hidden states, with one thing changed: heads and pooling.

use lacuna_model::Activation;
use serde_json::json;

use super::*;
use crate::build::Setting;

/// Puts a node, or several, behind a value.
type Behind = fn(&mut Build, &str) -> String;

const FLAT: [&str; 2] = ["batch", "labels"];
const EVERY: [&str; 3] = ["batch", "sequence", "labels"];

fn weights(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 29) % 53) as f32 / 60.0 - 0.4).collect()
}

fn dense(b: &mut Build, x: &str, outputs: usize) -> String {
    let (weight, bias) =
        (b.floats(&[HIDDEN, outputs], &weights(HIDDEN * outputs)), b.floats(&[outputs], &weights(outputs)));
    let product = b.node("MatMul", &[x, &weight], &[]);
    b.node("Add", &[&product, &bias], &[])
}

fn slice(b: &mut Build, x: &str, [from, to, axis, step]: [i64; 4]) -> String {
    let bounds = [from, to, axis, step].map(|bound| b.whole(&[bound]));
    b.node("Slice", &[x, &bounds[0], &bounds[1], &bounds[2], &bounds[3]], &[])
}

/// The head of a class, with something behind its logits; or why it is not read.
fn head(class: &str, behind: Behind) -> Result<(), Error> {
    let labels = json!({"0": "a", "1": "b", "2": "c"});
    let dir = folder(json!({"architectures": [class], "id2label": labels}));
    let mut b = Build::new();
    let states = encoder(&mut b, &small(Activation::Gelu), Form::PLAIN);
    match class {
        "BertForSequenceClassification" => {
            let first = b.index(0);
            let first = b.node("Gather", &[&states, &first], &[Setting::int("axis", 1)]);
            let pooled = dense(&mut b, &first, HIDDEN);
            let pooled = b.node("Tanh", &[&pooled], &[]);
            let logits = dense(&mut b, &pooled, 3);
            let logits = behind(&mut b, &logits);
            b.output(&logits, "logits", &FLAT);
        }
        _ => {
            let logits = dense(&mut b, &states, 3);
            let logits = behind(&mut b, &logits);
            b.output(&logits, "logits", &EVERY);
        }
    }
    b.write(dir.path());
    Model::open(dir.path())?.head().map(drop)
}

#[test]
fn nothing_is_behind_logits() {
    let changes: [(&str, Behind); 9] = [
        ("less than none", |b, x| b.node("Neg", &[x], &[])),
        ("half", |b, x| {
            let half = b.scalar(0.5);
            b.node("Mul", &[x, &half], &[])
        }),
        ("factors", |b, x| {
            let factors = b.floats(&[3], &[-1.0, 2.0, 3.0]);
            b.node("Mul", &[x, &factors], &[])
        }),
        ("turned labels", |b, x| {
            let order = b.whole(&[2, 1, 0]);
            b.node("Gather", &[x, &order], &[Setting::int("axis", -1)])
        }),
        ("labels from the end", |b, x| slice(b, x, [-1, -1000, -1, -1])),
        ("some labels", |b, x| slice(b, x, [0, 2, -1, 1])),
        ("some tokens", |b, x| slice(b, x, [0, 12, 1, 1])),
        ("softmax over texts", |b, x| b.node("Softmax", &[x], &[Setting::int("axis", 0)])),
        ("logits of another sign", |b, x| {
            let one = b.scalar(1.0);
            b.node("Sub", &[&one, x], &[])
        }),
    ];
    for class in ["BertForSequenceClassification", "BertForTokenClassification"] {
        head(class, |_, x| x.to_owned()).unwrap_or_else(|error| panic!("{class}: {error}"));
        head(class, |b, x| b.node("Softmax", &[x], &[Setting::int("axis", -1)])).unwrap();
        for (what, behind) in changes {
            // Of three labels, the first twelve are all.
            if (class, what) != ("BertForSequenceClassification", "some tokens") {
                assert!(matches!(head(class, behind), Err(Error::Onnx(_))), "{class}, {what}: accepted");
            }
        }
    }
}

#[test]
fn starts_and_ends_are_not_exchanged() {
    for (first, second, is_right) in
        [("start_logits", "end_logits", true), ("end_logits", "start_logits", false), ("y0", "y1", true)]
    {
        for exchanged in [false, true] {
            let dir = folder(json!({"architectures": ["BertForQuestionAnswering"]}));
            let mut b = Build::new();
            let states = encoder(&mut b, &small(Activation::Gelu), Form::PLAIN);
            let logits = dense(&mut b, &states, 2);
            let settings = [Setting::int("axis", -1), Setting::int("num_outputs", 2)];
            let [mut start, mut end] = b.outputs("", "Split", &[&logits], &settings);
            if exchanged {
                std::mem::swap(&mut start, &mut end);
            }
            let last = b.whole(&[-1]);
            for (part, name) in [(start, first), (end, second)] {
                let part = b.node("Squeeze", &[&part, &last], &[]);
                b.output(&part, name, &["batch", "sequence"]);
            }
            b.write(dir.path());
            let found = Model::open(dir.path()).unwrap().head();
            assert_eq!(found.is_ok(), is_right != exchanged, "{first}, {second}, {exchanged}");
        }
    }
}

fn mean(b: &mut Build, x: &str) -> String {
    let axis = b.whole(&[1]);
    b.node("ReduceMean", &[x, &axis], &[Setting::int("keepdims", 0)])
}

fn greatest(b: &mut Build, x: &str, condition: &str) -> String {
    let (axis, axes, least) = (b.whole(&[1]), b.whole(&[2]), b.scalar(-1e9));
    let condition = b.node("Unsqueeze", &[condition, &axes], &[]);
    let kept = b.node("Where", &[&condition, x, &least], &[]);
    b.node("ReduceMax", &[&kept, &axis], &[Setting::int("keepdims", 0)])
}

#[test]
fn pooling_is_of_all_tokens() {
    let read = |pool: Behind| {
        let dir = folder(json!({}));
        let mut b = Build::new();
        let states = encoder(&mut b, &small(Activation::Gelu), Form::PLAIN);
        let pooled = pool(&mut b, &states);
        b.output(&pooled, "sentence_embedding", &FLAT);
        b.write(dir.path());
        Model::open(dir.path())
    };
    read(mean).unwrap();
    read(|b, x| {
        let zero = b.index(0);
        let is_token = b.node("Greater", &["attention_mask", &zero], &[]);
        greatest(b, x, &is_token)
    })
    .unwrap();
    let changes: [(&str, Behind); 8] = [
        ("every second token", |b, x| {
            let x = slice(b, x, [0, i64::MAX, 1, 2]);
            mean(b, &x)
        }),
        ("the first tokens", |b, x| {
            let x = slice(b, x, [0, 12, 1, 1]);
            mean(b, &x)
        }),
        ("the greatest of some tokens", |b, x| {
            let seven = b.index(7);
            let is_some = b.node("Greater", &["input_ids", &seven], &[]);
            greatest(b, x, &is_some)
        }),
        ("the greatest of the first tokens", |b, x| {
            let (zero, one, twelve, axis) = (b.index(0), b.index(1), b.index(12), b.whole(&[0]));
            let shape = b.node("Shape", &["input_ids"], &[]);
            let length = b.node("Gather", &[&shape, &one], &[]);
            let places = b.node("Range", &[&zero, &length, &one], &[]);
            let is_early = b.node("Less", &[&places, &twelve], &[]);
            let is_early = b.node("Unsqueeze", &[&is_early, &axis], &[]);
            greatest(b, x, &is_early)
        }),
        ("halves of the features", |b, x| {
            let shape = b.whole(&[0, -1, HIDDEN as i64 / 2]);
            let x = b.node("Reshape", &[x, &shape], &[]);
            let half = mean(b, &x);
            b.node("Concat", &[&half, &half], &[Setting::int("axis", 1)])
        }),
        ("features for tokens", |b, x| {
            let (shape, axis) = (b.whole(&[0, HIDDEN as i64, -1]), b.whole(&[2]));
            let x = b.node("Reshape", &[x, &shape], &[]);
            b.node("ReduceMean", &[&x, &axis], &[Setting::int("keepdims", 0)])
        }),
        ("whole numbers", |b, x| {
            let x = mean(b, x);
            let whole = b.node("Cast", &[&x], &[Setting::int("to", 6)]);
            b.node("Cast", &[&whole], &[Setting::int("to", 1)])
        }),
        ("normalised over texts", |b, x| {
            let x = mean(b, x);
            b.node("LpNormalization", &[&x], &[Setting::int("axis", 0), Setting::int("p", 2)])
        }),
    ];
    for (what, pool) in changes {
        assert!(matches!(read(pool), Err(Error::Onnx(_))), "{what}: accepted");
    }
}
