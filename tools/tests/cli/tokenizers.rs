//! Folders whose tokenizer is another file than tokenizer.json, and tokenizers that are damaged.

use std::fs;

use crate::checkpoint::ModelDir;
use crate::{refusal, run_with, stdout};

const INPUT: &[u8] = b"a cat sits\na dog\n";

fn embed(dir: &ModelDir) -> std::process::Output {
    run_with(&["embed", "--model", dir.path()], INPUT)
}

#[test]
fn a_vocabulary_gives_what_tokenizer_json_gives() {
    let dir = ModelDir::new();
    let expected = stdout(embed(&dir));
    dir.remove("tokenizer.json");
    dir.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\ncat\nsits\ndog\n");
    dir.write("tokenizer_config.json", r#"{"do_lower_case": true, "mask_token": "[UNK]"}"#);
    assert_eq!(stdout(embed(&dir)), expected);
}

#[test]
fn a_model_in_the_cache_of_the_hub_is_a_folder_too() {
    let (dir, cache) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let expected = stdout(embed(&dir));
    let model = cache.path().join("models--tiny--model");
    let snapshot = model.join("snapshots/0123456789abcdef");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(model.join("blobs")).unwrap();
    fs::create_dir_all(model.join("refs")).unwrap();
    fs::write(model.join("refs/main"), "0123456789abcdef").unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let blob = model.join("blobs").join(name);
        fs::copy(dir.file(name), &blob).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(std::path::Path::new("../../blobs").join(name), snapshot.join(name)).unwrap();
        #[cfg(not(unix))]
        fs::copy(&blob, snapshot.join(name)).unwrap();
    }
    let found = run_with(&["embed", "--model", model.to_str().unwrap()], INPUT);
    assert_eq!(stdout(found), expected);
}

#[test]
fn damage_is_one_line() {
    let dir = ModelDir::new();
    let whole = fs::read_to_string(dir.file("tokenizer.json")).unwrap();
    // The library panics at this one.
    let mut charsmap: serde_json::Value = serde_json::from_str(&whole).unwrap();
    charsmap["normalizer"] = serde_json::json!({ "type": "Precompiled", "precompiled_charsmap": "AAAA" });
    for damaged in [whole[..whole.len() / 2].to_owned(), charsmap.to_string()] {
        dir.write("tokenizer.json", &damaged);
        let line = refusal(embed(&dir));
        assert!(line.contains("tokenizer.json") && !line.contains("panicked"), "{line}");
    }
    dir.remove("tokenizer.json");
    dir.write("sentencepiece.bpe.model", "");
    let line = refusal(embed(&dir));
    assert!(line.contains("sentencepiece.bpe.model") && line.contains("AutoTokenizer"), "{line}");
    dir.remove("sentencepiece.bpe.model");
    let line = refusal(embed(&dir));
    assert!(line.contains("no tokenizer.json, no vocab.txt"), "{line}");
}
