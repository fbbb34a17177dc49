//! `lacuna doctor`.

use std::process::Command;

use lacuna_jit::{MASK_VARIABLE, TIER_VARIABLE, Tier};
use serde_json::Value;

use crate::{generates_avx512, keys, lacuna, refusal, stdout};

/// Measurements until one is kept.
const ATTEMPTS: usize = 20;

/// The command with a cache folder of its own.
fn doctor(cache: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut command = lacuna(&[&["doctor"], args].concat());
    command.env("XDG_CACHE_HOME", cache.path());
    command
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&stdout(command.output().unwrap())).unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn the_report_has_the_machine_and_what_follows() {
    let cache = tempfile::tempdir().unwrap();
    let report = json(&mut doctor(&cache, &["--json"]));
    let expected = [
        "caches",
        "cpu",
        "cpus",
        "facts",
        "facts_file",
        "facts_from",
        "features",
        "kernels",
        "peak_gops",
        "peak_instruction",
        "recorded",
        "recorded_source",
        "remarks",
        "tier",
        "version",
    ];
    assert_eq!(keys(&report), expected);
    assert_eq!(report["tier"]["used"], Tier::select(None).unwrap().name());
    assert!(report["cpus"]["threads"].as_u64().unwrap() >= 1);
    let text = stdout(doctor(&cache, &[]).output().unwrap());
    assert!(text.contains(report["cpu"]["name"].as_str().unwrap()), "{text}");
    if !generates_avx512() {
        let runs =
            if report["tier"]["generates_code"] == true { "for AVX-512 only" } else { "runs plain Rust kernels" };
        assert!(text.contains(runs), "{text}");
        return;
    }
    let dots = report["facts"]["dots"].as_f64().unwrap();
    let peak = report["facts"]["ghz"].as_f64().unwrap() * dots * 128.0;
    assert!((report["peak_gops"].as_f64().unwrap() / peak - 1.0).abs() < 1e-9);
    let kernels = report["kernels"].as_array().unwrap();
    let of = |kernel: &Value| kernel["kernel"].as_str().unwrap().to_owned();
    assert_eq!(kernels.iter().map(of).collect::<Vec<_>>(), ["4x1", "8x1", "16x1", "4x4", "dense"]);
    for kernel in kernels {
        let share = kernel["share_of_peak"].as_f64().unwrap();
        assert!(share > 0.1 && share <= 1.0 && kernel["bound_by"].is_string(), "{kernel}");
        assert!(kernel["instructions"].as_f64().unwrap() > 16.0, "{kernel}");
    }
    assert_eq!(kernels[0]["shuffles"], 8.0, "four rows of X are interleaved by eight unpacks");
    for part in ["vpdpbusd and unpacks together", "share of peak", "GOP/s"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn facts_are_kept_and_a_damaged_file_is_measured_again() {
    if !generates_avx512() {
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    // Facts of a core that is busy beside are not kept, so a busy machine may need several attempts.
    let attempts = || (0..ATTEMPTS).map(|_| json(&mut doctor(&cache, &["--json", "--measure"])));
    let Some(first) = attempts().find(|report| report["facts_file"].is_string()) else {
        println!("skipped: the machine is busy");
        return;
    };
    let file = first["facts_file"].as_str().unwrap().to_owned();
    assert!(file.starts_with(cache.path().join("lacuna").to_str().unwrap()), "{file}");
    assert_eq!(first["facts_from"], "measured");
    let second = json(&mut doctor(&cache, &["--json"]));
    assert_eq!((&second["facts_from"], &second["facts"]), (&Value::from("file"), &first["facts"]));
    assert!(stdout(doctor(&cache, &[]).output().unwrap()).contains("read from"));

    std::fs::write(&file, "{\"cpu\": ").unwrap();
    let again = json(&mut doctor(&cache, &["--json"]));
    let remark = names(&again["remarks"]).concat();
    assert!(remark.contains(&file) && remark.contains("damaged: ") && remark.contains("measured again"), "{remark}");
    assert_eq!(again["facts_from"], "measured");

    // `bench` uses the same file, and says the same.
    std::fs::write(&file, "").unwrap();
    let mut bench = lacuna(&["bench", "spmm", "--m", "8", "--k", "8", "--n", "16", "--repeats", "2"]);
    let output = bench.env("XDG_CACHE_HOME", cache.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("damaged: ") && said.contains("measured again"), "{said}");
    let table = stdout(output);
    assert!(table.contains("of bound") && table.contains("bound by"), "{table}");
}

#[test]
fn without_a_cache_folder_facts_are_measured_every_time() {
    if !generates_avx512() {
        return;
    }
    let mut command = lacuna(&["doctor", "--json"]);
    for name in ["XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"] {
        command.env_remove(name);
    }
    let report = json(&mut command);
    assert_eq!((&report["facts_from"], &report["facts_file"]), (&"measured".into(), &Value::Null));
    assert!(names(&report["remarks"]).concat().contains("found no cache folder"), "{report}");
}

#[test]
fn a_machine_without_avx512_has_a_reduced_report() {
    let cache = tempfile::tempdir().unwrap();
    let report = json(doctor(&cache, &["--json"]).env(MASK_VARIABLE, "avx512f").env_remove(TIER_VARIABLE));
    assert_eq!((&report["facts"], &report["kernels"]), (&Value::Null, &Value::Array(vec![])));
    let present = names(&report["features"]["present"]);
    let has_avx2 = Tier::Avx2.features().names().all(|name| present.contains(&name));
    assert_eq!(report["tier"]["generates_code"], has_avx2);
    assert_eq!(report["peak_gops"].is_number(), has_avx2);
    let higher = &report["tier"]["higher"][0];
    assert_eq!(higher["name"], "avx512vnni");
    let lacks = [names(&higher["missing"]), names(&higher["masked"])].concat();
    assert!(lacks.contains(&"avx512f") && lacks.contains(&"avx512vnni"), "{higher}");
    assert!(!names(&report["features"]["present"]).iter().any(|name| name.starts_with("avx512")), "{report}");
    if Tier::detect() == Tier::Avx512Vnni {
        assert!(higher["why"].as_str().unwrap().starts_with("LACUNA_MASK_FEATURES masks avx512f, "), "{higher}");
        assert!(names(&report["features"]["masked"]).contains(&"avx512vnni"), "{report}");
    }
    let text = stdout(doctor(&cache, &[]).env(MASK_VARIABLE, "avx512f").env_remove(TIER_VARIABLE).output().unwrap());
    let runs = if has_avx2 { "Facts and bounds are measured for AVX-512 only" } else { "runs plain Rust kernels" };
    assert!(text.contains("not avx512vnni: ") && text.contains(runs), "{text}");
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0, "nothing is measured, nothing is kept");
}

#[test]
fn a_tier_that_was_chosen_is_a_reason() {
    let cache = tempfile::tempdir().unwrap();
    let report = json(&mut doctor(&cache, &["--json", "--tier", "portable"]));
    let higher = report["tier"]["higher"].as_array().unwrap();
    assert_eq!(
        higher.iter().map(|tier| tier["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["avx512vnni", "avxvnni", "avx2"]
    );
    if Tier::detect() == Tier::Avx512Vnni {
        assert_eq!(higher[0]["why"], "--tier or LACUNA_TIER chooses a lower one");
    }
    let line = refusal(doctor(&cache, &[]).env(MASK_VARIABLE, "avx1024").output().unwrap());
    assert!(line.contains("avx1024"), "{line}");
}
