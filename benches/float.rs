//! Benchmarks of the products of floats with hot weights; ids are kernel names, so that they match listings and perf
//! maps.
//!
//! `cargo bench --bench float` runs all; `cargo bench --bench float -- spmm-bf16` those whose name contains "spmm-bf16". Throughput
//! is in dense-equivalent operations (2 M K N).

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lacuna_jit::{Isa, Tier};
use lacuna_kernels::float::{DType, FloatDesc, FloatInput, FloatKernel, FloatWeights, bf16, pack_bf16_panel};
use lacuna_kernels::layout::elements;
use lacuna_kernels::{Block, Buffer, Output, Parallel, Plan, Sink};
use rand::prelude::*;

const TOKENS: [usize; 3] = [32, 128, 384];
const SHAPES: [(usize, usize); 3] = [(768, 768), (768, 3072), (3072, 768)];
const SPARSITIES: [f64; 2] = [0.8, 0.9];

/// The tier of `LACUNA_TIER`, or the best of this machine.
fn isa() -> Isa {
    Isa::for_tier(Tier::select(None).unwrap_or_else(|error| panic!("{error}")))
}

/// Random weights of which a share `sparsity` of the blocks of `rows` x 1 is zero.
fn weights(m: usize, k: usize, rows: usize, sparsity: f64, rng: &mut StdRng) -> Vec<f32> {
    let mut weights = vec![0.0; m * k];
    for block in weights.chunks_mut(rows * k) {
        for column in (0..k).filter(|_| rng.random::<f64>() >= sparsity).collect::<Vec<_>>() {
            block.iter_mut().skip(column).step_by(k).for_each(|w| *w = rng.random_range(-1.0..1.0));
        }
    }
    weights
}

fn products(c: &mut Criterion) {
    let rng = &mut StdRng::seed_from_u64(1);
    let sparse = [Block::B4x1, Block::B8x1, Block::B16x1, Block::Unstructured]
        .into_iter()
        .flat_map(|b| SPARSITIES.map(|s| (b, s)));
    let blocks: Vec<(Block, f64)> = sparse.chain([(Block::Dense, 0.0)]).collect();
    for (m, k) in SHAPES {
        for tokens in TOKENS {
            let mut x = Buffer::<f32>::new(elements(k, tokens));
            x.iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
            let mut x_bf16 = Buffer::<bf16>::new(x.len());
            pack_bf16_panel(&x, k, tokens, &mut x_bf16, Parallel::Serial).unwrap();
            let mut out = Buffer::<f32>::new(elements(m, tokens));
            let mut group = c.benchmark_group(format!("m{m}k{k} N={tokens}"));
            group.throughput(Throughput::Elements((2 * m * k * tokens) as u64));
            for (dtype, &(block, sparsity)) in DType::ALL.into_iter().flat_map(|d| blocks.iter().map(move |b| (d, b))) {
                let desc = FloatDesc { m, k, dtype, block, sink: Sink::f32(false) };
                let plan = match desc.plan(isa()) {
                    Ok(plan) => plan,
                    Err(error) => {
                        eprintln!("skipped: {error}");
                        continue;
                    }
                };
                let weights = weights(m, k, block.outputs(), sparsity, rng);
                let weights = FloatWeights::pack(&plan, &weights, &vec![0.0; m]).unwrap();
                let kernel = FloatKernel::compile(plan).unwrap();
                let x = match dtype {
                    DType::F32 => FloatInput::F32(&x),
                    DType::Bf16 => FloatInput::Bf16(&x_bf16),
                };
                group.bench_function(BenchmarkId::new(plan.name(), sparsity), |b| {
                    b.iter(|| {
                        let out = Output::F32(&mut out);
                        kernel.run(&weights, x, tokens, out, Parallel::Serial).unwrap();
                    });
                });
            }
        }
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
