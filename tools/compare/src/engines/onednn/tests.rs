use std::collections::BTreeSet;
use std::process::Command;
use std::rc::Rc;
use std::time::Instant;

use lacuna_console::products::problem::{Weights, activations};
use lacuna_jit::Tier;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::{ActivationBits, Block, PanelLayout, Sign};

use super::*;
use crate::engine::ModelSource;
use crate::locate::{Found, SharedLibrary, Surroundings, locate};

const SIZES: [usize; 5] = [1, 3, 16, 17, 768];

/// The library of this machine; without one, the reason is printed and the test does nothing.
fn library() -> Option<Found> {
    match locate(SharedLibrary::OneDnn, None, &Surroundings::of_process()) {
        Ok(found) => Some(found),
        Err(error) if std::env::var_os("LACUNA_ONEDNN").is_some() => panic!("{error}"),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

fn open(id: EngineId, threads: usize) -> Option<OneDnn> {
    library().map(|found| OneDnn::open(id, &found.path, threads).unwrap())
}

/// Codes that use the range of their type, and beyond in every fourth row.
fn product((m, k, n): (usize, usize, usize), output: OutputKind, threads: usize) -> Product {
    let epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);
    let mut weights = Weights::seeded(m, k, Block::Dense, 0.0, &epilogue, (m * 31 + k) as u64);
    weights.params.iter_mut().skip(3).step_by(4).for_each(|params| params.multiplier *= -8.0);
    Product {
        weights,
        x: Rc::new(activations(k, n, ActivationBits::Eight, n as u64)),
        output,
        block: Block::Dense,
        threads,
    }
}

/// y and the sum of the magnitudes of its terms.
fn exact(product: &Product, row: usize, token: usize) -> (f64, f64) {
    let Weights { k, values, params, .. } = &product.weights;
    let terms = (0..*k).map(|i| i64::from(values[row * k + i]) * i64::from(product.x.at(i, token)));
    let (sum, size) = terms.fold((0, 0), |(sum, size), term| (sum + term, size + term.abs()));
    let (multiplier, addend) = (f64::from(params[row].multiplier), f64::from(params[row].addend));
    (multiplier * sum as f64 + addend, multiplier.abs() * size as f64 + addend.abs())
}

/// Runs `product` twice and compares every result. The implementation that ran.
fn check(engine: &mut OneDnn, product: &Product) -> String {
    let (m, n) = (product.weights.m, product.x.columns);
    let mut implementation = String::new();
    let mut run = |call: &mut dyn ProductCall| {
        call.call()?;
        call.call()?;
        implementation = call.implementation();
        let range = match (call.stored(), product.output) {
            (Stored::Codes, OutputKind::U8) => Some((0.0, 255.0)),
            (Stored::Codes, OutputKind::S8) => Some((-128.0, 127.0)),
            (Stored::Real, _) => None,
            other => panic!("{other:?}"),
        };
        for (row, token) in (0..m).flat_map(|row| (0..n).map(move |token| (row, token))) {
            let (found, (exact, size)) = (call.value(row, token), exact(product, row, token));
            let (expected, bound) = match range {
                Some((low, high)) => (exact.clamp(low, high), 0.51),
                // Sums in f32, in any order: a few roundings of partial sums, which are smaller than all magnitudes together.
                None => (exact, 2e-6 * size),
            };
            let k = product.weights.k;
            assert!((found - expected).abs() <= bound, "{m}x{k}, N={n}, {row}, {token}: {found}, expected {expected}");
            assert!(range.is_none() || found.fract() == 0.0);
        }
        Ok(())
    };
    engine.with_product(product, &mut run).unwrap();
    implementation
}

/// All sizes; of those with two that are large, a few.
fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
    let all = SIZES.into_iter().flat_map(|m| SIZES.into_iter().flat_map(move |k| SIZES.map(|n| (m, k, n))));
    all.filter(|&(m, k, n)| [m, k, n].into_iter().filter(|&size| size == 768).count() < 2).chain([
        (768, 768, 1),
        (768, 768, 17),
        (768, 768, 128),
        (17, 768, 768),
        (768, 3, 768),
    ])
}

fn check_all(id: EngineId, output: OutputKind) {
    let Some(mut engine) = open(id, 1) else { return };
    let used: BTreeSet<String> = shapes().map(|shape| check(&mut engine, &product(shape, output, 1))).collect();
    println!("{} {} to {output:?}: {used:?}", id.name(), engine.version());
    if Tier::detect() == Tier::Avx512Vnni {
        assert!(used.iter().all(|name| !name.contains("ref")), "{used:?}");
    }
}

fn check_int8(output: OutputKind) {
    if Tier::detect() == Tier::Avx512Vnni {
        check_all(EngineId::OneDnnInt8, output);
    } else {
        println!("skipped: without vpdpbusd oneDNN's sums of pairs saturate");
    }
}

#[test]
fn u8_codes_are_exact() {
    check_int8(OutputKind::U8);
}

#[test]
fn s8_codes_are_exact() {
    check_int8(OutputKind::S8);
}

#[test]
fn reals_of_int8_are_exact() {
    check_int8(OutputKind::F32);
}

#[test]
fn f32_products_are_close() {
    check_all(EngineId::OneDnnF32, OutputKind::U8);
}

#[test]
fn other_files_are_refused() {
    let refusal = |path: &Path| OneDnn::open(EngineId::OneDnnInt8, path, 1).err().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libdnnl.so");
    for path in [&text, folder.path()] {
        assert!(matches!(refusal(path), EngineError::NotLoadable { .. }), "{}", path.display());
    }
    std::fs::write(&text, "no library").unwrap();
    let error = refusal(&text);
    assert!(matches!(error, EngineError::NotLoadable { .. }) && error.to_string().contains("libdnnl.so"), "{error}");
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
        println!("skipped: no list of loaded libraries to take another one from");
        return;
    };
    let other = maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.contains("/libc.so"));
    match other {
        Some(path) => {
            let error = refusal(Path::new(path));
            assert_eq!(error.to_string(), format!("{path}: not oneDNN, or too old: found no symbol dnnl_version"));
        }
        None => println!("skipped: no libc.so is loaded"),
    }
}

#[test]
fn what_it_does_not_do_is_said() {
    let Some(mut engine) = open(EngineId::OneDnnInt8, 1) else { return };
    let source = ModelSource {
        dir: None,
        arch: None,
        seed: 0,
        pruning: None,
        calibrate: None,
        activation_bits: ActivationBits::Eight,
    };
    let refusals = [
        engine.load_model(&ModelFiles { source, onnx: None }).unwrap_err().to_string(),
        engine.with_batch(&[], &mut |_| Ok(())).unwrap_err().to_string(),
    ];
    assert_eq!(refusals, ["onednn-int8 does not compute models"; 2]);
    let path = library().unwrap().path;
    let refusal = OneDnn::open(EngineId::GemmF32, &path, 1).err().unwrap().to_string();
    assert_eq!(refusal, "gemm-f32 does not compute anything with oneDNN");
    let mut product = product((1, 1, 1), OutputKind::U8, 1);
    product.threads = 0;
    let refusal = engine.with_product(&product, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(refusal.contains("found 0 threads; expected 1 to"), "{refusal}");
}

/// CPU time of each thread of this process, in nanoseconds by thread id.
fn cpu_times() -> Option<Vec<(String, u64)>> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let time = |id: String| {
        let text = std::fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).ok()?;
        Some((id, text.split_whitespace().next()?.parse().ok()?))
    };
    tasks.map(|task| time(task.ok()?.file_name().into_string().ok()?)).collect()
}

/// Runs in processes that the next test starts.
#[test]
#[ignore = "part of another test"]
fn threads_that_compute() {
    let Some(threads) = std::env::var("OMP_NUM_THREADS").ok().and_then(|threads| threads.parse().ok()) else { return };
    let Some(mut engine) = open(EngineId::OneDnnInt8, threads) else { return };
    let mut run = |call: &mut dyn ProductCall| {
        call.call()?;
        let before = cpu_times().unwrap();
        let start = Instant::now();
        while start.elapsed().as_millis() < 300 {
            call.call()?;
        }
        let busy = |(id, after): &(String, u64)| {
            let before = before.iter().find(|(other, _)| other == id).map_or(0, |(_, time)| *time);
            after - before > 1_000_000
        };
        println!("busy: {}", cpu_times().unwrap().iter().filter(|time| busy(time)).count());
        Ok(())
    };
    engine.with_product(&product((768, 768, 128), OutputKind::U8, threads), &mut run).unwrap();
}

#[test]
fn as_many_threads_compute_as_the_environment_says() {
    if library().is_none() {
        return;
    }
    if cpu_times().is_none() {
        println!("skipped: this system does not tell the CPU time of threads");
        return;
    }
    for threads in 1..=3 {
        let name = "engines::onednn::tests::threads_that_compute";
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([name, "--exact", "--ignored", "--nocapture"]).env("OMP_NUM_THREADS", threads.to_string());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("busy: {threads}\n")), "{threads} threads: {text}");
    }
}

/// Prints what to compare with `lacuna bench peak`.
#[test]
#[ignore = "measures speed"]
fn speed() {
    for id in [EngineId::OneDnnInt8, EngineId::OneDnnF32] {
        let Some(mut engine) = open(id, 1) else { return };
        for shape @ (m, k, n) in [(768, 768, 128), (3072, 768, 128), (768, 3072, 128), (768, 768, 1)] {
            let product = product(shape, OutputKind::U8, 1);
            let mut run = |call: &mut dyn ProductCall| {
                // Single calls: the shorter a sample, the more of them nothing else interrupts.
                let samples: Vec<f64> = (0..300).map(|_| Ok(call.time(1)?.as_secs_f64())).collect::<Result<_>>()?;
                let best = samples.into_iter().fold(f64::INFINITY, f64::min);
                let rate = 2e-9 * (m * k * n) as f64 / best;
                println!("{} {m}x{k}, N={n}: {rate:.0} GOP/s, {}", id.name(), call.implementation());
                Ok(())
            };
            engine.with_product(&product, &mut run).unwrap();
        }
    }
}
