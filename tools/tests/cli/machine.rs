//! What the machine grants: threads, and files that several commands write at once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{lacuna, refuses, stdout};

fn granted() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A model with a tokenizer.
fn model() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads/bert-tag");
    folder.to_str().unwrap().to_owned()
}

#[test]
fn more_threads_than_the_machine_has_use_for_are_refused() {
    let (granted, most) = (granted(), 4 * granted());
    let expected = format!("--threads: found 1000; expected 1 to {most}: this process is granted {granted} CPU");
    if most < 1000 {
        refuses(&["demo", "--threads", "1000"], &expected);
        refuses(&["embed", "--model", &model(), "--threads", "1000"], &expected);
        refuses(&["compare", "kernels", "--m", "8", "--k", "8", "--n", "8", "--threads", "1,1000"], &expected);
    }
}

/// The names of the threads of a command that waits for its input: the workers of its pool, and itself.
fn threads(mut command: Command) -> usize {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let tasks = format!("/proc/{}/task", child.id());
    let workers = || std::fs::read_dir(&tasks).map_or(0, Iterator::count);
    // The pool is there when the number no longer changes.
    let (mut before, mut same) = (0, 0);
    for _ in 0..600 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = workers();
        same = if now == before && now > 0 { same + 1 } else { 0 };
        before = now;
        if same > 20 {
            break;
        }
    }
    let _ = stdin.write_all(b"The cat sat on the mat.\n");
    drop(stdin);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().count();
    assert!(child.wait().unwrap().success() && lines > 0);
    before
}

#[test]
fn a_command_on_one_cpu_has_one_worker() {
    let can = cfg!(target_os = "linux") && Command::new("taskset").arg("--version").output().is_ok();
    if !can || granted() < 2 {
        println!("skipped: needs Linux, taskset and two CPUs");
        return;
    }
    let model = model();
    let args = ["embed", "--model", &model];
    let all = threads(lacuna(&args));
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0", env!("CARGO_BIN_EXE_lacuna")]).args(args);
    let one = threads(pinned);
    assert!(one < all, "{one} threads on one CPU, {all} on {}", granted());
    let two = threads(lacuna(&[&args[..], &["--threads", "1"]].concat()));
    assert_eq!(one, two, "as with --threads 1");
}

/// All choices of all commands are in the file at the end, and nothing else is left.
#[test]
fn commands_that_tune_at_the_same_time_keep_each_others_choices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.json");
    let file = path.to_str().unwrap();
    let start = |tokens: &str, arch: &str, file: &str| {
        let args =
            ["bench", "model", "--arch", arch, "--seq", tokens, "--repeats", "1", "--tune", "1", "--tuning", file];
        lacuna(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let alone = |arch: &str| -> Vec<String> {
        let path = folder.path().join(arch);
        let output = start("3", arch, path.to_str().unwrap()).wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let table: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        table["choices"].as_object().unwrap().keys().cloned().collect()
    };
    // Products of the same shape are one choice.
    let expected: BTreeSet<String> = ["bert-mini", "electra-small"].map(alone).into_iter().flatten().collect();
    let children: Vec<_> = (0..6).map(|i| start("3", ["bert-mini", "electra-small"][i % 2], file)).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let table: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(table["choices"].as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>(), expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn texts_are_timed_from_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (model, texts, packed) = (model(), at("texts.txt"), at("model.lacuna"));
    std::fs::write(&texts, "The cat sat on the mat.\nthe river\n").unwrap();
    let bench = |model: &str, more: &[&str]| -> Vec<Value> {
        let args = ["bench", "text", "--model", model, "--repeats", "5", "--json"];
        serde_json::from_str(&stdout(crate::run(&[&args[..], more].concat()))).unwrap()
    };
    let rows = bench(&model, &["--seq", "8,12", "--batch", "1,3", "--sparsity", "0,0.5"]);
    let of = |key: &str| -> Vec<f64> { rows.iter().map(|row| row[key].as_f64().unwrap()).collect() };
    assert_eq!(of("batch"), [1.0, 1.0, 3.0, 3.0, 1.0, 1.0, 3.0, 3.0]);
    assert_eq!(of("seq"), [8.0, 12.0].repeat(4));
    assert_eq!(of("sparsity"), [[0.0; 4], [0.5; 4]].concat());
    for row in &rows {
        let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"));
        assert!(number("tokens") > number("batch") && number("tokens") <= number("batch") * number("seq"), "{row}");
        for key in ["median_us", "tokenize_us", "encode_us", "tokens_per_s", "texts_per_s", "tokenize_share"] {
            assert!(number(key) > 0.0, "{key}: {row}");
        }
        assert!(number("pool_us") >= 0.0 && number("samples") == 5.0, "{row}");
    }
    // A packed file, and texts of a file.
    stdout(crate::run(&["pack", "--model", &model, "--calibrate", &texts, "--output", &packed]));
    let rows = bench(&packed, &["--input", &texts, "--batch", "5"]);
    assert_eq!((rows.len(), &rows[0]["seq"]), (1, &Value::from("input")));
    let table =
        stdout(crate::run(&["bench", "text", "--model", &packed, "--seq", "8", "--batch", "1", "--repeats", "2"]));
    assert!(table.contains("tokenize us") && table.contains("texts/s"), "{table}");
    refuses(&["bench", "text", "--model", &packed, "--sparsity", "0.5"], "--sparsity needs the f32 weights");
    refuses(&["bench", "text", "--model", &model, "--seq", "100000"], "the longest text of the model");
    refuses(&["bench", "text", "--model", &model, "--seq", "1"], "room for a word");
    refuses(&["bench", "text"], "--model <DIR>");

    let args = ["bench", "model", "--model", &packed, "--seq", "5", "--repeats", "3", "--json"];
    let rows: Vec<Value> = serde_json::from_str(&stdout(crate::run(&args))).unwrap();
    assert_eq!((rows.len(), &rows[0]["precision"]), (1, &Value::from("static")));
    assert!(rows[0]["median_us"].as_f64().unwrap() > 0.0);
    for (option, expected) in [
        (&["--sparsity", "0.5"][..], "--sparsity needs the f32 weights"),
        (&["--dense"], "--dense needs the f32 weights"),
        (&["--f32"], "--f32 needs the f32 weights"),
        (&["--precision", "f32"], "--precision"),
        (&["--tune", "3"], "--tune"),
    ] {
        refuses(&[&["bench", "model", "--model", &packed], option].concat(), expected);
    }
}

#[test]
fn a_pack_that_is_killed_leaves_nothing() {
    if !cfg!(target_os = "linux") {
        println!("skipped: needs Linux");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let texts = folder.path().join("texts.txt");
    std::fs::write(&texts, "The cat sat on the mat.\n").unwrap();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    // Into a folder without files without a name there may be a rest; here the temporary file is on the same file system as the target.
    let target = out.join("model.lacuna");
    let (model, texts) = (model(), texts.to_str().unwrap().to_owned());
    for delay in [5, 20, 40, 80] {
        let args = ["pack", "--model", &model, "--calibrate", &texts, "--output", target.to_str().unwrap()];
        let mut child = lacuna(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        let _ = child.kill();
        child.wait().unwrap();
        let names: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == "model.lacuna"), "{names:?}");
        let _ = std::fs::remove_file(&target);
    }
}

#[test]
fn a_value_that_turns_nothing_on_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let said = |value: &str| {
        let mut command = lacuna(&["man", folder.path().to_str().unwrap()]);
        String::from_utf8(command.env("LACUNA_PERF", value).output().unwrap().stderr).unwrap()
    };
    let text = said("foo");
    assert!(text.contains("warning: LACUNA_PERF: found \"foo\"; expected map"), "{text}");
    assert!(text.contains(&format!("man -l {}/lacuna.1", folder.path().display())), "{text}");
    assert!(!said("").contains("LACUNA_PERF"));
}
