//! Plans are pure and complete: equal descriptors give equal plans, and the plan alone decides every byte of its code.

mod product;
mod support;

use std::collections::{HashMap, HashSet};

use lacuna_jit::Isa;
use lacuna_kernels::cache::AnyPlan;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::gemm::GemmDesc;
use lacuna_kernels::pattern::{BlockPattern, MAX_K, MAX_M};
use lacuna_kernels::spmm::{IndexWidth, SpmmDesc};
use lacuna_kernels::{ActivationBits, Block, Generate, Plan};
use product::FEATURES;
use proptest::prelude::*;
use support::{assert_code_of_a_plan, tiers};

/// GEMM and SpMM of every epilogue on some shapes.
fn plans(isa: Isa) -> Vec<AnyPlan> {
    let shapes = FEATURES.into_iter().flat_map(|m| [(m, 1), (m, 8), (m, 8193), (1, m), (8, m)]);
    shapes
        .collect::<HashSet<_>>()
        .into_iter()
        .flat_map(|(m, k)| Epilogue::all().into_iter().map(move |epilogue| (m, k, epilogue)))
        .flat_map(|(m, k, epilogue)| {
            let spmm = SpmmDesc { m, k, block: Block::B4x1, epilogue, activation_bits: ActivationBits::Eight }
                .plan(isa)
                .unwrap();
            let gemm = GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap();
            assert_eq!((spmm.m(), spmm.k(), *spmm.epilogue()), (m, k, epilogue));
            assert_eq!((gemm.m(), gemm.k(), *gemm.epilogue()), (m, k, epilogue));
            [spmm.key(), gemm.key()]
        })
        .collect()
}

#[test]
fn names_are_unique_and_say_what_the_kernel_is() {
    let all: Vec<AnyPlan> = tiers().into_iter().flat_map(plans).collect();
    let mut by_name = HashMap::new();
    for plan in &all {
        assert!(by_name.insert(plan.name(), plan).is_none(), "{} names two plans", plan.name());
        assert!(plan.name().contains(plan.isa().name()));
    }
    let name = |epilogue| {
        SpmmDesc { m: 768, k: 3072, block: Block::B4x1, epilogue, activation_bits: ActivationBits::Eight }
            .plan(Isa::Portable)
            .unwrap()
            .name()
    };
    assert_eq!(
        name(Epilogue::f32(true)),
        "spmm-u8s8-portable-m768k3072n64-4x1-stream-v4u2-narrow16-abreast-shuffle-prefetch-f32-residual"
    );
}

#[test]
fn planning_is_pure() {
    for isa in tiers() {
        let sorted = || {
            let mut plans = plans(isa);
            plans.sort_by_key(AnyPlan::name);
            plans
        };
        assert_eq!(sorted(), sorted());
    }
}

#[test]
fn the_narrowest_index_that_reaches_every_feature() {
    for (k, index) in [(1, IndexWidth::U16), (8192, IndexWidth::U16), (8193, IndexWidth::U32), (MAX_K, IndexWidth::U32)]
    {
        let plan = SpmmDesc {
            m: MAX_M,
            k,
            block: Block::B4x1,
            epilogue: Epilogue::f32(false),
            activation_bits: ActivationBits::Eight,
        }
        .plan(Isa::Portable)
        .unwrap();
        assert_eq!(plan.index(), index);
    }
}

#[test]
fn emission_depends_on_the_plan_alone() {
    for isa in tiers().into_iter().filter(|&isa| isa != Isa::Portable) {
        for plan in plans(isa) {
            assert_code_of_a_plan(&plan.name(), &plan.emit().unwrap(), &plan.emit().unwrap());
        }
    }
}

/// The largest shapes there are: every displacement and count still fits its field, and the code is no longer than for small
/// ones.
#[test]
fn code_size_does_not_grow_with_the_shape() {
    for isa in tiers().into_iter().filter(|&isa| isa != Isa::Portable) {
        for epilogue in Epilogue::all() {
            let bytes = |plan: AnyPlan| plan.emit().unwrap().bytes.len();
            let spmm = |m, k| {
                bytes(
                    SpmmDesc { m, k, block: Block::B4x1, epilogue, activation_bits: ActivationBits::Eight }
                        .plan(isa)
                        .unwrap()
                        .key(),
                )
            };
            let gemm = |m, k| {
                bytes(GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap().key())
            };
            assert!(spmm(MAX_M, MAX_K) <= spmm(64, 64) + 256, "{}", epilogue.name());
            assert!(gemm(MAX_M, MAX_K) <= gemm(64, 64) + 256, "{}", epilogue.name());
        }
    }
}

proptest! {
    #[test]
    fn a_pattern_is_where_the_weights_are_not_zero(
        (m, k, weights) in (1usize..20, 1usize..20).prop_flat_map(|(m, k)| {
            let weight = prop_oneof![3 => Just(0i8), 1 => any::<i8>()];
            (Just(m), Just(k), prop::collection::vec(weight, m * k))
        }),
    ) {
        let pattern = BlockPattern::of(&weights, m, k, Block::B4x1).unwrap();
        prop_assert_eq!((pattern.m(), pattern.k(), pattern.block_rows()), (m, k, m.div_ceil(4)));
        let mut blocks = 0;
        for row in 0..m.div_ceil(4) {
            let stored = |column: &u32| {
                let column = *column as usize;
                (4 * row..m.min(4 * row + 4)).any(|output| weights[output * k + column] != 0)
            };
            let columns: Vec<u32> = (0..k as u32).filter(stored).collect();
            prop_assert_eq!(pattern.block_row(row), &columns[..]);
            blocks += columns.len();
        }
        let nnz = weights.iter().filter(|&&w| w != 0).count();
        prop_assert_eq!((pattern.blocks(), pattern.nnz()), (blocks, nnz));
        prop_assert_eq!(pattern.density(), blocks as f64 / (m.div_ceil(4) * k) as f64);
        prop_assert_eq!(pattern.fill_ratio(), if blocks == 0 { 1.0 } else { nnz as f64 / (4 * blocks) as f64 });
    }
}
