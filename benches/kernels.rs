//! Kernel benchmarks with hot weights; ids are kernel names, so that they match listings and perf maps.
//!
//! `cargo bench` runs all; `cargo bench -- spmm` those whose name contains "spmm". Throughput is in dense-equivalent operations
//! for GEMM and SpMM (2 M K N) and for attention (4 S S D H), in elements for row kernels.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lacuna_jit::{Isa, Tier};
use lacuna_kernels::attention::{AttentionBatch, AttentionDesc, AttentionKernel, AttentionParams, Sequence};
use lacuna_kernels::elementwise::{ElementwiseDesc, QuantParams};
use lacuna_kernels::embedding::{EmbeddingDesc, EmbeddingIds, EmbeddingTables};
use lacuna_kernels::epilogue::{Activation, Epilogue, RowParams};
use lacuna_kernels::gemm::{GemmDesc, GemmKernel, GemmWeights};
#[cfg(target_arch = "x86_64")]
use lacuna_kernels::intrinsics::IntrinsicsSpmm;
use lacuna_kernels::layernorm::{LayerNormDesc, NormParams, NormRows};
use lacuna_kernels::layout::elements;
use lacuna_kernels::softmax::SoftmaxDesc;
use lacuna_kernels::spmm::{SpmmDesc, SpmmKernel, SpmmWeights};
use lacuna_kernels::{ActivationBits, Block, Buffer, Output, OutputBuffer, PanelLayout, Parallel, Plan, Sign, Sink};
use rand::prelude::*;

const TOKENS: [usize; 3] = [32, 128, 384];
const SHAPES: [(usize, usize); 3] = [(768, 768), (768, 3072), (3072, 768)];
const SPARSITIES: [f64; 2] = [0.8, 0.9];

/// The tier of `LACUNA_TIER`, or the best of this machine.
fn isa() -> Isa {
    Isa::for_tier(Tier::select(None).unwrap_or_else(|error| panic!("{error}")))
}

fn random_bytes(len: usize, rng: &mut StdRng) -> Buffer<u8> {
    let mut bytes = Buffer::new(len);
    rng.fill(&mut bytes[..]);
    bytes
}

/// Random weights of which a share `sparsity` of the blocks is zero.
fn sparse_weights(m: usize, k: usize, block: Block, sparsity: f64, rng: &mut StdRng) -> Vec<i8> {
    let mut weights = vec![0; m * k];
    for row in (0..m).step_by(block.outputs()) {
        for column in (0..k).step_by(block.inputs()) {
            if rng.random::<f64>() < sparsity {
                continue;
            }
            for row in row..(row + block.outputs()).min(m) {
                weights[row * k + column..row * k + (column + block.inputs()).min(k)]
                    .fill_with(|| rng.random_range(1..=127));
            }
        }
    }
    weights
}

fn params(m: usize) -> Vec<RowParams> {
    vec![RowParams { multiplier: 1e-3, addend: 100.0, ..RowParams::default() }; m]
}

fn products(c: &mut Criterion) {
    let rng = &mut StdRng::seed_from_u64(1);
    let epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);
    for (m, k) in SHAPES {
        for tokens in TOKENS {
            let x = random_bytes(elements(k, tokens), rng);
            let mut out = Buffer::new(elements(m, tokens));
            let mut group = c.benchmark_group(format!("m{m}k{k} N={tokens}"));
            group.throughput(Throughput::Elements((2 * m * k * tokens) as u64));
            for sparsity in SPARSITIES {
                let plan = SpmmDesc { m, k, block: Block::B4x1, epilogue, activation_bits: ActivationBits::Eight }
                    .plan(isa())
                    .unwrap();
                let weights =
                    SpmmWeights::pack(&plan, &sparse_weights(m, k, Block::B4x1, sparsity, rng), &params(m)).unwrap();
                let kernel = SpmmKernel::compile(plan).unwrap();
                group.bench_function(BenchmarkId::new(plan.name(), sparsity), |b| {
                    b.iter(|| kernel.run(&weights, &x, tokens, Output::Bytes(&mut out), Parallel::Serial).unwrap());
                });
            }
            let plan = GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight }.plan(isa()).unwrap();
            let weights = GemmWeights::pack(&plan, &sparse_weights(m, k, Block::Dense, 0.0, rng), &params(m)).unwrap();
            let kernel = GemmKernel::compile(plan).unwrap();
            group.bench_function(plan.name(), |b| {
                b.iter(|| kernel.run(&weights, &x, tokens, Output::Bytes(&mut out), Parallel::Serial).unwrap());
            });
        }
    }
}

/// Block shapes and epilogues of one shape, and the kernel in intrinsics that they must beat.
fn sparse(c: &mut Criterion) {
    let rng = &mut StdRng::seed_from_u64(3);
    let (m, k, tokens, sparsity) = (768, 768, 128, 0.9);
    let requantize = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);
    let x = random_bytes(elements(k, tokens), rng);
    let mut group = c.benchmark_group(format!("{:.0} % zero, N={tokens}", sparsity * 100.0));
    group.throughput(Throughput::Elements((2 * m * k * tokens) as u64));
    let blocks = Block::ALL.into_iter().filter(|&block| block != Block::Dense).map(|block| (block, requantize));
    let gelu = Epilogue::gelu(PanelLayout::Plain, Sign::Unsigned);
    let epilogues = [requantize.fixed(), gelu, gelu.fixed(), Epilogue::f32(false), Epilogue::f32(true)];
    for (block, epilogue) in blocks.chain(epilogues.map(|epilogue| (Block::B4x1, epilogue))) {
        let params = vec![RowParams { multiplier: 1e-5, addend: 0.1, out_scale: 30.0, out_zero: 10.0 }; m];
        let plan = SpmmDesc { m, k, block, epilogue, activation_bits: ActivationBits::Eight }.plan(isa()).unwrap();
        let weights = SpmmWeights::pack(&plan, &sparse_weights(m, k, block, sparsity, rng), &params).unwrap();
        let kernel = SpmmKernel::compile(plan).unwrap();
        let mut out = OutputBuffer::new(epilogue.sink.store, elements(m, tokens));
        group.bench_function(BenchmarkId::new(plan.name(), block), |b| {
            b.iter(|| kernel.run(&weights, &x, tokens, out.output(), Parallel::Serial).unwrap());
        });
    }
    #[cfg(target_arch = "x86_64")]
    if let Isa::Avx512Vnni(proof) = isa() {
        let weights = sparse_weights(m, k, Block::B4x1, sparsity, rng);
        let mut out = OutputBuffer::new(requantize.sink.store, elements(m, tokens));
        let kernel = IntrinsicsSpmm::new(proof, m, k, &weights, &params(m), requantize).unwrap();
        group.bench_function(kernel.name(), |b| {
            b.iter(|| kernel.run(&x, tokens, out.output()).unwrap());
        });
    }
}

fn attention(c: &mut Criterion) {
    let rng = &mut StdRng::seed_from_u64(2);
    let heads = 12;
    for head_size in [32, 64] {
        for len in TOKENS {
            let features = heads * head_size;
            let plan = AttentionDesc { head_size, output: PanelLayout::Plain, activation_bits: ActivationBits::Eight }
                .plan(isa())
                .unwrap();
            let kernel = AttentionKernel::compile(plan).unwrap();
            let batch = AttentionBatch::new(&[Sequence { start: 0, len }], len, features, PanelLayout::Plain).unwrap();
            let params = AttentionParams {
                score_scale: vec![1e-4; heads],
                q_zero: vec![128; heads],
                out_scale: vec![1.0; features],
                out_zero: 128,
            };
            let [q, k, v] = std::array::from_fn(|_| random_bytes(elements(features, len), rng));
            let mut out = Buffer::new(elements(features, len));
            let mut group = c.benchmark_group(format!("S={len} H={heads}"));
            group.throughput(Throughput::Elements((4 * len * len * features) as u64));
            group.bench_function(plan.name(), |b| {
                b.iter(|| kernel.run(&batch, &params, &q, &k, &v, &mut out, Parallel::Serial).unwrap());
            });
        }
    }
}

fn rows(c: &mut Criterion) {
    let (features, tokens) = (768, 128);
    let mut x = Buffer::<f32>::new(elements(features, tokens));
    let mut panel = Buffer::new(elements(features, tokens));
    let mut group = c.benchmark_group(format!("f{features} N={tokens}"));
    group.throughput(Throughput::Elements((features * tokens) as u64));

    let norm =
        LayerNormDesc { features, f32: true, panel: Some(PanelLayout::Plain), activation_bits: ActivationBits::Eight }
            .compile(isa())
            .unwrap();
    let row = NormParams { gamma: 1.0, beta: 0.1, out_scale: 30.0, out_zero: 128.0 };
    let weights = NormRows::pack(norm.plan(), &vec![row; features], 1e-12).unwrap();
    group.bench_function(norm.plan().name(), |b| {
        b.iter(|| norm.run(&weights, &mut x, Some(&mut panel), tokens, Parallel::Serial).unwrap());
    });
    let softmax = SoftmaxDesc { features }.compile(isa()).unwrap();
    group.bench_function(softmax.plan().name(), |b| {
        b.iter(|| softmax.run(&mut x, tokens, Parallel::Serial).unwrap());
    });

    let gelu = ElementwiseDesc { features, sink: Sink::f32(false).with(Activation::Gelu) }.compile(isa()).unwrap();
    group.bench_function(gelu.plan().name(), |b| {
        b.iter(|| gelu.run_in_place(&mut x, tokens, Parallel::Serial).unwrap());
    });
    let sink = Sink::bytes(PanelLayout::Plain, Sign::Unsigned);
    let quantize = ElementwiseDesc { features, sink }.compile(isa()).unwrap();
    let scales = vec![QuantParams { scale: 30.0, zero: 128.0 }; features];
    group.bench_function(quantize.plan().name(), |b| {
        b.iter(|| quantize.run_quantize(&scales, &x, &mut panel, tokens, Parallel::Serial).unwrap());
    });

    let table = vec![0.1; 1000 * features];
    let word: Vec<u32> = (0..tokens as u32).map(|token| token * 7).collect();
    let (kind, position) = (vec![0; tokens], (0..tokens as u32).collect::<Vec<_>>());
    let tables = EmbeddingTables { word: &table, kind: &table[..features], position: &table };
    let ids = EmbeddingIds { word: &word, kind: &kind, position: &position };
    let embedding = EmbeddingDesc { features }.compile(isa()).unwrap();
    group.bench_function(embedding.plan().name(), |b| {
        b.iter(|| embedding.run(&tables, &ids, &mut x, tokens, Parallel::Serial).unwrap());
    });
}

criterion_group!(benches, products, sparse, attention, rows);
criterion_main!(benches);
