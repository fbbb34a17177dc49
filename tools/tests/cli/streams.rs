//! Input and output of the commands with a task: streams, bad lines, interrupted runs, and kinds of files.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::checkpoint::{HIDDEN, LIMIT, ModelDir, files};
use crate::{lacuna, refusal, run, run_with, stdout, stopped};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn embed<'a>(model: &'a ModelDir, more: &[&'a str]) -> Vec<&'a str> {
    [&["embed", "--model", model.path()], more].concat()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A file in a folder of its own.
fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn spawn(args: &[&str]) -> Child {
    lacuna(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until `found` says so.
#[track_caller]
fn wait(mut found: impl FnMut() -> bool) {
    let start = Instant::now();
    while !found() {
        assert!(start.elapsed() < PATIENCE, "nothing came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_filter_answers_a_line_when_it_comes() {
    let model = ModelDir::new();
    let mut child = spawn(&embed(&model, &[]));
    let (mut stdin, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (sender, answers) = mpsc::channel();
    std::thread::spawn(move || BufReader::new(out).lines().for_each(|line| sender.send(line.unwrap()).unwrap()));
    for text in ["a cat", "a dog", ""] {
        // The input stays open, and its next line has begun.
        stdin.write_all(format!("{text}\n").as_bytes()).unwrap();
        let answer: Value = serde_json::from_str(&answers.recv_timeout(PATIENCE).unwrap()).unwrap();
        assert_eq!(answer["text"], text);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn batches_of_any_size_give_the_same_rows_in_order() {
    let model = ModelDir::new();
    let input: String = (0..50).map(|i| ["a cat\n", "dog sits\n", "\n", "a a a a\n"][i * 7 % 4]).collect();
    let expected = stdout(run_with(&embed(&model, &[]), input.as_bytes()));
    assert_eq!(expected.lines().count(), 50);
    for tokens in ["1", "7", "100"] {
        let found = stdout(run_with(&embed(&model, &["--batch-tokens", tokens]), input.as_bytes()));
        assert_eq!(found, expected, "{tokens}");
    }
}

#[test]
fn a_bad_line_stops_the_run_after_the_lines_before_it() {
    let model = ModelDir::with_extra_token();
    let good = rows(&stdout(run_with(&embed(&model, &[]), b"a cat\n")));
    for (input, expected) in [
        (&b"a cat\na [EXTRA]\na dog\n"[..], "standard input: line 2: "),
        (b"a cat\nnot \xff fine\na dog\n", "line 2: invalid UTF-8 at byte 5: found 0xff"),
    ] {
        let (written, line) = stopped(run_with(&embed(&model, &["--on-error", "stop"]), input));
        assert!(line.contains(expected), "{line}");
        assert_eq!(rows(&written), good, "{line}");
    }
    let (_dir, path) = file("in.jsonl", b"{\"text\":\"a cat\"}\r\n{\"text\":\"a [EXTRA]\"}\n");
    let (written, line) = stopped(run(&embed(&model, &["--on-error", "stop", "--input", path.to_str().unwrap()])));
    assert!(line.contains("in.jsonl: line 2: ") && line.contains("token \"[EXTRA]\" has id 8,"), "{line}");
    assert_eq!(rows(&written), good);
    let long = format!("a cat\n{}\n", "cat ".repeat(100));
    let (written, line) =
        stopped(run_with(&embed(&model, &["--on-error", "stop", "--text-bytes", "100"]), long.as_bytes()));
    assert!(line.contains("line 2: found 400 bytes; expected at most 100, the limit of --text-bytes"), "{line}");
    assert_eq!(rows(&written), good);
}

#[test]
fn a_bad_line_is_left_out_or_null_and_the_rest_is_not_lost() {
    let model = ModelDir::with_extra_token();
    let input = b"a cat\na [EXTRA]\nno\xff\na dog\n[EXTRA]\n";
    let good = rows(&stdout(run_with(&embed(&model, &[]), b"a cat\na dog\n")));
    let output = run_with(&embed(&model, &["--on-error", "skip"]), input);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(rows(&stdout(output)), good);
    for line in ["line 2: ", "line 3: invalid UTF-8", "line 5: "] {
        assert!(said.contains(&format!("warning: standard input: {line}")), "{said}");
    }
    assert!(said.contains("3 without a result"), "{said}");
    let output = run_with(&embed(&model, &["--on-error", "null", "--quiet"]), input);
    let found = rows(&stdout(output));
    assert_eq!((&found[0], &found[3]), (&good[0], &good[1]));
    let lines: Vec<(&Value, &Value)> = found.iter().map(|row| (&row["line"], &row["text"])).collect();
    assert_eq!((lines[1].0, lines[1].1), (&2.into(), &"a [EXTRA]".into()));
    assert_eq!((lines[2].0, lines[2].1), (&3.into(), &Value::Null));
    assert!([1, 2, 4].iter().all(|&i| found[i]["embedding"].is_null() && found[i]["error"].is_string()), "{found:?}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.npy");
    let args = embed(&model, &["--on-error", "null", "--output", path.to_str().unwrap()]);
    assert_eq!(stdout(run_with(&args, input)), "");
    let bytes = fs::read(&path).unwrap();
    assert!(String::from_utf8_lossy(&bytes[..128]).contains(&format!("(5, {HIDDEN})")));
    let is_nan: Vec<bool> = bytes[128..]
        .chunks_exact(4 * HIDDEN)
        .map(|row| row.chunks_exact(4).all(|x| f32::from_le_bytes(x.try_into().unwrap()).is_nan()))
        .collect();
    assert_eq!(is_nan, [false, true, true, false, true]);
}

/// Where each line has an object of its own, that object says it; an array could only hold numbers that are none.
#[test]
fn without_the_option_a_bad_line_is_null_in_lines_and_stops_an_array() {
    let model = ModelDir::with_extra_token();
    let input = b"a cat\na [EXTRA]\na dog\n";
    let output = run_with(&embed(&model, &[]), input);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = rows(&stdout(output));
    assert_eq!(found.iter().map(|row| row["embedding"].is_null()).collect::<Vec<_>>(), [false, true, false]);
    assert!(said.contains("warning: standard input: line 2: "), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.npy");
    let (_, line) = stopped(run_with(&embed(&model, &["--output", path.to_str().unwrap()]), input));
    assert!(line.contains("standard input: line 2: ") && !path.exists(), "{line}");
}

#[test]
fn many_warnings_are_counted() {
    let model = ModelDir::with_extra_token();
    let long = "cat ".repeat(LIMIT);
    let input = format!("a cat\n{}", format!("[EXTRA]\n{long}\n").repeat(300));
    let said = |more: &[&str]| {
        let output = run_with(&embed(&model, &[&["--on-error", "skip"], more].concat()), input.as_bytes());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(stdout(output).lines().count(), 301);
        said
    };
    let usual = said(&[]);
    assert!(usual.lines().count() < 15, "{usual}");
    assert!(
        usual.contains("300 texts were truncated: the model takes 12 tokens (lines 3, 5, 7, 9, 11, ...)"),
        "{usual}"
    );
    assert!(said(&["--verbose"]).lines().count() > 600);
    let quiet = said(&["--quiet"]);
    assert!(quiet.lines().all(|line| line.starts_with("warning: ")) && !quiet.is_empty(), "{quiet}");
}

#[test]
fn an_interrupted_run_goes_on() {
    let model = ModelDir::new();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let input: String = (0..40).map(|i| ["a cat\n", "dog sits\n", "\n", "a a a a\n"][i * 7 % 4]).collect();
    let split = input.match_indices('\n').nth(12).unwrap().0 + 1;
    for (name, journal) in [("out.jsonl", "out.jsonl.partial.json"), ("out.npy", "out.npy.partial.json")] {
        let whole = path(&format!("whole-{name}"));
        stdout(run_with(&embed(&model, &["--output", &whole]), input.as_bytes()));
        let (output, journal) = (path(name), path(journal));
        let args = embed(&model, &["--output", &output, "--resume"]);
        let mut child = spawn(&args);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&input.as_bytes()[..split]).unwrap();
        wait(|| fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"entries\": 13")));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!Path::new(&output).exists());
        // What is not this run is refused, and the partial results stay.
        let line = refusal(run_with(&args, input.to_uppercase().as_bytes()));
        assert!(line.contains("another input"), "{line}");
        let line = refusal(run_with(&[&args[..], &["--dimensions", "8"]].concat(), input.as_bytes()));
        assert!(line.contains("found no --dimensions; expected --dimensions 8; without"), "{line}");
        let line = refusal(run_with(&[&args[..], &["--sparsity", "0.5"]].concat(), input.as_bytes()));
        assert!(line.contains("another model"), "{line}");
        let done = run_with(&args, input.as_bytes());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(stdout(done), "");
        assert!(said.contains("going on after 13 entries"), "{said}");
        assert!(fs::read(&output).unwrap() == fs::read(&whole).unwrap(), "{name}");
    }
    assert_eq!(files(dir.path()), ["out.jsonl", "out.npy", "whole-out.jsonl", "whole-out.npy"]);
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupted_run_leaves_nothing() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let output = dir.path().join("out.jsonl");
    let mut child = spawn(&embed(&model, &["--output", output.to_str().unwrap()]));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&b"a cat\n".repeat(1000)).unwrap();
    // The data is there, without a name: the process has the folder's file open.
    let folder = dir.path().canonicalize().unwrap();
    let open = format!("/proc/{}/fd", child.id());
    wait(|| {
        let links =
            fs::read_dir(&open).map(|fds| fds.flatten().filter_map(|fd| fs::read_link(fd.path()).ok()).collect());
        links.is_ok_and(|links: Vec<PathBuf>| links.iter().any(|link| link.starts_with(&folder)))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn what_was_computed_before_a_bad_line_is_kept_beside_the_file() {
    let model = ModelDir::with_extra_token();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (input, output, whole) = (path("in.txt"), path("out.jsonl"), path("whole.jsonl"));
    fs::write(&input, "a cat\ndog\n[EXTRA]\na dog\n").unwrap();
    let args = embed(&model, &["--on-error", "stop", "--input", &input, "--output", &output]);
    let (_, line) = stopped(run(&args));
    assert!(
        line.contains("in.txt: line 3: ") && line.contains("out.jsonl.partial") && line.contains("--resume"),
        "{line}"
    );
    assert_eq!(files(dir.path()), ["in.txt", "out.jsonl.partial", "out.jsonl.partial.json"]);
    assert_eq!(fs::read_to_string(path("out.jsonl.partial")).unwrap().lines().count(), 2);
    fs::write(&input, "a cat\ndog\nsits\na dog\n").unwrap();
    stdout(run(&[&args[..], &["--resume"]].concat()));
    stdout(run(&embed(&model, &["--input", &input, "--output", &whole])));
    assert_eq!(fs::read(&output).unwrap(), fs::read(&whole).unwrap());
    assert_eq!(files(dir.path()), ["in.txt", "out.jsonl", "whole.jsonl"]);
}

#[test]
fn names_tell_what_an_input_is() {
    let model = ModelDir::new();
    let of = |name: &str, bytes: &[u8], more: &[&str]| {
        let (_dir, path) = file(name, bytes);
        let output = run(&embed(&model, &[&["--input", path.to_str().unwrap()], more].concat()));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let texts: Vec<String> =
            rows(&stdout(output)).iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect();
        (texts, said)
    };
    let (texts, said) = of("a.csv", b"id,text\n1,a cat\n2,\"dog, a\nsits\"\n", &[]);
    assert_eq!(texts, ["a cat", "dog, a\nsits"]);
    assert!(said.contains("a.csv: read as CSV: a header, texts in column \"text\""), "{said}");
    let (texts, said) = of("a.csv", b"a cat,1\na dog,2\n", &[]);
    assert_eq!(texts, ["a cat", "a dog"]);
    assert!(said.contains("no header") && said.contains("the first column"), "{said}");
    assert_eq!(of("a.tsv", b"n\tname\n1\tcat\n", &["--columns", "name"]).0, ["cat"]);
    assert_eq!(of("a.csv", b"1,cat\n", &["--columns", "2"]).0, ["cat"]);
    let (texts, said) = of("a.ndjson", b"\xef\xbb\xbf{\"text\":\"a cat\"}\n", &[]);
    assert_eq!(texts, ["a cat"]);
    assert!(said.contains("a.ndjson: read as JSON lines"), "{said}");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"a cat\r\na dog").unwrap();
    let packed = packed.finish().unwrap();
    assert_eq!(of("a.txt.gz", &packed, &[]).0, ["a cat", "a dog"]);
    let zstd =
        ruzstd::encoding::compress_to_vec(&b"a cat\na dog\n"[..], ruzstd::encoding::CompressionLevel::Uncompressed);
    assert_eq!(of("a.txt.zst", &zstd, &[]).0, ["a cat", "a dog"]);

    let utf16: Vec<u8> = "\u{feff}a cat\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes, more, expected) in [
        ("a.txt", &packed[..], &[][..], "gzip"),
        ("a.txt", &utf16[..], &[], "UTF-16"),
        ("a.txt", b"PAR1rest", &[], "Parquet"),
        ("a.json", b"[]", &[], "jq"),
        ("a.csv", b"a,b\n", &["--jsonl"], "CSV, as the file's name says"),
        ("a.txt", b"a\n", &["--columns", "a"], "a table"),
        ("a.csv", b"a,b\n", &["--columns", "c"], "\"a\", \"b\""),
        ("a.csv", b"a,b\n", &["--columns", "a,b"], "those of text"),
        ("a.txt.gz", b"no gzip", &[], "cannot read"),
    ] {
        let (_dir, path) = file(name, bytes);
        let line = refusal(run(&embed(&model, &[&["--input", path.to_str().unwrap()], more].concat())));
        assert!(line.contains(name) && line.contains(expected), "{name}: {line}");
    }
    let line = refusal(run_with(&embed(&model, &[]), &packed));
    assert!(line.contains("standard input: found data compressed by gzip"), "{line}");
}

#[test]
fn names_tell_what_an_output_is() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let output = run_with(&embed(&model, &["--output", &path("a.npy")]), b"a cat");
    assert!(String::from_utf8_lossy(&output.stderr).contains("a.npy: will be written as a NumPy array"));
    assert!(fs::read(path("a.npy")).unwrap().starts_with(b"\x93NUMPY"));
    let refused = |more: &[&str]| refusal(run_with(&embed(&model, more), b"a cat"));
    assert!(refused(&["--output", &path("a.csv")]).contains(".jsonl"));
    assert!(
        refused(&["--output", &path("a.npy"), "--format", "jsonl"]).contains("a NumPy array, as the file's name says")
    );
    assert!(
        refused(&["--output", &path("a.jsonl"), "--format", "npy"]).contains("JSON lines, as the file's name says")
    );
    assert_eq!(files(dir.path()), ["a.npy"]);
}

#[test]
fn nothing_in_is_nothing_out() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let output = run_with(&embed(&model, &[]), b"");
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard input: found no texts; the result is empty"));
    assert_eq!(stdout(output), "");
    let path = dir.path().join("a.npy");
    stdout(run_with(&embed(&model, &["--output", path.to_str().unwrap()]), b"\xef\xbb\xbf"));
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 128);
    assert!(String::from_utf8_lossy(&bytes).contains(&format!("(0, {HIDDEN})")));
}

#[test]
fn completions_and_manual_pages_are_written() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(stdout(run(&["completions", shell])).contains("on-error"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    stdout(run(&["man", dir.path().to_str().unwrap()]));
    let pages = files(dir.path());
    assert!(
        ["lacuna.1", "lacuna-embed.1", "lacuna-bench-spmm.1"].iter().all(|page| pages.iter().any(|p| p == page)),
        "{pages:?}"
    );
    assert!(fs::read_to_string(dir.path().join("lacuna-embed.1")).unwrap().contains("dimensions"));
    assert!(refusal(run(&["man", "/does/not/exist"])).contains("/does/not/exist"));
}

#[test]
#[cfg(feature = "parquet")]
fn parquet_goes_in_and_out() {
    let (model, dir) = (ModelDir::with_extra_token(), tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let parquet = path("a.parquet");
    let input = b"a cat\n[EXTRA]\n\xff\ndog sits\n";
    stdout(run_with(&embed(&model, &["--on-error", "null", "--output", &parquet]), input));
    let output = run(&embed(&model, &["--input", &parquet, "--on-error", "null"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("a.parquet: read as Parquet: texts in column \"text\", the only one of text"), "{said}");
    let found = rows(&stdout(output));
    let expected = rows(&stdout(run_with(&embed(&model, &["--on-error", "null"]), input)));
    assert_eq!((&found[0], &found[3]), (&expected[0], &expected[3]));
    assert!(found[1]["error"].as_str().unwrap().contains("has id 8") && found[1]["text"] == "[EXTRA]", "{found:?}");
    assert!(found[2]["error"].as_str().unwrap().contains("no value in column \"text\""), "{found:?}");
    let named = ["--input", &parquet, "--on-error", "skip", "--columns", "text"];
    assert_eq!(rows(&stdout(run(&embed(&model, &named)))), [found[0].clone(), found[3].clone()]);
    for (columns, expected) in [("words", "\"text\""), ("1", "expected names")] {
        let line = refusal(run(&embed(&model, &["--input", &parquet, "--columns", columns])));
        assert!(line.contains(expected), "{line}");
    }
    let int8 = path("b.parquet");
    stdout(run_with(&embed(&model, &["--precision", "int8", "--output", &int8]), b"a cat\na dog\n"));
    assert_eq!(stdout(run(&embed(&model, &["--input", &int8]))).lines().count(), 2);
    fs::write(path("c.parquet"), "no Parquet").unwrap();
    let line = refusal(run(&embed(&model, &["--input", &path("c.parquet")])));
    assert!(line.contains("c.parquet: cannot read"), "{line}");
}

#[test]
#[cfg(not(feature = "parquet"))]
fn parquet_needs_its_feature() {
    let model = ModelDir::new();
    let (_dir, path) = file("a.parquet", b"PAR1");
    let line = refusal(run(&embed(&model, &["--input", path.to_str().unwrap()])));
    assert!(line.contains("a.parquet: found a Parquet file") && line.contains("--features parquet"), "{line}");
    let line = refusal(run_with(&embed(&model, &["--output", path.to_str().unwrap()]), b"a"));
    assert!(line.contains("--features parquet"), "{line}");
}

/// int8 needs the ranges of all embeddings: nothing is left that a run could go on with.
#[test]
fn results_of_all_lines_leave_nothing_when_one_is_bad() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let output = dir.path().join("out.jsonl");
    let more = ["--precision", "int8", "--on-error", "stop", "--output", output.to_str().unwrap()];
    let line = refusal(run_with(&embed(&model, &[&more[..], &["--quiet"]].concat()), b"a cat\nb\xff\n"));
    assert!(line.contains("line 2: invalid UTF-8") && !line.contains("--resume"), "{line}");
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn the_input_is_no_output() {
    let model = ModelDir::new();
    let (_dir, path) = file("texts.txt", b"a cat\n");
    let path = path.to_str().unwrap();
    let line = refusal(run(&embed(&model, &["--input", path, "--output", path])));
    assert!(line.contains("which is the file of --input"), "{line}");
    let line = refusal(run_with(&embed(&model, &["--calibrate", path, "--output", path]), b"a cat"));
    assert!(line.contains("which is the file of --calibrate"), "{line}");
    assert_eq!(fs::read(path).unwrap(), b"a cat\n");
}

#[test]
fn truncations_name_the_file_and_columns_are_counted() {
    let model = ModelDir::new();
    let long = "cat ".repeat(20);
    let (_dir, path) = file("texts.txt", format!("{long}\na\n{long}\n").as_bytes());
    let output = run(&embed(&model, &["--input", path.to_str().unwrap(), "--quiet"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected =
        format!("warning: {}: 2 texts were truncated: the model takes 12 tokens (lines 1, 3)", path.display());
    assert!(said.contains(&expected), "{said}");
    let (_dir, path) = file("texts.csv", b"text,n\na cat,1\n");
    let refused =
        |columns: &str| refusal(run(&embed(&model, &["--input", path.to_str().unwrap(), "--columns", columns])));
    let line = refused("0");
    assert!(line.contains("expected a number from 1, or one of its columns: \"text\", \"n\""), "{line}");
    let line = refused("text,n");
    assert!(line.matches("found").count() == 1 && line.contains("found 2 columns"), "{line}");
}
