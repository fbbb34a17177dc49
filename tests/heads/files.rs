//! Tensors and labels of a head's files: missing, misshapen, untied.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use lacuna::errors::{ModelError, WeightError};
use lacuna::tasks::CrossEncoder;
use lacuna::{Error, Model, TextInput};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::folder;

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A copy of a fixture with its configuration and tensors changed.
fn changed(name: &str, change: impl FnOnce(&mut Value, &mut Tensors)) -> TempDir {
    let dir = TempDir::new().unwrap();
    let read = |file: &str| std::fs::read(folder(name).join(file)).unwrap();
    let mut config: Value = serde_json::from_slice(&read("config.json")).unwrap();
    let bytes = read("model.safetensors");
    let mut tensors: Tensors = SafeTensors::deserialize(&bytes)
        .unwrap()
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    change(&mut config, &mut tensors);
    write(dir.path(), &config, &tensors);
    dir
}

fn write(dir: &Path, config: &Value, tensors: &Tensors) {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    std::fs::write(dir.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
}

/// What belongs to the head alone, by its names in the fixtures.
fn of_the_head(name: &str) -> bool {
    ["classifier", "pre_classifier", "qa_outputs", "cls.", "vocab_", "lm_head", "generator_", "bert.pooler"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// Every tensor of a head is needed, and named when it is missing; the encoder is read all the same.
#[test]
fn missing_and_misshapen_tensors_are_named() {
    for name in [
        "bert-classify",
        "bert-tag",
        "bert-answer",
        "bert-fill",
        "distilbert-classify",
        "distilbert-fill",
        "roberta-classify",
        "roberta-fill",
        "electra-classify",
        "electra-fill",
    ] {
        let mut heads = Vec::new();
        changed(name, |_, tensors| heads.extend(tensors.keys().filter(|name| of_the_head(name)).cloned()));
        assert!(heads.len() >= 2, "{name}: {heads:?}");
        for head in heads {
            let dir = changed(name, |_, tensors| drop(tensors.remove(&head)));
            // Half a pooler is refused while the encoder is read.
            match Model::open(dir.path()).and_then(|model| model.head()) {
                // It may stand beside the encoder or inside of its module.
                Err(ModelError::Weights(WeightError::MissingTensor { tensor, alternatives, .. })) => {
                    let named = tensor == head || alternatives.split(", ").any(|other| other == head);
                    assert!(named, "{name}: {tensor}, {alternatives}");
                }
                other => panic!("{name} without {head}: {other:?}"),
            }
            let dir = changed(name, |_, tensors| {
                tensors.insert(head.clone(), (Dtype::F32, vec![2, 3], vec![0; 24]));
            });
            match Model::open(dir.path()).and_then(|model| model.head()) {
                Err(ModelError::Weights(WeightError::TensorShape { tensor, .. })) => assert_eq!(tensor, head, "{name}"),
                other => panic!("{name} with another {head}: {other:?}"),
            }
        }
    }
}

/// As many labels as rows; none named, they are numbered.
#[test]
fn labels_fit_the_weights() {
    let labels = |id2label: Value| {
        let dir = changed("bert-classify", |config, _| {
            config["id2label"] = id2label;
            config.as_object_mut().unwrap().remove("label2id");
        });
        Model::open(dir.path()).unwrap().head().map(|head| head.labels().to_vec())
    };
    assert_eq!(labels(json!({"1": "b", "0": "a", "2": "c"})).unwrap(), ["a", "b", "c"]);
    assert_eq!(labels(Value::Null).unwrap(), ["LABEL_0", "LABEL_1", "LABEL_2"]);
    let error = labels(json!({"0": "a", "1": "b"})).unwrap_err();
    assert!(
        matches!(&error, ModelError::Weights(WeightError::TensorShape { tensor, .. }) if tensor == "classifier.weight"),
        "{error}"
    );
    assert!(matches!(labels(json!({"1": "b", "2": "c", "3": "d"})), Err(ModelError::InvalidSetting { .. })));
    assert_eq!(labels(json!({"0": 0, "1": 1, "2": true})).unwrap(), ["0", "1", "true"]);
    assert_eq!(labels(json!(["x", "y", "z"])).unwrap(), ["x", "y", "z"]);
    assert_eq!(labels(json!({"0": "a", "2": "c"})).unwrap(), ["a", "LABEL_1", "c"]);
}

/// A decoder that is not the word embedding table is read; the table itself may stand in the file a second time.
#[test]
fn decoders_may_be_their_own() {
    let logits = |dir: &Path| {
        let model = Model::open(dir).unwrap();
        let states = model.reference().forward(&[[2u32, 8, 9, 3]]).unwrap();
        model.head().unwrap().logits(&states[0]).unwrap()
    };
    for (name, word, decoder) in [
        ("bert-fill", "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
        ("distilbert-fill", "distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight"),
        ("roberta-fill", "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"),
        ("electra-fill", "electra.embeddings.word_embeddings.weight", "generator_lm_head.weight"),
    ] {
        let tied = logits(&folder(name));
        let twice = changed(name, |_, tensors| drop(tensors.insert(decoder.into(), tensors[word].clone())));
        assert_eq!(logits(twice.path()), tied, "{name}");
        let own = changed(name, |_, tensors| {
            let (dtype, shape, data) = tensors[word].clone();
            tensors.insert(decoder.into(), (dtype, shape, vec![0; data.len()]));
        });
        let own = logits(own.path());
        assert!((1..own.rows).all(|row| own.row(row) == own.row(0)) && own != tied, "{name}: the bias alone");
    }
}

/// What sentence-transformers wrote beside a cross-encoder decides what its scores are.
#[test]
fn scores_are_of_the_function_that_the_model_names() {
    let set = |path: &'static str| {
        let dir = changed("bert-rank", |config, _| config["sentence_transformers"] = json!({ "activation_fn": path }));
        std::fs::copy(folder("bert-rank").join("tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
        let model = Model::open(dir.path()).unwrap();
        let head = model.head().unwrap();
        CrossEncoder::new(Arc::new(model), head)
    };
    let pairs = [TextInput::pair("Who met?", "Zoë met Émile."), TextInput::pair("Who met?", "The cat sat.")];
    let sigmoid = set("torch.nn.modules.activation.Sigmoid").unwrap().scores(&pairs).unwrap();
    let logits = set("torch.nn.modules.linear.Identity").unwrap().scores(&pairs).unwrap();
    for (score, logit) in sigmoid.iter().zip(logits.iter()) {
        assert!((score - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6);
    }
    let unknown = set("torch.nn.modules.activation.GELU").unwrap_err();
    assert!(matches!(
        unknown,
        Error::Model(ModelError::UnsupportedSetting { setting: "sentence_transformers.activation_fn", .. })
    ));
}
