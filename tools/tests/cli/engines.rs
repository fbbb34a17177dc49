//! `lacuna compare` with the engines of others, where they are: what they compute, on how many threads, in which precision.

// The library's own: its messages are private.
#[allow(dead_code)]
#[path = "../../../model/src/proto.rs"]
mod proto;

use std::path::Path;

use lacuna::config::EncoderConfig;
use lacuna::{Model, Preset};
use prost::Message;
use serde_json::Value;

use crate::compare::{number, row, rows};
use crate::{run, stdout};

/// The engines that are there and belong to `family`, and can do what `work` names; says what is skipped.
fn available(family: &str, work: &str) -> Vec<String> {
    let lines: Vec<Value> = serde_json::from_str(&stdout(run(&["compare", "engines", "--json"]))).unwrap();
    let mut names = Vec::new();
    for line in lines.iter().filter(|line| line["engine"].as_str().is_some_and(|name| name.starts_with(family))) {
        if line["available"] != true {
            println!("skipped: {}: {}", line["engine"], line["reason"]);
        } else if line[work] == true {
            assert!(line["version"].as_str().is_some_and(|version| version.contains('.')), "{line}");
            names.push(line["engine"].as_str().unwrap().to_owned());
        }
    }
    names
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// What every engine must do: agree, and use the requested threads only.
fn check(row: &Value) {
    assert_eq!(row["agrees"], true, "{row}");
    assert!(!text(row, "version").is_empty() && !text(row, "implementation").is_empty(), "{row}");
    assert!(number(row, "median_us") > 0.0, "{row}");
    if cfg!(target_os = "linux") {
        assert!(
            number(row, "threads_used") >= 1.0 && number(row, "cores_busy") <= number(row, "threads") + 0.25,
            "{row}"
        );
    }
}

/// Whether an int8 engine adds pairs of products in 16 bits, as many do on CPUs without VNNI, and is wrong for it; says so.
fn saturates(engine: &str, row: &Value) -> bool {
    let saturates = !engine.ends_with("f32") && row["agrees"] == false && !crate::generates_avx512();
    if saturates {
        println!("skipped: {engine} as {}, whose 16-bit sums may saturate", row["implementation"]);
    }
    saturates
}

/// Thread counts that this machine can show.
fn thread_counts() -> &'static str {
    if std::thread::available_parallelism().map_or(1, usize::from) > 1 { "1,2" } else { "1" }
}

/// Rows of a product that is worth two threads.
fn products(engine: &str, output: &str) -> Vec<Value> {
    let args = ["compare", "kernels", "--m", "768", "--k", "768", "--n", "192", "--rounds", "1", "--output", output];
    rows(run(&[&args[..], &["--engines", engine, "--threads", thread_counts(), "--json"]].concat()))
}

/// Rows of a small model.
fn models(engine: &str, more: &[&str]) -> Vec<Value> {
    rows(run(&models_args(engine, more)))
}

/// What [`models`] runs.
fn models_args<'a>(engine: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["compare", "model", "--arch", "bert-mini", "--batch", "2", "--seq", "64", "--rounds", "1", "--json"];
    [&args[..], &["--engines", engine, "--threads", thread_counts()], more].concat()
}

/// What oneDNN calls its 8-bit products whose sums do not saturate: by VNNI, and by AMX where the CPU has it.
const EXACT: [&str; 2] = ["avx512_core_vnni", "avx512_core_amx"];

#[test]
fn onednn_computes_the_same_in_the_precision_and_on_the_threads_asked_for() {
    for engine in available("onednn", "kernels") {
        for output in ["u8", "s8", "f32"] {
            for row in &products(&engine, output) {
                let implementation = text(row, "implementation");
                let exact = EXACT.iter().any(|exact| implementation.contains(exact));
                if engine == "onednn-int8" && !exact && row["agrees"] == false {
                    println!("skipped: {engine} as {implementation}, whose 16-bit sums saturate");
                    continue;
                }
                check(row);
                assert!(!implementation.contains("ref"), "{row}");
                if cfg!(target_os = "linux") {
                    assert_eq!(row["threads_used"], row["threads"], "{row}");
                }
                if crate::generates_avx512() {
                    let expected = if engine == "onednn-int8" { &EXACT[..] } else { &["avx512_core"] };
                    assert!(expected.iter().any(|expected| implementation.contains(expected)), "{row}");
                }
            }
        }
    }
}

#[test]
fn products_of_rust_crates_agree() {
    for engine in ["rten", "gemm"].iter().flat_map(|family| available(family, "kernels")) {
        for row in &products(&engine, "u8") {
            if saturates(&engine, row) {
                continue;
            }
            check(row);
            assert!(number(row, "error") < if engine == "rten-int8" { 1e-9 } else { 0.02 }, "{row}");
        }
    }
}

#[test]
fn onnx_runtime_runs_our_exports_in_the_precision_and_on_the_threads_asked_for() {
    for engine in available("onnxruntime", "models") {
        for row in &models(&engine, &[]) {
            if saturates(&engine, row) {
                continue;
            }
            check(row);
            let implementation = text(row, "implementation");
            assert!(implementation.contains("CPUExecutionProvider"), "{row}");
            let integer = implementation.contains("Integer") || implementation.contains("Q");
            assert_eq!(integer, engine != "onnxruntime-f32", "{row}");
            assert!(number(row, "error") < if integer { 0.05 } else { 1e-5 }, "{row}");
        }
        if cfg!(target_os = "linux") {
            // A thread that the system never lets run does not compute: on a busy machine that may take more than one look.
            let all = |rows: &[Value]| rows.iter().all(|row| row["threads_used"] == row["threads"]);
            assert!((0..4).any(|_| all(&models(&engine, &[]))), "{engine}: never computed on all threads");
        }
    }
}

#[test]
fn models_on_rust_crates_agree() {
    for engine in ["rten", "candle"].iter().flat_map(|family| available(family, "models")) {
        for row in &models(&engine, &[]) {
            if saturates(&engine, row) {
                continue;
            }
            check(row);
            assert!(number(row, "error") < if engine == "rten-int8" { 0.05 } else { 1e-5 }, "{row}");
        }
    }
}

/// A small model's f32 export after `change`.
fn export(path: &Path, change: impl FnOnce(&mut proto::ModelProto)) {
    let config = EncoderConfig { vocab_size: 2000, ..Preset::BertMini.config() };
    let onnx = Model::seeded(config, 1).unwrap().to_onnx().unwrap();
    let mut proto = proto::ModelProto::decode(&onnx.to_bytes()[..]).unwrap();
    change(&mut proto);
    std::fs::write(path, proto.encode_to_vec()).unwrap();
}

#[test]
fn onnx_files_that_do_not_load_or_do_not_agree_are_rows_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    for engine in ["onnxruntime-f32", "rten-f32"] {
        if available(engine, "models").is_empty() {
            continue;
        }
        let file = dir.path().join("file.onnx");
        let run_with = |sparsity: &str| {
            let onnx = format!("{engine}={}", file.display());
            let both = format!("lacuna-f32,{engine}");
            run(&models_args(&both, &["--onnx", &onnx, "--sparsity", sparsity]))
        };
        let row_of = |sparsity: &str| row(&rows(run_with(sparsity)), engine).clone();
        // An engine that was asked for and has no result is a failure, after the rows of the others.
        let refused = || {
            let output = run_with("0");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains(&format!("asked for, but not measured: {engine}")), "{said}");
            assert_eq!(output.status.code(), Some(1));
            let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
            assert!(row(&rows, "lacuna-f32")["median_us"].is_number());
            row(&rows, engine).clone()
        };
        export(&file, |_| ());
        check(&row_of("0"));
        // The model of the comparison is pruned, the file is not.
        let other = row_of("0.9");
        assert!(other["agrees"] == false && text(&other, "note").contains("cosine"), "{other}");
        if engine == "onnxruntime-f32" {
            export(&file, |proto| proto.opset_import.iter_mut().for_each(|set| set.version = 999));
            let refused = refused();
            assert!(text(&refused, "note").contains("opset"), "{refused}");
            assert_eq!(text(&refused, "note").lines().count(), 1);
        }
        std::fs::write(&file, b"no protobuf at all").unwrap();
        let refused = refused();
        assert!(!text(&refused, "note").is_empty() && refused["median_us"].is_null(), "{refused}");
    }
}
