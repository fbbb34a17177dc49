//! `lacuna bench`.

#[path = "bench/others.rs"]
mod others;

use lacuna_jit::{Avx512Bf16, Features, MASK_VARIABLE, TIER_VARIABLE, Tier};
use serde_json::Value;

use crate::checkpoint::ModelDir;
use crate::{generates_avx512, generates_code, keys, lacuna, refusal, refuses, run, stdout};

/// The columns of SpMM and GEMM, in order.
const KEYS: [&str; 27] = [
    "kernel",
    "name",
    "m",
    "k",
    "n",
    "block",
    "dtype",
    "epilogue",
    "sparsity",
    "threads",
    "caches",
    "tier",
    "median_us",
    "best_us",
    "spread",
    "samples",
    "gops_dense_equivalent",
    "gops_nonzero",
    "peak_gops",
    "fraction_of_peak",
    "bound_gops",
    "fraction_of_bound",
    "bound_by",
    "code_bytes",
    "emit_us",
    "fill_ratio",
    "plan",
];

/// The rows of `bench ARGS --json`.
fn rows(args: &[&str]) -> Vec<Value> {
    let text = stdout(run(&[&["bench"], args, &["--json", "--repeats", "5"]].concat()));
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn assert_keys(row: &Value, more: &[&str]) {
    let mut expected = [&KEYS, more].concat();
    expected.sort_unstable();
    assert_eq!(keys(row), expected);
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
        assert_keys(row, &[]);
        assert_eq!((&row["caches"], &row["dtype"], &row["samples"]), (&"hot".into(), &"int8".into(), &5.into()));
        assert_eq!((&row["kernel"], &row["block"], &row["threads"]), (&"spmm".into(), &"4x1".into(), &1.into()));
        let operations = 2.0 * number(row, "m") * number(row, "k") * number(row, "n");
        let gops = operations / number(row, "median_us") / 1e3;
        assert!((number(row, "gops_dense_equivalent") / gops - 1.0).abs() < 1e-9, "{row}");
        let density = number(row, "gops_nonzero") / number(row, "gops_dense_equivalent");
        assert!((density - (1.0 - number(row, "sparsity"))).abs() < 0.1, "{row}");
        assert!(row["plan"].as_str().is_some_and(|plan| plan.starts_with("stream ") && !plan.contains('\n')), "{row}");
        if generates_code() {
            let fraction = number(row, "gops_nonzero") / number(row, "peak_gops");
            assert!((number(row, "fraction_of_peak") / fraction - 1.0).abs() < 1e-9, "{row}");
        }
        if generates_avx512() {
            // The bound is at most the peak; a call does more than its loops, so that it takes longer (if the machine's speed stays).
            assert!(number(row, "bound_gops") <= 1.001 * number(row, "peak_gops"), "{row}");
            let fraction = number(row, "gops_nonzero") / number(row, "bound_gops");
            assert!((number(row, "fraction_of_bound") / fraction - 1.0).abs() < 1e-9, "{row}");
            assert!(number(row, "fraction_of_bound") < 1.5 && row["bound_by"].is_string(), "{row}");
            assert!(number(row, "code_bytes") > 0.0 && number(row, "emit_us") > 0.0, "{row}");
        }
    }
}

#[test]
fn every_epilogue_is_checked_and_timed_for_both_kernels() {
    for kernel in ["spmm", "gemm"] {
        for epilogue in [
            "requant-s8-vnni",
            "requant16-u8-plain",
            "gelu",
            "gelu16-s8-plain",
            "f32",
            "f32-residual",
            "gelu-f32-residual",
            "relu",
            "relu-s8-vnni",
            "gelutanh",
            "gelutanh-u8-plain",
            "gelutanh-f32",
        ] {
            let rows = rows(&[kernel, "--m", "13", "--k", "9", "--n", "33", "--epilogue", epilogue]);
            assert_eq!(rows.len(), 1);
            assert!(rows[0]["name"].as_str().unwrap().contains(epilogue), "{}", rows[0]);
            assert!(number(&rows[0], "median_us") > 0.0);
        }
    }
}

#[test]
fn every_block_shape_has_its_own_zeros() {
    for block in ["4x1", "8x1", "16x1", "1x4", "4x4", "unstructured"] {
        let row = &rows(&["spmm", "--m", "48", "--k", "40", "--n", "70", "--sparsity", "0.75", "--block", block])[0];
        assert_eq!(row["block"], block);
        let density = number(row, "gops_nonzero") / number(row, "gops_dense_equivalent");
        assert!((density - 0.25).abs() < 0.05, "{row}");
        match block {
            "unstructured" => assert!(number(row, "fill_ratio") < 0.9, "{row}"),
            _ => assert_eq!(number(row, "fill_ratio"), 1.0, "{row}"),
        }
    }
    let table = stdout(run(&["bench", "spmm", "--m", "8", "--k", "8", "--n", "5", "--block", "unstructured"]));
    assert!(table.contains("fill"), "{table}");
}

#[test]
fn floats_are_checked_and_timed() {
    // Generated code for bf16 needs a CPU feature that the tier does not promise.
    let lacks_bf16 = generates_avx512() && Avx512Bf16::detect().is_none();
    for (dtype, block) in [("f32", "16x1"), ("bf16", "4x1")] {
        for epilogue in ["f32", "f32-residual", "bf16", "gelu-f32", "gelu", "relu", "gelutanh-f32-residual"] {
            for kernel in ["spmm", "gemm"] {
                let block = if kernel == "spmm" { &["--block", block][..] } else { &[] };
                let shape = [kernel, "--m", "17", "--k", "26", "--n", "33", "--dtype", dtype, "--epilogue", epilogue];
                let mut options = [&shape[..], block].concat();
                if lacks_bf16 && (dtype == "bf16" || epilogue == "bf16") {
                    refuses(&[&["bench"], &options[..]].concat(), "this CPU lacks avx512bf16");
                    options.extend(["--tier", "portable"]);
                }
                let row = &rows(&options)[0];
                assert_keys(row, &[]);
                assert_eq!(row["dtype"], dtype);
                assert!(number(row, "median_us") > 0.0, "{row}");
            }
        }
    }
    let row = &rows(&["spmm", "--m", "8", "--k", "8", "--n", "5", "--dtype", "f32", "--tier", "portable"])[0];
    assert_eq!((&row["epilogue"], &row["peak_gops"]), (&"f32".into(), &Value::Null));
}

#[test]
fn candidates_have_a_row_each() {
    let shape = ["--m", "40", "--k", "30", "--n", "20,70", "--candidates"];
    for kernel in [&["spmm"][..], &["spmm", "--block", "4x4"], &["spmm", "--dtype", "f32", "--block", "8x1"]] {
        let all = rows(&[kernel, &shape].concat());
        let picked = rows(&[kernel, &shape[..6]].concat());
        assert!(all.len() > 2 && picked.len() == 2);
        assert_eq!(all[0]["name"], picked[0]["name"]);
        let half = all.len() / 2;
        assert!(all.iter().all(|row| row["candidate"] == row["name"]) && picked[0]["candidate"] == Value::Null);
        let names: std::collections::HashSet<&str> =
            all[..half].iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), half);
        assert!(all[..half].iter().all(|row| row["n"] == 20) && all[half..].iter().all(|row| row["n"] == 70));
    }
    assert!(!rows(&[&["gemm"], &shape[..]].concat()).is_empty());

    let predicted = rows(&[&["spmm"], &shape[..]].concat());
    predicted.iter().for_each(|row| assert_keys(row, &["candidate", "predicted_cycles"]));
    assert!(predicted.iter().all(|row| number(row, "predicted_cycles") > 0.0));
    for tuning in ["rules", "fast", "measure"] {
        let picked = rows(&["spmm", "--m", "40", "--k", "30", "--n", "20", "--tuning", tuning]);
        assert!(predicted.iter().any(|row| row["n"] == 20 && row["name"] == picked[0]["name"]), "{}", picked[0]);
    }
    refuses(&["bench", "spmm", "--tuning", "fast", "--dtype", "f32"], "--tuning: found --dtype f32; expected int8");
}

#[test]
fn tiers_without_code_have_no_peak() {
    for kernel in ["spmm", "gemm"] {
        let rows = rows(&[kernel, "--m", "8", "--k", "8", "--n", "5", "--tier", "portable"]);
        assert_eq!(rows[0]["tier"], "portable");
        assert_eq!((&rows[0]["peak_gops"], &rows[0]["fraction_of_peak"]), (&Value::Null, &Value::Null));
        assert_eq!(rows[0]["code_bytes"], 0);
    }
    assert!(stdout(run(&["bench", "peak", "--tier", "portable"])).contains("vpdpbusd"));
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
fn cold_weights_come_from_memory() {
    // 1 MB of weights, most of them in cache when hot.
    let shape = ["gemm", "--m", "1024", "--k", "1024", "--n", "1"];
    let (hot, cold) = (rows(&shape), rows(&[&shape[..], &["--cold"]].concat()));
    assert_eq!((&hot[0]["caches"], &cold[0]["caches"]), (&"hot".into(), &"cold".into()));
    // With 256 bits and less this product is bound by arithmetic.
    if generates_avx512() {
        assert!(number(&cold[0], "median_us") > 1.2 * number(&hot[0], "median_us"), "{} {}", hot[0], cold[0]);
    }
    let table = stdout(run(&["bench", "gemm", "--m", "8", "--k", "8", "--n", "5", "--repeats", "3", "--cold"]));
    assert!(table.contains("cold weights and activations (") && table.contains("read before each sample)"), "{table}");
}

#[test]
fn intrinsics_are_measured_beside() {
    if !generates_avx512() {
        return;
    }
    let shape = ["spmm", "--m", "16,20", "--k", "24", "--n", "40", "--intrinsics"];
    for row in rows(&shape) {
        assert_keys(&row, &["intrinsics_us", "ratio_to_intrinsics"]);
        let ratio = number(&row, "intrinsics_us") / number(&row, "median_us");
        let pairs = number(&row, "ratio_to_intrinsics") / ratio; // close, but not the same: medians of pairs
        assert!((0.2..5.0).contains(&pairs), "{row}");
    }
    let table = stdout(run(&[&["bench"], &shape[..], &["--repeats", "3"]].concat()));
    assert!(
        table.contains("x intrinsics") && table.contains("time of intrinsics over this: geometric mean"),
        "{table}"
    );
    refuses(&["bench", "spmm", "--intrinsics", "--block", "8x1"], "found --block 8x1; expected 4x1 blocks");
    refuses(&["bench", "spmm", "--intrinsics", "--dtype", "f32"], "found --dtype f32; expected int8");
    refuses(&["bench", "spmm", "--intrinsics", "--threads", "2"], "--threads 2; expected one thread");
    refuses(&["bench", "spmm", "--intrinsics", "--epilogue", "gelu"], "found --epilogue gelu16-u8-plain; expected");
    refuses(&["bench", "spmm", "--intrinsics", "--tier", "portable"], "found tier portable; expected tier avx512vnni");
    refuses(&["bench", "gemm", "--intrinsics"], "unexpected argument '--intrinsics'");
}

#[test]
fn a_baseline_gives_ratios_to_the_rows_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let (file, path) = (dir.path().join("before.json"), dir.path().join("before.json").display().to_string());
    let shape = ["spmm", "--m", "16", "--k", "24", "--n", "40", "--sparsity", "0.7"];
    let before = stdout(run(&[&["bench"], &shape[..], &["--json", "--repeats", "5"]].concat()));
    std::fs::write(&file, &before).unwrap();
    let before: Vec<Value> = serde_json::from_str(&before).unwrap();

    let baseline = ["--baseline", &path];
    let now = rows(&[&["spmm", "--m", "16,20", "--k", "24", "--n", "40", "--sparsity", "0.7"], &baseline[..]].concat());
    now.iter().for_each(|row| assert_keys(row, &["baseline_us", "ratio_to_baseline"]));
    assert_eq!(now[0]["baseline_us"], before[0]["median_us"]);
    let ratio = number(&before[0], "median_us") / number(&now[0], "median_us");
    assert!((number(&now[0], "ratio_to_baseline") / ratio - 1.0).abs() < 1e-9);
    assert_eq!((&now[1]["baseline_us"], &now[1]["ratio_to_baseline"]), (&Value::Null, &Value::Null));

    let output =
        run(&[&["bench", "spmm", "--m", "16,20", "--k", "24", "--n", "40", "--repeats", "3"], &baseline[..]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no match for 2 of 2 rows")); // another sparsity
    let table = stdout(output);
    assert!(table.contains("x baseline") && table.contains("no match") && table.contains(&path), "{table}");
    let gemm = rows(&[&["gemm", "--m", "16", "--k", "24", "--n", "40"], &baseline[..]].concat());
    assert_eq!(gemm[0]["ratio_to_baseline"], Value::Null);
    let cold = rows(&[&shape[..], &baseline, &["--cold"]].concat());
    assert_eq!(cold[0]["ratio_to_baseline"], Value::Null);
}

#[test]
fn a_baseline_is_what_json_printed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x").display().to_string();
    let refuses = |expected: &str| refuses(&["bench", "spmm", "--baseline", &path], expected);
    refuses("cannot read");
    for (text, expected) in [
        ("", "no JSON array of objects"),
        ("{}", "no JSON array of objects"),
        ("[1]", "no JSON array of objects"),
        (r#"[{"median_us": 1.0}]"#, "kernel of row 1 is absent; expected what lacuna bench KERNEL --json printed"),
        (r#"[{"kernel": "spmm", "median_us": 1}, {"kernel": "spmm"}]"#, "median_us of row 2 is absent"),
        (r#"[{"kernel": "spmm", "median_us": 0}]"#, "median_us of row 1 is 0"),
    ] {
        std::fs::write(&path, text).unwrap();
        refuses(expected);
    }
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
fn impossible_benchmarks_are_refused() {
    refuses(&["bench", "spmm", "--m", "0"], "spmm: M is 0");
    refuses(&["bench", "gemm", "--k", "0"], "gemm: K is 0");
    refuses(&["bench", "gemm", "--n", "0"], "gemm: N is 0");
    refuses(&["bench", "spmm", "--k", "65794", "--m", "1"], "K is 65794");
    refuses(&["bench", "spmm", "--m", "4000000", "--k", "1000"], "4000000 x 1000");
    refuses(&["bench", "spmm", "--n", "99999999999"], "99999999999 tokens");
    refuses(&["bench", "spmm", "--n", "-3"], "error");
    refuses(&["bench", "spmm", "--block", "dense"], "no spmm kernel for block shape dense");
    refuses(&["bench", "spmm", "--dtype", "f32", "--block", "4x4"], "no float kernel for block shape 4x4");
    refuses(&["bench", "spmm", "--dtype", "int4"], "int8, bf16, f32");
    refuses(&["bench", "spmm", "--dtype", "f32", "--epilogue", "requant"], "found requant with --dtype f32; expected");
    refuses(&["bench", "spmm", "--epilogue", "bf16"], "found bf16 with --dtype int8; expected one of requant-u8-plain");
    refuses(&["bench", "spmm", "--block", "5x5"], "unknown block shape");
    refuses(&["bench", "spmm", "--epilogue", "swish"], "unknown epilogue");
    refuses(&["bench", "spmm", "--grid", "huge"], "paper, short");
    refuses(&["bench", "spmm", "--grid", "paper", "--m", "8"], "cannot be used with");
    refuses(&["bench", "spmm", "--repeats", "0"], "at least 1");
}

/// On the CPU that is left when features are masked.
#[test]
fn masked_features_are_not_used() {
    let with_mask = |mask: &str, args: &[&str]| lacuna(args).env(MASK_VARIABLE, mask).output().unwrap();
    let spmm = ["bench", "spmm", "--m", "8", "--k", "8", "--n", "5", "--repeats", "3", "--json"];
    let name = |mask: &str| {
        let rows: Vec<Value> = serde_json::from_str(&stdout(with_mask(mask, &spmm))).unwrap();
        rows[0]["name"].as_str().unwrap().to_owned()
    };
    // The best tier that is left. A tier or a mask that is set for all tests would hide it.
    let left = |without: Features| {
        let present = Features::detect().without(without.with_dependents());
        Tier::ALL.into_iter().rev().find(|tier| present.contains(tier.features())).unwrap()
    };
    if std::env::var_os(TIER_VARIABLE).is_none() && std::env::var_os(MASK_VARIABLE).is_none() {
        let expected = left(Features::AVX512_VNNI);
        assert!(name("avx512vnni").starts_with(&format!("spmm-u8s8-{expected}-")), "{expected}");
        assert!(name("fma,avx2").starts_with("spmm-u8s8-portable-"));
    }
    if generates_avx512() {
        assert!(name("avx512vbmi").starts_with("spmm-u8s8-avx512vnni-novbmi-"));
        let forced = refusal(with_mask("avx512bw", &[&spmm[..], &["--tier", "avx512vnni"]].concat()));
        assert!(forced.contains("this CPU provides") && forced.contains("avx512bw"), "{forced}");
        let report = |mask: &str| stdout(with_mask(mask, &["demo", "--tokens", "5", "--sparsity", "0.5", "--json"]));
        assert!(report("avx512vnni").contains("LACUNA_MASK_FEATURES masks avx512vnni: kernels are those of a CPU"));
        assert!(!report("").contains("LACUNA_MASK_FEATURES"));
    }
    let unknown = refusal(with_mask("avx512bf16,vbmi", &spmm));
    assert!(unknown.contains("unknown CPU feature \"vbmi\"") && unknown.contains("avx512vbmi"), "{unknown}");
}

#[test]
fn matrices_of_a_model_have_its_zeros() {
    let model = ModelDir::new();
    let folder = model.path();
    let all = rows(&["spmm", "--model", folder, "--n", "5"]);
    assert!(all.len() >= 6 && all.len().is_multiple_of(6), "{}", all.len());
    assert_eq!(all[0]["matrix"], "0.q");
    assert_keys(&all[0], &["matrix"]);
    for row in &all {
        let zero = 1.0 - number(row, "gops_nonzero") / number(row, "gops_dense_equivalent");
        assert!((zero - number(row, "sparsity")).abs() < 1e-6, "{row}");
    }
    refuses(&["bench", "spmm", "--model", folder, "--dtype", "f32"], "--dtype: found f32; expected int8 with --model");
    refuses(&["bench", "spmm", "--model", folder, "--grid", "short"], "cannot be used with");
}
