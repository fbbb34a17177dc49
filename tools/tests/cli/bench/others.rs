//! Attention and the row kernels.

use lacuna_jit::{Avx512Bf16, Isa, Tier};
use serde_json::Value;

use super::{number, rows};
use crate::{generates_avx512, generates_code, keys, refuses, run, stdout};

/// What all kernels report.
const COMMON: [&str; 11] = [
    "kernel",
    "name",
    "threads",
    "caches",
    "tier",
    "median_us",
    "best_us",
    "spread",
    "samples",
    "code_bytes",
    "emit_us",
];

/// What row kernels report beside.
const ROW_KEYS: [&str; 10] = [
    "features",
    "tokens",
    "output",
    "ps_per_element",
    "gb_per_s",
    "gflops",
    "bandwidth_gb_per_s",
    "fma_gflops",
    "fraction_of_limit",
    "limit",
];

#[track_caller]
fn assert_keys(row: &Value, more: &[&str]) {
    let mut expected = [&COMMON, more].concat();
    expected.sort_unstable();
    assert_eq!(keys(row), expected);
}

/// Every row kernel with every variant.
const ROW_KERNELS: [&[&str]; 20] = [
    &["layernorm"],
    &["layernorm", "--output", "f32"],
    &["layernorm", "--output", "panel", "--layout", "vnni"],
    &["layernorm", "--layout", "vnni"],
    &["softmax"],
    &["gelu"],
    &["gelu", "--tanh"],
    &["quantize"],
    &["quantize", "--signed"],
    &["quantize", "--layout", "vnni"],
    &["quantize", "--activation", "gelu"],
    &["quantize", "--activation", "gelutanh", "--signed", "--layout", "vnni"],
    &["quantize", "--activation", "relu"],
    &["token-quant"],
    &["token-quant", "--layout", "vnni"],
    &["token-rescale"],
    &["token-rescale", "--output", "f32", "--activation", "gelu"],
    &["token-rescale", "--output", "panel", "--signed"],
    &["token-rescale", "--output", "panel", "--activation", "gelutanh", "--layout", "vnni"],
    &["embedding", "--vocabulary", "50"],
];

#[test]
fn every_row_kernel_is_checked_and_timed() {
    for tier in ["portable", "avx512vnni"] {
        if tier != "portable" && !generates_avx512() {
            continue;
        }
        for kernel in ROW_KERNELS {
            let rows = rows(&[kernel, &["--features", "13,64", "--tokens", "7,70", "--tier", tier]].concat());
            let shapes: Vec<_> = rows.iter().map(|row| (number(row, "features"), number(row, "tokens"))).collect();
            assert_eq!(shapes, [(13.0, 7.0), (13.0, 70.0), (64.0, 7.0), (64.0, 70.0)]);
            for row in &rows {
                assert_keys(row, &ROW_KEYS);
                assert_eq!(
                    (&row["kernel"], &row["tier"], &row["samples"]),
                    (
                        &(if kernel.contains(&"--tanh") { "gelutanh" } else { kernel[0] }).into(),
                        &tier.into(),
                        &5.into()
                    )
                );
                assert_eq!(number(row, "code_bytes") > 0.0, tier != "portable", "{row}");
                let elements = number(row, "features") * number(row, "tokens");
                let picoseconds = number(row, "median_us") * 1e6 / elements;
                assert!((number(row, "ps_per_element") / picoseconds - 1.0).abs() < 1e-9, "{row}");
                // Whole bytes per element: what is read and written.
                let bytes = number(row, "gb_per_s") * picoseconds * 1e-3;
                assert!((bytes - bytes.round()).abs() < 1e-6 && (5.0..=12.0).contains(&bytes.round()), "{row}");
                if tier == "portable" {
                    assert_eq!((&row["limit"], &row["fraction_of_limit"]), (&Value::Null, &Value::Null));
                    continue;
                }
                let memory = number(row, "gb_per_s") / number(row, "bandwidth_gb_per_s");
                let arithmetic = number(row, "gflops") / number(row, "fma_gflops");
                let binds = if arithmetic > memory { "fma" } else { "bandwidth" };
                assert_eq!(row["limit"], binds);
                assert!((number(row, "fraction_of_limit") / memory.max(arithmetic) - 1.0).abs() < 1e-9, "{row}");
            }
        }
    }
}

#[test]
fn attention_is_checked_and_timed() {
    for tier in ["portable", "avx512vnni"] {
        if tier != "portable" && !generates_avx512() {
            continue;
        }
        for layout in ["plain", "vnni"] {
            let shape = ["attention", "--seq", "5,70", "--batch", "1,3", "--heads", "3", "--head-size", "8,32"];
            let rows = rows(&[&shape[..], &["--layout", layout, "--tier", tier]].concat());
            assert_eq!(rows.len(), 8);
            for row in &rows {
                let own = ["seq", "batch", "heads", "head_size", "output", "gops", "peak_gops", "fraction_of_peak"];
                assert_keys(row, &own);
                assert_eq!(
                    (&row["kernel"], &row["output"], &row["heads"]),
                    (&"attention".into(), &layout.into(), &3.into())
                );
                let [seq, batch, head_size] = ["seq", "batch", "head_size"].map(|key| number(row, key));
                let gops = 4.0 * batch * seq * seq * 3.0 * head_size / number(row, "median_us") / 1e3;
                assert!((number(row, "gops") / gops - 1.0).abs() < 1e-9, "{row}");
                match tier {
                    "portable" => assert_eq!(row["fraction_of_peak"], Value::Null),
                    _ => assert!(number(row, "fraction_of_peak") > 0.0),
                }
            }
        }
    }
}

#[test]
fn limits_of_the_machine() {
    let report: Value = serde_json::from_str(&stdout(run(&["bench", "peak", "--json"]))).unwrap();
    let limits = report["limits"].as_array().unwrap();
    assert_eq!(report["peak_gops"], limits[0]["best"]);
    let best = |name: &str, bytes: Option<u64>| {
        let limit = limits.iter().find(|limit| limit["name"] == name && limit["bytes"].as_u64() == bytes).unwrap();
        assert!(limit["best"].is_null() || number(limit, "best") >= number(limit, "median"), "{limit}");
        limit["best"].as_f64()
    };
    let isa = Isa::for_tier(Tier::select(None).unwrap());
    let dots = if matches!(isa, Isa::Avx2(token) if !token.vnni()) { "vpmaddwd" } else { "vpdpbusd" };
    assert_eq!(best(dots, None).is_some(), generates_code());
    for (name, bytes) in [("vfmadd231ps", None), ("load", Some(16 << 10)), ("update", Some(256 << 10))] {
        assert_eq!(best(name, bytes).is_some(), generates_avx512(), "{name}");
    }
    assert_eq!(best("vdpbf16ps", None).is_some(), generates_avx512() && Avx512Bf16::detect().is_some());
    let table = stdout(run(&["bench", "peak"]));
    assert!(table.contains(dots) && table.contains("GOP/s") && table.contains("262.1 KB"), "{table}");
}

#[test]
fn all_of_them_have_threads_cold_caches_baselines_and_csv() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("before.json").display().to_string();
    for command in
        [&["attention", "--seq", "9", "--heads", "2", "--head-size", "16"][..], &["softmax", "--features", "9"]]
    {
        let with = |more: &[&str]| stdout(run(&[&["bench"], command, &["--repeats", "3"], more].concat()));
        let json = with(&["--threads", "2", "--cold", "--json"]);
        std::fs::write(&path, &json).unwrap();
        let before: Vec<Value> = serde_json::from_str(&json).unwrap();
        assert_eq!((&before[0]["threads"], &before[0]["caches"]), (&2.into(), &"cold".into()));
        let now = with(&["--threads", "2", "--cold", "--json", "--baseline", &path]);
        let now: Vec<Value> = serde_json::from_str(&now).unwrap();
        assert!(number(&now[0], "ratio_to_baseline") > 0.0);
        assert!(with(&["--threads", "2", "--baseline", &path]).contains("no match"));
        let csv = with(&["--csv"]);
        let [header, row] = csv.lines().collect::<Vec<_>>()[..] else { panic!("{csv}") };
        assert!(header.starts_with("kernel,name,") && row.starts_with(command[0]), "{csv}");
        assert_eq!(header.split(',').count(), row.split(',').count());
        let table = with(&[]);
        assert!(table.contains("1 thread, hot weights and activations, medians of 3 samples"), "{table}");
    }
}

#[test]
fn impossible_shapes_are_refused() {
    refuses(&["bench", "softmax", "--features", "0"], "at least 1");
    refuses(&["bench", "softmax", "--tokens", "0"], "at least 1");
    refuses(&["bench", "softmax", "--tokens", "99999999999"], "99999999999 tokens of 768 features");
    refuses(&["bench", "gelu", "--features", "2000000", "--tokens", "1"], "number of features is 2000000");
    refuses(&["bench", "layernorm", "--output", "s8"], "f32, panel, both");
    refuses(&["bench", "quantize", "--layout", "tiled"], "plain, vnni");
    refuses(&["bench", "quantize", "--activation", "swish"], "expected relu, gelu, gelutanh");
    refuses(&["bench", "embedding", "--vocabulary", "0"], "number of words is 0");
    refuses(&["bench", "embedding", "--vocabulary", "4000000000"], "4000000000 rows of 768 features");
    refuses(&["bench", "attention", "--head-size", "0"], "at least 1");
    refuses(&["bench", "attention", "--head-size", "7"], "head size");
    refuses(&["bench", "attention", "--seq", "99999999"], "99999999 tokens of 12 x 64 features");
    refuses(&["bench", "attention", "--batch", "1,99999999"], "99999999 x 128 tokens");
    refuses(&["bench", "attention", "--baseline", "/does/not/exist"], "cannot read");
}
