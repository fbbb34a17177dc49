//! What `lacuna compress` is given and cannot use: said before the work, with the name of the thing.

use std::fs;

use serde_json::Value;

use crate::checkpoint::{ModelDir, tensors};
use crate::{refusal, run, stdout};

const TEXTS: &str = "a cat\na dog sits\nthe cat sits on a dog\na cat, a dog\nthe dog\nsits a cat on the cat\n";

struct Work {
    model: ModelDir,
    folder: tempfile::TempDir,
}

impl Work {
    fn new() -> Work {
        let work = Work { model: ModelDir::new(), folder: tempfile::tempdir().unwrap() };
        fs::write(work.path("texts.txt"), TEXTS).unwrap();
        work
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn compress(&self, data: &str, more: &[&str]) -> std::process::Output {
        let (data, out) = (self.path(data), self.path("out"));
        let args = ["compress", "--model", self.model.path(), "--data", &data, "--method", "one-shot", "--out", &out];
        run(&[&args[..], more].concat())
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_name() {
    let work = Work::new();
    let mut all = tensors();
    let tensor = all.iter_mut().find(|tensor| tensor.0.ends_with("layer.1.output.dense.weight")).unwrap();
    tensor.3[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let name = tensor.0.clone();
    work.model.write_tensors(&all);
    let line = refusal(work.compress("texts.txt", &["--sparsity", "0.5"]));
    assert!(line.contains(&name) && line.contains("NaN or infinite values"), "{line}");
    assert!(!fs::exists(work.path("out")).unwrap());
}

/// One text is too few to learn from, which is said, but enough to prune on.
#[test]
fn one_text_is_enough_to_prune_and_too_few_without_a_word() {
    let work = Work::new();
    fs::write(work.path("one.txt"), "a cat sits\n").unwrap();
    let output = work.compress("one.txt", &["--sparsity", "0.5", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the file of --data holds 1 text, which is few"), "{said}");
    let found: Value = serde_json::from_str(&stdout(output)).unwrap();
    assert!((found["zeros"].as_f64().unwrap() - 0.5).abs() < 1e-9, "{found}");
}

/// Matrices of 16 x 16 weights have 16 blocks of 4x4, and none of them is a hundredth.
#[test]
fn a_sparsity_that_blocks_do_not_reach_is_refused() {
    let work = Work::new();
    let line = refusal(work.compress("texts.txt", &["--sparsity", "0.99", "--block", "4x4"]));
    assert!(
        line.contains("--sparsity: found 0.99 in blocks of 4x4") && line.contains("whole blocks make 0.9531"),
        "{line}"
    );
    assert!(!fs::exists(work.path("out")).unwrap());
}

#[cfg(feature = "parquet")]
#[test]
fn texts_of_parquet_files_are_taken() {
    let work = Work::new();
    let parquet = work.path("texts.parquet");
    let texts = work.path("texts.txt");
    let args = ["embed", "--model", work.model.path(), "--input", &texts, "--on-error", "null", "--output", &parquet];
    stdout(run(&args));
    let found: Value =
        serde_json::from_str(&stdout(work.compress("texts.parquet", &["--sparsity", "0.5", "--json"]))).unwrap();
    assert_eq!(found["texts"][0]["texts"], 6, "{found}");
}

#[cfg(not(feature = "parquet"))]
#[test]
fn parquet_files_need_a_feature() {
    let work = Work::new();
    fs::write(work.path("texts.parquet"), "PAR1").unwrap();
    let line = refusal(work.compress("texts.parquet", &["--sparsity", "0.5"]));
    assert!(line.contains("parquet"), "{line}");
}
