//! Plans are pure and complete, and weights say what they hold.

use std::collections::{HashMap, HashSet};

use lacuna_jit::{Avx512Bf16, Avx512Vnni, Isa};
use lacuna_kernels::float::{DType, FloatDesc, FloatPlan, FloatWeights, peak, sinks};
use lacuna_kernels::pattern::{MAX_K, MAX_M};
use lacuna_kernels::{Activation, Block, Generate, Plan, Sink};
use rand::prelude::*;

use crate::case::{BLOCKS, FEATURES, candidates, sparse_weights};
use crate::support::{assert_code_of_a_plan, check_required_tier, tiers_without_avx2};

/// Plans of every kind on some shapes.
fn plans(isa: Isa) -> Vec<FloatPlan> {
    let mut plans = Vec::new();
    let shapes: HashSet<(usize, usize)> = FEATURES.into_iter().flat_map(|m| [(m, 1), (m, 8), (1, m), (8, m)]).collect();
    for (m, k) in shapes {
        for (dtype, block) in DType::ALL.into_iter().flat_map(|dtype| BLOCKS.map(|block| (dtype, block))) {
            for sink in sinks() {
                let found = candidates(FloatDesc { m, k, dtype, block, sink }, isa);
                assert!(found.iter().all(|plan| (plan.m(), plan.k()) == (m, k)));
                plans.extend(found);
            }
        }
    }
    plans
}

#[test]
fn names_are_unique_and_say_what_the_kernel_is() {
    let all: Vec<FloatPlan> = tiers_without_avx2().into_iter().flat_map(plans).collect();
    let mut by_name = HashMap::new();
    for plan in &all {
        assert!(by_name.insert(plan.name(), plan).is_none(), "{} names two plans", plan.name());
    }
    let desc = |dtype, block, sink| FloatDesc { m: 768, k: 3072, dtype, block, sink };
    let sparse = desc(DType::F32, Block::B4x1, Sink::f32(true)).plan(Isa::Portable).unwrap();
    assert_eq!(sparse.name(), "spmm-f32-portable-m768k3072n64-4x1-r4v4-f32-residual");
    let dense = desc(DType::Bf16, Block::Dense, Sink::bf16().with(Activation::Gelu)).plan(Isa::Portable).unwrap();
    assert_eq!(dense.name(), "gemm-bf16-portable-m768k3072n64-dense-r12v2-gelu-bf16");
    assert_eq!(
        sparse.to_string(),
        "stream form of 4x1 f32 on portable: parts of 64 columns outside, block rows of 4 outputs inside, 1 inputs per step"
    );
}

#[test]
fn emission_depends_on_the_plan_alone() {
    for isa in tiers_without_avx2().into_iter().filter(|&isa| isa != Isa::Portable) {
        for plan in plans(isa) {
            assert_code_of_a_plan(&plan.name(), &plan.emit().unwrap(), &plan.emit().unwrap());
        }
    }
}

#[test]
fn code_size_does_not_grow_with_the_shape() {
    for isa in tiers_without_avx2().into_iter().filter(|&isa| isa != Isa::Portable) {
        for (dtype, block) in DType::ALL.into_iter().flat_map(|dtype| BLOCKS.map(|block| (dtype, block))) {
            let bytes = |m, k| {
                let desc = FloatDesc { m, k, dtype, block, sink: Sink::f32(true) };
                candidates(desc, isa).first().map_or(0, |plan| plan.emit().unwrap().bytes.len())
            };
            assert!(bytes(MAX_M, MAX_K - 1) <= bytes(60, 64) + 256, "{dtype} {block}");
        }
    }
}

#[test]
fn weights_count_what_they_hold() {
    let mut rng = StdRng::seed_from_u64(1);
    let (m, k) = (24, 30);
    for dtype in DType::ALL {
        for (block, rows) in [(Block::B4x1, 4), (Block::B8x1, 8), (Block::B16x1, 8), (Block::Unstructured, 1)] {
            let weights = sparse_weights(m, k, 1, 0.3, &mut rng);
            let plan = FloatDesc { m, k, dtype, block, sink: Sink::f32(false) }.plan(Isa::Portable).unwrap();
            let packed = FloatWeights::pack(&plan, &weights, &vec![0.0; m]).unwrap();
            let nnz = weights.iter().filter(|&&w| w != 0.0).count();
            let blocks: usize = weights
                .chunks(rows * k)
                .map(|rows| (0..k).filter(|&c| rows.iter().skip(c).step_by(k).any(|&w| w != 0.0)).count())
                .sum();
            assert_eq!(packed.nnz(), nnz);
            assert_eq!(packed.density(), blocks as f64 / (m / rows * k) as f64);
            assert_eq!(packed.fill_ratio(), nnz as f64 / (blocks * rows) as f64);
            assert!((blocks * rows..=(blocks + m / rows) * rows).contains(&packed.stored()));
            assert!(packed.bytes() > packed.stored() * dtype.bytes());
        }
        let dense = FloatDesc { m, k, dtype, block: Block::Dense, sink: Sink::f32(false) };
        let plan = dense.plan(Isa::Portable).unwrap();
        let packed = FloatWeights::pack(&plan, &vec![1.0; m * k], &vec![0.0; m]).unwrap();
        assert_eq!((packed.stored(), packed.nnz(), packed.density(), packed.fill_ratio()), (m * k, m * k, 1.0, 1.0));
    }
}

/// The second is twice the first wherever one instruction does the work of two.
#[test]
fn peaks_are_measured() {
    check_required_tier();
    if let Some(proof) = Avx512Vnni::detect() {
        assert!(peak::f32_gflops(proof, 3).unwrap() > 1.0);
        if let Some(proof) = Avx512Bf16::detect() {
            assert!(peak::bf16_gflops(proof, 3).unwrap() > 1.0);
        }
    }
}
