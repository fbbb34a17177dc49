//! `lacuna compare` with Lacuna's own engines, and with engines that are broken.

use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{generates_avx512, generates_code, keys, lacuna, refuses, run, stdout};

const PRODUCT_KEYS: [&str; 24] = [
    "agrees",
    "best_us",
    "block",
    "cores_busy",
    "dtype",
    "engine",
    "error",
    "error_mean",
    "gops_dense_equivalent",
    "implementation",
    "k",
    "m",
    "median_us",
    "n",
    "note",
    "output",
    "pinned",
    "ratio_quartiles",
    "ratios",
    "samples",
    "sparsity",
    "spread",
    "threads",
    "threads_used",
];

const SMALL: [&str; 10] = ["compare", "kernels", "--m", "36", "--k", "20", "--n", "19", "--engines", "lacuna"];
/// Without the engines.
const SHAPE: &[&str] = SMALL.split_at(8).0;

/// The rows that a comparison prints as JSON.
pub(crate) fn rows(output: Output) -> Vec<Value> {
    serde_json::from_str(&stdout(output)).unwrap()
}

pub(crate) fn row<'a>(rows: &'a [Value], engine: &str) -> &'a Value {
    rows.iter().find(|row| row["engine"] == engine).unwrap_or_else(|| panic!("no {engine} in {rows:?}"))
}

pub(crate) fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"))
}

fn note(row: &Value) -> &str {
    row["note"].as_str().unwrap_or_default()
}

#[test]
fn products_are_checked_proven_timed_and_related() {
    let rows = rows(run(&[&SMALL[..], &["--sparsity", "0.5,0.75", "--json"]].concat()));
    assert_eq!(rows.len(), 8);
    let mut expected = PRODUCT_KEYS.to_vec();
    expected.push("version");
    for row in &rows {
        if row["engine"] == "lacuna-intrinsics" && !generates_avx512() {
            assert!(note(row).contains("tier"), "{row}");
            continue;
        }
        assert_eq!(keys(row), expected);
        assert_eq!(row["agrees"], true, "{row}");
        assert!(number(row, "error") <= 0.6 && number(row, "error_mean") <= number(row, "error"), "{row}");
        let gops = 2.0 * 36.0 * 20.0 * 19.0 / number(row, "median_us") * 1e-3;
        assert!((number(row, "gops_dense_equivalent") / gops - 1.0).abs() < 1e-9, "{row}");
        assert!(number(row, "best_us") <= number(row, "median_us"), "{row}");
        assert!(number(row, "samples") >= 5.0, "{row}");
        if cfg!(target_os = "linux") {
            assert_eq!(row["threads_used"], 1, "{row}");
        }
        // Only to the dense engines, and not to itself.
        let others = ["lacuna-dense", "lacuna-f32"].into_iter().filter(|other| row["engine"] != *other);
        assert_eq!(keys(&row["ratios"]), others.collect::<Vec<_>>(), "{row}");
    }
    if generates_code() {
        let name = format!("spmm-u8s8-{}-m36k20", lacuna_jit::Isa::detect());
        assert!(row(&rows, "lacuna")["implementation"].as_str().unwrap().starts_with(&name));
    }
}

#[test]
fn every_output_and_block_agrees() {
    for (output, block) in [("s8", "4x4"), ("f32", "1x4"), ("u8", "unstructured"), ("s8", "16x1")] {
        let args = ["--output", output, "--block", block, "--sparsity", "0.6", "--json"];
        for row in &rows(run(&[&SMALL[..], &args].concat())) {
            if row["engine"] == "lacuna-intrinsics" {
                assert!(note(row).contains("4x1") || note(row).contains("tier"), "{row}");
            } else {
                assert_eq!(row["agrees"], true, "{row}");
                assert_eq!((row["output"].as_str(), row["block"].as_str()), (Some(output), Some(block)));
            }
        }
    }
}

#[test]
fn threads_are_watched() {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 || !cfg!(target_os = "linux") {
        println!("skipped: needs Linux and two CPUs, has {cpus}");
        return;
    }
    let args = ["compare", "kernels", "--m", "768", "--k", "768", "--n", "256", "--rounds", "2", "--threads", "1,2"];
    let rows = rows(run(&[&args[..], &["--engines", "lacuna-dense", "--json"]].concat()));
    let asked: Vec<f64> = rows.iter().map(|row| number(row, "threads")).collect();
    assert_eq!(asked, [1.0, 2.0]);
    for row in &rows {
        // A second thread helps where the system lets it run: on a busy machine one may do all the work.
        let (used, cores) = (number(row, "threads_used"), number(row, "cores_busy"));
        assert!(used >= 1.0 && used <= number(row, "threads"), "{row}");
        assert!(cores > 0.0 && cores <= used + 0.25, "{row}");
        assert_eq!(note(row).contains("computes on 1"), used < number(row, "threads"), "{row}");
    }
}

#[test]
fn workers_run_where_they_are_bound() {
    if !cfg!(target_os = "linux") {
        println!("skipped: needs Linux");
        return;
    }
    let args = ["--engines", "lacuna-dense", "--json"];
    let rows = rows(run(&[SHAPE, &args, &["--pin", "0"]].concat()));
    assert_eq!(rows[0]["pinned"], "0");
    refuses(&[&SMALL[..], &["--pin", "0", "--threads", "2"]].concat(), "a CPU for each of 2 threads");
    for cpu in ["1000", "100000"] {
        refuses(
            &[&SMALL[..], &["--pin", cpu]].concat(),
            &format!("--pin: found {cpu}; expected CPUs that this process"),
        );
    }
}

#[test]
fn models_agree_with_the_reference() {
    let args = ["compare", "model", "--arch", "bert-mini", "--batch", "2", "--seq", "5,9", "--rounds", "2", "--json"];
    let rows = rows(run(&[&args[..], &["--engines", "lacuna", "--sparsity", "0,0.9"]].concat()));
    assert_eq!(rows.len(), 12);
    for row in &rows {
        assert_eq!(row["agrees"], true, "{row}");
        assert!(number(row, "error") < if row["dtype"] == "f32" { 1e-6 } else { 0.02 }, "{row}");
        let rate = 2.0 / (number(row, "median_us") * 1e-6);
        assert!((number(row, "sequences_per_s") / rate - 1.0).abs() < 1e-9, "{row}");
        assert!((number(row, "tokens_per_s") / rate / number(row, "seq") - 1.0).abs() < 1e-9, "{row}");
        assert_eq!((row["model"].as_str(), row["batch"].as_u64()), (Some("bert-mini"), Some(2)));
    }
}

#[test]
fn an_int8_engine_that_is_not_good_enough_is_marked_and_not_timed() {
    let args = ["compare", "model", "--arch", "bert-mini", "--seq", "7", "--rounds", "2", "--engines", "lacuna"];
    let output = run(&[&args[..], &["--min-cosine", "1", "--json"]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let marked = row(&rows, "lacuna");
    assert_eq!((&marked["agrees"], &marked["median_us"]), (&Value::Bool(false), &Value::Null));
    assert!(note(marked).contains("expected at least 1") && keys(&marked["ratios"]).is_empty(), "{marked}");
    let reference = row(&rows, "lacuna-f32");
    assert!(reference["median_us"].is_number() && keys(&reference["ratios"]).is_empty(), "{reference}");
    let table = run(&[&args[..], &["--min-cosine", "1"]].concat());
    assert!(String::from_utf8_lossy(&table.stdout).contains("DISAGREES"), "{table:?}");
}

#[test]
fn csv_and_page_have_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    let csv = stdout(run(&[&SMALL[..], &["--csv", "--html", page.to_str().unwrap()]].concat()));
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headers: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert!(headers.iter().any(|name| name == "ratio_to_lacuna-dense"), "{headers:?}");
    assert_eq!(reader.records().map(Result::unwrap).count(), 4);
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"), "{html:.200}");
    assert!(html.contains("lacuna compare kernels --m 36 --k 20") && html.contains("lacuna-dense"));
    assert!(!html.contains("http://") || html.matches("http://").count() == html.matches("http://www.w3.org/").count());
    let nowhere = dir.path().join("no/where.html");
    refuses(&[&SMALL[..], &["--html", nowhere.to_str().unwrap()]].concat(), "cannot create");
}

#[test]
fn the_sweep_finds_a_setting_and_says_how_to_measure_it_again() {
    let args =
        ["compare", "sweep", "--arch", "bert-mini", "--seq", "9", "--seconds", "0.05", "--engines", "lacuna-dense"];
    let points = rows(run(&[&args[..], &["--limit-ms", "10000", "--batch", "1,3", "--json"]].concat()));
    let best: Vec<&Value> = points.iter().filter(|point| point["best"] == true).collect();
    assert_eq!(best.len(), 1, "{points:?}");
    assert!(number(best[0], "latency_ms") >= number(best[0], "latency_median_ms"));
    assert!(points.iter().all(|point| number(point, "sequences_per_s") <= number(best[0], "sequences_per_s")));
    let command = best[0]["command"].as_str().unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).chain(["--json"]).collect();
    let again = rows(run(&words));
    assert_eq!(again.len(), 1, "{again:?}");
    for key in ["engine", "batch", "threads", "instances", "seq", "sparsity", "command"] {
        assert_eq!(again[0][key], best[0][key]);
    }
    // Nothing is that fast.
    let table = stdout(run(&[&args[..], &["--limit-ms", "0.000001"]].concat()));
    assert!(table.contains("none: lacuna-dense: no setting within the limit; the fastest took"), "{table}");
    refuses(&[&args[..], &["--threads", "512", "--instances", "512"]].concat(), "--threads: found 512");
}

#[test]
fn engines_are_listed_with_how_to_get_them() {
    let text =
        stdout(lacuna(&["compare", "engines", "--json"]).env("LACUNA_ONEDNN", "/no/such/file").output().unwrap());
    let lines: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(row(&lines, "lacuna")["available"], true);
    let absent = row(&lines, "onednn-int8");
    assert_eq!(absent["available"], false);
    assert!(absent["reason"].as_str().unwrap().contains("/no/such/file"), "{absent}");
    assert!(stdout(run(&["compare", "engines"])).contains("lacuna-intrinsics"));
}

#[test]
fn a_library_that_is_none_is_one_line_and_a_failure_after_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("libdnnl.so.3");
    std::fs::write(&text, "not a library").unwrap();
    let mut cases = vec![(text.to_str().unwrap().to_owned(), "cannot load")];
    if let Some(libm) = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/libm.so.6"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
    {
        cases.push((libm.to_owned(), "found no symbol"));
    } else {
        println!("skipped: a shared library that is another; found no libm.so.6");
    }
    for (file, expected) in cases {
        let args = ["--engines", "lacuna-dense,onednn", "--onednn", &file, "--json"];
        let output = run(&[SHAPE, &args].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("absent: onednn-int8") && stderr.contains(expected), "{stderr}");
        assert!(stderr.contains("asked for, but not measured: onednn-int8"), "{stderr}");
        assert_eq!(output.status.code(), Some(1));
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(rows.len(), 1);
    }
}

#[test]
fn what_is_named_and_not_there_is_refused() {
    let missing = ["--onednn", "/no/such/file"];
    refuses(&[SHAPE, &["--engines", "onednn"], &missing[..]].concat(), "/no/such/file");
    refuses(
        &[SHAPE, &["--engines", "lacuna-dense,onednn-f32"], &missing[..]].concat(),
        "onednn-f32, which is not there",
    );
    refuses(&[SHAPE, &missing[..]].concat(), "/no/such/file");
    refuses(&[SHAPE, &["--engines", "lacuna-dense,candle"]].concat(), "takes part in this comparison");
    refuses(&[SHAPE, &["--engines", "lacuna-dense,onnxruntime-qdq"]].concat(), "takes part in this comparison");
    let model = ["compare", "model", "--arch", "bert-mini", "--seq", "5"];
    refuses(
        &[&model[..], &["--engines", "lacuna", "--onnx", "onnxruntime-f32=/no/such.onnx"]].concat(),
        "--onnx: found onnxruntime-f32; expected an engine that takes part",
    );
    // Without a name, what is not there is only listed.
    let rows = rows(lacuna(&[SHAPE, &["--json"]].concat()).env("LACUNA_ONEDNN", "/no/such/file").output().unwrap());
    assert!(rows.iter().all(|row| row["engine"] != "onednn-int8"));
}

#[test]
fn wrong_options_are_refused_before_anything_runs() {
    refuses(&[SHAPE, &["--engines", "tensorflow"]].concat(), "unknown engine");
    refuses(&[&SMALL[..], &["--rounds", "0"]].concat(), "at least 1");
    refuses(&[&SMALL[..], &["--budget", "-1"]].concat(), "above 0");
    refuses(&["compare", "model"], "--model <DIR>");
    refuses(&["compare", "model", "--arch", "bert-mini", "--seq", "513"], "1 to 512");
    refuses(&["compare", "model", "--model", "/no/such/dir"], "/no/such/dir");
    refuses(&["compare", "sweep", "--arch", "bert-mini", "--percentile", "3"], "50 to 100");
    refuses(&["demo", "--threads", "1,2"], "only compare takes a list");
}

/// A comparison that goes on for long, and its workers.
struct Long(Child);

impl Long {
    fn start() -> Long {
        let args =
            ["compare", "kernels", "--m", "36", "--k", "20", "--n", "19", "--rounds", "100000", "--budget", "600"];
        let mut command = lacuna(&[&args[..], &["--engines", "lacuna-dense,lacuna-f32", "--json"]].concat());
        Long(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Process ids of the workers, once there are two and both are at work.
    fn workers(&self) -> Vec<String> {
        let path = format!("/proc/{0}/task/{0}/children", self.0.id());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            let children = std::fs::read_to_string(&path).unwrap_or_default();
            let ids: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
            if ids.len() == 2 {
                std::thread::sleep(Duration::from_secs(2));
                return ids;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no workers in {path}");
    }

    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.0.wait().unwrap().code(), out, err)
    }
}

fn signal(signal: &str, process: &str) {
    assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
}

fn can_signal() -> bool {
    let can = cfg!(target_os = "linux") && Command::new("kill").arg("-l").output().is_ok();
    if !can {
        println!("skipped: needs Linux and the kill command");
    }
    can
}

#[test]
fn ctrl_c_prints_what_was_measured() {
    if !can_signal() {
        return;
    }
    let long = Long::start();
    let workers = long.workers();
    signal("-INT", &long.0.id().to_string());
    let (status, out, err) = long.end();
    assert_eq!(status, Some(130), "{err}");
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| number(row, "median_us") > 0.0 && number(row, "samples") > 0.0), "{rows:?}");
    assert!(err.contains("interrupted"), "{err}");
    for worker in workers {
        assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists(), "worker {worker} is still there");
    }
}

#[test]
fn a_worker_that_dies_is_a_note_and_the_others_go_on() {
    if !can_signal() {
        return;
    }
    let long = Long::start();
    let workers = long.workers();
    signal("-KILL", &workers[0]);
    std::thread::sleep(Duration::from_secs(1));
    signal("-INT", &long.0.id().to_string());
    let (_, out, err) = long.end();
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} {err}"));
    let lost: Vec<&Value> = rows.iter().filter(|row| note(row).contains("its process ended")).collect();
    assert_eq!(lost.len(), 1, "{rows:?}");
    assert!(note(lost[0]).contains("signal: 9") && lost[0]["median_us"].is_null(), "{}", lost[0]);
    assert!(rows.iter().any(|row| row["median_us"].is_number()), "{rows:?}");
}

#[test]
fn a_worker_understands_only_requests() {
    let output = crate::run_with(&["compare", "worker", "--engine", "lacuna-dense"], b"hello\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected a request"), "{output:?}");
    let output = crate::run_with(&["compare", "worker", "--engine", "lacuna-dense"], b"{\"Sample\":{\"count\":1}}\n");
    assert!(String::from_utf8_lossy(&output.stdout).contains("nothing is ready to run"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

/// As `nohup` starts commands, and shells those in the background.
#[test]
fn it_runs_where_ctrl_c_is_ignored() {
    if !can_signal() {
        return;
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' INT; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_lacuna")]);
    let output = shell.args(SHAPE).args(["--engines", "lacuna-dense", "--rounds", "2", "--json"]).output().unwrap();
    assert_eq!(rows(output).len(), 1);
}
