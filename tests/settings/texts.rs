//! Lengths, layers and labels: settings that are found in many places.

use std::sync::Arc;

use lacuna::tasks::{CrossEncoder, SequenceClassifier};
use lacuna::{Model, TextInput};
use serde_json::{Value, json};

use super::{Folder, said};

/// More tokens than any limit below.
fn long() -> String {
    "cat ".repeat(100)
}

#[test]
fn the_longest_sequence_is_that_of_the_files_and_of_the_positions() {
    let sentence = |name: &str, json: &Value| Folder::new().with(name, json);
    for (folder, expected) in [
        (Folder::new(), 40),
        (sentence("sentence_bert_config.json", &json!({"max_seq_length": 12})), 12),
        (sentence("sentence_roberta_config.json", &json!({"max_seq_length": 13, "do_lower_case": false})), 13),
        (sentence("tokenizer_config.json", &json!({"model_max_length": 14})), 14),
        (sentence("tokenizer_config.json", &json!({"model_max_length": 1e30})), 40),
        (sentence("tokenizer_config.json", &json!({"model_max_length": 4096})), 40),
    ] {
        let model = folder.open();
        let tokenizer = model.tokenizer().unwrap();
        assert_eq!(tokenizer.max_length(), expected);
        let encoded = tokenizer.encode(&long()).unwrap();
        assert_eq!((encoded.ids.len(), encoded.truncated_from), (expected, Some(102)));
        // Tasks with a head are cut there, too.
        let head = model.head().unwrap();
        let found = SequenceClassifier::new(Arc::new(model), head).unwrap();
        let found = found.classify(&[TextInput::new(&long())]).unwrap();
        assert_eq!((found.truncated[0].tokens, found.truncated[0].limit), (102, expected));
    }
}

#[test]
fn layers_beyond_those_that_count_are_said() {
    let folder = Folder::new().edit("config.json", |config| config["num_hidden_layers"] = json!(1));
    let model = folder.open();
    assert_eq!(model.config().layers, 1);
    let said = said(&model);
    let expected = "layers: the first 1 of the 2 in model.safetensors are used, as config.json counts them";
    assert!(said.iter().any(|text| text == expected), "{said:?}");
}

#[test]
fn what_would_change_the_model_is_refused_by_name() {
    for (key, value) in [
        ("add_cross_attention", json!(true)),
        ("is_encoder_decoder", json!(true)),
        ("is_decoder", json!(true)),
        ("pruned_heads", json!({"0": [1]})),
        ("quantization_config", json!({"load_in_8bit": true})),
        ("auto_map", json!({"AutoModel": "modeling.MyModel"})),
        ("position_embedding_type", json!("alibi")),
    ] {
        let error = Folder::new().edit("config.json", |config| config[key] = value.clone()).error().to_string();
        assert!(error.contains(&format!("unsupported {key}: found ")), "{key}: {error}");
    }
    let harmless = Folder::new().edit("config.json", |config| {
        config["pruned_heads"] = json!({});
        config["quantization_config"] = Value::Null;
        config["auto_map"] = json!({"AutoConfig": "configuration.MyConfig"});
        config["chunk_size_feed_forward"] = json!(64);
        config["classifier_dropout"] = json!(0.3);
    });
    harmless.open();
}

/// Since 5.4 in a file of its own, before that in config.json.
#[test]
fn functions_of_scores_are_found_in_every_place() {
    let rank = |folder: Folder| -> (f32, Vec<String>) {
        let model: Model = folder.open();
        let head = model.head().unwrap();
        let remarks = head.remarks(true).into_iter().map(|remark| remark.text).collect();
        let ranker = CrossEncoder::new(Arc::new(model), head).unwrap();
        (ranker.scores(&[TextInput::pair("the cat", "a dog")]).unwrap()[0], remarks)
    };
    let plain = || {
        Folder::of("bert-rank").edit("config.json", |config| {
            let object = config.as_object_mut().unwrap();
            object.remove("sentence_transformers");
            object.remove("sbert_ce_default_activation_function");
        })
    };
    let identity = json!({"activation_fn": "torch.nn.modules.linear.Identity"});
    let (sigmoid, assumed) = rank(plain());
    assert_eq!(assumed, ["scores: sigmoid (assumed: no activation function of sentence-transformers)"]);
    let (logit, named) = rank(plain().with("config_sentence_transformers.json", &identity));
    assert_eq!(named, [""; 0]);
    assert!((1.0 / (1.0 + (-logit).exp()) - sigmoid).abs() < 1e-6);
    let older = plain().edit("config.json", |config| config["sentence_transformers"] = identity.clone());
    assert_eq!(rank(older).0, logit);
}
