//! Tokens per second of a training step on a MiniLM-L6 shape, dense and at 80 % in blocks of 4x1, and where the time goes.
//!
//! `cargo run --release -p lacuna-train --example throughput [steps]`
//!
//! The fastest step counts, in wall time. On Linux the mean CPU time of a step is shown too: where others use the machine, run it with
//! `RAYON_NUM_THREADS=1` and compare that.

use std::time::{Duration, Instant};

use lacuna_kernels::Block;
use lacuna_model::{LayerWeights, Model, Preset, seeded_ids};
use lacuna_train::encoder::{Encoder, Saved, Scratch, zeros_like};
use lacuna_train::mask::masks_of;
use lacuna_train::optimise::{AdamW, AdamWOptions};
use lacuna_train::profile::{self, Part};
use lacuna_train::{Batch, Result};

const SEQUENCES: usize = 64;

fn main() -> Result<()> {
    let steps = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(8u32);
    let config = Preset::MiniLm.config();
    let sequences: Vec<Vec<u32>> =
        (0..SEQUENCES).flat_map(|i| seeded_ids(config.vocab_size, 1, 25 + i % 11, i as u64)).collect();
    let batch = Batch::new(&config, &sequences)?;
    let threads = rayon::current_num_threads();
    println!("{} sequences, {} tokens, {threads} threads", batch.sequences(), batch.tokens());
    let peak = peak(threads)?;
    println!("f32 peak {peak:.0} GFLOP/s");
    let dense = Model::seeded(config.clone(), 1)?;
    let sparse = dense.clone().prune(Block::B4x1, 0.8)?;
    let weights: usize = dense.weights().layers.iter().map(weights).sum();
    let mut speeds = Vec::new();
    for (name, model) in [("dense", &dense), ("80 % 4x1", &sparse)] {
        let mut encoder = Encoder::trained(&config, model.weights())?;
        let mut layers = encoder.layers().to_vec();
        let mut optimiser = AdamW::new(AdamWOptions::default(), &mut layers, masks_of(encoder.layers())?)?;
        encoder.set_masks(optimiser.masks())?;
        let (mut saved, mut scratch, mut gradients) = (Saved::default(), Scratch::default(), zeros_like(&layers));
        let mut best = Duration::MAX;
        let mut parts = [Duration::MAX; Part::ALL.len()];
        let cpu_start = cpu();
        for _ in 0..steps {
            profile::take();
            let start = Instant::now();
            encoder.forward(&batch, &mut saved)?;
            zero(&mut gradients);
            encoder.backward(&batch, &saved, &mut scratch, &mut gradients, |layer, dx| {
                let hidden = saved.hidden(layer).data();
                dx.data_mut().iter_mut().zip(hidden).for_each(|(dx, x)| *dx += 1e-3 * x);
                Ok(())
            })?;
            let mut factor = Ok(0.0);
            encoder.update(|layers| factor = optimiser.step(layers, &mut gradients, 1.0))?;
            factor?;
            best = best.min(start.elapsed());
            parts.iter_mut().zip(profile::take()).for_each(|(best, time)| *best = (*best).min(time));
        }
        let speed = batch.tokens() as f64 / best.as_secs_f64();
        println!("\n{name}: {:.1} ms per step, {speed:.0} tokens/s", best.as_secs_f64() * 1e3);
        if let (Some(start), Some(end)) = (cpu_start, cpu()) {
            let step = (end - start) / f64::from(steps);
            let rate = 6e-9 * (weights * batch.tokens()) as f64 / step;
            let per_second = batch.tokens() as f64 / step;
            println!(
                "CPU time: {:.1} ms per step, {per_second:.0} tokens per CPU second, {rate:.0} GFLOP/s",
                step * 1e3
            );
        }
        for (part, time) in Part::ALL.iter().zip(parts) {
            let share = time.as_secs_f64() / best.as_secs_f64();
            print!("  {part:?}: {:.1} ms, {:.0} %", time.as_secs_f64() * 1e3, 100.0 * share);
            if matches!(part, Part::Forward | Part::InputGradient | Part::WeightGradient) {
                let rate = 2e-9 * (weights * batch.tokens()) as f64 / time.as_secs_f64();
                print!(", {rate:.0} GFLOP/s as if dense, {:.0} % of peak", 100.0 * rate / peak);
            }
            println!();
        }
        speeds.push(speed);
    }
    println!("\nsparse over dense: {:.2}", speeds[1] / speeds[0]);
    Ok(())
}

/// Seconds of CPU time of this process, in steps of 10 ms.
fn cpu() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

fn weights(layer: &LayerWeights) -> usize {
    layer.linears().iter().map(|linear| linear.weight.data.len()).sum()
}

/// The multiply-add peak of all threads together.
fn peak(threads: usize) -> Result<f64> {
    let Some(token) = lacuna_jit::Avx512Vnni::detect() else { return Ok(f64::NAN) };
    Ok(threads as f64 * lacuna_kernels::float::peak::f32_gflops(token, 200)?)
}

fn zero(gradients: &mut [LayerWeights]) {
    lacuna_train::encoder::tensors_mut(gradients).into_iter().for_each(|tensor| tensor.values.fill(0.0));
}
