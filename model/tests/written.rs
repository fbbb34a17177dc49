//! Models that are written are read back equal, and models of parts are checked as files are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lacuna_model::heads::{Dense, DenseActivation, Head, HeadConfig, HeadWeights};
use lacuna_model::{
    Activation, Architecture, Block, EncoderConfig, Error, ErrorKind, Linear, Matrix, Model, Pooling, PoolingMode,
    PoolingSource, Preset, SentenceTokenizer, WeightError, seeded_weights,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

#[track_caller]
fn assert_same(a: &Model, b: &Model) {
    assert_eq!(a.config(), b.config());
    assert_eq!(a.weights(), b.weights());
    let pooling = |model: &Model| Pooling { source: PoolingSource::Chosen, ..model.pooling().clone() };
    assert_eq!(pooling(a), pooling(b));
    let tokenizer = |model: &Model| model.tokenizer().map(|t| (t.json().to_vec(), t.max_length()));
    assert_eq!(tokenizer(a), tokenizer(b));
}

#[test]
fn every_architecture_comes_back_equal() {
    let names = [
        "bert",
        "bert-old",
        "camembert",
        "distilbert",
        "distilbert-relu",
        "electra",
        "electra-relu",
        "roberta",
        "xlm-roberta",
        "heads/bert-classify",
        "heads/distilbert-tag",
        "heads/electra-fill",
        "heads/roberta-answer",
    ];
    for name in names {
        let model = Model::open(golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("written");
        let normalized = model.clone().with_pooling(Pooling::new(PoolingMode::Cls, true)).unwrap();
        for model in [model.clone(), normalized, model.prune(Block::B4x1, 0.5).unwrap()] {
            let _ = std::fs::remove_dir_all(&folder);
            model.write(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_same(&Model::open(&folder).unwrap_or_else(|error| panic!("{name}: {error}")), &model);
        }
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1, "nothing else is left");
    }
}

#[test]
fn heads_come_back_equal() {
    let (mut count, parent) = (0, tempfile::tempdir().unwrap());
    for entry in std::fs::read_dir(golden("heads")).unwrap() {
        let (source, name) = (entry.unwrap().path(), count.to_string());
        let (model, folder) = (Model::open(&source).unwrap(), parent.path().join(name));
        model.write(&folder).unwrap();
        let (found, expected) = (Model::open(&folder).unwrap().head().unwrap(), model.head().unwrap());
        let at = source.display();
        assert!(found.weights() == expected.weights(), "{at}");
        assert_eq!(
            (found.kind(), found.labels(), found.problem()),
            (expected.kind(), expected.labels(), expected.problem()),
            "{at}"
        );
        assert_eq!(found.score_function().unwrap(), expected.score_function().unwrap(), "{at}");
        count += 1;
    }
    assert!(count >= 10, "{count} models with heads");
}

#[test]
fn a_model_can_be_given_a_head_and_fewer_layers() {
    let config = EncoderConfig { layers: 4, vocab_size: 50, max_position: 20, ..Preset::BertMini.config() };
    let linear = |outputs: usize, value: f32| Linear {
        weight: Matrix { rows: outputs, cols: 256, data: vec![value; outputs * 256] },
        bias: vec![0.5; outputs],
    };
    let dense = Dense { linear: linear(256, 0.01), activation: DenseActivation::Tanh };
    let weights = HeadWeights::First { dense: dense.clone(), out: linear(3, -0.25) };
    let names = ["bad", "fair", "good"].map(str::to_owned).to_vec();
    let of_labels =
        |weights| Head::new("new".as_ref(), HeadConfig::classification(Architecture::Bert, names.clone()), weights);
    let model = Model::seeded(config, 3).unwrap();
    let parts = model.weights().clone();
    let model = model.with_head(of_labels(weights.clone())).unwrap().with_layers(&[1, 3]).unwrap();
    assert_eq!(model.weights().layers, [parts.layers[1].clone(), parts.layers[3].clone()]);
    let folder = tempfile::tempdir().unwrap();
    model.write(folder.path()).unwrap();
    let read = Model::open(folder.path()).unwrap();
    assert_same(&read, &model);
    assert_eq!(read.weights().pooler.as_ref(), Some(&dense.linear), "the pooler of BERT is in its head");
    let head = read.head().unwrap();
    assert!(head.weights() == &weights && head.labels() == names && head.class() == "BertForSequenceClassification");
    let json = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    assert!(json.contains("single_label_classification") && json.contains("label2id"), "{json}");

    for kept in [&[][..], &[0, 4]] {
        assert!(matches!(model.clone().with_layers(kept), Err(Error::InvalidSetting { setting: "layers", .. })));
    }
    let narrow = HeadWeights::Each(Linear { weight: Matrix::zeros(3, 255), bias: vec![0.0; 3] });
    assert!(matches!(model.clone().with_head(of_labels(narrow.clone())), Err(Error::HeadInput { .. })));
    let error = head.clone().with_weights(narrow).unwrap_err();
    assert!(error.to_string().contains("layers of 3 x 255; expected 256 x 256, 3 x 256"), "{error}");
    let mut nan = weights;
    if let HeadWeights::First { out, .. } = &mut nan {
        out.bias[1] = f32::NAN;
    }
    assert!(matches!(head.with_weights(nan), Err(Error::HeadWeights { .. })));
}

#[test]
fn seeded_models_of_every_architecture_come_back_equal() {
    for architecture in Architecture::ALL {
        let config = EncoderConfig {
            architecture,
            layers: 2,
            vocab_size: 50,
            max_position: 20,
            position_offset: match architecture {
                Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert => 2,
                _ => 0,
            },
            type_vocab_size: if architecture.has_token_types() { 2 } else { 1 },
            ..Preset::BertMini.config()
        };
        let model = Model::seeded(config, 3).unwrap();
        let parent = tempfile::tempdir().unwrap();
        model.write(parent.path()).unwrap(); // an empty folder
        assert_same(&Model::open(parent.path()).unwrap(), &model);
        match model.write(parent.path()) {
            Err(Error::Occupied { path }) => assert_eq!(path, parent.path()),
            other => panic!("{other:?}"),
        }
        assert_same(&Model::open(parent.path()).unwrap(), &model);
    }
}

/// Fewer heads are `pruned_heads` of config.json, in every architecture, whose weights are smaller.
#[test]
fn models_with_fewer_heads_come_back_equal() {
    for architecture in Architecture::ALL {
        let config = EncoderConfig {
            architecture,
            layers: 2,
            vocab_size: 50,
            max_position: 20,
            position_offset: match architecture {
                Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert => 2,
                _ => 0,
            },
            type_vocab_size: if architecture.has_token_types() { 2 } else { 1 },
            ..Preset::BertMini.config()
        };
        let config = config.with_heads(3);
        assert_eq!((config.attention_size, config.head_size()), (Some(192), 64));
        assert_eq!(config.with_heads(4).attention_size, None);
        let model = Model::seeded(config, 3).unwrap();
        let parent = tempfile::tempdir().unwrap();
        model.write(parent.path()).unwrap();
        let json = std::fs::read_to_string(parent.path().join("config.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["pruned_heads"], serde_json::json!({"0": [3], "1": [3]}));
        let heads = if architecture == Architecture::DistilBert { "n_heads" } else { "num_attention_heads" };
        assert_eq!(json[heads], 4);
        assert_same(&Model::open(parent.path()).unwrap(), &model);
    }
}

#[test]
fn an_encoder_of_another_shape_keeps_the_rest() {
    let config = EncoderConfig { layers: 2, vocab_size: 50, max_position: 20, ..Preset::BertMini.config() };
    let whole = Model::seeded(config.clone(), 3).unwrap().with_pooling(Pooling::new(PoolingMode::Max, true)).unwrap();
    let smaller = EncoderConfig { intermediate_size: 100, activation: Activation::Relu, ..config.with_heads(1) };
    let weights = seeded_weights(&smaller, 5);
    let found = whole.clone().with_encoder(smaller.clone(), weights.clone()).unwrap();
    assert_eq!((found.config(), found.weights()), (&smaller, &weights));
    assert_eq!(found.pooling(), whole.pooling());
    let refused = whole.with_encoder(smaller.with_heads(2), weights).unwrap_err();
    assert!(matches!(refused, Error::Weights(WeightError::TensorShape { .. })), "{refused}");
}

#[test]
fn what_config_json_cannot_say_is_not_written() {
    let config =
        EncoderConfig { architecture: Architecture::Roberta, layers: 1, vocab_size: 50, ..Preset::BertMini.config() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let error = Model::seeded(config.clone(), 1).unwrap().write(&path).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "no rows of padding: {error}");
    let distil =
        EncoderConfig { architecture: Architecture::DistilBert, layer_norm_eps: 1e-5, type_vocab_size: 1, ..config };
    let error = Model::seeded(distil, 1).unwrap().write(&path).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "the epsilon is fixed: {error}");
    let config = EncoderConfig { layers: 1, vocab_size: 50, ..Preset::BertMini.config() };
    for attention_size in [120, 1024] {
        let odd = EncoderConfig { attention_size: Some(attention_size), ..config.clone() };
        let error = Model::seeded(odd, 1).unwrap().write(&path).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "heads that are no part of 256: {error}");
    }
    let error = Model::seeded(EncoderConfig { layers: 1, vocab_size: 50, ..Preset::BertMini.config() }, 1).unwrap();
    let error = error.write(folder.path().join("no/such/parent")).unwrap_err();
    assert!(matches!(error, Error::Io { action: "create", .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn parts_are_checked() {
    let config = EncoderConfig { layers: 2, vocab_size: 50, max_position: 20, ..Preset::BertMini.config() };
    let weights = seeded_weights(&config, 1);
    let of = |config: &EncoderConfig, weights| Model::from_parts(config.clone(), weights, Pooling::default(), None);
    assert_same(&of(&config, weights.clone()).unwrap(), &Model::seeded(config.clone(), 1).unwrap());

    let mut fewer = weights.clone();
    fewer.layers.pop();
    assert!(matches!(of(&config, fewer), Err(Error::InvalidSetting { setting: "layers", .. })));

    let mut nan = weights.clone();
    nan.layers[1].up.weight.data[7] = f32::NAN;
    match of(&config, nan) {
        Err(Error::Weights(WeightError::NonFiniteWeights { tensor, count: 1, first_index: 7, .. })) => {
            assert_eq!(tensor, "encoder.layer.1.intermediate.dense.weight");
        }
        other => panic!("{other:?}"),
    }

    let mut narrow = weights.clone();
    narrow.layers[0].q.weight = Matrix::zeros(256, 255);
    match of(&config, narrow) {
        Err(Error::Weights(WeightError::TensorShape { tensor, found, expected, .. })) => {
            assert_eq!(
                (&*tensor, found, expected),
                ("encoder.layer.0.attention.self.query.weight", vec![256, 255], vec![256, 256])
            );
        }
        other => panic!("{other:?}"),
    }

    let mut short = weights.clone();
    Arc::make_mut(&mut short.embeddings).word.data.pop();
    assert!(matches!(of(&config, short), Err(Error::Weights(WeightError::TensorShape { .. }))));

    let distil = EncoderConfig { architecture: Architecture::DistilBert, type_vocab_size: 1, ..config.clone() };
    let error = of(&distil, weights.clone()).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { setting: "token types", .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::InvalidFile);

    let folder = golden("heads/bert-classify");
    let long = SentenceTokenizer::from_dir(&folder, 1000).unwrap();
    let pooling = Pooling::new(PoolingMode::Max, false);
    let error = Model::from_parts(config, weights, pooling, long).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { setting: "max_length of the tokenizer", .. }), "{error}");
}
