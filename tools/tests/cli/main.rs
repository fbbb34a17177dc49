//! The built command: what it prints, what it refuses, and how it exits.

mod bench;
mod bench_model;
mod calibrate;
mod calibration;
mod checkpoint;
mod compare;
mod compress;
mod compress_heads;
mod compress_input;
mod doctor;
mod embed;
mod engines;
mod evaluate;
mod export;
mod graphs;
mod heads;
mod hub;
mod machine;
mod models;
mod packed;
#[path = "../../../kernels/tests/support/required.rs"]
mod required;
mod resume;
mod serve;
mod settings;
mod shipped;
mod streams;
#[cfg(unix)]
mod system;
mod tokenizers;
mod vectors;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use lacuna_jit::{Avx512Bf16, Isa, Tier};

/// The command with arguments.
fn lacuna(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lacuna"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs it with nothing on standard input.
fn run(args: &[&str]) -> Output {
    lacuna(args).output().unwrap()
}

/// Runs it with `input` on standard input.
fn run_with(args: &[&str], input: &[u8]) -> Output {
    let mut command = lacuna(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input); // a command that refuses its arguments does not read
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// What it printed; it must have succeeded.
#[track_caller]
fn stdout(output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line with which it refused: exit status 2, nothing on standard output.
#[track_caller]
fn refusal(output: Output) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert!(stderr.starts_with("error: ") && stderr.ends_with('\n'), "{stderr:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

/// What a run that a bad line ended wrote before it, and the one line that names it.
#[track_caller]
fn stopped(output: Output) -> (String, String) {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let line = stderr.lines().last().unwrap().to_owned();
    assert!(line.starts_with("error: "), "{stderr}");
    (String::from_utf8(output.stdout).unwrap(), line)
}

/// Refuses `args` with a line that contains `expected`.
#[track_caller]
fn refuses(args: &[&str], expected: &str) {
    let line = refusal(run(args));
    assert!(line.contains(expected), "{args:?}: {line}");
}

/// Whether this machine generates AVX-512 code, for which facts and bounds are measured.
fn generates_avx512() -> bool {
    let generates = matches!(Isa::for_tier(Tier::select(None).unwrap()), Isa::Avx512Vnni(_));
    if !generates {
        required::check_required_tier();
        println!("skipped what needs code of AVX-512");
    }
    generates
}

/// Whether the tier that the command takes by itself has generated code; says so if not.
fn generates_code() -> bool {
    let tier = Tier::select(None).unwrap();
    let generates = Isa::for_tier(tier) != Isa::Portable;
    if !generates {
        required::check_required_tier();
        println!("skipped what needs generated code: tier {tier}");
    }
    generates
}

/// The keys of a JSON object, sorted.
fn keys(object: &serde_json::Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn every_help_text_explains_and_shows_examples() {
    for args in [
        &[][..],
        &["demo"],
        &["embed"],
        &["classify"],
        &["rank"],
        &["tag"],
        &["answer"],
        &["fill"],
        &["compress"],
        &["calibrate"],
        &["evaluate"],
        &["export"],
        &["export", "onnx"],
        &["pack"],
        &["inspect"],
        &["bench"],
        &["bench", "spmm"],
        &["bench", "gemm"],
        &["bench", "attention"],
        &["bench", "layernorm"],
        &["bench", "softmax"],
        &["bench", "gelu"],
        &["bench", "quantize"],
        &["bench", "token-quant"],
        &["bench", "token-rescale"],
        &["bench", "embedding"],
        &["bench", "peak"],
        &["bench", "emit"],
        &["bench", "model"],
        &["bench", "open"],
        &["bench", "lengths"],
        &["bench", "text"],
        &["compare"],
        &["compare", "engines"],
        &["compare", "kernels"],
        &["compare", "model"],
        &["compare", "sweep"],
        &["listing"],
        &["doctor"],
        &["completions"],
        &["man"],
    ] {
        let text = stdout(run(&[args, &["--help"]].concat()));
        assert!(text.contains("Example") && text.contains("lacuna "), "{args:?}: {text}");
        assert!(text.contains("--tier") && text.contains("--threads"), "{args:?}: {text}");
    }
    for kernel in [
        "spmm",
        "gemm",
        "attention",
        "layernorm",
        "softmax",
        "gelu",
        "quantize",
        "token-quant",
        "token-rescale",
        "embedding",
    ] {
        let text = stdout(run(&["bench", kernel, "--help"]));
        assert!(text.contains("JSON: an array of objects with kernel, name, "), "{text}");
        assert!(text.contains("--baseline <FILE>") && text.contains("--cold"), "{text}");
    }
    for kernel in ["spmm", "gemm"] {
        let text = stdout(run(&["bench", kernel, "--help"]));
        assert!(text.contains("gops_nonzero") && text.contains("f32-residual"), "{text}");
    }
    assert!(stdout(run(&["listing", "layernorm", "-h"])).contains("--features"));
    // Without a command: the same, but a usage error.
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Commands:"));
}

#[test]
fn usage_errors_are_one_line() {
    refuses(&["classify"], "--model <DIR>");
    refuses(&["pack", "--output", "x"], "--model <DIR>");
    refuses(&["embed", "--modle", "x"], "tip:");
    refuses(&["frobnicate"], "unrecognized subcommand 'frobnicate'");
    refuses(&["demo", "--threads", "0"], "expected 1 to 1024");
    refuses(&["demo", "--preset", "gpt"], "bert-mini");
    refuses(&["demo", "--tokens", "0"], "at least 1");
    refuses(&["demo", "--preset", "bert-mini", "--tokens", "513"], "1 to 512");
}

#[test]
fn tiers_are_names_and_must_exist() {
    refuses(&["demo", "--tier", "sse2"], "unknown tier \"sse2\"");
    let line = refusal(lacuna(&["bench", "peak"]).env("LACUNA_TIER", "avx1024").output().unwrap());
    assert!(line.contains("unknown tier \"avx1024\" in the environment variable LACUNA_TIER"), "{line}");
    for tier in Tier::ALL.into_iter().filter(|tier| !tier.missing().is_empty()) {
        refuses(&["bench", "peak", "--tier", tier.name()], "was asked for");
    }
    // The option wins over the environment.
    let portable = lacuna(&["bench", "peak", "--tier", "portable"]).env("LACUNA_TIER", "avx1024").output().unwrap();
    assert!(stdout(portable).contains("tier portable"));
}

#[test]
fn sparsity_is_a_fraction() {
    for command in [&["demo"][..], &["embed", "--model", "x"], &["inspect", "--model", "x"], &["bench", "spmm"]] {
        for found in ["1.0", "-0.1", "NaN", "90", "inf"] {
            refuses(&[command, &["--sparsity", found]].concat(), "0 <= sparsity < 1");
        }
    }
}

#[test]
fn a_reader_that_goes_is_no_failure() {
    let args = ["demo", "--preset", "bert-mini", "--json", "--tokens", "4", "--tier", "portable"];
    let mut command = lacuna(&args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn the_demo_checks_itself() {
    let text = stdout(run(&["demo", "--preset", "bert-mini", "--tokens", "20"]));
    assert!(text.contains("sparse = dense         ok"), "{text}");
    assert!(text.contains("1 x 20 tokens, 1 thread"), "{text}");
    assert!(!text.contains("FAILED"), "{text}");
    if generates_code() {
        assert!(text.contains("generated = portable   ok"), "{text}");
    }
}

#[test]
fn the_demo_as_json() {
    let text = stdout(run(&["demo", "--tokens", "5", "--sparsity", "0.5", "--json", "--tier", "portable"]));
    let demo: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(demo["tier"], "portable");
    assert_eq!(demo["sparsity"], 0.5);
    let checks = demo["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 2);
    assert!(checks.iter().all(|check| check["passed"] == true), "{checks:?}");
    let names: Vec<_> = demo["times"].as_array().unwrap().iter().map(|time| time["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["f32 reference", "dense int8", "sparse int8"]);
    for report in ["sparse", "dense"] {
        assert_eq!(demo[report]["linears"].as_array().unwrap().len(), 24);
    }
    assert!(demo["sparse"]["linears"][0]["density"].as_f64().unwrap() < 0.51);
}

#[test]
fn listings_show_code_registers_and_remarks() {
    if !generates_avx512() {
        if !generates_code() {
            refuses(&["listing", "spmm"], "a tier with generated code");
        }
        return;
    }
    for (args, name) in [
        (&["spmm", "--m", "20", "--k", "12"][..], "spmm-u8s8-avx512vnni-m20k12"),
        (&["spmm", "--block", "1x4"], "spmm-u8s8-avx512vnni-m768k768n64-1x4-stream-"),
        (&["spmm", "--block", "4x4", "--epilogue", "f32"], "spmm-u8s8-avx512vnni-m768k768n64-4x4-stream-"),
        (&["spmm", "--block", "unstructured"], "spmm-u8s8-avx512vnni-m768k768n64-4x1-stream-"),
        (&["gemm", "--epilogue", "f32-residual"], "gemm-u8s8-avx512vnni-m768k768"),
        (&["float", "--epilogue", "gelu"], "gemm-f32-avx512vnni-m768k768"),
        (&["float", "--block", "16x1", "--m", "48"], "spmm-f32-avx512vnni-m48k768n64-16x1-"),
        (&["attention", "--head-size", "28"], "attention-u8s8-avx512vnni-d28"),
        (&["layernorm", "--features", "7"], "layernorm-f32-avx512vnni-f7"),
        (&["softmax"], "softmax-f32-avx512vnni-f768"),
        (&["elementwise", "--function", "requant-s8-vnni"], "quantize-f32-avx512vnni-f768-s8-vnni"),
        (&["elementwise", "--function", "gelutanh-f32"], "gelutanh-f32-avx512vnni-f768-f32"),
        (&["token-quant", "--output", "vnni"], "tokenquant-f32-avx512vnni-f768-u8-vnni"),
        (&["token-rescale"], "tokenrescale-f32-avx512vnni-f768-f32-residual"),
        (&["token-rescale", "--function", "f32"], "tokenrescale-f32-avx512vnni-f768-f32"),
        (&["token-rescale", "--function", "gelu-u8-plain"], "tokenrescale-f32-avx512vnni-f768-gelu-u8-plain"),
        (&["embedding"], "embedding-f32-avx512vnni-f768"),
    ] {
        let name = name.replace("avx512vnni", &Isa::detect().to_string());
        let text = stdout(run(&[&["listing", "--bytes"], args].concat()));
        assert!(text.starts_with(&format!("; {name}")), "{text}");
        assert!(text.contains("; rdi            arguments\n"), "{text}");
        assert!(text.contains("L0:\n") && text.ends_with("ret\n"), "{text}");
        assert!(text.contains("; end: restore callee-saved registers and return"), "{text}");
        assert!(!text.contains("(bad)"), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&stdout(run(&[&["listing", "--json"], args].concat()))).unwrap();
        assert_eq!(keys(&json), ["bytes", "instructions", "lines", "name", "registers"]);
        let length: usize = json["lines"].as_array().unwrap().iter().map(|l| l["bytes"].as_str().unwrap().len()).sum();
        assert_eq!(json["bytes"], length / 2);
    }
    let bf16 = ["listing", "float", "--dtype", "bf16", "--block", "unstructured"];
    match Avx512Bf16::detect() {
        Some(_) => {
            let name = format!("; spmm-bf16-{}-m768k768n64-", Isa::detect());
            assert!(stdout(run(&bf16)).starts_with(&name), "{name}");
        }
        None => refuses(&bf16, Avx512Bf16::FEATURE),
    }
    refuses(&["listing", "float", "--epilogue", "requant"], "f32-residual");
    refuses(&["listing", "float", "--block", "4x4"], "expected 4x1, 8x1, 16x1, unstructured or dense");
    refuses(&["listing", "attention", "--head-size", "3"], "a multiple of 4");
    refuses(&["listing", "spmm", "--m", "0"], "M is 0");
    refuses(&["listing", "softmax", "--features", "0"], "0");
    refuses(&["listing", "elementwise", "--function", "f32"], "gelu-f32");
    refuses(&["listing", "token-rescale", "--function", "gelu-f32-residual"], "f32-residual");
}

#[test]
fn listings_of_256_bits_show_its_registers() {
    for tier in [Tier::Avx2, Tier::AvxVnni].into_iter().filter(|tier| tier.missing().is_empty()) {
        for (kernel, name) in [("spmm", "spmm-u8s8"), ("gemm", "gemm-u8s8"), ("attention", "attention-u8s8")] {
            let text = stdout(run(&["listing", kernel, "--tier", tier.name()]));
            assert!(text.starts_with(&format!("; {name}-{tier}-")), "{text}");
            assert!(text.contains("; ymm") && !text.contains("zmm") && text.ends_with("ret\n"), "{text}");
        }
        refuses(&["listing", "softmax", "--tier", tier.name()], "has no machine code: portable kernels are plain Rust");
    }
}

#[test]
fn listings_show_the_schedule_that_is_asked_for() {
    if !generates_avx512() {
        return;
    }
    let first_line = |args: &[&str]| {
        let text = stdout(run(&[&["listing", "spmm", "--m", "64", "--k", "96"], args].concat()));
        text.lines().next().unwrap_or_default().to_owned()
    };
    let rules = first_line(&[]);
    assert!(rules.contains("-stream-v4u2-narrow16-abreast-shuffle-prefetch-requant16"), "{rules}");
    assert_eq!(first_line(&["--tuning", "rules"]), rules);
    assert!(first_line(&["--schedule", "v1u1"]).contains("-stream-v1u1-requant16"));
    assert!(first_line(&["--schedule", "v2u1-prefetch", "--block", "1x4"]).contains("-1x4-stream-v2u1-prefetch-"));
    // The tuner's choice is the one that the benchmark measures: by the model it is the same every time.
    for tokens in ["1", "16", "200"] {
        let args = ["--m", "64", "--k", "96", "--n", tokens, "--sparsity", "0.5", "--tuning", "fast"];
        let bench = stdout(run(&[&["bench", "spmm", "--repeats", "1", "--json"], &args[..]].concat()));
        let rows: serde_json::Value = serde_json::from_str(&bench).unwrap();
        assert_eq!(first_line(&args[4..]), format!("; {}", rows[0]["name"].as_str().unwrap()));
    }
    let name = format!("; spmm-u8s8-{}-m64k96", Isa::detect());
    assert!(first_line(&["--tuning", "measure", "--n", "8"]).starts_with(&name), "{name}");
    refuses(&["listing", "spmm", "--schedule", "v3u1"], "v4u2-narrow16-prefetch");
    refuses(&["listing", "spmm", "--schedule", "v1u1", "--tuning", "fast"], "cannot be used with");
    refuses(&["listing", "spmm", "--n", "8"], "--tuning");
    refuses(&["listing", "spmm", "--block", "dense"], "dense");
    refuses(&["listing", "spmm", "--m", "60000", "--k", "60000", "--tuning", "fast"], "at most 268435456");
}
