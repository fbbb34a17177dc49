//! `lacuna bench`.

use serde_json::Value;

use crate::{generates_code, keys, refuses, run, stdout};

const KEYS: [&str; 17] = [
    "kernel",
    "name",
    "m",
    "k",
    "n",
    "block",
    "sparsity",
    "threads",
    "tier",
    "median_us",
    "gops_dense_equivalent",
    "gops_nonzero",
    "peak_gops",
    "fraction_of_peak",
    "code_bytes",
    "emit_us",
    "plan",
];

/// The rows of `bench ARGS --json`.
fn rows(args: &[&str]) -> Vec<Value> {
    let text = stdout(run(&[&["bench"], args, &["--json", "--repeats", "5"]].concat()));
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    for row in &rows {
        let mut expected = KEYS;
        expected.sort_unstable();
        assert_eq!(keys(row), expected);
    }
    rows
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"))
}

#[test]
fn every_shape_is_a_row_with_consistent_figures() {
    let rows = rows(&["spmm", "--m", "64,17", "--k", "40", "--n", "16,70", "--sparsity", "0.75,0.5"]);
    let shapes: Vec<_> = rows.iter().map(|r| (number(r, "m"), number(r, "sparsity"), number(r, "n"))).collect();
    let expected = [64.0, 17.0]
        .into_iter()
        .flat_map(|m| [0.75, 0.5].into_iter().flat_map(move |s| [16.0, 70.0].into_iter().map(move |n| (m, s, n))));
    assert_eq!(shapes, expected.collect::<Vec<_>>());
    for row in &rows {
        assert_eq!((&row["kernel"], &row["block"], &row["threads"]), (&"spmm".into(), &"4x1".into(), &1.into()));
        let operations = 2.0 * number(row, "m") * number(row, "k") * number(row, "n");
        let gops = operations / number(row, "median_us") / 1e3;
        assert!((number(row, "gops_dense_equivalent") / gops - 1.0).abs() < 1e-9, "{row}");
        let density = number(row, "gops_nonzero") / number(row, "gops_dense_equivalent");
        assert!((density - (1.0 - number(row, "sparsity"))).abs() < 0.1, "{row}");
        assert!(
            row["plan"].as_str().is_some_and(|plan| plan.starts_with("stream form") && !plan.contains('\n')),
            "{row}"
        );
        if generates_code() {
            let fraction = number(row, "gops_nonzero") / number(row, "peak_gops");
            assert!((number(row, "fraction_of_peak") / fraction - 1.0).abs() < 1e-9, "{row}");
            assert!(number(row, "code_bytes") > 0.0 && number(row, "emit_us") > 0.0, "{row}");
        }
    }
}

#[test]
fn every_epilogue_is_checked_and_timed_for_both_kernels() {
    for kernel in ["spmm", "gemm"] {
        for epilogue in ["requant-s8-vnni", "gelu", "f32", "f32-residual", "gelu-f32-residual"] {
            let rows = rows(&[kernel, "--m", "13", "--k", "9", "--n", "33", "--epilogue", epilogue]);
            assert_eq!(rows.len(), 1);
            assert!(rows[0]["name"].as_str().unwrap().contains(epilogue), "{}", rows[0]);
            assert!(number(&rows[0], "median_us") > 0.0);
        }
    }
}

#[test]
fn tiers_without_code_have_no_peak() {
    for kernel in ["spmm", "gemm"] {
        let rows = rows(&[kernel, "--m", "8", "--k", "8", "--n", "5", "--tier", "portable"]);
        assert_eq!(rows[0]["tier"], "portable");
        assert_eq!((&rows[0]["peak_gops"], &rows[0]["fraction_of_peak"]), (&Value::Null, &Value::Null));
        assert_eq!(rows[0]["code_bytes"], 0);
    }
    assert!(stdout(run(&["bench", "peak", "--tier", "portable"])).contains("- GOP/s"));
    assert!(stdout(run(&["bench", "emit", "--tier", "portable"])).contains("no code is generated"));
    let table = stdout(run(&["bench", "spmm", "--m", "8", "--k", "8", "--n", "5", "--tier", "portable"]));
    assert!(table.contains("of peak") && table.contains(" - "), "{table}");
}

#[test]
fn csv_has_the_columns_of_json() {
    let text = stdout(run(&["bench", "gemm", "--m", "8", "--k", "8,12", "--n", "5", "--repeats", "3", "--csv"]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], KEYS.join(","));
    assert_eq!(lines.len(), 3);
    assert!(lines[2].starts_with("gemm,gemm-u8s8-"), "{text}");
}

#[test]
fn several_threads_compare_with_as_many_peaks() {
    let row = &rows(&["spmm", "--m", "64", "--k", "64", "--n", "256", "--threads", "2"])[0];
    assert_eq!(row["threads"], 2);
}

#[test]
fn code_emission_is_counted_in_instructions() {
    if !generates_code() {
        return;
    }
    let text = stdout(run(&["bench", "emit", "--hidden", "64", "--repeats", "3", "--json"]));
    let report: Value = serde_json::from_str(&text).unwrap();
    let kernels = report["kernels"].as_array().unwrap();
    assert!(kernels.len() > 10);
    let sum: u64 = kernels.iter().map(|kernel| kernel["instructions"].as_u64().unwrap()).sum();
    assert_eq!(report["total"]["instructions"], sum);
    assert!(number(&report["total"], "million_instructions_per_second") > 0.0);
}

#[test]
fn models_are_measured_three_ways() {
    let args = ["bench", "model", "--preset", "bert-mini", "--batch", "2", "--seq", "3,5", "--json"];
    let rows: Vec<Value> = serde_json::from_str(&stdout(run(&args))).unwrap();
    assert_eq!(rows.iter().map(|row| number(row, "seq")).collect::<Vec<_>>(), [3.0, 5.0]);
    for row in &rows {
        let ratio = number(row, "dense_int8_ms") / number(row, "sparse_int8_ms");
        assert!((number(row, "speedup_over_dense") / ratio - 1.0).abs() < 1e-9, "{row}");
    }
}

#[test]
fn impossible_benchmarks_are_refused() {
    refuses(&["bench", "spmm", "--m", "0"], "spmm: M is 0");
    refuses(&["bench", "gemm", "--k", "0"], "gemm: K is 0");
    refuses(&["bench", "gemm", "--n", "0"], "gemm: N is 0");
    refuses(&["bench", "spmm", "--k", "65794", "--m", "1"], "K is 65794");
    refuses(&["bench", "spmm", "--m", "4000000", "--k", "1000"], "4000000 x 1000");
    refuses(&["bench", "spmm", "--n", "99999999999"], "99999999999 tokens");
    refuses(&["bench", "spmm", "--n", "-3"], "error");
    refuses(&["bench", "spmm", "--block", "1x4"], "no spmm kernel for block shape 1x4");
    refuses(&["bench", "spmm", "--block", "5x5"], "unknown block shape");
    refuses(&["bench", "spmm", "--epilogue", "relu"], "unknown epilogue");
    refuses(&["bench", "spmm", "--grid", "huge"], "paper");
    refuses(&["bench", "spmm", "--grid", "paper", "--m", "8"], "cannot be used with");
    refuses(&["bench", "spmm", "--repeats", "0"], "at least 1");
    refuses(&["bench", "model"], "--model <DIR>");
    refuses(&["bench", "model", "--preset", "minilm", "--seq", "513"], "1 to 512");
    refuses(&["bench", "model", "--preset", "minilm", "--batch", "100000"], "tokens");
    refuses(&["bench", "model", "--model", "/does/not/exist"], "config.json");
}
