//! Reading a model directory: what is right, and everything that can be wrong with it.

use std::collections::BTreeMap;

use lacuna_model::{EncoderConfig, EncoderWeights, Error, Model, Preset, WeightError, seeded_weights};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

#[path = "support/checkpoint.rs"]
mod checkpoint;

/// A tensor of a file to be: shape, dtype, bytes.
#[derive(Clone)]
struct Tensor {
    shape: Vec<usize>,
    dtype: Dtype,
    bytes: Vec<u8>,
}

type Tensors = BTreeMap<String, Tensor>;

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

fn f32_tensor(shape: &[usize], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor { shape: shape.to_vec(), dtype: Dtype::F32, bytes }
}

fn tensors(weights: &EncoderWeights) -> Tensors {
    let all = checkpoint::tensors(&tiny(), weights);
    all.into_iter().map(|(name, (shape, values))| (name, f32_tensor(&shape, &values))).collect()
}

fn serialize(tensors: &Tensors) -> Vec<u8> {
    let views = tensors.iter().map(|(name, t)| (name, TensorView::new(t.dtype, t.shape.clone(), &t.bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// A model directory with these bytes as its checkpoint.
fn directory(checkpoint: &[u8]) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("config.json"), checkpoint::config_json(&tiny()).to_string()).unwrap();
    std::fs::write(dir.path().join("model.safetensors"), checkpoint).unwrap();
    dir
}

fn load(checkpoint: &[u8]) -> Result<Model, Error> {
    Model::open(directory(checkpoint).path())
}

fn load_error(checkpoint: &[u8]) -> Error {
    let error = load(checkpoint).expect_err("a damaged checkpoint must not load");
    assert!(error.to_string().contains("model.safetensors"), "{error}");
    error
}

/// A file from a header of the test's own making.
fn raw(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn weights_survive_the_round_trip() {
    let weights = seeded_weights(&tiny(), 1);
    assert_eq!(load(&serialize(&tensors(&weights))).unwrap().weights(), &weights);
}

#[test]
fn prefix_and_old_norm_names_are_understood() {
    let weights = seeded_weights(&tiny(), 2);
    let rename = |name: String| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        format!("bert.{name}")
    };
    let mut renamed: Tensors = tensors(&weights).into_iter().map(|(name, t)| (rename(name), t)).collect();
    let other = Tensor { shape: vec![1, 16], dtype: Dtype::I64, bytes: vec![0; 128] };
    renamed.insert("bert.embeddings.position_ids".into(), other);
    assert_eq!(load(&serialize(&renamed)).unwrap().weights(), &weights);
}

#[test]
fn half_precision_is_widened() {
    let name = "embeddings.LayerNorm.weight";
    let values = [1.0f32, -2.5, 0.0, 65504.0, 0.125, 3.0, -1.0, 7.0];
    let f16 = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let bf16 = values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect();
    for (dtype, bytes, expected) in
        [(Dtype::F16, f16, values), (Dtype::BF16, bf16, values.map(|v| half::bf16::from_f32(v).to_f32()))]
    {
        let mut tensors = tensors(&seeded_weights(&tiny(), 3));
        tensors.insert(name.into(), Tensor { shape: vec![8], dtype, bytes });
        let model = load(&serialize(&tensors)).unwrap();
        assert_eq!(model.weights().embeddings.norm.gamma, expected, "{dtype:?}");
    }
}

#[test]
fn missing_file_and_directory() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("config.json"), checkpoint::config_json(&tiny()).to_string()).unwrap();
    assert!(
        matches!(Model::open(dir.path()), Err(Error::Weights(WeightError::NoCheckpoint { path, .. })) if path == dir.path())
    );
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(Model::open(nowhere), Err(Error::Io { path, .. }) if path.ends_with("config.json")));
}

#[test]
fn truncated_files_of_every_length_are_refused() {
    let whole = serialize(&tensors(&seeded_weights(&tiny(), 4)));
    let cuts = (0..64).chain((64..whole.len()).step_by(997)).chain([whole.len() - 1]);
    for cut in cuts {
        let error = load_error(&whole[..cut]);
        assert!(
            matches!(error, Error::Weights(WeightError::CheckpointLength { found, .. }) if found == cut as u64),
            "cut to {cut}: {error}"
        );
    }
}

#[test]
fn bytes_after_the_last_tensor_are_refused() {
    let mut longer = serialize(&tensors(&seeded_weights(&tiny(), 4)));
    longer.push(0);
    assert!(matches!(load_error(&longer), Error::Weights(WeightError::CheckpointLength { .. })));
}

#[test]
fn lying_header_lengths() {
    let mut bytes = raw("{}", 100);
    bytes[..8].copy_from_slice(&1000u64.to_le_bytes());
    assert!(matches!(load_error(&bytes), Error::Weights(WeightError::CheckpointLength { found: 110, .. })));
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(load_error(&bytes), Error::Weights(WeightError::CheckpointHeader { .. })));
}

#[test]
fn headers_that_are_no_headers() {
    for header in
        ["", "{", "[1, 2]", "{\"a\": 1}", "{\"a\": {\"dtype\": \"F99\", \"shape\": [1], \"data_offsets\": [0, 4]}}"]
    {
        let error = load_error(&raw(header, 0));
        assert!(matches!(error, Error::Weights(WeightError::CheckpointHeader { .. })), "{header:?}: {error}");
    }
    let mut not_utf8 = raw("{\"abc\": 1}", 0);
    not_utf8[11] = 0xff;
    assert!(matches!(load_error(&not_utf8), Error::Weights(WeightError::CheckpointHeader { .. })));
}

#[test]
fn lying_offsets_name_the_tensor() {
    let two = |a: &str, b: &str| {
        format!(
            "{{\"a\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{a}}},\
              \"b\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{b}}}}}"
        )
    };
    for (name, header, culprit) in [
        ("overlap", two("[0,8]", "[4,12]"), "b"),
        ("gap", two("[0,8]", "[12,20]"), "b"),
        ("backwards", two("[0,8]", "[8,0]"), "b"),
        ("too short for the shape", two("[0,8]", "[8,12]"), "b"),
        ("does not start at zero", two("[4,12]", "[12,20]"), "a"),
        ("same range twice", two("[0,8]", "[0,8]"), "b"),
    ] {
        let error = load_error(&raw(&header, 16));
        assert!(
            matches!(&error, Error::Weights(WeightError::TensorOffsets { tensor, .. }) if tensor == culprit),
            "{name}: {error}"
        );
    }
    let outside = load_error(&raw(&two("[0,8]", "[8,16]"), 8));
    assert!(matches!(outside, Error::Weights(WeightError::CheckpointLength { .. })), "{outside}");
    let huge = "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}";
    assert!(matches!(load_error(&raw(huge, 8)), Error::Weights(WeightError::TensorOffsets { .. })));
}

#[test]
fn missing_tensor_is_named_with_its_alternatives() {
    let all = tensors(&seeded_weights(&tiny(), 5));
    for name in all.keys() {
        let mut fewer = all.clone();
        fewer.remove(name);
        match load_error(&serialize(&fewer)) {
            Error::Weights(WeightError::MissingTensor { tensor, alternatives, tensors, .. }) => {
                assert_eq!(&tensor, name);
                assert!(alternatives.contains(&format!("bert.{name}")));
                assert_eq!(tensors, fewer.len());
            }
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn wrong_dtype_and_shape() {
    let name = "encoder.layer.1.output.dense.weight";
    let mut all = tensors(&seeded_weights(&tiny(), 6));
    all.insert(name.into(), Tensor { shape: vec![8, 12], dtype: Dtype::I8, bytes: vec![0; 96] });
    let error = load_error(&serialize(&all));
    assert!(
        matches!(&error, Error::Weights(WeightError::TensorDtype { tensor, found, .. }) if tensor == name && found == "I8"),
        "{error}"
    );

    all.insert(name.into(), f32_tensor(&[12, 8], &[0.0; 96]));
    match load_error(&serialize(&all)) {
        Error::Weights(WeightError::TensorShape { tensor, found, expected, .. }) => {
            assert_eq!((tensor.as_str(), found, expected), (name, vec![12, 8], vec![8, 12]));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn nan_and_infinite_weights_are_counted() {
    let name = "encoder.layer.0.attention.self.key.weight";
    let mut all = tensors(&seeded_weights(&tiny(), 7));
    for (values, dtype) in [(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY], "f32"), (vec![f32::NAN; 3], "f16")] {
        let mut weights = vec![0.5f32; 64];
        weights[17] = values[0];
        weights[30] = values[1];
        weights[63] = values[2];
        let tensor = match dtype {
            "f32" => f32_tensor(&[8, 8], &weights),
            _ => Tensor {
                shape: vec![8, 8],
                dtype: Dtype::F16,
                bytes: weights.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
            },
        };
        all.insert(name.into(), tensor);
        match load_error(&serialize(&all)) {
            Error::Weights(WeightError::NonFiniteWeights { tensor, count, first_index, .. }) => {
                assert_eq!((tensor.as_str(), count, first_index), (name, 3, 17));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn configurations_that_cannot_run() {
    let bytes = serialize(&tensors(&seeded_weights(&tiny(), 8)));
    let with = |field: &str, value: serde_json::Value| {
        let dir = directory(&bytes);
        let path = dir.path().join("config.json");
        let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        json[field] = value;
        std::fs::write(&path, json.to_string()).unwrap();
        Model::open(dir.path()).expect_err("this configuration must be refused")
    };
    let error = with("model_type", "gpt2".into());
    assert!(matches!(&error, Error::UnsupportedArchitecture { found, .. } if found.contains("gpt2")), "{error}");
    for (field, value) in
        [("hidden_act", "silu".into()), ("position_embedding_type", "relative_key".into()), ("is_decoder", true.into())]
    {
        let error = with(field, value);
        assert!(matches!(&error, Error::UnsupportedSetting { setting, .. } if *setting == field), "{error}");
    }
    for (field, value) in [
        ("hidden_size", 0i64),
        ("num_hidden_layers", 0),
        ("num_attention_heads", 3),
        ("intermediate_size", 1 << 40),
        ("vocab_size", 0),
        ("max_position_embeddings", 1 << 30),
    ] {
        let error = with(field, value.into());
        assert!(matches!(&error, Error::InvalidSetting { setting, .. } if *setting == field), "{error}");
    }
    assert!(matches!(with("hidden_size", serde_json::Value::Null), Error::InvalidSetting { .. }));
    assert!(matches!(with("hidden_size", "many".into()), Error::Json { .. }));
}
