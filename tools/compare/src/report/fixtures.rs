//! Reports as a comparison makes them, with everything that can go wrong in one.

use super::super::engine::EngineId;
use super::super::row::{Breakdown, Report, Row, Subject};

/// The rows of one subject: engine and microseconds, against those engines that are dense.
fn rows(subject: &Subject, threads: usize, times: &[(&str, f64)]) -> Vec<Row> {
    let dense = |name: &str| EngineId::all().any(|id| id.name() == name && id.is_dense());
    let row = |&(engine, us): &(&str, f64)| {
        let id = EngineId::all().find(|id| id.name() == engine).unwrap();
        let others = times.iter().filter(|(name, _)| *name != engine && dense(name));
        let (gops, sequences, tokens) = match subject {
            Subject::Product { m, k, n, .. } => (Some(2e-3 * (m * k * n) as f64 / us), None, None),
            Subject::Model { batch, seq, .. } => {
                (None, Some(1e6 * *batch as f64 / us), Some(1e6 * (batch * seq) as f64 / us))
            }
        };
        let is_f32 = id.dtype() == "f32";
        Row {
            engine: engine.into(),
            version: version(engine).into(),
            implementation: implementation(engine, subject),
            dtype: id.dtype().into(),
            threads,
            threads_used: Some(threads),
            cores_busy: Some(threads as f64 * 0.98),
            pinned: Some("0-1".into()),
            subject: subject.clone(),
            median_us: Some(us),
            best_us: Some(us * 0.97),
            spread: Some(0.012),
            samples: 31,
            gops_dense_equivalent: gops,
            sequences_per_s: sequences,
            tokens_per_s: tokens,
            error: Some(match (subject, is_f32) {
                (Subject::Product { .. }, false) => 0.5,
                (Subject::Product { .. }, true) => 0.02,
                (Subject::Model { .. }, false) => 2.3e-3,
                (Subject::Model { .. }, true) => 1.2e-7,
            }),
            error_mean: Some(1e-4),
            agrees: true,
            ratios: others.clone().map(|&(name, other)| (name.to_owned(), other / us)).collect(),
            ratio_quartiles: others
                .map(|&(name, other)| (name.to_owned(), [0.99, 1.01].map(|part| part * other / us)))
                .collect(),
            note: None,
        }
    };
    times.iter().map(row).collect()
}

fn version(engine: &str) -> &'static str {
    match engine.split('-').next() {
        Some("onednn") => "3.6.2",
        Some("onnxruntime") => "1.22.0",
        Some("rten") => "0.24.0",
        Some("candle") => "0.9.1",
        Some("gemm") => "0.19.0",
        _ => "0.1.0",
    }
}

fn implementation(engine: &str, subject: &Subject) -> String {
    match (engine, subject) {
        ("lacuna", Subject::Product { m, k, n, .. }) => {
            format!("spmm-u8s8-avx512vnni-m{m}k{k}n{n}-stream-u2-requant")
        }
        ("onednn-int8", _) => "brg_matmul:avx10_1_512".into(),
        ("onnxruntime-dynamic" | "onnxruntime-qdq" | "onnxruntime-f32", _) => "CPUExecutionProvider".into(),
        _ => "avx512vnni".into(),
    }
}

fn product(m: usize, k: usize, n: usize, sparsity: f64) -> Subject {
    Subject::Product { m, k, n, block: "4x1".into(), sparsity, output: "u8".into() }
}

/// Microseconds of all engines on a product, on one thread.
fn product_times(m: usize, k: usize, n: usize, sparsity: f64) -> [(&'static str, f64); 7] {
    let operations = 2e-3 * (m * k * n) as f64; // in thousands
    let lacuna = operations / 880.0 * (1.0 - sparsity) + 2.0 + (m * n) as f64 / 9e4;
    [
        ("lacuna", lacuna),
        ("lacuna-intrinsics", lacuna * 1.04),
        ("lacuna-dense", operations / 970.0 + 0.9),
        ("onednn-int8", operations / 950.0 + 0.6),
        ("rten-int8", operations / 800.0 + 2.0),
        ("onednn-f32", operations / 120.0),
        ("gemm-f32", operations / 112.0),
    ]
}

/// What is known beside the rows.
fn report(command: &str, rows: Vec<Row>) -> Report {
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Report {
        command: command.into(),
        machine: [
            ("cpu", "AMD EPYC 9575F, 2 cores, 1 thread each"),
            ("features", "avx2 avx512f avx512bw avx512vl avx512vnni"),
            ("caches", "L1d 48 KiB, L2 1 MiB, L3 32 MiB"),
            ("kernel", "Linux 6.8"),
        ]
        .map(pair)
        .to_vec(),
        method: [
            "Every engine runs in a process of its own, bound to the CPUs of the comparison.",
            "One sample of each engine in turn, 31 rounds; medians; caches are hot.",
            "Products agree if no element is further than 1 step from the exact result.",
            "Models agree if every embedding has a cosine of at least 0.98 to the f32 reference.",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
        breakdowns: Vec::new(),
        asked: Vec::new(),
        absent: [(
            "candle-f32",
            "candle-f32: this command was built without it; build with --features candle",
        ), (
            "onnxruntime-qdq",
            "onnxruntime: found no shared library (libonnxruntime.so in --onnxruntime, LACUNA_ONNXRUNTIME and the system's \
             folders); pip install onnxruntime, and name its libonnxruntime.so",
        )]
        .map(pair)
        .to_vec(),
    }
}

/// Takes an engine's figures away, as for a result beyond the bound.
fn disagree(row: &mut Row, error: f64) {
    let nothing = Row { median_us: None, best_us: None, spread: None, gops_dense_equivalent: None, ..row.clone() };
    *row = Row { sequences_per_s: None, tokens_per_s: None, error: Some(error), agrees: false, ..nothing };
    row.note = Some("the largest of 98304 errors is at row 12, token 5".into());
}

/// 14 products on one thread. Lacuna is slower on one and wrong on another; rten is wrong on a third.
pub(super) fn kernels() -> Report {
    let mut all = Vec::new();
    for (m, k, n) in [(768, 768, 128), (768, 3072, 128), (768, 768, 384)] {
        for sparsity in [0.5, 0.7, 0.8, 0.9] {
            let subject = product(m, k, n, sparsity);
            let mut rows = rows(&subject, 1, &product_times(m, k, n, sparsity));
            if (k, sparsity) == (3072, 0.7) {
                disagree(&mut rows[4], 37.0);
            }
            rows[6].note = Some("multiplies f32; the result is quantised outside of the time".into());
            all.extend(rows);
        }
    }
    let times = product_times(256, 256, 16, 0.5);
    all.extend(rows(&product(256, 256, 16, 0.5), 1, &times));
    let mut wrong = rows(&product(256, 256, 16, 0.9), 1, &times);
    disagree(&mut wrong[0], 2.0);
    all.extend(wrong);
    report("lacuna compare kernels --m 768 --k 768,3072 --n 128,384 --sparsity 0.5,0.7,0.8,0.9", all)
}

/// BERT-base on one thread, four lengths. One engine disagrees, one gives no result, one uses more threads than it was given.
pub(super) fn models() -> Report {
    let mut all = Vec::new();
    let subject = |seq| Subject::Model { model: "bert-base".into(), batch: 1, seq, sparsity: 0.9 };
    for (seq, scale) in [(16, 0.15), (32, 0.27), (128, 1.0), (384, 3.4)] {
        let ms = [
            ("lacuna", 4.2, 1.02),
            ("lacuna-dense", 30.0, 0.93),
            ("rten-int8", 42.6, 0.88),
            ("onnxruntime-qdq", 36.0, 0.8),
            ("onnxruntime-dynamic", 39.3, 0.83),
            ("lacuna-f32", 148.0, 0.95),
            ("onnxruntime-f32", 121.0, 0.9),
            ("rten-f32", 131.0, 0.87),
            ("candle-f32", 306.0, 0.91),
        ];
        let mut rows = rows(&subject(seq), 1, &ms.map(|(name, ms, slope)| (name, ms * f64::powf(scale, slope) * 1e3)));
        rows[7].threads_used = Some(2);
        rows[7].note = Some("used 2 threads where 1 was asked for".into());
        rows[8].threads_used = None;
        if seq == 384 {
            disagree(&mut rows[3], 0.081);
            disagree(&mut rows[8], 0.0);
            (rows[8].error, rows[8].error_mean) = (None, None);
            rows[8].note = Some("the worker ended with signal 9".into());
        }
        all.extend(rows);
    }
    let mut report = report("lacuna compare model --arch bert-base --seq 16,32,128,384 --sparsity 0.9", all);
    let parts = |engine: &str, parts: &[(&str, f64)]| Breakdown {
        engine: engine.into(),
        subject: subject(128),
        threads: 1,
        layers: 12,
        parts: parts.iter().map(|&(kind, us)| (kind.to_owned(), us)).collect(),
    };
    let stages = ["qkv", "attention", "o", "up", "down", "norm", "embed", "pool"];
    let with = |times: [f64; 8]| -> Vec<(&str, f64)> { stages.into_iter().zip(times).collect() };
    report.breakdowns = vec![
        parts("lacuna", &with([822.0, 806.0, 300.0, 1147.0, 1011.0, 188.0, 48.0, 12.0])),
        parts("lacuna-dense", &with([6700.0, 820.0, 2240.0, 9400.0, 9100.0, 190.0, 48.0, 12.0])),
        parts(
            "onnxruntime-dynamic",
            &[
                ("MatMulInteger", 28000.0),
                ("DynamicQuantizeLinear", 3400.0),
                ("Gelu", 2900.0),
                ("LayerNormalization", 1500.0),
                ("Softmax", 900.0),
                ("Transpose", 800.0),
                ("Add", 700.0),
                ("Mul", 650.0),
                ("Gather", 120.0),
            ],
        ),
    ];
    report
}

/// One product on 1 to 8 threads; lacuna scales best, gemm worst.
pub(super) fn threads() -> Report {
    let mut all = Vec::new();
    for (k, sparsity) in [(768, 0.9), (3072, 0.8)] {
        for threads in [1, 2, 4, 8] {
            let loss = [0.03, 0.04, 0.06, 0.08, 0.15, 0.2, 0.3];
            let mut times = product_times(768, k, 384, sparsity);
            for ((_, us), loss) in times.iter_mut().zip(loss) {
                *us *= loss + (1.0 - loss) / threads as f64;
            }
            let mut rows = rows(&product(768, k, 384, sparsity), threads, &times);
            if threads == 8 {
                rows[4].threads_used = Some(4);
                rows[4].note = Some("used 4 threads where 8 were asked for".into());
            }
            all.extend(rows);
        }
    }
    report("lacuna compare kernels --m 768 --k 768,3072 --n 384 --threads 1,2,4,8", all)
}

/// 18 shapes at five sparsities, for three numbers of tokens.
pub(super) fn sweep() -> Report {
    let mut all = Vec::new();
    for (m, k) in [(256, 256), (256, 1024), (384, 384), (768, 768), (768, 3072), (1024, 4096)] {
        for n in [32, 128, 384] {
            for sparsity in [0.5, 0.7, 0.8, 0.9, 0.95] {
                all.extend(rows(&product(m, k, n, sparsity), 1, &product_times(m, k, n, sparsity)[..4]));
            }
        }
    }
    report("lacuna compare sweep", all)
}

/// Everything together, as one page.
pub(super) fn everything() -> Report {
    let mut report = kernels();
    report.rows.extend(threads().rows);
    let models = models();
    report.rows.extend(models.rows);
    report.breakdowns = models.breakdowns;
    report.command = "lacuna compare all --threads 1,2,4,8".into();
    report
}

/// Markup in every string.
pub(super) fn hostile() -> Report {
    let bad = |text: &mut String| *text = format!("<script>alert('{text}')</script>\"&\u{1b}[31m\0");
    let mut report = everything();
    bad(&mut report.command);
    report.method.iter_mut().for_each(bad);
    for (name, value) in report.machine.iter_mut().chain(&mut report.absent) {
        bad(name);
        bad(value);
    }
    let subject = |subject: &mut Subject| match subject {
        Subject::Product { block, output, .. } => {
            bad(block);
            bad(output);
        }
        Subject::Model { model, .. } => bad(model),
    };
    for row in &mut report.rows {
        let ratios = std::mem::take(&mut row.ratios);
        row.ratios = ratios
            .into_iter()
            .map(|(mut name, ratio)| {
                if !name.ends_with("int8") {
                    bad(&mut name);
                }
                (name, ratio)
            })
            .collect();
        // The engines that charts and verdicts are about keep their names.
        if row.engine != "lacuna" && !row.engine.ends_with("int8") {
            bad(&mut row.engine);
        }
        [&mut row.version, &mut row.implementation, &mut row.dtype].into_iter().for_each(bad);
        row.pinned.iter_mut().chain(&mut row.note).for_each(bad);
        subject(&mut row.subject);
    }
    for breakdown in &mut report.breakdowns {
        bad(&mut breakdown.engine);
        subject(&mut breakdown.subject);
        breakdown.parts.iter_mut().for_each(|(kind, _)| bad(kind));
    }
    report
}
