//! `config.json` of every architecture: what is understood, and what is refused.

use lacuna::config::{Activation, Architecture, EncoderConfig};
use lacuna::errors::ModelError;
use lacuna::{Model, Preset};
use lacuna_model::seeded_weights;
use serde_json::{Value, json};

use super::checkpoint::{config_json, load, tensors, tiny};

fn read(json: &Value) -> Result<EncoderConfig, ModelError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, json.to_string()).unwrap();
    EncoderConfig::from_file(&path)
}

/// The tiny configuration of an architecture with one field changed; null removes it.
fn with(architecture: Architecture, field: &str, value: Value) -> Result<EncoderConfig, ModelError> {
    let mut json = config_json(&tiny(architecture));
    json[field] = value;
    json.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    read(&json)
}

#[test]
fn activations_have_many_names() {
    for (field, architecture) in [("hidden_act", Architecture::Bert), ("activation", Architecture::DistilBert)] {
        for (name, expected) in [
            ("gelu", Activation::Gelu),
            ("gelu_python", Activation::Gelu),
            ("gelu_new", Activation::GeluTanh),
            ("gelu_pytorch_tanh", Activation::GeluTanh),
            ("gelu_fast", Activation::GeluTanh),
            ("relu", Activation::Relu),
        ] {
            assert_eq!(with(architecture, field, json!(name)).unwrap().activation, expected, "{name}");
        }
        assert_eq!(with(architecture, field, Value::Null).unwrap().activation, Activation::Gelu);
        let error = with(architecture, field, json!("swish")).unwrap_err();
        assert!(matches!(&error, ModelError::UnsupportedSetting { setting, .. } if *setting == field), "{error}");
        let message = error.to_string();
        assert!(["swish", "gelu", "gelu_new", "relu"].iter().all(|name| message.contains(name)), "{message}");
    }
}

#[test]
fn distilbert_takes_either_name_of_a_size() {
    let mut json = config_json(&tiny(Architecture::DistilBert));
    for (own, bert) in [
        ("dim", "hidden_size"),
        ("n_layers", "num_hidden_layers"),
        ("n_heads", "num_attention_heads"),
        ("hidden_dim", "intermediate_size"),
        ("activation", "hidden_act"),
    ] {
        json[bert] = json[own].take();
    }
    let mut both = json.clone();
    (both["dim"], both["n_layers"]) = (json!(12), json!(3));
    let error = read(&both).unwrap_err();
    assert!(matches!(&error, ModelError::InvalidSetting { setting: "n_layers", .. }), "{error}");
    json.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(read(&json).unwrap(), tiny(Architecture::DistilBert));
}

#[test]
fn unknown_architectures_are_refused_with_a_list() {
    let type_of = |json: Value| {
        let mut config = config_json(&tiny(Architecture::Bert));
        config["model_type"] = json["model_type"].clone();
        config["architectures"] = json["architectures"].clone();
        read(&config)
    };
    for (json, found) in [
        (json!({"model_type": "gpt2"}), "gpt2"),
        (json!({"model_type": "mpnet", "architectures": ["BertModel"]}), "mpnet"),
        (json!({"architectures": ["AlbertModel"]}), "AlbertModel"),
        (json!({"architectures": ["RobertaPreLayerNormModel"]}), "RobertaPreLayerNormModel"),
        (json!({}), "(none)"),
    ] {
        let error = type_of(json).unwrap_err();
        assert!(matches!(error, ModelError::UnsupportedArchitecture { .. }), "{error}");
        let message = error.to_string();
        let supported = Architecture::ALL.map(|architecture| format!("{:?}", architecture.model_type()));
        assert!(message.contains(found) && supported.iter().all(|name| message.contains(name)), "{message}");
    }
    assert_eq!(type_of(json!({"architectures": ["BertForMaskedLM"]})).unwrap().architecture, Architecture::Bert);
}

#[test]
fn sizes_that_cannot_be() {
    use Architecture::{Bert, DistilBert, Electra, Roberta};
    for (architecture, field, value) in [
        (Bert, "embedding_size", json!(8)),
        (Bert, "hidden_size", json!(0)),
        (Bert, "num_attention_heads", json!(5)),
        (Electra, "embedding_size", Value::Null),
        (Electra, "embedding_size", json!(0)),
        (Electra, "embedding_size", json!(1 << 21)),
        (DistilBert, "dim", Value::Null),
        (DistilBert, "n_layers", json!(0)),
        (DistilBert, "n_heads", json!(5)),
        (DistilBert, "hidden_dim", json!(1u64 << 40)),
        (Roberta, "max_position_embeddings", json!(0)),
        (Roberta, "max_position_embeddings", json!(2)),
        (Roberta, "max_position_embeddings", Value::Null),
        (Roberta, "pad_token_id", json!(-1)),
    ] {
        let error = with(architecture, field, value).unwrap_err();
        let named = matches!(&error, ModelError::InvalidSetting { setting, .. } if *setting == field);
        assert!(named, "{architecture}, {field}: {error}");
    }
    for architecture in Architecture::ALL {
        for (field, value) in [("is_decoder", json!(true)), ("position_embedding_type", json!("relative_key_query"))] {
            let error = with(architecture, field, value).unwrap_err();
            assert!(matches!(&error, ModelError::UnsupportedSetting { setting, .. } if *setting == field), "{error}");
        }
    }
}

#[test]
fn defaults_and_settings_that_do_not_matter() {
    let of = |architecture, field, value| with(architecture, field, value).unwrap();
    assert_eq!(of(Architecture::Roberta, "pad_token_id", Value::Null).position_offset, 2);
    assert_eq!(of(Architecture::Roberta, "pad_token_id", json!(0)).max_position, 17);
    assert_eq!(of(Architecture::Bert, "pad_token_id", json!(-1)).position_offset, 0);
    assert_eq!(of(Architecture::Bert, "embedding_size", json!(12)).embedding_size, None);
    assert_eq!(of(Architecture::Electra, "embedding_size", json!(12)).embedding_size, None);
    assert_eq!(of(Architecture::Bert, "type_vocab_size", Value::Null).type_vocab_size, 2);
    assert_eq!(of(Architecture::DistilBert, "type_vocab_size", json!(2)).type_vocab_size, 1);
    assert_eq!(of(Architecture::Bert, "architectures", Value::Null).architecture, Architecture::Bert);
}

/// An ELECTRA whose embeddings are as wide as its layers has no projection, and what is there of one is ignored.
#[test]
fn electra_without_projection() {
    let config = EncoderConfig { embedding_size: None, ..tiny(Architecture::Electra) };
    let weights = seeded_weights(&config, 4);
    let mut all = tensors(&config, &weights);
    all.insert("embeddings_project.weight".into(), (vec![1], vec![0.0]));
    assert_eq!(load(&config_json(&config), &all).unwrap().weights(), &weights);
}

#[test]
fn seeded_models_exist_for_every_architecture_and_no_other_shape() {
    for architecture in Architecture::ALL {
        let config = tiny(architecture);
        let model = Model::seeded(config.clone(), 1).unwrap();
        assert_eq!(model.weights(), &seeded_weights(&config, 1));
        assert_eq!(model.weights().pooler.is_some(), architecture.has_pooler());
    }
    let projected = EncoderConfig { embedding_size: Some(8), ..tiny(Architecture::Bert) };
    assert!(matches!(Model::seeded(projected, 1), Err(ModelError::InvalidSetting { setting: "embedding_size", .. })));
    let typed = EncoderConfig { type_vocab_size: 2, ..tiny(Architecture::DistilBert) };
    assert!(matches!(Model::seeded(typed, 1), Err(ModelError::InvalidSetting { setting: "type_vocab_size", .. })));
    for preset in Preset::ALL {
        let config = EncoderConfig { vocab_size: 10, layers: 1, ..preset.config() };
        assert!(Model::seeded(config, 1).is_ok(), "{preset}");
    }
}
