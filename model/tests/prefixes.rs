//! Checkpoints whose names begin with something, as wrappers and training scripts leave them.

use std::collections::BTreeMap;

use lacuna_model::heads::HeadWeights;
use lacuna_model::{Architecture, EncoderConfig, Error, Matrix, Model, Preset, WeightError, seeded_weights};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

#[path = "support/checkpoint.rs"]
mod checkpoint;

use checkpoint::Tensors;

fn tiny() -> EncoderConfig {
    EncoderConfig {
        hidden_size: 8,
        layers: 2,
        heads: 2,
        intermediate_size: 12,
        vocab_size: 20,
        max_position: 16,
        ..Preset::BertMini.config()
    }
}

fn tensors(seed: u64) -> Tensors {
    checkpoint::tensors(&tiny(), &seeded_weights(&tiny(), seed))
}

fn prefixed(prefix: &str, tensors: Tensors) -> Tensors {
    tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect()
}

/// A model's folder, with what `more` adds to `config.json`.
fn folder(tensors: &Tensors, more: &[(&str, serde_json::Value)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut config = checkpoint::config_json(&tiny());
    more.iter().for_each(|(key, value)| config[*key] = value.clone());
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    write(&dir.path().join("model.safetensors"), tensors);
    dir
}

fn write(path: &std::path::Path, tensors: &Tensors) {
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = tensors
        .iter()
        .map(|(name, (shape, _))| (name, TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn open(tensors: &Tensors) -> Result<Model, Error> {
    Model::open(folder(tensors, &[]).path())
}

const PREFIXES: [&str; 14] = [
    "",
    "bert.",
    "model.",
    "module.",
    "_orig_mod.",
    "0.auto_model.",
    "module.bert.",
    "module._orig_mod.",
    "_orig_mod.module.bert.",
    "encoder.",
    "question_encoder.bert_model.",
    "state_dict.module.0.auto_model.",
    "a.b.c.d.e.",
    "roberta.",
];

#[test]
fn any_prefix_is_found_by_how_the_names_end() {
    let weights = seeded_weights(&tiny(), 1);
    assert!(weights.pooler.is_some());
    for prefix in PREFIXES {
        let model = open(&prefixed(prefix, tensors(1))).unwrap_or_else(|error| panic!("{prefix:?}: {error}"));
        assert_eq!(model.weights(), &weights, "{prefix:?}");
    }
}

#[test]
fn old_names_of_normalisations_too() {
    let old =
        |name: String| name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    let tensors = tensors(2).into_iter().map(|(name, tensor)| (format!("module.bert.{}", old(name)), tensor)).collect();
    assert_eq!(open(&tensors).unwrap().weights(), &seeded_weights(&tiny(), 2));
}

/// Other architectures have other names of layers.
#[test]
fn every_architecture() {
    for architecture in Architecture::ALL {
        let mut config = EncoderConfig { architecture, ..tiny() };
        if !architecture.has_token_types() {
            config.type_vocab_size = 1;
        }
        if matches!(architecture, Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert) {
            config.position_offset = 2;
        }
        let weights = seeded_weights(&config, 3);
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("config.json"), checkpoint::config_json(&config).to_string()).unwrap();
        let tensors = prefixed("module.x.", checkpoint::tensors(&config, &weights));
        write(&dir.path().join("model.safetensors"), &tensors);
        let model = Model::open(dir.path()).unwrap_or_else(|error| panic!("{architecture}: {error}"));
        assert_eq!(model.weights().layers, weights.layers, "{architecture}");
    }
}

#[test]
fn names_that_only_look_like_a_prefix_are_none() {
    // Not behind a dot.
    let error = open(&prefixed("bert_", tensors(1))).unwrap_err();
    assert!(matches!(error, Error::Weights(WeightError::MissingTensor { .. })), "{error}");
}

#[test]
fn two_encoders_in_one_file_are_refused_with_both_names() {
    for [first, second] in [["student.", "teacher."], ["", "ema."], ["bert.", "module.bert."]] {
        let both: Tensors = prefixed(first, tensors(1)).into_iter().chain(prefixed(second, tensors(2))).collect();
        let error = open(&both).unwrap_err();
        assert!(matches!(error, Error::Weights(WeightError::SeveralEncoders { count: 2, .. })), "{error}");
        let message = error.to_string();
        let shown = |prefix: &str| if prefix.is_empty() { "no prefix".into() } else { format!("{prefix:?}") };
        assert!(message.contains(&shown(first)) && message.contains(&shown(second)), "{message}");
    }
}

/// A part of an encoder is none: it may be what is left of another model.
#[test]
fn a_complete_encoder_goes_before_a_part_of_one() {
    for part in ["", "a.", "z."] {
        let mut both = prefixed("bert.", tensors(1));
        let word = tensors(2).remove_entry("embeddings.word_embeddings.weight").unwrap();
        both.insert(format!("{part}{}", word.0), word.1);
        assert_eq!(open(&both).unwrap().weights(), &seeded_weights(&tiny(), 1), "{part:?}");
    }
}

/// ELECTRA's generator and discriminator, for example: the configuration says which.
#[test]
fn of_two_sizes_the_configuration_fits_one() {
    let wide = EncoderConfig { intermediate_size: 16, ..tiny() };
    let other = prefixed("discriminator.", checkpoint::tensors(&wide, &seeded_weights(&wide, 2)));
    let both: Tensors = prefixed("generator.", tensors(1)).into_iter().chain(other).collect();
    assert_eq!(open(&both).unwrap().weights(), &seeded_weights(&tiny(), 1));
}

#[test]
fn what_is_missing_is_named_behind_the_prefix() {
    for name in
        ["embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.bias", "embeddings.LayerNorm.weight"]
    {
        let mut fewer = prefixed("module.bert.", tensors(1));
        fewer.remove(&format!("module.bert.{name}")).unwrap();
        let error = open(&fewer).unwrap_err();
        let Error::Weights(WeightError::MissingTensor { tensor, .. }) = &error else { panic!("{error}") };
        assert_eq!(tensor, &format!("module.bert.{name}"));
    }
}

/// A head is in the encoder's module, or in one around it.
#[test]
fn heads_are_found_around_the_encoder() {
    let class = [
        ("architectures", serde_json::json!(["BertForTokenClassification"])),
        ("id2label", serde_json::json!({ "0": "O", "1": "B-X", "2": "I-X" })),
    ];
    let weight: Vec<f32> = (0..24).map(|i| i as f32).collect();
    for (encoder, head) in [
        ("", ""),
        ("bert.", ""),
        ("module.bert.", "module."),
        ("module.bert.", ""),
        ("_orig_mod.module.bert.", "_orig_mod.module."),
        ("0.model.bert.", "0.model."),
    ] {
        let mut all = prefixed(encoder, tensors(1));
        all.insert(format!("{head}classifier.weight"), (vec![3, 8], weight.clone()));
        all.insert(format!("{head}classifier.bias"), (vec![3], vec![0.5; 3]));
        let dir = folder(&all, &class);
        let read = Model::open(dir.path()).unwrap().head().unwrap_or_else(|error| panic!("{encoder:?}: {error}"));
        let HeadWeights::Each(linear) = read.weights() else { panic!("{encoder:?}") };
        assert_eq!(linear.weight, Matrix { rows: 3, cols: 8, data: weight.clone() }, "{encoder:?}, {head:?}");
    }
    let mut elsewhere = prefixed("module.bert.", tensors(1));
    elsewhere.insert("other.classifier.weight".into(), (vec![3, 8], weight));
    let error = Model::open(folder(&elsewhere, &class).path()).unwrap().head().unwrap_err();
    assert!(matches!(error, Error::Weights(WeightError::MissingTensor { .. })), "{error}");
}

#[test]
fn doubles_are_read() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("config.json"), checkpoint::config_json(&tiny()).to_string()).unwrap();
    let path = dir.path().join("model.safetensors");
    let save = |largest: f64| {
        let all = tensors(4);
        let bytes: BTreeMap<&String, Vec<u8>> = all
            .iter()
            .map(|(name, (_, values))| {
                let first = if name == "embeddings.LayerNorm.bias" { Some(largest) } else { None };
                let rest = values.iter().skip(usize::from(first.is_some())).map(|v| f64::from(*v));
                (name, first.into_iter().chain(rest).flat_map(f64::to_le_bytes).collect())
            })
            .collect();
        let views = all
            .iter()
            .map(|(name, (shape, _))| (name, TensorView::new(Dtype::F64, shape.clone(), &bytes[name]).unwrap()));
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        Model::open(dir.path())
    };
    let mut expected = seeded_weights(&tiny(), 4);
    std::sync::Arc::make_mut(&mut expected.embeddings).norm.beta[0] = 0.1;
    assert_eq!(save(0.1).unwrap().weights(), &expected);
    let error = save(1e300).unwrap_err();
    assert!(matches!(error, Error::Weights(WeightError::NonFiniteWeights { count: 1, .. })), "{error}");
}
