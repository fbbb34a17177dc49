//! Speed of each product of a MiniLM-L6 shape on one thread, in CPU time, against the multiply-add peak. Sparse products count the work
//! of dense ones.
//!
//! `cargo run --release -p lacuna-train --example products` (Linux only: it reads the CPU time from `/proc`)

use lacuna_model::{Linear, Matrix};
use lacuna_train::mask::Mask;
use lacuna_train::product::{Product, RowGroups, outer, outer_kept};
use lacuna_train::{Result, Tiles};

fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) * 1e-9
}

/// The mean CPU time of a call, over about a third of a second: the counter is coarse.
fn best(mut work: impl FnMut() -> Result<()>) -> f64 {
    work().unwrap();
    let (start, mut calls) = (cpu(), 0);
    while calls < 4 || cpu() - start < 0.3 {
        work().unwrap();
        calls += 1;
    }
    (cpu() - start) / f64::from(calls)
}

fn main() -> Result<()> {
    let token = lacuna_jit::Avx512Vnni::detect().unwrap();
    let peak = lacuna_kernels::float::peak::f32_gflops(token, 400)?;
    println!("peak {peak:.0}");
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().unwrap();
    for (m, k) in [(384, 384), (1536, 384), (384, 1536)] {
        let n = 1920;
        let matrix = |rows: usize, cols: usize| Matrix {
            rows,
            cols,
            data: (0..rows * cols).map(|i| (i as f32 * 0.7).sin() * 0.05).collect(),
        };
        let (x, dy) = (Tiles::from_rows(&matrix(n, k)), Tiles::from_rows(&matrix(n, m)));
        let linear = Linear { weight: matrix(m, k), bias: vec![0.0; m] };
        let flops = 2e-9 * (m * k * n) as f64;
        let report = |name: &str, time: f64| {
            println!(
                "{m} x {k} {name}: {:.0} GFLOP/s, {:.0} %, {:.2} ms",
                flops / time,
                100.0 * flops / time / peak,
                time * 1e3
            )
        };
        let dense = Product::new(&linear, None, true)?;
        let (mut y, mut dx, mut dw) = (Tiles::default(), Tiles::default(), vec![0.0; m * k]);
        report("pack", best(|| Product::new(&linear, None, true).map(drop)));
        report("forward", best(|| dense.forward(&x, &mut y)));
        report("backward", best(|| dense.backward(&dy, &mut dx, false)));
        report("outer", best(|| outer(&dy, &x, &mut dw)));
        for density in [20, 40, 60] {
            let kept: Vec<bool> = (0..m * k).map(|i| (i / k / 4 * 7919 + i % k * 104_729) % 100 < density).collect();
            let mask = Mask::new(m, k, kept.clone())?;
            let mut pruned = linear.clone();
            mask.apply(&mut pruned.weight.data);
            let sparse = Product::new(&pruned, Some(&mask), true)?;
            report(&format!("{density} % pack"), best(|| Product::new(&pruned, Some(&mask), true).map(drop)));
            report(&format!("{density} % forward"), best(|| sparse.forward(&x, &mut y)));
            report(&format!("{density} % backward"), best(|| sparse.backward(&dy, &mut dx, false)));
            let groups = RowGroups::new(m, k, &kept)?;
            report(&format!("{density} % outer"), best(|| outer_kept(&dy, &x, &groups, &mut dw)));
        }
    }
    Ok(())
}
