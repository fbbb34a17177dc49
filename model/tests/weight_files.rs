//! The files that weights come in: what PyTorch and safetensors wrote (`tests/fixtures/make.py`), which of them is read, and
//! every way in which an index and its files can disagree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lacuna_model::{Checkpoint, Error, Model, WeightError};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

/// A copy of a fixture that may be damaged.
fn copy(name: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

/// Shapes of the fixtures' model, in the order of names.
fn shapes() -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    for (table, rows) in [("word", 20), ("position", 16), ("token_type", 2)] {
        shapes.insert(format!("embeddings.{table}_embeddings.weight"), vec![rows, 8]);
    }
    for (part, outputs, inputs) in [
        ("attention.self.query", 8, 8),
        ("attention.self.key", 8, 8),
        ("attention.self.value", 8, 8),
        ("attention.output.dense", 8, 8),
        ("intermediate.dense", 12, 8),
        ("output.dense", 8, 12),
    ] {
        shapes.insert(format!("encoder.layer.0.{part}.weight"), vec![outputs, inputs]);
        shapes.insert(format!("encoder.layer.0.{part}.bias"), vec![outputs]);
    }
    for norm in ["embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"] {
        shapes.insert(format!("{norm}.LayerNorm.weight"), vec![8]);
        shapes.insert(format!("{norm}.LayerNorm.bias"), vec![8]);
    }
    shapes
}

/// The values that `make.py` describes.
fn expected() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let value = |t: usize, i: usize| ((37 * i + 11 * t) % 101) as f32 / 64.0 - 50.0 / 64.0;
    let tensor = |(t, (name, shape)): (usize, (String, Vec<usize>))| {
        let values = (0..shape.iter().product()).map(|i| value(t, i)).collect();
        (name, (shape, values))
    };
    shapes().into_iter().enumerate().map(tensor).collect()
}

const KINDS: [(&str, &str, usize); 3] = [
    ("bert-bin", "pytorch_model.bin", 1),
    ("bert-bin-sharded", "pytorch_model.bin.index.json", 2),
    ("bert-safetensors-sharded", "model.safetensors.index.json", 2),
];

#[test]
fn every_kind_of_file_gives_the_same_model() {
    let plain = TempDir::new().unwrap();
    std::fs::copy(fixture("bert-bin/config.json"), plain.path().join("config.json")).unwrap();
    write_safetensors(&plain.path().join("model.safetensors"), &expected());
    let reference = Model::open(plain.path()).unwrap();
    for (folder, file, files) in KINDS {
        let checkpoint = Checkpoint::in_model(&fixture(folder)).unwrap();
        assert!(checkpoint.path().ends_with(file), "{folder}");
        assert_eq!(checkpoint.files().len(), files, "{folder}");
        let infos = checkpoint.tensors();
        assert_eq!(infos.len(), expected().len(), "{folder}");
        for (info, (name, (shape, values))) in infos.iter().zip(&expected()) {
            assert_eq!((&info.name, &info.shape), (name, shape), "{folder}");
            assert_eq!((info.dtype.as_str(), info.bytes), ("F32", 4 * values.len()), "{folder}: {name}");
            assert_eq!(&checkpoint.read_f32(name, shape).unwrap(), values, "{folder}: {name}");
        }
        assert_eq!(Model::open(fixture(folder)).unwrap().weights(), reference.weights(), "{folder}");
    }
}

/// A file is a model as well: with what lies beside it, whatever other weights its folder has.
#[test]
fn a_path_may_name_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, file) in [("bert-bin", "pytorch_model.bin"), ("bert-bin", "config.json")] {
        std::fs::copy(fixture(folder).join(file), dir.path().join(file)).unwrap();
    }
    std::fs::write(dir.path().join("model.safetensors"), b"found first").unwrap();
    assert!(Model::open(dir.path()).is_err());
    let model = Model::open(dir.path().join("pytorch_model.bin")).unwrap();
    assert_eq!(model.weights(), Model::open(fixture("bert-bin")).unwrap().weights());
    let error = Model::open(dir.path().join("config.json")).unwrap_err();
    assert!(matches!(error, Error::Weights(WeightError::NotWeights { .. })), "{error}");
    assert!(Model::open(dir.path().join("absent.bin")).is_err());
}

/// Element `[i][j]` of the matrix that most of the fixture's tensors are views of.
fn base(i: usize, j: usize) -> f32 {
    (6 * i + j) as f32 / 2.0 - 3.0
}

#[test]
fn torch_tensors_of_every_layout() {
    let matrix: Vec<f32> = (0..24).map(|k| base(k / 6, k % 6)).collect();
    let transposed: Vec<f32> = (0..24).map(|k| base(k % 4, k / 4)).collect();
    let sliced: Vec<f32> = (0..9).map(|k| base(1 + k / 3, 1 + 2 * (k % 3))).collect();
    // Axis 2, 0, 1 of a [2][3][4] array of the same 24 values.
    let permuted: Vec<f32> = (0..24).map(|k| matrix[(k / 3 % 2) * 12 + (k % 3) * 4 + k / 6]).collect();
    let tensors: [(&str, &str, &[usize], Vec<f32>); 14] = [
        ("contiguous", "F32", &[4, 6], matrix.clone()),
        ("transposed", "F32", &[6, 4], transposed.clone()),
        ("sliced", "F32", &[3, 3], sliced),
        ("row", "F32", &[6], (0..6).map(|j| base(2, j)).collect()),
        ("column", "F32", &[4], (0..4).map(|i| base(i, 5)).collect()),
        ("permuted", "F32", &[4, 2, 3], permuted),
        ("expanded", "F32", &[2, 3], [[1.5; 3], [-2.5; 3]].concat()),
        ("parameter", "F32", &[2, 6], matrix[..12].to_vec()),
        ("double", "F64", &[4, 6], matrix.clone()),
        ("half", "F16", &[4, 6], matrix),
        ("brain", "BF16", &[6, 4], transposed),
        ("scalar", "F32", &[], vec![0.25]),
        ("empty", "F32", &[0, 3], vec![]),
        ("nested.inner", "F32", &[1], vec![7.0]),
    ];
    for file in ["views.bin", "views-legacy.bin"] {
        let checkpoint = Checkpoint::open(&fixture(file)).unwrap();
        let infos: BTreeMap<_, _> = checkpoint.tensors().into_iter().map(|info| (info.name.clone(), info)).collect();
        assert_eq!(infos.len(), tensors.len() + 3, "{file}: {:?}", infos.keys());
        for (name, dtype, shape, values) in &tensors {
            assert_eq!(
                (infos[*name].dtype.as_str(), infos[*name].shape.as_slice()),
                (*dtype, *shape),
                "{file}: {name}"
            );
            assert_eq!(&checkpoint.read_f32(name, shape).unwrap(), values, "{file}: {name}");
        }
        for (name, dtype, shape) in [("ids", "I64", &[5][..]), ("flags", "BOOL", &[2])] {
            let error = checkpoint.read_f32(name, shape).unwrap_err();
            assert!(
                matches!(&error, Error::Weights(WeightError::TensorDtype { found, .. }) if found == dtype),
                "{file}: {error}"
            );
        }
        let error = checkpoint.read_f32("nan", &[3]).unwrap_err();
        assert!(
            matches!(error, Error::Weights(WeightError::NonFiniteWeights { count: 2, first_index: 1, .. })),
            "{file}: {error}"
        );
        let error = checkpoint.read_f32("contiguous", &[6, 4]).unwrap_err();
        assert!(matches!(error, Error::Weights(WeightError::TensorShape { .. })), "{file}: {error}");
        let error = checkpoint.read_f32("absent", &[1]).unwrap_err();
        assert!(matches!(error, Error::Weights(WeightError::MissingTensor { tensors: 17, .. })), "{file}: {error}");
    }
}

#[test]
fn damaged_tensor_bytes_are_found() {
    let dir = copy("bert-bin");
    let path = dir.path().join("pytorch_model.bin");
    let mut bytes = std::fs::read(&path).unwrap();
    let name = "embeddings.word_embeddings.weight";
    let (shape, values) = expected().remove(name).unwrap();
    let stored: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let at = bytes.windows(stored.len()).position(|window| window == stored).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = Checkpoint::open(&path).unwrap().read_f32(name, &shape).unwrap_err();
    assert!(matches!(&error, Error::Weights(WeightError::TensorData { tensor, .. }) if tensor == name), "{error}");
    assert!(error.to_string().contains("checksum"), "{error}");
    assert!(matches!(Model::open(dir.path()), Err(Error::Weights(WeightError::TensorData { .. }))));
}

#[test]
fn the_first_of_the_four_names_is_read() {
    let dir = TempDir::new().unwrap();
    let error = Checkpoint::in_folder(dir.path()).err().unwrap();
    let text = error.to_string();
    assert!(
        matches!(error, Error::Weights(WeightError::NoCheckpoint { .. })) && text.contains("nothing of the kind"),
        "{text}"
    );
    let looked_for = "model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json";
    assert!(text.contains(looked_for), "{text}");

    std::fs::write(dir.path().join("tf_model.h5"), "").unwrap();
    std::fs::write(dir.path().join("vocab.txt"), "").unwrap();
    let text = Checkpoint::in_folder(dir.path()).err().unwrap().to_string();
    assert!(text.contains("found tf_model.h5;"), "{text}");

    // In the reverse order, so that each new file comes before those that are there.
    for kind in ["bert-bin-sharded", "bert-bin", "bert-safetensors-sharded"] {
        for entry in std::fs::read_dir(fixture(kind)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
        let (_, expected, _) = KINDS.into_iter().find(|k| k.0 == kind).unwrap();
        assert!(Checkpoint::in_folder(dir.path()).unwrap().path().ends_with(expected));
    }
    let single = dir.path().join("model.safetensors");
    write_safetensors(&single, &expected());
    assert_eq!(Checkpoint::in_folder(dir.path()).unwrap().path(), single);
}

#[test]
fn what_is_no_weight_file_is_said_so() {
    let dir = TempDir::new().unwrap();
    let open = |name: &str| Checkpoint::open(&dir.path().join(name)).err().unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n";
    for name in ["model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"] {
        std::fs::write(dir.path().join(name), pointer).unwrap();
        let error = open(name);
        assert!(
            matches!(error, Error::Weights(WeightError::NotWeights { .. }))
                && error.to_string().contains("git lfs pull"),
            "{error}"
        );
        std::fs::remove_file(dir.path().join(name)).unwrap();
        std::fs::create_dir(dir.path().join(name)).unwrap();
        let error = open(name);
        assert!(
            matches!(error, Error::Weights(WeightError::NotWeights { .. }))
                && error.to_string().contains("a directory"),
            "{error}"
        );
    }
    std::fs::write(dir.path().join("tf_model.h5"), "").unwrap();
    assert!(matches!(open("tf_model.h5"), Error::Weights(WeightError::NotWeights { .. })));
    assert!(matches!(open("absent.bin"), Error::Io { .. }));
    for bytes in [&b""[..], b"PK", b"PK\x03\x04", b"\x80\x02", b"no pickle", &[0; 300]] {
        std::fs::write(dir.path().join("short.bin"), bytes).unwrap();
        let error = open("short.bin");
        assert!(matches!(error, Error::Weights(WeightError::TorchFile { .. })), "{bytes:?}: {error}");
    }
    // A safetensors file under the wrong name.
    std::fs::copy(fixture("views.bin"), dir.path().join("views.safetensors")).unwrap();
    assert!(matches!(
        open("views.safetensors"),
        Error::Weights(WeightError::CheckpointHeader { .. }) | Error::Weights(WeightError::CheckpointLength { .. })
    ));
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_broken_ones_named() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("pytorch_model.bin");
    std::os::unix::fs::symlink(fixture("bert-bin/pytorch_model.bin"), &link).unwrap();
    assert_eq!(Checkpoint::in_folder(dir.path()).unwrap().path(), link);
    std::os::unix::fs::symlink(dir.path().join("gone"), dir.path().join("model.safetensors")).unwrap();
    let error = Checkpoint::in_folder(dir.path()).err().unwrap();
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("model.safetensors")), "{error}");
}

// ---- indexes and their files ----

const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

/// Tensor `name` of `length` values.
fn vector(name: &str, length: usize) -> (String, (Vec<usize>, Vec<f32>)) {
    (name.to_owned(), (vec![length], (0..length).map(|i| i as f32).collect()))
}

fn write_safetensors(path: &Path, tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) {
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, (shape, _)), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Two files, a and b in the first, c in the second, with this index.
fn open_index(index: &str) -> Result<Checkpoint, Error> {
    let dir = TempDir::new().unwrap();
    write_safetensors(&dir.path().join(FIRST), &[vector("a", 2), vector("b", 3)].into());
    write_safetensors(&dir.path().join(SECOND), &[vector("c", 4)].into());
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    Checkpoint::in_folder(dir.path())
}

fn index_error(index: &str) -> Error {
    let error = open_index(index).err().unwrap_or_else(|| panic!("accepted {index}"));
    assert!(error.to_string().contains("index.json"), "{error}");
    error
}

fn good() -> Value {
    json!({"metadata": {"total_size": 36}, "weight_map": {"a": FIRST, "b": FIRST, "c": SECOND}})
}

/// The good index with one change.
fn changed(change: impl FnOnce(&mut Value)) -> Error {
    let mut index = good();
    change(&mut index);
    index_error(&index.to_string())
}

#[test]
fn indexes_that_agree() {
    let without = |mut index: Value, field: &str| {
        index.as_object_mut().unwrap().remove(field);
        index
    };
    let mut float = good();
    float["metadata"]["total_size"] = json!(36.0);
    let mut more = good();
    more["metadata"]["total_parameters"] = json!(9);
    for index in [good(), without(good(), "metadata"), float, more] {
        let checkpoint = open_index(&index.to_string()).unwrap();
        assert_eq!(checkpoint.read_f32("c", &[4]).unwrap(), [0.0, 1.0, 2.0, 3.0], "{index}");
        let names: Vec<String> = checkpoint.tensors().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let files: Vec<bool> =
            checkpoint.files().iter().zip([FIRST, SECOND]).map(|(f, name)| f.ends_with(name)).collect();
        assert_eq!(files, [true, true]);
    }
}

#[test]
fn indexes_that_are_no_indexes() {
    for text in [
        "",
        "[]",
        "{}",
        "{\"weight_map\": 1}",
        "{\"weight_map\": {\"a\": 1}}",
        "{\"weight_map\": [\"a\"]}",
        "{\"weight_map\":",
        "{\"weight_map\": {}, \"weight_map\": {}}",
    ] {
        let error = index_error(text);
        assert!(matches!(error, Error::Json { .. }), "{text}: {error}");
    }
    let nested = format!("{{\"weight_map\": {}", "[".repeat(100_000));
    assert!(matches!(index_error(&nested), Error::Json { .. }));
    assert!(matches!(index_error("{\"weight_map\": {}}"), Error::Weights(WeightError::ShardIndex { .. })));
}

#[test]
fn files_outside_the_folder() {
    for name in
        ["../a.safetensors", "/etc/passwd", "x/a.safetensors", "./a.safetensors", "a.safetensors/", "..", ".", ""]
    {
        let error = changed(|index| index["weight_map"]["b"] = json!(name));
        assert!(
            matches!(&error, Error::Weights(WeightError::ShardName { tensor, found, .. }) if tensor == "b" && found == name),
            "{error}"
        );
    }
    let error = changed(|index| index["weight_map"]["b"] = json!("model.safetensors.index.json"));
    assert!(matches!(error, Error::Weights(WeightError::NotWeights { .. })), "{error}");
}

#[test]
fn files_and_index_that_disagree() {
    let absent = "model-00003-of-00003.safetensors";
    let error = changed(|index| index["weight_map"]["b"] = json!(absent));
    assert!(
        matches!(&error, Error::Weights(WeightError::MissingShard { shard, tensors: 1, .. }) if shard == absent),
        "{error}"
    );

    let error = changed(|index| index["weight_map"]["b"] = json!(SECOND));
    let parts = |error: &Error| match error {
        Error::Weights(WeightError::ShardTensor { tensor, found, expected, .. }) => {
            [tensor.clone(), found.clone(), expected.clone()]
        }
        _ => panic!("{error}"),
    };
    assert_eq!(parts(&error), ["b", FIRST, SECOND]);
    let error = changed(|index| index["weight_map"]["d"] = json!(SECOND));
    assert_eq!(parts(&error), ["d", "no file", SECOND]);

    let twice = good().to_string().replace("\"b\":", "\"a\":");
    assert!(
        matches!(index_error(&twice), Error::Weights(WeightError::DuplicateTensor { tensor, .. }) if tensor == "a")
    );
}

/// The libraries that write indexes read them so: files hold more than the index lists, and sizes are those of another version.
#[test]
fn what_an_index_leaves_out_or_gives_wrong_is_a_note() {
    let notes = |change: fn(&mut Value)| {
        let mut index = good();
        change(&mut index);
        let checkpoint = open_index(&index.to_string()).unwrap();
        assert_eq!(checkpoint.read_f32("b", &[3]).unwrap(), [0.0, 1.0, 2.0], "{index}");
        assert_eq!(checkpoint.read_f32("c", &[4]).unwrap(), [0.0, 1.0, 2.0, 3.0], "{index}");
        checkpoint.notes().join("\n")
    };
    assert_eq!(notes(|_| {}), "");
    let note = notes(|index| index["metadata"]["total_size"] = json!(35));
    assert!(note.contains("total_size is 35") && note.contains("36 bytes"), "{note}");
    let note = notes(|index| index["metadata"]["total_size"] = json!("36"));
    assert!(note.contains("total_size is \"36\""), "{note}");
    let note = notes(|index| drop(index["weight_map"].as_object_mut().unwrap().remove("b")));
    assert!(note.contains("does not list tensor b") && note.contains(FIRST) && !note.contains("more"), "{note}");
}

#[test]
fn a_tensor_in_two_files() {
    let dir = copy("bert-safetensors-sharded");
    let path = dir.path().join(SECOND);
    let second = std::fs::read(&path).unwrap();
    let second = safetensors::SafeTensors::deserialize(&second).unwrap();
    let tensors = second.names().into_iter().map(|name| {
        let values = second.tensor(name).unwrap().data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        (name.to_owned(), (second.tensor(name).unwrap().shape().to_vec(), values))
    });
    let tensors = tensors.chain([vector("embeddings.LayerNorm.bias", 8)]).collect();
    write_safetensors(&path, &tensors);
    let error = Checkpoint::in_folder(dir.path()).err().unwrap();
    assert!(
        matches!(&error, Error::Weights(WeightError::DuplicateTensor { tensor, .. }) if tensor == "embeddings.LayerNorm.bias"),
        "{error}"
    );
    assert!(error.to_string().contains(&format!("in {FIRST} and in {SECOND}")), "{error}");
}

#[test]
fn damage_in_one_file_of_several_is_said_of_that_file() {
    for (folder, file) in
        [("bert-safetensors-sharded", SECOND), ("bert-bin-sharded", "pytorch_model-00002-of-00002.bin")]
    {
        let dir = copy(folder);
        let path = dir.path().join(file);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let error = Model::open(dir.path()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Weights(WeightError::CheckpointLength { .. }) | Error::Weights(WeightError::TorchFile { .. })
            ),
            "{error}"
        );
        assert!(error.to_string().contains(file), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = Model::open(dir.path()).unwrap_err();
        assert!(matches!(&error, Error::Weights(WeightError::MissingShard { shard, .. }) if shard == file), "{error}");
    }
}
