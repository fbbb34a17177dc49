//! The order of results: by logits, also where scores are full, and with what is not a number last.

use std::path::Path;
use std::sync::Arc;

use lacuna::heads::Head;
use lacuna::tasks::{Classification, CrossEncoder, RankRecord, RankTask, SequenceClassifier, Task, TaskModel};
use lacuna::{Compile, Error, Model, TextInput};
use serde_json::{Value, json};

use super::lookup::{Lookup, wordpiece};

fn grader(outputs: &[(f32, f32)], config: Value) -> tempfile::TempDir {
    let tokens = wordpiece(&["good", "bad", "dull", "who"], "[MASK]");
    Lookup { mix: 1.0, ..Lookup::new("bert", tokens) }.grader("good", outputs, config)
}

fn open(dir: &Path) -> (Arc<Model>, Head) {
    let model = Model::open(dir).unwrap();
    let head = model.head().unwrap();
    (Arc::new(model), head)
}

const PASSAGES: [&str; 4] = ["bad bad bad good", "dull good good good", "bad dull", "good good good good good good"];
const BEST_FIRST: [usize; 4] = [3, 1, 0, 2];

#[test]
fn passages_with_full_scores_are_ranked_by_their_logits() {
    for bias in [0.0, 40.0, -200.0] {
        let dir = grader(&[(40.0, bias)], json!({"id2label": {"0": "LABEL_0"}}));
        let (model, head) = open(dir.path());
        let pairs: Vec<TextInput<'_>> = PASSAGES.iter().map(|passage| TextInput::pair("who", passage)).collect();
        let int8 = Arc::new(Model::clone(&model).calibration().run(&pairs).unwrap().compile().unwrap());
        let rankers = [CrossEncoder::new(model, head.clone()), CrossEncoder::new(int8, head)];
        for ranker in rankers.map(Result::unwrap) {
            let found = ranker.rank("who", &PASSAGES).unwrap();
            assert_eq!(found.iter().map(|one| one.index).collect::<Vec<_>>(), BEST_FIRST, "{bias}");
            assert!(found.windows(2).all(|pair| pair[0].logit > pair[1].logit + 0.5), "{bias}: {found:?}");
            for one in found.iter() {
                let score = 1.0 / (1.0 + f64::from(-one.logit).exp());
                assert!((f64::from(one.score) - score).abs() < 1e-6, "{one:?}");
            }
            if bias == 40.0 {
                assert!(found.iter().all(|one| one.score == 1.0), "the sigmoid is full");
            }
        }
    }
}

#[test]
fn equal_passages_keep_their_order() {
    let dir = grader(&[(4.0, 0.0)], json!({}));
    let (model, head) = open(dir.path());
    let passages = ["bad", "good", "bad", "good", "bad"];
    let found = CrossEncoder::new(model, head).unwrap().rank("who", &passages).unwrap();
    assert_eq!(found.iter().map(|one| one.index).collect::<Vec<_>>(), [1, 3, 0, 2, 4]);
}

/// Two labels beyond f32: infinity less infinity.
#[test]
fn what_is_not_a_number_is_last() {
    let dir = grader(&[(3e38, 3e38), (3e38, 3e38)], json!({}));
    let (model, head) = open(dir.path());
    let passages = ["good good good good good", "bad", "good good good good", "dull"];
    let ranker = CrossEncoder::new(model.clone(), head.clone()).unwrap();
    let found = ranker.rank("who", &passages).unwrap();
    assert_eq!(found.iter().map(|one| one.index).collect::<Vec<_>>(), [1, 3, 0, 2]);
    assert!(found.iter().map(|one| one.logit.is_nan()).eq([false, false, true, true]), "{found:?}");
    assert!(found[2].score.is_nan());
    let records = [RankRecord::new("who", passages.map(String::from).to_vec())];
    let task_model = TaskModel::new(model.clone()).with_head(head.clone());
    let rows = RankTask::default().run(&task_model, &records).unwrap().rows;
    let json = serde_json::to_value(&rows[0]).unwrap();
    assert_eq!((&json["ranking"][3]["score"], &json["ranking"][3]["logit"]), (&Value::Null, &Value::Null));

    let classifier = SequenceClassifier::new(model, head).unwrap();
    let inputs = [TextInput::new("bad"), TextInput::new("good good good good")];
    let error = classifier.classify(&inputs).unwrap_err();
    assert!(matches!(error, Error::NotFinite { input: 1, .. }), "{error}");
    assert!(error.to_string().starts_with("input 1: found a logit of inf; expected a finite number"), "{error}");
}

fn classify(outputs: &[(f32, f32)], config: Value, text: &str) -> Vec<Classification> {
    let dir = grader(outputs, config);
    let (model, head) = open(dir.path());
    let classifier = SequenceClassifier::new(model, head).unwrap();
    classifier.classify(&[TextInput::new(text)]).unwrap().results.remove(0)
}

#[test]
fn labels_with_full_scores_are_in_the_order_of_their_logits() {
    let outputs = [(10.0, 20.0), (10.0, 50.0), (10.0, 35.0), (10.0, 50.0)];
    for problem in ["multi_label_classification", "single_label_classification", "regression"] {
        let found = classify(&outputs, json!({"problem_type": problem}), "good bad");
        let labels: Vec<&str> = found.iter().map(|one| one.label.as_str()).collect();
        assert_eq!(labels, ["LABEL_1", "LABEL_3", "LABEL_2", "LABEL_0"], "{problem}");
        let sum: f64 = found.iter().map(|one| f64::from(one.logit - 50.0).exp()).sum();
        for one in &found {
            let expected = match problem {
                "multi_label_classification" => 1.0 / (1.0 + f64::from(-one.logit).exp()),
                "single_label_classification" => f64::from(one.logit - 50.0).exp() / sum,
                _ => f64::from(one.logit),
            };
            assert!((f64::from(one.score) - expected).abs() < 1e-5 * expected.abs().max(1.0), "{problem}: {one:?}");
        }
    }
}

/// One label is a sigmoid, unless the model says that it is a quantity.
#[test]
fn heads_with_one_label_have_its_score() {
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    for (config, is_quantity) in [
        (json!({}), false),
        (json!({"problem_type": "multi_label_classification"}), false),
        (json!({"problem_type": "single_label_classification"}), false),
        (json!({"problem_type": "regression"}), true),
    ] {
        let found = classify(&[(3.0, -1.0)], config.clone(), "good bad dull");
        assert_eq!(found.len(), 1);
        let expected = if is_quantity { found[0].logit } else { sigmoid(found[0].logit) };
        assert!((found[0].score - expected).abs() < 1e-6 && found[0].score != 1.0, "{config}: {found:?}");
    }
}
