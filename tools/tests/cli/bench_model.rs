//! `lacuna bench model`.

use serde_json::Value;

use crate::{keys, refuses, run, stdout};

const STAGES: [&str; 9] =
    ["embedding_us", "qkv_us", "attention_us", "o_us", "up_us", "down_us", "layernorm_us", "pooling_us", "other_us"];
const OTHERS: [&str; 17] = [
    "kernel",
    "name",
    "batch",
    "seq",
    "sparsity",
    "threads",
    "caches",
    "tier",
    "precision",
    "activation_bits",
    "median_us",
    "median_ms",
    "best_us",
    "spread",
    "samples",
    "sequences_per_s",
    "tokens_per_s",
];

fn bench(args: &[&str]) -> Vec<Value> {
    let common = ["bench", "model", "--arch", "bert-mini", "--repeats", "5", "--json"];
    serde_json::from_str(&stdout(run(&[&common, args].concat()))).unwrap()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"))
}

/// Everything a row says follows from its median: rates, and stages that sum to it.
fn check(row: &Value, extra: &[&str]) {
    let mut expected = [&STAGES[..], &OTHERS, &["instrumented_us"], extra].concat();
    expected.sort_unstable();
    assert_eq!(keys(row), expected);
    let median = number(row, "median_us");
    let sum: f64 = STAGES.iter().map(|stage| number(row, stage)).sum();
    assert!((sum / median - 1.0).abs() < 1e-9, "{row}");
    assert!(STAGES.iter().all(|stage| number(row, stage) >= 0.0), "{row}");
    assert!(number(row, "up_us") > 0.0 && number(row, "attention_us") > 0.0, "{row}");
    let sequences = number(row, "batch") / (median * 1e-6);
    assert!((number(row, "sequences_per_s") / sequences - 1.0).abs() < 1e-9, "{row}");
    assert!((number(row, "tokens_per_s") / sequences / number(row, "seq") - 1.0).abs() < 1e-9, "{row}");
    assert_eq!(number(row, "samples"), 5.0);
}

#[test]
fn stages_sum_to_the_time_of_the_batch() {
    let rows = bench(&["--batch", "1,3", "--seq", "3,70"]);
    let shapes: Vec<_> = rows.iter().map(|row| (number(row, "batch"), number(row, "seq"))).collect();
    assert_eq!(shapes, [(1.0, 3.0), (1.0, 70.0), (3.0, 3.0), (3.0, 70.0)]);
    for row in &rows {
        check(row, &[]);
        assert_eq!(
            (&row["kernel"], &row["name"], &row["caches"]),
            (&"model".into(), &"bert-mini".into(), &"hot".into())
        );
    }
}

#[test]
fn every_sparsity_has_its_rows() {
    let rows = bench(&["--seq", "4,9", "--sparsity", "0.5,0,0.9"]);
    let settings: Vec<_> = rows.iter().map(|row| (number(row, "sparsity"), number(row, "seq"))).collect();
    assert_eq!(settings, [(0.5, 4.0), (0.5, 9.0), (0.0, 4.0), (0.0, 9.0), (0.9, 4.0), (0.9, 9.0)]);
    rows.iter().for_each(|row| check(row, &[]));
    let args = ["bench", "model", "--arch", "bert-mini", "--repeats", "2", "--seq", "4", "--sparsity", "0.5,0.9"];
    let table = stdout(run(&args));
    assert!(table.contains("50.0 %") && table.contains("90.0 %"), "{table}");
    assert_eq!(table.matches("seq/s").count(), 1, "{table}");
    refuses(&["bench", "model", "--arch", "bert-mini", "--sparsity", "0.5,1"], "0 <= sparsity < 1");
}

#[test]
fn other_ways_are_measured_beside() {
    let rows = bench(&["--seq", "9", "--dense", "--f32", "--threads", "2"]);
    check(&rows[0], &["dense_int8_ms", "speedup_over_dense", "f32_ms", "speedup_over_f32"]);
    assert_eq!(rows[0]["threads"], 2);
    for (time, ratio) in [("dense_int8_ms", "speedup_over_dense"), ("f32_ms", "speedup_over_f32")] {
        let expected = number(&rows[0], time) / number(&rows[0], "median_ms");
        assert!((number(&rows[0], ratio) / expected - 1.0).abs() < 1e-9, "{}", rows[0]);
    }
}

#[test]
fn every_arithmetic_is_measured() {
    for precision in ["static", "dynamic", "f32"] {
        let rows = bench(&["--seq", "9", "--precision", precision]);
        check(&rows[0], &[]);
        assert_eq!(rows[0]["precision"], precision);
    }
    refuses(&["bench", "model", "--arch", "minilm", "--precision", "int4"], "static, dynamic, bf16, f32");
}

#[test]
fn caches_may_be_cold_and_runs_compared() {
    let dir = tempfile::tempdir().unwrap();
    let before = dir.path().join("before.json");
    let args = ["bench", "model", "--preset", "bert-mini", "--seq", "8", "--repeats", "5", "--cold"];
    std::fs::write(&before, stdout(run(&[&args[..], &["--json"]].concat()))).unwrap();
    let rows = bench(&["--seq", "8", "--cold", "--baseline", before.to_str().unwrap()]);
    check(&rows[0], &["baseline_us", "ratio_to_baseline"]);
    assert_eq!(rows[0]["caches"], "cold");
    assert!(number(&rows[0], "ratio_to_baseline") > 0.0);
    let table = stdout(run(&args));
    assert!(table.contains("seq/s") && table.contains("bert-mini") && table.contains("cold"), "{table}");
}

#[test]
fn impossible_models_are_refused() {
    refuses(&["bench", "model"], "--model <DIR>");
    refuses(&["bench", "model", "--arch", "gpt"], "bert-mini");
    refuses(&["bench", "model", "--arch", "minilm", "--model", "x"], "cannot be used with");
    refuses(&["bench", "model", "--arch", "minilm", "--seq", "513"], "1 to 512");
    refuses(&["bench", "model", "--arch", "minilm", "--batch", "100000"], "tokens");
    refuses(&["bench", "model", "--model", "/does/not/exist"], "config.json");
}

#[test]
fn chosen_schedules_are_kept_in_a_file_and_stale_ones_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tuning.json");
    let file = path.to_str().unwrap();
    let read = || -> Value { serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap() };
    bench(&["--seq", "3", "--tune", "1", "--tuning", file]);
    let first = read();
    assert!(!first["choices"].as_object().unwrap().is_empty(), "{first}");
    bench(&["--seq", "3", "--tuning", file]);
    assert_eq!(read(), first);

    let mut stale = first;
    stale["cpu"] = "another".into();
    std::fs::write(&path, stale.to_string()).unwrap();
    refuses(&["bench", "model", "--arch", "bert-mini", "--tuning", file], "made for CPU another");
    std::fs::write(&path, "{").unwrap();
    refuses(&["bench", "model", "--arch", "bert-mini", "--tuning", file], "not a tuning table");
    refuses(&["bench", "model", "--arch", "bert-mini", "--tune", "0"], "at least 1");
}

#[test]
fn lengths_are_measured_beside_padding() {
    let args = ["bench", "lengths", "--arch", "bert-mini", "--sequences", "3,8", "--lengths", "2-9", "--repeats", "5"];
    let rows: Vec<Value> =
        serde_json::from_str(&stdout(run(&[&args[..], &["--json", "--seed", "7"]].concat()))).unwrap();
    assert_eq!(rows.iter().map(|row| number(row, "batch")).collect::<Vec<_>>(), [3.0, 8.0]);
    for row in &rows {
        let (tokens, padded, longest) =
            (number(row, "tokens"), number(row, "padded_tokens"), number(row, "longest_tokens"));
        let batch = number(row, "batch");
        assert!(tokens >= 2.0 * batch && tokens <= padded && padded == batch * longest && longest <= 9.0, "{row}");
        assert_eq!(number(row, "tokens_over_padded"), tokens / padded);
        assert!((number(row, "us_per_token") - number(row, "median_us") / tokens).abs() < 1e-9, "{row}");
        for key in
            ["padded_ms", "equal_ms", "one_by_one_ms", "ratio_to_padded", "ratio_to_equal", "ratio_to_one_by_one"]
        {
            assert!(number(row, key) > 0.0, "{key}: {row}");
        }
        assert_eq!(number(row, "samples"), 5.0);
    }
    let table = stdout(run(&args));
    assert!(table.contains("of padded") && table.contains("us/token") && table.contains("bert-mini"), "{table}");
    refuses(&["bench", "lengths"], "--arch <ARCH>");
    refuses(&["bench", "lengths", "--arch", "minilm", "--lengths", "9-2"], "1 <= A <= B");
    refuses(&["bench", "lengths", "--arch", "minilm", "--lengths", "5-600"], "at most 512, the positions");
    refuses(&["bench", "lengths", "--arch", "minilm", "--sequences", "1000000"], "tokens in a batch");
}
