//! Files that are read as a whole: what is no regular file, what is too long, and what is no text in UTF-8.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use lacuna_model::{Error, Model, WeightError};
use tempfile::TempDir;

/// Every settings file of a model, with one that is read if it is there.
const FILES: [&str; 4] = ["config.json", "tokenizer.json", "modules.json", "sentence_bert_config.json"];
/// Those that are read where there is no tokenizer.json.
const VOCABULARIES: [&str; 4] = ["vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];

/// A copy of a small model, with a vocabulary in place of its tokenizer.json.
fn model() -> TempDir {
    let dir = TempDir::new().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/bert");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(golden.join(name), dir.path().join(name)).unwrap();
    }
    dir
}

/// Opens a model in which `name` is what `make` makes.
fn open(name: &str, make: impl FnOnce(&Path)) -> Error {
    let dir = model();
    if VOCABULARIES.contains(&name) && name != "vocab.txt" {
        std::fs::write(dir.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n").unwrap();
    }
    let path = dir.path().join(name);
    let _ = std::fs::remove_file(&path);
    make(&path);
    let start = Instant::now();
    let error = Model::open(dir.path()).expect_err(name);
    assert!(start.elapsed() < Duration::from_secs(20), "{name}: does not wait");
    assert!(error.to_string().contains(name), "{name}: {error}");
    error
}

#[test]
#[cfg(unix)]
fn a_pipe_is_refused_and_not_waited_for() {
    let pipe = |path: &Path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    for name in FILES.into_iter().chain(VOCABULARIES) {
        let error = open(name, pipe);
        assert!(matches!(&error, Error::FileKind { found, .. } if found.contains("pipe")), "{name}: {error}");
    }
    let error = open("model.safetensors", pipe);
    assert!(matches!(error, Error::Weights(WeightError::NotWeights { .. })), "{error}");
}

#[test]
fn a_folder_is_no_file() {
    for name in FILES.into_iter().chain(VOCABULARIES) {
        let error = open(name, |path| std::fs::create_dir(path).unwrap());
        assert!(matches!(&error, Error::FileKind { found, .. } if found == "a directory"), "{name}: {error}");
    }
}

#[test]
fn a_sparse_file_of_gigabytes_is_refused_by_its_length() {
    for name in FILES.into_iter().chain(VOCABULARIES) {
        let error = open(name, |path| File::create(path).unwrap().set_len(6 << 30).unwrap());
        assert!(
            matches!(error, Error::FileSize { found, limit, .. } if found == 6 << 30 && limit < 1 << 30),
            "{name}: {error}"
        );
    }
}

#[test]
fn other_encodings_have_their_names() {
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for name in FILES.into_iter().chain(VOCABULARIES) {
        for (bytes, expected) in
            [(&utf16[..], "UTF-16"), (b"\x1f\x8b\x08\0", "gzip"), (b"{\"a\": \"\xe4\"}", "not UTF-8")]
        {
            let error = open(name, |path| std::fs::write(path, bytes).unwrap());
            assert!(matches!(&error, Error::FileKind { found, .. } if found.contains(expected)), "{name}: {error}");
        }
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let dir = model();
    let path = dir.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
    Model::open(dir.path()).unwrap();
}
